"""Whether catalogue and store agree: every row has its object, every object its row, and the bytes are those stored.

Reads only. Runs beside everything else: what changes while it looks is looked at again before it is called a problem.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from recpipe.access.principal import Action, Principal
from recpipe.access.trail import Clock, Trail, event, utc_now
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import NotFound, ObjectMissing
from recpipe.model import Outcome, Recording, StoredObject, Tenant, Tombstone
from recpipe.store.base import Store

# An object is stored before its row is written, and removed after it; younger than this without one it is in work.
IN_WORK = timedelta(minutes=10)
ALIVE = timedelta(minutes=2)  # an ingest says that it lives every few seconds
INGEST = "ingest"
MOST_AT_ONCE = 8
_BATCH = 500
# A store shows whole objects alone, so any of them may be the only copy of a call.
_ADVICE = (
    "It is a whole upload: one that was interrupted before its row was written, or the catalogue is older than the "
    "store (restored from a backup). Do not remove it before you know; recpipe recover --dry-run says what can be "
    "taken back."
)
_ADVICE_ON_STRANGERS = "Its name is none that recpipe gives: find out who put it there."
_Thing = TypeVar("_Thing")
_PIECE_BYTES = 1 << 20
_KEY = re.compile(r"(?P<tenant>[0-9a-z_-]+)/[0-9a-f]{2}/(?P<recording>[0-9a-f]{32})-", re.ASCII)


class ProblemKind(StrEnum):
    OBJECT_MISSING = "object-missing"
    OBJECT_DAMAGED = "object-damaged"
    OBJECT_WITHOUT_ROW = "object-without-row"
    OBJECT_OF_DELETED = "object-of-deleted"  # safe to remove: no recording ever has this id again


@dataclass(frozen=True, slots=True)
class Problem:
    """One disagreement, and what a person can do about it."""

    kind: ProblemKind
    object_key: str
    message: str
    tenant: str = ""  # short name
    recording_id: str = ""


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    recordings: int = 0
    objects: int = 0
    read: int = 0  # recordings whose bytes were compared with their checksum
    read_bytes: int = 0
    incomparable: int = 0  # whose checksum the store reports in another form, while their bytes are right
    in_work: int = 0  # objects so young that their row may still come, or so lately deleted that they may still go
    ingest_runs: bool = False  # some ingest was alive while we looked, so what is in work is in somebody's hands
    problems: list[Problem] = field(default_factory=list)

    @property
    def unsure(self) -> bool:
        """Whether there is something in work and nobody who works."""
        return bool(self.in_work) and not self.ingest_runs


def verify(
    catalogue: Catalogue,
    store: Store,
    by: Principal,
    *,
    sample: int | None = None,
    clock: Clock = utc_now,
    trail: Trail | None = None,
    on_recording: Callable[[], None] = lambda: None,
    on_read: Callable[[int], None] = lambda _size_bytes: None,
) -> Report:
    """Compare catalogue and store, in constant memory but for what is found.

    Args:
        sample: compare the bytes of so many recordings, chosen at random; None compares all. That each row has its
            object and each object its row is looked at for all of them in any case.
        on_recording: called for each recording that was looked at.
        on_read: called for each recording that was read, with its size.

    Raises:
        Forbidden: `by` may not operate the system.
        StoreUnavailable, StoreRejected, CatalogueUnavailable: no answer, so nothing can be said.
    """
    trail = trail or Trail(catalogue, clock)
    trail.require(by, Action.SYSTEM)
    started = clock()
    report = Report()
    chosen = _Sample(sample)
    with catalogue.read() as work:
        tenants = {tenant.id: tenant for tenant in work.tenants.list()}
    report.ingest_runs = ingest_runs(catalogue, started)
    looks = Looks(catalogue, store, tenants)
    with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="verify") as pool:
        for batch in _batches(_rows(catalogue, tenants.values())):
            look = looks.at_size if sample is not None else looks.at_bytes
            for recording, problem in zip(batch, pool.map(look, batch), strict=True):
                report.recordings += 1
                on_recording()
                if problem is not None:
                    report.problems.append(problem)
                elif sample is not None:
                    chosen.offer(recording)
                else:
                    _count_read(report, recording, on_read)
        for batch in _batches(chosen.taken):
            for recording, problem in zip(batch, pool.map(looks.at_bytes, batch), strict=True):
                _count_read(report, recording, on_read)
                if problem is not None:
                    report.problems.append(problem)
    report.incomparable = len(looks.incomparable)
    _objects(report, looks, started)
    trail.record(
        event(
            by,
            "verify",
            clock(),
            outcome=Outcome.FAILED if report.problems else Outcome.OK,
            recordings=report.recordings,
            objects=report.objects,
            read=report.read,
            problems=len(report.problems),
        )
    )
    return report


def ingest_runs(catalogue: Catalogue, now: datetime) -> bool:
    """Whether some ingest has said lately that it lives."""
    with catalogue.read() as work:
        return any(node.role == INGEST and now - node.seen_at < ALIVE for node in work.nodes.list())


def total(catalogue: Catalogue) -> int:
    """How many recordings there are, for a progress bar."""
    with catalogue.read() as work:
        return sum(day.recordings for tenant in work.tenants.list() for day in work.of(tenant.id).recordings.totals())


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
            return self._damaged(recording, _sizes(stored.size_bytes, recording.stored_bytes))
        if stored.sha256 and stored.sha256 != recording.stored_sha256:
            # Stores report checksums in several forms: one that reads otherwise proves nothing, the bytes do.
            problem = self.at_bytes(recording)
            if problem is None:
                self.incomparable.append(recording.id)
            return problem
        return None

    def at_bytes(self, recording: Recording) -> Problem | None:
        """Whether there is an object and its bytes are those that were stored."""
        digest = hashlib.sha256()
        seen = 0
        try:
            with self.store.read(recording.object_key) as stream:
                while piece := stream.read(_PIECE_BYTES):
                    digest.update(piece)
                    seen += len(piece)
        except ObjectMissing:
            return self._missing(recording)
        if seen != recording.stored_bytes:
            return self._damaged(recording, _sizes(seen, recording.stored_bytes))
        if digest.hexdigest() != recording.stored_sha256:
            return self._damaged(recording, "its SHA-256 is another one")
        return None

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
        return Problem(kind, recording.object_key, message, tenant, recording.id)


class _Sample:
    """A fair choice out of a stream of unknown length. Source: Vitter 1985, algorithm R."""

    def __init__(self, size: int | None) -> None:
        self._size = size or 0
        self._offered = 0
        self.taken: list[Recording] = []

    def offer(self, recording: Recording) -> None:
        self._offered += 1
        if len(self.taken) < self._size:
            self.taken.append(recording)
        elif self._size and (place := random.randrange(self._offered)) < self._size:  # noqa: S311 - not a secret
            self.taken[place] = recording


def _objects(report: Report, looks: Looks, started: datetime) -> None:
    """Every object has its row. Those without are looked up again at the end: their row may have come meanwhile."""
    orphans: list[StoredObject] = []
    for batch in _batches(looks.store.list()):
        report.objects += len(batch)
        orphans += looks.without_row(batch)
    for stored in looks.without_row(orphans):
        if not _is_there(looks.store, stored.key):
            continue
        left = looks.tombstone(stored.key)
        changed = (stored.modified_at, left.deleted_at if left else None)
        if any(at is not None and started - at < IN_WORK for at in changed):
            report.in_work += 1
            continue
        if left is not None:
            kind = ProblemKind.OBJECT_OF_DELETED
            message = (
                f"Recording {left.id} was deleted ({left.deleted_at:%Y-%m-%d %H:%M} UTC), but the store still has its "
                f"object {stored.key} ({stored.size_bytes:,} bytes). The nightly look of the role jobs removes it."
            )
        else:
            kind = ProblemKind.OBJECT_WITHOUT_ROW
            message = (
                f"No recording knows the object {stored.key} ({stored.size_bytes:,} bytes, "
                f"{'unknown date' if stored.modified_at is None else f'{stored.modified_at:%Y-%m-%d %H:%M} UTC'}). "
                f"{_ADVICE if looks.owner(stored.key)[1] else _ADVICE_ON_STRANGERS}"
            )
        tenant, recording_id = looks.owner(stored.key)
        report.problems.append(Problem(kind, stored.key, message, "" if tenant is None else tenant.name, recording_id))


def _is_there(store: Store, key: str) -> bool:
    try:
        store.head(key)
    except ObjectMissing:
        return False
    return True


def _rows(catalogue: Catalogue, tenants: Iterable[Tenant]) -> Iterator[Recording]:
    for tenant in tenants:
        previous: Recording | None = None
        while True:
            with catalogue.read() as work:
                page = work.of(tenant.id).recordings.after(previous)
            yield from page
            if not page:
                break
            previous = page[-1]


def _batches(things: Iterable[_Thing]) -> Iterator[Sequence[_Thing]]:
    left = iter(things)
    while batch := list(itertools.islice(left, _BATCH)):
        yield batch


def _count_read(report: Report, recording: Recording, on_read: Callable[[int], None]) -> None:
    report.read += 1
    report.read_bytes += recording.stored_bytes
    on_read(recording.stored_bytes)


def _sizes(found: int, expected: int) -> str:
    return f"{found:,} bytes instead of {expected:,}"
