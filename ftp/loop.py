"""Who does the work: one thread for all dialogues, and others for whatever takes a while.

The loop's thread reads commands and answers them, and lets the kernel send files. It never waits for the catalogue, a
store, a password or a cipher: that is done by a worker, which reports back. So a slow store or client holds up nobody
but itself, an idle session costs no thread, and sessions are the loop's thread's alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

import pyftpdlib.ioloop

from recpipe import log

_log = log.get(__name__)

SPARE_SECONDS = 5.0

Result = TypeVar("Result")
Call = Callable[[], None]
# What becomes of a job: its result and None, or None and the error that it ended with.
Then = Callable[[Any, BaseException | None], None]


class Loop(pyftpdlib.ioloop.IOLoop):  # type: ignore[misc]  # pyftpdlib has no types
    """pyftpdlib's event loop, with a thread of its own and a bell for other threads."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = Workers()
        self._calls: deque[Call] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ringing = threading.Lock()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="ftp-loop", daemon=True)
        self.register(self._bell, self, self.READ)

    def start(self) -> None:
        self._thread.start()

    def call(self, call: Call) -> None:
        """Have something called soon by the loop's thread; never, where that has ended. From any thread."""
        self._calls.append(call)
        with self._ringing:
            if not self._ends:  # else the number may be another file's by now
                os.eventfd_write(self._bell, 1)

    def aside(self, job: Callable[[], Any], then: Then) -> None:
        """Have `job` done by a worker, and `then` called with what came of it by the loop's thread."""
        self.workers.run(partial(self._work, job, then))

    def end(self, seconds: float) -> bool:
        """Stop after what is on its way has been called. From another thread.

        Returns:
            Whether all workers had finished within `seconds`.
        """
        finished = self.workers.stop(seconds)
        self.call(self._end)
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
        self.unregister(self._bell)
        os.close(self._bell)
        self.close()

    def _end(self) -> None:
        with self._ringing:
            self._ends = True

    def _work(self, job: Callable[[], Any], then: Then) -> None:
        try:
            result, error = job(), None
        except Exception as failed:
            result, error = None, failed
        self.call(partial(then, result, error))

    # --- the bell, as the loop sees it ------------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        os.eventfd_read(self._bell)
        while self._calls:
            try:
                self._calls.popleft()()
            except Exception:
                _log.exception("ftp loop failed")

    def handle_error(self) -> None:
        _log.exception("ftp loop failed")


class Aside(Generic[Result]):
    """`await Aside(job)`: what `job` gives, done by a worker while the loop goes on with other sessions."""

    def __init__(self, job: Callable[[], Result]) -> None:
        self.job = job

    def __await__(self) -> Generator[Aside[Result], Result, Result]:
        return (yield self)


class Workers:
    """Threads that come when they are needed and go when they are not."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._tasks: deque[Call] = deque()
        self._spare = 0
        self._all: set[threading.Thread] = set()
        self._stopping = False

    def run(self, task: Call) -> None:
        """Have `task` done soon, in a thread of its own while it lasts."""
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
        """Let every thread finish what it has to do; whether all did within `seconds`."""
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
