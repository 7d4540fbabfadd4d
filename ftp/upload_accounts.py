"""The accounts that upload: where their files go, and where operators see what came of them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from ftp.account_uploads import AccountUploads
from ftp.replies import reason_of
from ftp.uploads import DropBox, UploadTarget
from recpipe import log, metrics
from recpipe.access.audit import AuditTrail, event
from recpipe.access.expiring import SeenRecently
from recpipe.access.principal import Principal
from recpipe.errors import RecpipeError
from recpipe.recordings.reader import Reader
from recpipe.settings import Settings

_log = log.get(__name__)

_REFUSALS_SAID_SECONDS = 3600.0  # an account and a reason


class UploadAccounts:
    """Opens upload sessions and records what they sent. Thread-safe.

    Args:
        settings: the spools and limits of uploads.
        trail: where uploads are recorded.
    """

    def __init__(self, settings: Settings, reader: Reader, trail: AuditTrail) -> None:
        self._settings = settings
        self._reader = reader
        self._trail = trail
        self._targets = {spool.label: UploadTarget.of(spool) for spool in settings.spool}
        self._lock = threading.Lock()
        self._sent: dict[str, AccountUploads] = {}
        self._said_lately = SeenRecently(_REFUSALS_SAID_SECONDS)

    def drop_box(self, principal: Principal) -> DropBox:
        """Open the place where a media server's files go.

        Raises:
            Forbidden: the spool belongs to another tenant.
            RecpipeError: there is no such spool here.
        """
        label = next(iter(principal.spools))
        target = self._targets.get(label)
        if target is None or not principal.may_upload(label):
            _log.error("upload account without a spool", account=principal.name, spool=label)
            raise RecpipeError(f"There is no spool {label} on this server.")
        tenant = next((self._reader.tenant(principal, each) for each in principal.grants), None)
        settings = self._settings
        with self._lock:
            account = self._sent.setdefault(
                principal.id, AccountUploads(principal.name, settings.ftp_upload_daily_bytes)
            )
        return DropBox(
            target,
            target.prefix_for(tenant),
            account,
            settings.ftp_upload_max_bytes,
            settings.upload_reserve_bytes,
        )

    def note_upload(self, principal: Principal, size_bytes: int) -> None:
        """Record that a media server sent a file; an empty one counts as refused."""
        if not size_bytes:
            self._note_refused(principal.name, "empty")
        tenant_id = next(iter(principal.grants), None)
        spool = next(iter(principal.spools))
        now = datetime.now(UTC)
        self._trail.record(event(principal, "upload", now, tenant_id=tenant_id, spool=spool, bytes=size_bytes))

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
