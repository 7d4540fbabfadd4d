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
from recpipe.errors import NotFound, StoreError
from recpipe.model import Recording, Tombstone
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
        """Delete recordings, each of them by itself, after a look at all of them.

        Args:
            reason: why, on one line; kept on the audit log and in the tombstone, so no name or number belongs in it.

        Returns:
            What is left of them; of one that another deleted at the same time, nothing.

        Raises:
            InputInvalid: the reason is longer than `LONGEST_REASON` or holds control characters. Nothing was deleted.
            NotFound, Forbidden: as `Reader.get`, for any of them. Nothing was deleted.
            CatalogueUnavailable: those that came before are deleted, the others are not. May be repeated with them.
        """
        reason = check_text("reason", reason, LONGEST_REASON)
        found = [self._reader.get(by, one, Action.DELETE) for one in dict.fromkeys(recording_ids)]
        return [left for recording in found if (left := self._forget(by, recording, reason)) is not None]

    def _forget(self, by: Principal, recording: Recording, reason: str) -> Tombstone | None:
        now, tenant_id = self._clock(), recording.tenant_id
        happened = event(by, Action.DELETE, now, tenant_id=tenant_id, subject=recording.id, reason=reason)
        try:
            with self._catalogue.begin() as work:
                left = work.of(tenant_id).recordings.delete(recording.id, now, by.name, reason)
                work.audit.add(happened)
        except NotFound:  # another was quicker
            return None
        try:
            self._store.delete(left.object_key)
        except StoreError as error:
            _log.warning(
                "object of a deleted recording is left, the nightly look removes it",
                tenant=tenant_id,
                recording=recording.id,
                error=type(error).__name__,
            )
        return left
