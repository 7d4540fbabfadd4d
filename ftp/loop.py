"""The event loop of all control connections, and workers for jobs that take a while.

The loop's thread reads commands and answers them, and lets the kernel send files. It never waits for the catalogue, a
store, a password or a cipher: a worker does. So a slow store or client delays nobody else, an idle session costs no
thread, and only the loop's thread touches sessions.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from ftp.pyftpdlib_seam import EventLoop, Watched
from recpipe import log

_log = log.get(__name__)

SPARE_SECONDS = 5.0

Result = TypeVar("Result")
Call = Callable[[], None]
Job = Callable[[], Any]
Command = Coroutine[Job, Any, None]  # yields each job that it awaits
# Called with a job's result and None, or with None and the error that it raised.
Then = Callable[[Any, BaseException | None], None]


class Loop(EventLoop, Watched):
    """pyftpdlib's event loop, with a thread of its own, workers, and a wakeup for other threads."""

    def __init__(self) -> None:
        EventLoop.__init__(self)
        self.workers = Workers()
        self._calls: deque[Call] = deque()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        Watched.__init__(self, self._wakeup)
        self._waking = threading.Lock()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="ftp-loop", daemon=True)
        self.register(self._wakeup, self, self.READ)

    def start(self) -> None:
        self._thread.start()

    def call_soon(self, call: Call) -> None:
        """Schedule a call on the loop's thread; dropped once the loop has stopped. From any thread."""
        self._calls.append(call)
        with self._waking:
            if not self._ends:  # else the number may be another file's by now
                os.eventfd_write(self._wakeup, 1)

    def run_in_worker(self, job: Job, then: Then) -> None:
        """Have a worker call `job`, then schedule `then` with its result or error on the loop's thread."""
        self.workers.run(partial(self._work, job, then))

    def stop(self, seconds: float) -> bool:
        """Stop after calls that are scheduled. From another thread.

        Returns:
            Whether all workers had finished within `seconds`.
        """
        finished = self.workers.stop(seconds)
        self.call_soon(self._end)
        self._thread.join(seconds)
        return finished

    # --- of the loop's thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        soonest: float | None = None
        while not self._ends:
            try:
                self.poll(soonest)
                soonest = self.sched.poll()
            except Exception:
                _log.exception("ftp loop failed")
                time.sleep(0.1)
        self.unregister(self._wakeup)
        os.close(self._wakeup)
        self.close()

    def _end(self) -> None:
        with self._waking:
            self._ends = True

    def _work(self, job: Job, then: Then) -> None:
        try:
            result, error = job(), None
        except Exception as failed:
            # What was called is over: its frames would hold pieces of a file, in a cycle that a quiet service leaves
            # for hours.
            traceback.clear_frames(failed.__traceback__)
            result, error = None, failed
        self.call_soon(partial(then, result, error))

    # --- the wakeup, as the loop sees it ------------------------------------------------------------------------

    def handle_read_event(self) -> None:
        os.eventfd_read(self._wakeup)
        while self._calls:
            try:
                self._calls.popleft()()
            except Exception:
                _log.exception("ftp loop failed")

    def handle_error(self) -> None:
        _log.exception("ftp loop failed")


@types.coroutine
def in_worker(job: Callable[[], Result]) -> Generator[Job, Result, Result]:
    """`await in_worker(job)`: have a worker call `job` while the loop goes on, and return or raise what it did."""
    return (yield job)


class Workers:
    """Threads for jobs, started as needed and ended when idle.

    `ThreadPoolExecutor` would do, if it shrank and stopped by a deadline.
    """

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._tasks: deque[Call] = deque()
        self._spare = 0
        self._all: set[threading.Thread] = set()
        self._stopping = False

    def run(self, task: Call) -> None:
        """Call `task` soon, in a thread that does nothing else meanwhile."""
        with self._ready:
            self._tasks.append(task)
            if self._spare >= len(self._tasks):
                self._ready.notify()
                return
            thread = threading.Thread(target=self._work, name="ftp-worker", daemon=True)
            self._all.add(thread)
        thread.start()

    def __len__(self) -> int:
        return len(self._all)

    def stop(self, seconds: float) -> bool:
        """Let every thread finish its task; whether all did within `seconds`."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
            waiting = list(self._all)
        deadline = time.monotonic() + seconds
        for thread in waiting:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in waiting)

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                try:
                    task()
                except Exception:
                    _log.exception("ftp worker failed")
        finally:
            with self._ready:
                self._all.discard(threading.current_thread())

    def _next(self) -> Call | None:
        with self._ready:
            self._spare += 1
            try:
                deadline = time.monotonic() + SPARE_SECONDS
                while not self._tasks:
                    left = deadline - time.monotonic()
                    if self._stopping or left <= 0:
                        return None
                    self._ready.wait(left)
                return self._tasks.popleft()
            finally:
                self._spare -= 1
