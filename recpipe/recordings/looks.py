"""One look at a recording or an object, and what it finds: shared by those who compare, repair and recover."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from recpipe.audio import codecs
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import NotFound, ObjectMissing, SourceChanged
from recpipe.model import Recording, StoredObject, Tenant, Tombstone
from recpipe.pinned import path_to
from recpipe.store.base import Store
from recpipe.times import day_since_1970, days_since_1970

# An object is stored before its row is written, and removed after it; younger than this without one it is in work.
IN_WORK = timedelta(minutes=10)
_ALIVE = timedelta(minutes=2)  # an ingest says that it lives every few seconds
_INGEST = "ingest"
_PIECE_BYTES = 1 << 20
_KEY = re.compile(r"(?P<tenant>[0-9a-z_-]+)/[0-9a-f]{2}/(?P<recording>[0-9a-f]{32})-", re.ASCII)

Kind = TypeVar("Kind", bound=StrEnum)


class ProblemKind(StrEnum):
    OBJECT_MISSING = "object-missing"
    OBJECT_DAMAGED = "object-damaged"
    OBJECT_WITHOUT_ROW = "object-without-row"
    OBJECT_OF_DELETED = "object-of-deleted"  # safe to remove: no recording ever has this id again
    WAVEFORM_MISSING = "waveform-missing"  # costs nobody a recording, and can be drawn again
    FIGURES_DIFFER = "figures-differ"  # sums of a day; can be counted again


@dataclass(frozen=True, slots=True)
class Finding(Generic[Kind]):
    """What was found of one object, or done with it, and what a person can do about it."""

    kind: Kind
    object_key: str
    message: str
    tenant: str = ""  # short name
    recording_id: str = ""
    day: str = ""  # YYYY-MM-DD, UTC: whose figures they are


Problem = Finding[ProblemKind]


def ingest_runs(catalogue: Catalogue, now: datetime) -> bool:
    """Whether some ingest has said lately that it lives."""
    with catalogue.read() as work:
        return any(node.role == _INGEST and now - node.seen_at < _ALIVE for node in work.nodes.list())


def read_whole(store: Store, key: str) -> tuple[str, int]:
    """SHA-256, in hex, and number of the bytes of an object.

    Raises:
        ObjectMissing, StoreUnavailable, StoreRejected: as `Store.read`.
    """
    digest, size_bytes = hashlib.sha256(), 0
    with store.read(key) as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
    return digest.hexdigest(), size_bytes


def has_sound(recording: Recording) -> bool:
    """Whether a waveform can be drawn of it: a fax has none, nor has what nothing here decodes."""
    return not recording.audio.pages and codecs.NO_WAVEFORM not in recording.flags


def waveform(store: Store, recording: Recording) -> bytes:
    """What is drawn of a stored object; b"" for a sealed one, or where nothing here decodes it."""
    if recording.sealed or not has_sound(recording):
        return b""
    from recpipe.audio import decode, peaks  # numpy takes 14 MB, and a sound store needs it never

    # Without a name, so that nothing of it stays behind a process that is killed.
    with tempfile.TemporaryFile() as copy, store.read(recording.object_key) as stream:
        while piece := stream.read(_PIECE_BYTES):
            copy.write(piece)
        copy.flush()
        try:
            return peaks.compute(path_to(copy.fileno()), recording.audio)
        except (decode.Undecodable, SourceChanged):  # the latter: its bytes are not what the row says of them
            return b""


class Looks:
    """One look at one recording or object."""

    def __init__(self, catalogue: Catalogue, store: Store, tenants: dict[str, Tenant]) -> None:
        self._catalogue = catalogue
        self.store = store
        self._tenants = tenants
        self.incomparable: list[str] = []  # recordings whose checksum the store reports in another form

    def at_size(self, recording: Recording) -> Problem | None:
        """Whether there is an object of the right size, and of the right checksum where the store keeps one."""
        try:
            stored = self.store.head(recording.object_key)
        except ObjectMissing:
            return self._missing(recording)
        if stored.size_bytes != recording.stored_bytes:
            return self._damaged(recording, sizes(stored.size_bytes, recording.stored_bytes))
        if stored.sha256 and stored.sha256 != recording.stored_sha256:
            # Stores report checksums in several forms: one that reads otherwise proves nothing, the bytes do.
            problem = self.at_bytes(recording)
            if problem is None:
                self.incomparable.append(recording.id)
            return problem
        return None

    def at_bytes(self, recording: Recording) -> Problem | None:
        """Whether there is an object and its bytes are those that were stored."""
        try:
            sha256, size_bytes = read_whole(self.store, recording.object_key)
        except ObjectMissing:
            return self._missing(recording)
        if size_bytes != recording.stored_bytes:
            return self._damaged(recording, sizes(size_bytes, recording.stored_bytes))
        if sha256 != recording.stored_sha256:
            return self._damaged(recording, "its SHA-256 is another one")
        return None

    def without_waveform(self, recordings: Iterable[Recording]) -> list[Problem]:
        """Those of one tenant that have no waveform and could have one: a sealed one's rhythm is content."""
        able = {one.id: one for one in recordings if not one.sealed and has_sound(one)}
        if not able:
            return []
        tenant_id = next(iter(able.values())).tenant_id
        with self._catalogue.read() as work:
            found = work.of(tenant_id).recordings.without_peaks(list(able))
        return [
            self._problem(
                ProblemKind.WAVEFORM_MISSING,
                able[one],
                f"The waveform of {able[one].name} of {able[one].day} is missing. recpipe verify --repair draws it.",
            )
            for one in found
        ]

    def figures_of(self, tenant_id: str, since: datetime | None, on_day: Callable[[], None]) -> Iterator[Problem]:
        """The days on which what figures are made of is not what the recordings come to.

        Args:
            since: look at no earlier days.
            on_day: called for each.
        """
        day = None if since is None else days_since_1970(since)
        with self._catalogue.read() as work:
            counted = work.of(tenant_id).figure_counts.uncounted
        if counted is not None:  # what is not counted yet is counted anew anyway
            day = max(counted + 1, counted + 1 if day is None else day)
        while True:
            with self._catalogue.read() as work:
                day = work.of(tenant_id).figure_counts.next_day(day)
            if day is None:
                return
            on_day()
            with self._catalogue.read() as work:
                differs = work.of(tenant_id).figure_counts.differs(day)
            if differs:
                its = day_since_1970(day).isoformat()
                yield Finding(
                    ProblemKind.FIGURES_DIFFER,
                    "",
                    f"The figures of {its} (UTC) are not what its recordings come to. recpipe verify --repair counts "
                    "them again.",
                    self._tenants[tenant_id].name,
                    day=its,
                )
            day += 1

    def owner(self, key: str) -> tuple[Tenant | None, str]:
        """Whose an object is by its key, and of which recording."""
        found = _KEY.match(key)
        return (None, "") if found is None else (self._tenants.get(found["tenant"]), found["recording"])

    def without_row(self, objects: Iterable[StoredObject]) -> list[StoredObject]:
        """Those that no recording knows."""
        with self._catalogue.read() as work:
            return [stored for stored in objects if not self._known(work, stored.key)]

    def tombstone(self, key: str) -> Tombstone | None:
        """Of the deleted recording that an object was stored for; None where it was for no such recording."""
        tenant, recording_id = self.owner(key)
        if tenant is None:
            return None
        with self._catalogue.read() as work:
            try:
                return work.of(tenant.id).recordings.tombstone(recording_id)
            except NotFound:
                return None

    def _known(self, work: Work, key: str) -> bool:
        tenant, recording_id = self.owner(key)
        if tenant is None:
            return False
        try:
            return work.of(tenant.id).recordings.get(recording_id).object_key == key
        except NotFound:
            return False

    def _missing(self, recording: Recording) -> Problem | None:
        # Deleted while we looked is not lost.
        if self.without_row([StoredObject(recording.object_key, recording.stored_bytes)]):
            return None
        return self._problem(
            ProblemKind.OBJECT_MISSING,
            recording,
            f"The object of {recording.name} of {recording.day} is missing. Restore it from a backup of the store.",
        )

    def _damaged(self, recording: Recording, what: str) -> Problem:
        return self._problem(
            ProblemKind.OBJECT_DAMAGED,
            recording,
            f"The object of {recording.name} of {recording.day} is not what was stored: {what}. "
            "Restore it from a backup or an earlier version of the object.",
        )

    def _problem(self, kind: ProblemKind, recording: Recording, message: str) -> Problem:
        tenant = self._tenants[recording.tenant_id].name
        return Finding(kind, recording.object_key, message, tenant, recording.id)


def sizes(found: int, expected: int) -> str:
    """That a size is another one, in words."""
    return f"{found:,} bytes instead of {expected:,}"
