"""What the workers have in hand, and since when: one that is at a file longer than its size explains is told of."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recpipe import log, metrics
from recpipe.pipeline.stages import Job

_log = log.get(__name__)

_PATIENCE_SECONDS = 60.0  # for any file
_SLOWEST_BYTES_PER_SECOND = 250_000  # of a slow disk, decoder and uplink together


@dataclass(frozen=True, slots=True)
class _File:
    spool: str
    size_bytes: int
    since: float  # monotonic

    def overdue_seconds(self, now: float) -> float:
        return now - self.since - _PATIENCE_SECONDS - self.size_bytes / _SLOWEST_BYTES_PER_SECOND


class InHand:
    """Thread-safe."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}  # by thread
        self._told: set[_File] = set()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether any worker has a file."""
        return bool(self._files)

    @contextmanager
    def taken(self, job: Job) -> Iterator[None]:
        """While it lasts, this thread works on the file."""
        worker = threading.get_ident()
        with self._lock:
            self._files[worker] = _File(job.line.spool.label, job.settled.size_bytes, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._told.discard(self._files.pop(worker))

    def trouble(self) -> str:
        """Which workers do not get on, and what to do; "" where all do."""
        stuck = self._stuck()
        if not stuck:
            return ""
        spools = ", ".join(sorted({one.spool for one in stuck}))
        return (
            f"{len(stuck)} worker(s) have been at one file for longer than its size explains, in {spools}. Look at the "
            "disk of that spool and at the log; py-spy dump --pid shows where they stand. A restart loses nothing."
        )

    def look(self) -> None:
        """Bring the metric up to date, and log a worker that is stuck, once for its file."""
        stuck = self._stuck()
        metrics.STUCK.set(len(stuck))
        for one in stuck:
            with self._lock:
                news = one not in self._told
                self._told.add(one)
            if news:
                _log.error("worker is stuck", spool=one.spool, bytes=one.size_bytes, advice=self.trouble())

    def _stuck(self) -> list[_File]:
        now = time.monotonic()
        with self._lock:
            return [one for one in self._files.values() if one.overdue_seconds(now) > 0]
