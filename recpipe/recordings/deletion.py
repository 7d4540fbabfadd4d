"""The only way to delete a recording: who may, why, the row and its audit event at once, then the object.

Deleting is final. From the commit on nobody sees the recording, and its file does not come back when it is dropped into
a spool again. The object goes last, so that no recording is ever without one; what a crash or a store that does not
answer leaves of it is known by the tombstone: `recpipe verify` names it, and the nightly look removes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from recpipe import log
from recpipe.access.audit import event
from recpipe.access.checks import check_text
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue
from recpipe.errors import CatalogueUnavailable, StoreError, VersionsRemain
from recpipe.model import Outcome, Tombstone
from recpipe.recordings.reader import Reader
from recpipe.store.base import Store
from recpipe.times import Clock

LONGEST_REASON = 200  # characters
MOST_LEGS = 1000  # of a call that are deleted at once

_log = log.get(__name__)


class RecordingDeletion:
    """Deletes recordings for good. Thread-safe."""

    def __init__(self, catalogue: Catalogue, store: Store, reader: Reader, clock: Clock) -> None:
        self._catalogue = catalogue
        self._store = store
        self._reader = reader
        self._clock = clock

    def delete(
        self, by: Principal, recording_ids: Iterable[str], reason: str = "", *, call: str = ""
    ) -> list[Tombstone]:
        """Delete recordings, all of them or none.

        Args:
            reason: why, on one line; kept on the audit log and in the tombstones, so no name or number belongs in it.
            call: id of the call that is deleted with them, for the audit log.

        Returns:
            What is left of them; of one that another deleted at the same time, nothing. `remains` says where a bucket
            did not let go of all versions of the object; that is on the audit log too.

        Raises:
            InputInvalid: the reason is longer than `LONGEST_REASON` or holds control characters. Nothing was deleted.
            NotFound, Forbidden: as `Reader.get`, for any of them. Nothing was deleted.
            CatalogueUnavailable: nothing was deleted.
        """
        reason = check_text("reason", reason, LONGEST_REASON)
        found = [self._reader.get(by, one, Action.DELETE) for one in sorted(set(recording_ids))]
        by_tenant: dict[str, list[str]] = {}
        for recording in found:
            by_tenant.setdefault(recording.tenant_id, []).append(recording.id)
        now, done = self._clock(), []
        with self._catalogue.begin() as work:
            for tenant_id in sorted(by_tenant):  # in order, as all who write for several tenants
                done += work.of(tenant_id).recordings.delete_many(by_tenant[tenant_id], now, by.name, reason)
            for left in done:
                happened = event(by, Action.DELETE, now, tenant_id=left.tenant_id, subject=left.id, reason=reason)
                work.audit.add(replace(happened, detail={**happened.detail, "call": call}) if call else happened)
        return [
            left if not (remains := self._remove_object(by, left)) else replace(left, remains=remains) for left in done
        ]

    def delete_call(self, by: Principal, call_id: str, reason: str = "") -> list[Tombstone]:
        """Delete all legs of a call that may be seen, or none of them; otherwise as `delete`.

        Raises:
            InputInvalid: it has more than `MOST_LEGS`.
        """
        call = self._reader.call(by, call_id, Action.DELETE)
        legs = self._reader.legs(by, call, Action.DELETE, most=MOST_LEGS)
        return self.delete(by, [leg.id for leg in legs], reason, call=call.id)

    def _remove_object(self, by: Principal, left: Tombstone) -> str:
        """Remove the object; what remains of it for good, "" where nothing does or the nightly look removes it."""
        try:
            self._store.delete(left.object_key)
        except VersionsRemain as error:
            _log.warning(
                "versions of a deleted recording's object remain in the bucket",
                tenant=left.tenant_id,
                recording=left.id,
                versions=error.count,
            )
            happened = event(
                by,
                "delete.versions-remain",
                self._clock(),
                outcome=Outcome.FAILED,
                tenant_id=left.tenant_id,
                subject=left.id,
                versions="unknown" if error.count is None else str(error.count),
            )
            with suppress(CatalogueUnavailable), self._catalogue.begin() as work:
                work.audit.add(happened)
            return str(error)
        except StoreError as error:
            _log.warning(
                "object of a deleted recording is left, the nightly look removes it",
                tenant=left.tenant_id,
                recording=left.id,
                error=type(error).__name__,
            )
        return ""
