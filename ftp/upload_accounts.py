"""The accounts that upload: where their files go, and where operators see what came of them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial

from ftp.account_uploads import AccountUploads
from ftp.replies import reason_of
from ftp.uploads import DropBox
from recpipe import log, metrics
from recpipe.access.expiring import SeenRecently
from recpipe.access.principal import Principal
from recpipe.errors import NotFound, RecpipeError
from recpipe.intake import Intake
from recpipe.settings import Settings

_log = log.get(__name__)

_REFUSALS_SAID_SECONDS = 3600.0  # an account and a reason


class UploadAccounts:
    """Opens upload sessions and records what they sent. Thread-safe.

    Args:
        settings: the limits of uploads.
        intake: where they go.
    """

    def __init__(self, settings: Settings, intake: Intake) -> None:
        self._settings = settings
        self._intake = intake
        self._lock = threading.Lock()
        self._sent: dict[str, AccountUploads] = {}
        self._said_lately = SeenRecently(_REFUSALS_SAID_SECONDS)

    def drop_box(self, principal: Principal) -> DropBox:
        """Open the place where a media server's files go.

        Raises:
            RecpipeError: there is no such spool here, or it is not its tenant's.
        """
        label = next(iter(principal.spools))
        try:
            place = self._intake.destination(principal, label)
        except NotFound:
            _log.error(
                "upload account without a spool",
                account=principal.name,
                spool=label,
                advice="name a spool of this machine that is its tenant's, or that tells tenants by folder",
            )
            raise RecpipeError(f"There is no spool {label} for this account on this server.") from None
        settings = self._settings
        with self._lock:
            account = self._sent.setdefault(
                principal.id, AccountUploads(principal.name, settings.ftp_upload_daily_bytes)
            )
        # An empty file counts as refused: it is a fault of somebody's.
        note_empty = partial(self._note_refused, principal.name, "empty")
        return DropBox(place, account, settings.ftp_upload_max_bytes, note_empty)

    def note_refusal(self, principal: Principal, error: BaseException) -> None:
        """Count and log that a file was not taken."""
        self._note_refused(principal.name, reason_of(error))

    def forget_received(self, account_id: str) -> None:
        """Forget what an account has sent, once its last session has gone; files held aside stay."""
        with self._lock:
            sent = self._sent.get(account_id)
        if sent is not None:
            sent.forget_received()

    def expire(self) -> None:
        """Throw away files that were held aside for too long."""
        for uploads in self._all():
            for _ in range(uploads.expire()):
                self._note_refused(uploads.account, "never-renamed")

    def close(self) -> None:
        """Throw away all files that are held aside: their senders still have them."""
        for uploads in self._all():
            uploads.close()

    def _all(self) -> list[AccountUploads]:
        with self._lock:
            return list(self._sent.values())

    def _note_refused(self, account: str, reason: str) -> None:
        metrics.FTP_UPLOADS_REFUSED.labels(reason).inc()
        if self._said_lately.first((account, reason), datetime.now(UTC)):
            _log.warning(
                "uploads refused",
                account=account,
                reason=reason,
                advice="docs/ftp.md says what each reason means; for the next hour more of it are counted, not logged",
            )
