"""What becomes of a file after an attempt, whichever way that ended.

What goes wrong with a file decides it, and the table is here:

    Unfit                  moved to quarantine with the reason; where stored files stay, held with it
    Held                   stays where it is, listed with the reason; what it waits for is looked at again every
                           `held_retry_seconds`, see `held`
    NotARecording          stays where it is, listed as ignored
    SourceChanged          settles again
    store, database away   waits in the queue until the part is back, see `outage`; the sealed bytes are kept for that
    not removable          it is stored and stays where it is, listed as `stays-in-spool`
    disk, one bad object   stays where it is, tried again with growing pauses
    anything else          the same, and after five times it is quarantined as `internal-error`, with a log entry
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from recpipe import log, metrics
from recpipe.catalogue import Added
from recpipe.errors import (
    CatalogueError,
    Held,
    NotARecording,
    ObjectExists,
    RecpipeError,
    SourceChanged,
    SpoolRefused,
    StoreError,
    Unfit,
    Waits,
)
from recpipe.pipeline.held import HeldFiles
from recpipe.pipeline.outage import REMIND_SECONDS, Gate
from recpipe.pipeline.quarantine import QuarantineList
from recpipe.pipeline.spool_service import Served
from recpipe.pipeline.stages import Attempt, Job, Stages, in_log
from recpipe.spool.tree import Reason
from recpipe.times import Clock

_log = log.get(__name__)

_GIVE_UP_AFTER = 5  # unexplained failures of one file
_LONGEST_PAUSE_SECONDS = 60.0
_HELD_AT_MOST_SECONDS = 3600.0  # then it is tried whatever it waits for, and its row renewed


@dataclass(slots=True)
class Counts:
    """What happened since the start; read it any time, it only grows."""

    stored: int = 0
    stored_bytes: int = 0
    repeated: int = 0
    held: int = 0
    quarantined: int = 0
    retried: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Outcomes:
    """Ends each attempt as the table says. Used by the workers and by the committer's thread.

    Args:
        served: the spools by label; each file goes back to its own.
        gate: is told how store and database do.
        again: queues a file once more.
        on_outcome: called with each outcome, for progress bars: ("stored" | "repeated" | ..., bytes).
    """

    def __init__(
        self,
        order: Stages,
        waiting: QuarantineList,
        served: Mapping[str, Served],
        gate: Gate,
        again: Callable[[Job], None],
        clock: Clock,
        on_outcome: Callable[[str, int], None],
    ) -> None:
        self._order = order
        self._waiting = waiting
        self._served = served
        self._gate = gate
        self._again = again
        self._clock = clock
        self._on_outcome = on_outcome
        self._kept: dict[Path, Attempt] = {}
        self._undiscarded: list[Attempt] = []
        self._failures: Counter[Path] = Counter()
        self._refused: dict[Path, dict[str, int]] = {}  # `passes` of store or database when this file failed there
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self._held = HeldFiles(order, clock)
        self._lock = threading.Lock()
        self.last_ingest_at: dict[str, datetime] = {}  # by label of the spool
        self.counts = Counts()

    def kept(self, job: Job) -> Attempt | None:
        """The attempt that failed before and is to be sent again byte for byte; the caller's from now on."""
        return self._kept.pop(job.settled.path, None)

    def failed_before(self, path: Path) -> bool:
        """Whether an earlier attempt may have got as far as the catalogue."""
        return path in self._failures

    def parked(self) -> int:
        """Files that are held: nothing more happens to them in one pass."""
        return len(self._held)

    def unremovable(self) -> dict[str, int]:
        """Stored files that cannot be removed, by the label of their spool."""
        return self._held.unremovable()

    def look_at_held(self) -> None:
        """Have the files tried again whose cause is gone.

        Raises:
            CatalogueUnavailable: the next look does it.
        """
        free, gone = self._held.look()
        self._hurry(free)
        for job in gone:
            self._waiting.clear(job)

    def give_up(self) -> bool:
        """Remove what failed uploads may have left in the store; whether something may still be there."""
        try:
            for attempt in (*self._kept.values(), *self._undiscarded):
                self._order.discard(attempt)
        except (StoreError, CatalogueError):
            return True  # one that does not answer is not asked a thousand times more: the next start looks
        return False

    def _discard(self, attempt: Attempt) -> None:
        """Give an attempt up; what is away just now is asked again at the end, or after the next start."""
        try:
            self._order.discard(attempt)
        except (StoreError, CatalogueError):
            self._undiscarded.append(attempt)

    def committed(self, job: Job, attempt: Attempt, added: Added) -> None:
        """The catalogue answered: the row is there, was there before, or was deleted by somebody."""
        self._gate.passed(self._gate.database)
        if added.deleted and job.line.spool.keeps:  # somebody who may has deleted it; the PBX has it still
            self._discard(attempt)
            self.finish(job, "repeated", 0)
            return
        if added.deleted:
            self.failed(
                job,
                attempt,
                Unfit(
                    "was-deleted",
                    "This very recording was stored and then deleted by somebody who may. Discard the file, or rename "
                    "it, drop it into the spool again and have it stored anew.",
                ),
            )
            return
        if added.recording.object_key != attempt.object_key:
            # The same file had been stored before, under another key: one object and one row remain.
            try:
                self._order.confirm(added.recording.id, added.recording.object_key)
            except RecpipeError as error:
                self.failed(job, attempt, error)
                return
            self._discard(attempt)
            self.finish(job, "repeated", 0)
            return
        if attempt.scratch is not None:
            attempt.scratch.unlink(missing_ok=True)
        self._order.formats.remember(job.line.spool.label, job.settled, added.recording)
        _log.info(
            "recording stored",
            tenant=attempt.tenant.name,
            recording=attempt.recording_id,
            spool=job.line.spool.label,
            bytes=attempt.draft.stored_bytes,
            sealed=attempt.sealing is not None,
        )
        self.finish(job, "stored", attempt.draft.stored_bytes)

    def finish(self, job: Job, outcome: str, size_bytes: int) -> None:
        """Remove the source of a committed recording, and count it as `stored` or `repeated`."""
        spool, settled, stays = job.line.spool.label, job.settled, False
        if job.line.spool.keeps:
            job.line.folder.taken.add(settled.identity)
        elif not job.line.keep_source:
            try:
                job.line.folder.finish(settled)
            except SourceChanged:
                # Written to after it was stored: what is there now is another recording.
                self._served[spool].watcher.release(settled.path, 0)
                return
            except RecpipeError as error:
                self._hold(job, Held("stays-in-spool", f"It is stored. {error} It is removed then.", Waits.REMOVAL))
                stays = True
        if not stays:
            self._over(job)
            self._waiting.clear(job)
        if outcome == "stored":
            self.last_ingest_at[spool] = self._clock()
            metrics.STORED.labels(spool).inc()
            metrics.STORED_BYTES.labels(spool).inc(size_bytes)
            metrics.LATENCY.labels(spool).observe(max(0.0, time.time() - settled.mtime_ns / 1e9))
        else:
            metrics.REPEATED.labels(spool).inc()
        self._count(outcome, size_bytes)

    def failed(self, job: Job, attempt: Attempt | None, error: Exception) -> None:
        """The attempt ended with an error: do what the table says."""
        try:
            self._decide(job, attempt, error)
        except RecpipeError as second:
            # Even saying so failed, as when database and store are away together: the file just waits.
            self._wait(job, second)

    def _decide(self, job: Job, attempt: Attempt | None, error: Exception) -> None:
        spool, path = job.line.spool.label, job.settled.path
        if isinstance(error, (StoreError, CatalogueError, SpoolRefused, OSError)):
            if isinstance(error, ObjectExists) and attempt is not None:
                # Damage under our own key that could not be removed: the next attempt gets another key.
                self._discard(attempt)
            elif attempt is not None:
                self._kept[path] = attempt
            self._wait(job, error)
            return
        self._gate.leave()
        if attempt is not None:
            self._discard(attempt)
        if isinstance(error, SourceChanged) or not job.line.folder.unchanged(job.settled):
            self._served[spool].watcher.release(path, 0)
        elif isinstance(error, Held):
            self._hold(job, error)
        elif isinstance(error, NotARecording):
            why = Reason.OTHER_FORMAT if error.other_format else Reason.NOT_A_RECORDING
            self._served[spool].watcher.pass_over(path, why)
        elif isinstance(error, Unfit) and job.line.spool.keeps:
            self._hold(job, Held(error.reason, str(error)))
        elif isinstance(error, Unfit):
            self._quarantine(job, error.reason, str(error))
        else:
            _log.error("file failed", spool=spool, error=repr(error), exc_info=error)
            self._failures[path] += 1
            if self._failures[path] < _GIVE_UP_AFTER:
                self._retry_later(job, counted=True)
            else:
                self._quarantine(
                    job,
                    "internal-error",
                    f"recpipe failed on this file {_GIVE_UP_AFTER} times, last with {type(error).__name__}. "
                    "The log has the details; please report it, then run recpipe quarantine retry.",
                )

    def _hold(self, job: Job, held: Held) -> None:
        spool, path = job.line.spool.label, job.settled.path
        try:
            news = self._waiting.add(job, held.reason, str(held))
        except CatalogueError as error:
            if held.waits is not Waits.REMOVAL:
                raise
            self._say(spool, in_log(error))
            news = False
        if news:
            # The alarm, once a file: it is good, and waits for somebody.
            _log.error("recording held", spool=spool, reason=held.reason, advice="recpipe quarantine list")
        self._failures[path] += held.waits is Waits.REMOVAL  # it is in the catalogue: look there first
        self._held.add(job, held)
        self._served[spool].watcher.release(path, _HELD_AT_MOST_SECONDS * random.uniform(1, 1.5))  # noqa: S311
        metrics.HELD.labels(spool, held.reason).inc()
        self._count("held", 0, held.reason)

    def _over(self, job: Job) -> None:
        """Nothing more happens to this file; others may have waited for how it would end."""
        path = job.settled.path
        self._served[job.line.spool.label].watcher.done(path)
        self._failures.pop(path, None)
        self._refused.pop(path, None)
        self._hurry(self._held.over(path))

    def _hurry(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._served[job.line.spool.label].watcher.hurry(job.settled.path)

    def _wait(self, job: Job, error: Exception) -> None:
        """For the part that is away, or for another try of its own."""
        spool, path = job.line.spool.label, job.settled.path
        part = self._gate.failed(error, self._refused.get(path, {}))
        if part is None:
            self._say(spool, in_log(error))
            self._retry_later(job)
            return
        self._refused.setdefault(path, {})[part.name] = part.passes
        self._failures[path] += 1
        metrics.RETRIED.labels(spool).inc()
        self._count("retried", 0)
        self._again(job)

    def _say(self, spool: str, why: str) -> None:
        """Log that a file waits; once a minute for each cause, with the number since."""
        now = time.monotonic()
        at, files = self._said.get((spool, why), (-math.inf, 0))
        if now - at < REMIND_SECONDS:
            self._said[spool, why] = (at, files + 1)
            return
        self._said = {cause: said for cause, said in self._said.items() if now - said[0] < REMIND_SECONDS}
        self._said[spool, why] = (now, 0)
        _log.warning("file waits", spool=spool, why=why, times_since=files + 1)

    def _retry_later(self, job: Job, *, counted: bool = False) -> None:
        spool, path = job.line.spool.label, job.settled.path
        if not counted:
            self._failures[path] += 1
        pause = min(_LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self._failures[path], 10))
        self._served[spool].watcher.release(path, pause * random.uniform(0.5, 1.0))  # noqa: S311
        metrics.RETRIED.labels(spool).inc()
        self._count("retried", 0)

    def _quarantine(self, job: Job, reason: str, message: str) -> None:
        spool = job.line.spool.label
        self._waiting.set_aside(job, reason, message)
        self._over(job)
        _log.warning("file quarantined", spool=spool, reason=reason)
        metrics.QUARANTINED.labels(spool, reason).inc()
        self._count("quarantined", 0, reason)

    def _count(self, outcome: str, size_bytes: int, reason: str = "") -> None:
        with self._lock:
            setattr(self.counts, outcome, getattr(self.counts, outcome) + 1)
            self.counts.stored_bytes += size_bytes
            if reason:
                self.counts.reasons[reason] += 1
        self._on_outcome(outcome, size_bytes)
