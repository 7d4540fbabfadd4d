"""The only way to delete a recording: who may, why, the row and its audit event at once, then the object.

Deleting is final. From the commit on nobody sees the recording, and its file does not come back when it is dropped into
a spool again. The object goes last, so that no recording is ever without one; what a crash or a store that does not
answer leaves of it is known by the tombstone: `recpipe verify` names it, and the nightly look removes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from recpipe import log
from recpipe.access.authority import check_text
from recpipe.access.principal import Action, Principal
from recpipe.access.trail import Clock, event
from recpipe.catalogue import Catalogue
from recpipe.errors import StoreError
from recpipe.model import Tombstone
from recpipe.reader import Reader
from recpipe.store.base import Store

LONGEST_REASON = 200  # characters

_log = log.get(__name__)


class Disposal:
    """Deletes recordings for good. Thread-safe."""

    def __init__(self, catalogue: Catalogue, store: Store, reader: Reader, clock: Clock) -> None:
        self._catalogue = catalogue
        self._store = store
        self._reader = reader
        self._clock = clock

    def delete(self, by: Principal, recording_ids: Iterable[str], reason: str = "") -> list[Tombstone]:
        """Delete recordings, all of them or none.

        Args:
            reason: why, on one line; kept on the audit log and in the tombstones, so no name or number belongs in it.

        Returns:
            What is left of them; of one that another deleted at the same time, nothing.

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
                work.audit.add(event(by, Action.DELETE, now, tenant_id=left.tenant_id, subject=left.id, reason=reason))
        for left in done:
            self._remove_object(left)
        return done

    def _remove_object(self, left: Tombstone) -> None:
        try:
            self._store.delete(left.object_key)
        except StoreError as error:
            _log.warning(
                "object of a deleted recording is left, the nightly look removes it",
                tenant=left.tenant_id,
                recording=left.id,
                error=type(error).__name__,
            )
