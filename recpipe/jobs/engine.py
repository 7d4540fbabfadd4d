"""Runs jobs by the clock, each tick on one of all the nodes that share a catalogue.

A tick is claimed by a row of its own, under a lease that is renewed while the job runs. A process that dies lets its
lease expire, and whichever process looks next runs the tick again.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recpipe import log, metrics
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import CatalogueUnavailable, RecpipeError
from recpipe.jobs.job import DAY, Interrupted, Job, Summary, Tick
from recpipe.model import JobRun, Node, RunState

_log = log.get(__name__)

ROLE = "jobs"
LEASE = timedelta(minutes=3)
LOOK_EVERY = timedelta(seconds=30)
KEEP = timedelta(days=30)
_STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Running:
    tick: Tick
    thread: threading.Thread


class Engine:
    """The jobs role of one process.

    Args:
        lease: how long after its last sign of life a process has lost its runs; at most an hour.
        look_every: the longest time between two looks, each of which renews the leases.
        keep: how long to remember what ran; longer than the time between two ticks of any job.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        jobs: Sequence[Job],
        *,
        lease: timedelta = LEASE,
        look_every: timedelta = LOOK_EVERY,
        keep: timedelta = KEEP,
    ) -> None:
        self._catalogue = catalogue
        self._jobs = (*jobs, Job("job-history", DAY, timedelta(hours=4, minutes=5), self._forget))
        self._lease = lease
        self._look_every = look_every
        self._keep = keep
        self._host = socket.gethostname()[:64]
        self.node = f"{self._host}-{secrets.token_hex(4)}"  # no two processes have the same
        self._running: dict[str, _Running] = {}
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, name="jobs", daemon=True)
        self._started_at: datetime | None = None
        self._renewed = time.monotonic()

    def start(self) -> None:
        """Run what is due from now on, and each job's latest tick if nobody did."""
        self._watch.start()

    def stop(self) -> None:
        """Interrupt what is running and give it back, for another process or the next start; takes a few seconds at
        most.
        """
        self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        self._watch.join(_STOP_SECONDS)
        running = list(self._running.values())
        for each in running:
            each.tick.stopping.set()
        for each in running:
            each.thread.join(max(0.0, deadline - time.monotonic()))

    # --- keeping watch --------------------------------------------------------------------------------

    def _keep_watch(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._look()
            except Exception as error:  # the database is away for a while
                pause = self._look_every
                _log.warning("jobs not looked after, tried again", reason=_reason(error), seconds=pause.total_seconds())
                if time.monotonic() - self._renewed > self._lease.total_seconds():
                    self._interrupt_all_but(set())  # others may have taken over what runs here
            self._stopping.wait(pause.total_seconds())

    def _look(self) -> timedelta:
        """Renew the leases and begin what is due; the time until the next look."""
        asked = time.monotonic()
        with self._catalogue.begin() as work:
            now = work.job_runs.now()
            self._started_at = self._started_at or now
            work.nodes.beat(Node(self._host, ROLE, "", started_at=self._started_at, seen_at=now))
            own = work.job_runs.renew(self.node, list(self._running), now, self._lease)
        self._renewed = asked
        self._interrupt_all_but(own)
        for job in self._jobs:
            if job.name not in self._running and not self._stopping.is_set():
                self._begin(job, now)
        return min(self._look_every, *(job.due(now) + job.every - now for job in self._jobs))

    def _interrupt_all_but(self, own: set[str]) -> None:
        for name, running in list(self._running.items()):
            if name not in own:
                running.tick.stopping.set()

    def _begin(self, job: Job, now: datetime) -> None:
        with self._catalogue.begin() as work:
            run = work.job_runs.claim(job.name, job.due(now), self.node, now, self._lease)
        if run is None:
            return
        if run.attempts > 1:
            _log.warning("job of a lost process is run again", job=job.name, due=run.due_at.isoformat())
        tick = Tick(run.due_at, threading.Event())
        thread = threading.Thread(target=self._run, args=(job, run, tick), name=f"job-{job.name}", daemon=True)
        self._running[job.name] = _Running(tick, thread)
        thread.start()

    # --- running --------------------------------------------------------------------------------------

    def _run(self, job: Job, run: JobRun, tick: Tick) -> None:
        try:
            summary = self._attempt(job, tick)
        except Interrupted:
            _log.info("job interrupted, is due again", job=job.name)
            self._write(lambda work: work.job_runs.give_back(run))
        except Exception as error:
            reason = _reason(error)
            unexpected = not isinstance(error, RecpipeError)
            _log.error("job failed, is left to its next time", job=job.name, reason=reason, exc_info=unexpected)
            self._end(run, RunState.FAILED, {}, reason)
        else:
            _log.info("job done", job=job.name, **summary)
            self._end(run, RunState.DONE, summary)
        finally:
            del self._running[job.name]

    def _attempt(self, job: Job, tick: Tick) -> Summary:
        for pause in job.pauses:
            tick.go_on()
            try:
                return job.run(tick)
            except Exception as error:
                _log.warning("job failed, is tried again", job=job.name, reason=_reason(error), seconds=pause)
            tick.stopping.wait(pause)
        tick.go_on()
        return job.run(tick)

    def _end(self, run: JobRun, state: RunState, summary: Summary, error: str = "") -> None:
        metrics.JOB_RUNS.labels(run.job, state.value).inc()
        self._write(lambda work: work.job_runs.end(run, state, summary, error))

    def _write(self, change: Callable[[Work], object]) -> None:
        """Change the catalogue, waiting for it while it is away: until then the run is ours, or is done again."""
        while True:
            try:
                with self._catalogue.begin() as work:
                    change(work)
                return
            except CatalogueUnavailable as error:
                _log.warning("end of a job not kept, tried again", reason=str(error))
            if self._stopping.wait(self._look_every.total_seconds()):
                return

    def _forget(self, _tick: Tick) -> Summary:
        with self._catalogue.begin() as work:
            now = work.job_runs.now()
            return {"deleted": work.job_runs.forget(now - self._keep, now)}


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, RecpipeError) else type(error).__name__
