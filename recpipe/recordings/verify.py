"""Whether catalogue and store agree: every row has its object, every object its row, and the bytes are those stored;
and whether figures are what the rows come to.

Reads only. Runs beside everything else: what changes while it looks is looked at again before it is called a problem.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from recpipe.access.audit import AuditTrail, event
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.walk import Key
from recpipe.errors import ObjectMissing
from recpipe.model import Outcome, Recording, StoredObject
from recpipe.recordings.looks import IN_WORK, Finding, Looks, Problem, ProblemKind, ingest_runs
from recpipe.store.base import Store
from recpipe.times import Clock

MOST_AT_ONCE = 8
_BATCH = 500
# A store shows whole objects alone, so any of them may be the only copy of a call.
_ADVICE = (
    "It is a whole upload: one that was interrupted before its row was written, or the catalogue is older than the "
    "store (restored from a backup). Do not remove it before you know; recpipe recover --dry-run says what can be "
    "taken back, and recpipe verify --repair takes it back."
)
_ADVICE_ON_STRANGERS = "Its name is none that recpipe gives: find out who put it there."
_Thing = TypeVar("_Thing")


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


@dataclass(slots=True)
class Checkpoint:
    """How far a look has come, so that another process can go on from there."""

    started: datetime
    since: datetime | None
    report: Report
    tenant: str = ""  # id of the one whose recordings are next, in the order of ids
    recording: Key | None = None  # the last one of it that was looked at
    rows_done: bool = False
    object_key: str = ""  # the last one that was looked at
    orphans: list[StoredObject] = field(default_factory=list)  # seen without a row, to be looked at again


def verify(
    catalogue: Catalogue,
    store: Store,
    by: Principal,
    *,
    sample: int | None = None,
    since: datetime | None = None,
    checkpoint: Checkpoint | None = None,
    clock: Clock,
    trail: AuditTrail,
    on_recording: Callable[[], None] = lambda: None,
    on_object: Callable[[], None] = lambda: None,
    on_read: Callable[[int], None] = lambda _size_bytes: None,
    on_checkpoint: Callable[[Checkpoint], None] = lambda _checkpoint: None,
) -> Report:
    """Compare catalogue and store, in constant memory but for what is found.

    Args:
        sample: compare the bytes of so many recordings, chosen at random; None compares all. That each row has its
            object and each object its row is looked at for all of them in any case.
        since: look only at what was stored from then on.
        checkpoint: go on from there, with what was found so far; its `since` counts. Not with a sample.
        on_recording, on_object: called for each that was looked at.
        on_read: called for each recording that was read, with its size.
        on_checkpoint: called every few hundred recordings or objects.

    Raises:
        Forbidden: `by` may not operate the system.
        StoreUnavailable, StoreRejected, CatalogueUnavailable: no answer, so nothing can be said.
    """
    if checkpoint is not None and sample is not None:
        raise ValueError("a sample is not gone on with: what was chosen is not kept")
    trail.require(by, Action.SYSTEM)
    now = clock()
    checkpoint = checkpoint or Checkpoint(now, since, Report())
    report = checkpoint.report
    with catalogue.read() as work:
        tenants = {tenant.id: tenant for tenant in work.tenants.list()}
    report.ingest_runs = ingest_runs(catalogue, now)
    look = _Look(Looks(catalogue, store, tenants), checkpoint, sample, on_recording, on_object, on_read, on_checkpoint)
    with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="verify") as pool:
        look.at_rows(catalogue, sorted(tenants), pool)
        look.at_sample(pool)
    look.at_figures(sorted(tenants))
    checkpoint.rows_done = True
    look.at_objects()
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


def total(catalogue: Catalogue, since: datetime | None = None) -> int:
    """How many recordings there are to look at, for a progress bar."""
    with catalogue.read() as work:
        found = [work.of(tenant.id).recordings for tenant in work.tenants.list()]
        if since is not None:
            return sum(recordings.stored_since(since) for recordings in found)
        return sum(day.recordings for recordings in found for day in recordings.totals())


@dataclass(slots=True)
class _Look:
    """One whole look."""

    looks: Looks
    checkpoint: Checkpoint
    sample: int | None
    on_recording: Callable[[], None]
    on_object: Callable[[], None]
    on_read: Callable[[int], None]
    on_checkpoint: Callable[[Checkpoint], None]
    chosen: _Sample = field(init=False)

    def __post_init__(self) -> None:
        self.chosen = _Sample(self.sample)

    def at_rows(self, catalogue: Catalogue, tenants: Sequence[str], pool: ThreadPoolExecutor) -> None:
        """Every row has its object."""
        checkpoint, report = self.checkpoint, self.checkpoint.report
        look = self.looks.at_size if self.sample is not None else self.looks.at_bytes
        for tenant in tenants if not checkpoint.rows_done else ():
            if tenant < checkpoint.tenant:
                continue
            previous = checkpoint.recording if tenant == checkpoint.tenant else None
            for batch in _batches(_rows(catalogue, tenant, previous, checkpoint.since)):
                for recording, problem in zip(batch, pool.map(look, batch), strict=True):
                    report.recordings += 1
                    self.on_recording()
                    if problem is not None:
                        report.problems.append(problem)
                    elif self.sample is not None:
                        self.chosen.offer(recording)
                    else:
                        self._count_read(recording)
                report.problems += self.looks.without_waveform(batch)
                self._tell_incomparable()
                checkpoint.tenant, checkpoint.recording = tenant, Key(batch[-1].started_at, batch[-1].id)
                self.on_checkpoint(checkpoint)

    def at_sample(self, pool: ThreadPoolExecutor) -> None:
        """The bytes of the chosen ones."""
        for batch in _batches(self.chosen.taken):
            for recording, problem in zip(batch, pool.map(self.looks.at_bytes, batch), strict=True):
                self._count_read(recording)
                if problem is not None:
                    self.checkpoint.report.problems.append(problem)

    def at_figures(self, tenants: Sequence[str]) -> None:
        """What figures are made of is what the rows come to."""
        checkpoint = self.checkpoint
        found: list[Problem] = []
        for tenant in tenants if not checkpoint.rows_done else ():
            found += self.looks.figures_of(tenant, checkpoint.since, lambda: self.on_checkpoint(checkpoint))
        checkpoint.report.problems += found

    def at_objects(self) -> None:
        """Every object has its row. Those without are looked up again at the end: their row may have come meanwhile."""
        checkpoint, report = self.checkpoint, self.checkpoint.report
        for batch in _batches(self.looks.store.list()):
            # In key order, so what was looked at before is passed over at the price of its listing.
            new = [stored for stored in batch if stored.key > checkpoint.object_key]
            if not new:
                continue
            wanted = [stored for stored in new if _is_of(stored, checkpoint.since)]
            report.objects += len(wanted)
            for _ in wanted:
                self.on_object()
            checkpoint.orphans += self.looks.without_row(wanted)
            checkpoint.object_key = new[-1].key
            self.on_checkpoint(checkpoint)
        for stored in self.looks.without_row(checkpoint.orphans):
            self._orphan(stored)

    def _orphan(self, stored: StoredObject) -> None:
        looks, report = self.looks, self.checkpoint.report
        if not _is_there(looks.store, stored.key):
            return
        left = looks.tombstone(stored.key)
        changed = (stored.modified_at, left.deleted_at if left else None)
        if any(at is not None and self.checkpoint.started - at < IN_WORK for at in changed):
            report.in_work += 1
            return
        if left is not None:
            kind = ProblemKind.OBJECT_OF_DELETED
            message = (
                f"Recording {left.id} was deleted ({left.deleted_at:%Y-%m-%d %H:%M} UTC), but the store still has its "
                f"object {stored.key} ({stored.size_bytes:,} bytes). The nightly look of the role jobs removes it, "
                "and so does recpipe verify --repair."
            )
        else:
            kind = ProblemKind.OBJECT_WITHOUT_ROW
            message = (
                f"No recording knows the object {stored.key} ({stored.size_bytes:,} bytes, "
                f"{'unknown date' if stored.modified_at is None else f'{stored.modified_at:%Y-%m-%d %H:%M} UTC'}). "
                f"{_ADVICE if looks.owner(stored.key)[1] else _ADVICE_ON_STRANGERS}"
            )
        tenant, recording_id = looks.owner(stored.key)
        report.problems.append(Finding(kind, stored.key, message, "" if tenant is None else tenant.name, recording_id))

    def _tell_incomparable(self) -> None:
        self.checkpoint.report.incomparable += len(self.looks.incomparable)
        self.looks.incomparable.clear()

    def _count_read(self, recording: Recording) -> None:
        self.checkpoint.report.read += 1
        self.checkpoint.report.read_bytes += recording.stored_bytes
        self.on_read(recording.stored_bytes)


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


def _is_of(stored: StoredObject, since: datetime | None) -> bool:
    return since is None or stored.modified_at is None or stored.modified_at >= since


def _is_there(store: Store, key: str) -> bool:
    try:
        store.head(key)
    except ObjectMissing:
        return False
    return True


def _rows(
    catalogue: Catalogue, tenant: str, previous: Recording | Key | None, since: datetime | None
) -> Iterator[Recording]:
    while True:
        with catalogue.read() as work:
            page = work.of(tenant).recordings.after(previous, since=since)
        yield from page
        if not page:
            break
        previous = page[-1]


def _batches(things: Iterable[_Thing]) -> Iterator[Sequence[_Thing]]:
    left = iter(things)
    while batch := list(itertools.islice(left, _BATCH)):
        yield batch
