"""What becomes of a file after an attempt, whichever way that ended.

What goes wrong with a file decides it, and the table is here:

    Unfit                  moved to quarantine with the reason
    Held                   stays where it is, listed with the reason, tried again every `held_retry_seconds`
    SourceChanged          settles again
    store, database away   waits in the queue until the part is back, see `outage`; the sealed bytes are kept for that
    disk, one bad object   stays where it is, tried again with growing pauses
    anything else          the same, and after five times it is quarantined as `internal-error`, with a log entry
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from recpipe import log, metrics
from recpipe.catalogue import Added
from recpipe.errors import (
    CatalogueError,
    Held,
    ObjectExists,
    RecpipeError,
    SourceChanged,
    SpoolRefused,
    StoreError,
    Unfit,
)
from recpipe.pipeline.order import Attempt, Job, Order, in_log
from recpipe.pipeline.outage import REMIND_SECONDS, Gate
from recpipe.pipeline.served import Served
from recpipe.pipeline.waiting import WaitingList

_log = log.get(__name__)

_GIVE_UP_AFTER = 5  # unexplained failures of one file
_LONGEST_PAUSE_SECONDS = 60.0


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
        order: Order,
        waiting: WaitingList,
        served: Mapping[str, Served],
        gate: Gate,
        again: Callable[[Job], None],
        held_retry_seconds: float,
        clock: Callable[[], datetime],
        on_outcome: Callable[[str, int], None],
    ) -> None:
        self._order = order
        self._waiting = waiting
        self._served = served
        self._gate = gate
        self._again = again
        self._held_retry_seconds = held_retry_seconds
        self._clock = clock
        self._on_outcome = on_outcome
        self._kept: dict[Path, Attempt] = {}
        self._undiscarded: list[Attempt] = []
        self._failures: Counter[Path] = Counter()
        self._refused: dict[Path, dict[str, int]] = {}  # `passes` of store or database when this file failed there
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self._parked: set[Path] = set()  # held: nothing more happens to them in one pass
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
        """Files that are held."""
        with self._lock:
            return len(self._parked)

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
        self._order.formats.remember(job.line.spool.label, job.settled.relative, added.recording)
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
        spool, settled = job.line.spool.label, job.settled
        if not job.line.keep_source:
            try:
                job.line.folder.finish(settled)
            except SourceChanged:
                # Written to after it was stored: what is there now is another recording.
                self._served[spool].watcher.release(settled.path, 0)
                return
            except RecpipeError as error:
                # Stored and committed, but it cannot be removed: found again by its id, never stored twice.
                self._say(spool, in_log(error))
                self._later(job)
                return
        with self._lock:
            self._parked.discard(settled.path)
        self._served[spool].watcher.done(settled.path)
        self._failures.pop(settled.path, None)
        self._refused.pop(settled.path, None)
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
        if attempt is not None:
            self._discard(attempt)
        if isinstance(error, SourceChanged) or not job.line.folder.unchanged(job.settled):
            self._served[spool].watcher.release(path, 0)
        elif isinstance(error, Held):
            if self._waiting.add(job, error.reason, str(error)):
                # The alarm, once a file: it is good, and waits for somebody.
                _log.error("recording held", spool=spool, reason=error.reason, advice="recpipe quarantine list")
            with self._lock:
                self._parked.add(path)
            self._served[spool].watcher.release(path, self._held_retry_seconds)
            metrics.HELD.labels(spool, error.reason).inc()
            self._count("held", 0, error.reason)
        elif isinstance(error, Unfit):
            self._quarantine(job, error.reason, str(error))
        else:
            _log.error("file failed", spool=spool, error=repr(error), exc_info=error)
            self._failures[path] += 1
            if self._failures[path] < _GIVE_UP_AFTER:
                self._later(job, counted=True)
            else:
                self._quarantine(
                    job,
                    "internal-error",
                    f"recpipe failed on this file {_GIVE_UP_AFTER} times, last with {type(error).__name__}. "
                    "The log has the details; please report it, then run recpipe quarantine retry.",
                )

    def _wait(self, job: Job, error: Exception) -> None:
        """For the part that is away, or for another try of its own."""
        spool, path = job.line.spool.label, job.settled.path
        part = self._gate.failed(error, self._refused.get(path, {}))
        if part is None:
            self._say(spool, in_log(error))
            self._later(job)
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

    def _later(self, job: Job, *, counted: bool = False) -> None:
        spool, path = job.line.spool.label, job.settled.path
        if not counted:
            self._failures[path] += 1
        pause = min(_LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self._failures[path], 10))
        self._served[spool].watcher.release(path, pause * random.uniform(0.5, 1.0))  # noqa: S311
        metrics.RETRIED.labels(spool).inc()
        self._count("retried", 0)

    def _quarantine(self, job: Job, reason: str, message: str) -> None:
        spool, settled = job.line.spool.label, job.settled
        self._waiting.set_aside(job, reason, message)
        self._served[spool].watcher.done(settled.path)
        self._failures.pop(settled.path, None)
        self._refused.pop(settled.path, None)
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
