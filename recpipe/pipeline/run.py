"""Owns the spools and the threads: one watcher a spool, a fair queue, workers, one committer.

What goes wrong with a file decides what becomes of it, and the table is here:

    Unfit                  moved to quarantine with the reason
    Held                   stays where it is, listed with the reason, tried again every `held_retry_seconds`
    SourceChanged          settles again
    store, database, disk  stays where it is, tried again with growing pauses; the sealed bytes are kept for that
    anything else          the same, and after five times it is quarantined as `internal-error`, with a log entry
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from recpipe import log, metrics
from recpipe.catalogue import Added, Catalogue
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
from recpipe.model import Node, Recording
from recpipe.pipeline.commit import Committer
from recpipe.pipeline.fair import FairQueue
from recpipe.pipeline.late import LateRecords
from recpipe.pipeline.order import AlreadyStored, Attempt, Job, Line, Order, in_log, unchanged
from recpipe.pipeline.waiting import WaitingList
from recpipe.settings import Settings, Spool
from recpipe.spool.describe import Describer
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.watch import Watcher
from recpipe.store.base import Store

_log = log.get(__name__)

_GIVE_UP_AFTER = 5  # unexplained failures of one file
_LONGEST_PAUSE_SECONDS = 60.0
HEARTBEAT_SECONDS = 10.0
_FORGET_NODES_AFTER = timedelta(days=1)


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


@dataclass(frozen=True, slots=True)
class _Served:
    line: Line
    watcher: Watcher


class Ingest:
    """The write path as a running thing. `start` and `stop` for a service, `drain` for one pass.

    Args:
        spools: which to serve; each is locked, so a second process with one of them fails at once.
        keep_source: leave the files where they are (import of a foreign folder).
        state_dir: holds a control folder for each spool, in place of `.recpipe` in the spool.
        settled_hook: called with each outcome, for progress bars: ("stored" | "repeated" | ..., bytes).
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        store: Store,
        *,
        spools: Sequence[Spool] | None = None,
        keep_source: bool = False,
        state_dir: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_outcome: Callable[[str, int], None] = lambda outcome, size_bytes: None,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._on_outcome = on_outcome
        self._order = Order(catalogue, store, clock)
        self._queue: FairQueue[Job] = FairQueue()
        self._committer: Committer[Recording, Added] = Committer(self._write)
        self._kept: dict[Path, Attempt] = {}
        self._undiscarded: list[Attempt] = []
        self._failures: Counter[Path] = Counter()
        self._waiting = WaitingList(catalogue, self._order, clock)
        self._parked: set[Path] = set()  # held: nothing more happens to them in one pass
        self._lock = threading.Lock()
        self._busy = 0  # workers with a file in hand
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._last_ingest_at: dict[str, datetime] = {}
        self.counts = Counts()
        self._served: dict[str, _Served] = {}
        for spool in settings.spool if spools is None else spools:
            state = state_dir and state_dir / hashlib.sha256(os.fsencode(spool.path.absolute())).hexdigest()[:16]
            line = Line(spool, SpoolFolder(spool, state), Describer(spool), keep_source)
            self._served[spool.label] = _Served(line, Watcher(spool, state))

    # --- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Lock the spools, finish what a crash left, and begin.

        Raises:
            SpoolLocked: another process serves one of them; none was started.
        """
        self._lock_spools()
        for served in self._served.values():
            served.watcher.start()
            self._spawn(f"spool-{served.line.spool.label}", partial(self._follow, served))
            if served.line.spool.cdr_csv or served.line.spool.cdr_dir:
                self._spawn(f"late-{served.line.spool.label}", partial(self._join_late, served.line))
        for number in range(self._settings.ingest_workers):
            self._spawn(f"ingest-{number}", self._labour)
        self._spawn("heartbeat", self._beat)

    def stop(self) -> None:
        """Finish the files in work, commit them, let the spools go. What is queued waits in its spool."""
        self._stopping.set()
        self._queue.close()
        for served in self._served.values():
            served.watcher.stop()
        for thread in self._threads:
            thread.join()
        self._committer.close()
        unfinished = self._give_up_kept()
        for served in self._served.values():
            folder = served.line.folder
            folder.unlock(in_order=not unfinished and not (folder.crashed and served.watcher.pending()))

    def _give_up_kept(self) -> bool:
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

    def waiting(self) -> dict[str, int]:
        """Files seen and not yet stored, by spool."""
        return {label: served.watcher.pending() for label, served in self._served.items()}

    def drain(self, patience_seconds: float = 30.0) -> bool:
        """Ingest what is in the spools now, then stop.

        Args:
            patience_seconds: how long nothing may get done (store or database away) before giving up.

        Returns:
            Whether every file reached an end: stored, held or quarantined.
        """
        self._lock_spools()
        for served in self._served.values():
            served.watcher.scan_now()
            self._spawn(f"spool-{served.line.spool.label}", partial(self._follow, served))
        for number in range(self._settings.ingest_workers):
            self._spawn(f"ingest-{number}", self._labour)
        done, moved_at, retried = 0, time.monotonic(), 0
        try:
            while True:
                with self._lock:
                    open_files = sum(self.waiting().values()) - len(self._parked)
                    busy = self._busy > 0
                if open_files <= 0:
                    return True
                now_done = self.counts.stored + self.counts.repeated + self.counts.quarantined + self.counts.held
                if now_done != done or (busy and self.counts.retried == retried):
                    done, moved_at, retried = now_done, time.monotonic(), self.counts.retried
                elif time.monotonic() - moved_at > patience_seconds + self._slowest_settle():
                    return False
                time.sleep(0.1)
        finally:
            self.stop()

    def _slowest_settle(self) -> float:
        return max((s.line.spool.settle_seconds for s in self._served.values()), default=0.0)

    def _lock_spools(self) -> None:
        locked: list[SpoolFolder] = []
        try:
            for served in self._served.values():
                served.line.folder.lock()
                locked.append(served.line.folder)
                self._waiting.reconcile(served.line)
        except RecpipeError:
            for folder in locked:
                folder.unlock(in_order=not folder.crashed)
            raise

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # --- threads ------------------------------------------------------------------------------------------

    def _follow(self, served: _Served) -> None:
        line = served.line
        while not self._stopping.is_set():
            try:
                for settled in served.watcher.take(timeout_seconds=0.5):
                    look_first = settled.path in self._failures
                    self._queue.put(line.describer.lane(settled), Job(line, settled, look_first))
                metrics.WAITING.labels(line.spool.label).set(served.watcher.pending())
            except Exception:
                _log.exception("spool could not be read", spool=line.spool.label)
                self._stopping.wait(line.spool.rescan_seconds)

    def _join_late(self, line: Line) -> None:
        records = LateRecords(self._catalogue, line)
        while not self._stopping.wait(line.spool.rescan_seconds):
            try:
                records.join(self._clock())
            except Exception:
                _log.exception("call detail records could not be joined", spool=line.spool.label)

    def _beat(self) -> None:
        """Say in the catalogue that each spool lives and how it is, so that another node's dashboard can show it."""
        name, started_at = f"{socket.gethostname()}:{os.getpid()}", self._clock()
        while True:
            waiting, now = self.waiting(), self._clock()
            try:
                with self._catalogue.begin() as work:
                    for label in self._served:
                        work.nodes.beat(
                            Node(
                                name=name,
                                role="ingest",
                                spool=label,
                                started_at=started_at,
                                seen_at=now,
                                files_waiting=waiting[label],
                                last_ingest_at=self._last_ingest_at.get(label),
                                detail={"stored": self.counts.stored, "stored_bytes": self.counts.stored_bytes},
                            )
                        )
                    work.nodes.forget(now - _FORGET_NODES_AFTER)
            except CatalogueError as error:
                _log.warning("heartbeat not written", why=str(error))
            if self._stopping.wait(HEARTBEAT_SECONDS):
                return

    def _labour(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                self._busy += 1
            try:
                self._take(job)
            except Exception:  # the table above is complete; this keeps the worker should it not be
                _log.exception("worker failed", spool=job.line.spool.label)
            finally:
                with self._lock:
                    self._busy -= 1

    def _take(self, job: Job) -> None:
        attempt = self._kept.pop(job.settled.path, None)
        try:
            if attempt is not None and not self._order.still_right(job, attempt):
                self._order.discard(attempt)
                attempt = None
            if attempt is None:
                prepared = self._order.prepare(job)
                if isinstance(prepared, AlreadyStored):
                    self._finish(job, "repeated", 0)
                    return
                attempt = prepared
            recording = self._order.upload(job, attempt)
        except Exception as error:
            self._failed(job, attempt, error)
            return
        self._committer.submit(recording, partial(self._committed, job, attempt), partial(self._failed, job, attempt))

    def _write(self, recordings: Sequence[Recording]) -> Sequence[Added]:
        with self._catalogue.begin() as work:
            return work.add_recordings(recordings)

    def _committed(self, job: Job, attempt: Attempt, added: Added) -> None:
        if added.deleted:
            self._failed(
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
                self._failed(job, attempt, error)
                return
            self._discard(attempt)
            self._finish(job, "repeated", 0)
            return
        if attempt.scratch is not None:
            attempt.scratch.unlink(missing_ok=True)
        _log.info(
            "recording stored",
            tenant=attempt.tenant.name,
            recording=attempt.recording_id,
            spool=job.line.spool.label,
            bytes=attempt.draft.stored_bytes,
            sealed=attempt.sealing is not None,
        )
        self._finish(job, "stored", attempt.draft.stored_bytes)

    # --- outcomes -----------------------------------------------------------------------------------------

    def _finish(self, job: Job, outcome: str, size_bytes: int) -> None:
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
                _log.warning("stored file stays in the spool", spool=spool, why=in_log(error))
                self._later(job)
                return
        with self._lock:
            self._parked.discard(settled.path)
        self._served[spool].watcher.done(settled.path)
        self._failures.pop(settled.path, None)
        self._waiting.clear(job)
        if outcome == "stored":
            self._last_ingest_at[spool] = self._clock()
            metrics.STORED.labels(spool).inc()
            metrics.STORED_BYTES.labels(spool).inc(size_bytes)
            metrics.LATENCY.labels(spool).observe(max(0.0, time.time() - settled.mtime_ns / 1e9))
        else:
            metrics.REPEATED.labels(spool).inc()
        self._count(outcome, size_bytes)

    def _failed(self, job: Job, attempt: Attempt | None, error: Exception) -> None:
        try:
            self._decide(job, attempt, error)
        except RecpipeError as second:
            # Even saying so failed, as when database and store are away together: the file just waits.
            _log.warning("file waits", spool=job.line.spool.label, why=in_log(second))
            self._later(job)

    def _decide(self, job: Job, attempt: Attempt | None, error: Exception) -> None:
        spool, path = job.line.spool.label, job.settled.path
        if isinstance(error, (StoreError, CatalogueError, SpoolRefused, OSError)):
            if isinstance(error, ObjectExists) and attempt is not None:
                # Damage under our own key that could not be removed: the next attempt gets another key.
                self._discard(attempt)
            elif attempt is not None:
                self._kept[path] = attempt
            _log.warning("file waits", spool=spool, why=in_log(error))
            self._later(job)
            return
        if attempt is not None:
            self._discard(attempt)
        if isinstance(error, SourceChanged) or not unchanged(job.settled):
            self._served[spool].watcher.release(path, 0)
        elif isinstance(error, Held):
            if self._waiting.add(job, error.reason, str(error)):
                # The alarm, once a file: it is good, and waits for somebody.
                _log.error("recording held", spool=spool, reason=error.reason, advice="recpipe quarantine list")
            with self._lock:
                self._parked.add(path)
            self._served[spool].watcher.release(path, self._settings.held_retry_seconds)
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
