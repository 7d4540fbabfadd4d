"""Who attends to sessions: a thread for each that is busy, none for those that are idle.

A session is attended to as long as something goes on, so a slow store or client holds up nobody else. Once nothing
has happened for a moment it is parked: one epoll watches all parked sessions and hands whoever stirs to a thread.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pyftpdlib.ioloop

from ftp.turns import Poller, Turn
from recpipe import log

_log = log.get(__name__)

LINGER_SECONDS = 0.25  # a dialogue goes on within this; then the thread turns to others
_TURN_SECONDS = 0.5  # how long one wait may take, so that farewells are noticed
SPARE_SECONDS = 5.0
_STACK_BYTES = 1024 * 1024

Loop = Any  # pyftpdlib's IOLoop
Task = Callable[[Loop], None]


class Attended(Protocol):
    """What this module needs of a session."""

    ioloop: Loop
    commands: int
    farewell: str
    producer_fifo: Any
    _closed: bool
    _fileno: int

    @property
    def quiet(self) -> bool: ...

    def add_channel(self) -> None: ...

    def say_farewell(self) -> None: ...

    def handle_error(self) -> None: ...

    def close(self) -> None: ...


class Threads:
    """Threads that come when they are needed and go when they are not. Each has an event loop of its own."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._ready = threading.Condition()
        self._tasks: deque[Task] = deque()
        self._spare = 0
        self._all: set[threading.Thread] = set()
        self._stopping = False

    def run(self, task: Task) -> None:
        """Have `task` run soon, in a thread of its own while it lasts."""
        with self._ready:
            self._tasks.append(task)
            if self._spare >= len(self._tasks):
                self._ready.notify()
                return
            thread = threading.Thread(target=self._work, name="ftp-session", daemon=True)
            self._all.add(thread)
        thread.start()

    def __len__(self) -> int:
        return len(self._all)

    def stop(self, seconds: float) -> bool:
        """Let every thread finish; whether all did within `seconds`."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
            waiting = list(self._all)
        deadline = time.monotonic() + seconds
        for thread in waiting:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in waiting)

    def _work(self) -> None:
        loop = pyftpdlib.ioloop.IOLoop()
        loop._poller = Poller(loop._poller, self._turn)
        try:
            while (task := self._next()) is not None:
                self._turn.take()
                try:
                    try:
                        task(loop)
                    except Exception:
                        _log.exception("ftp thread failed")
                    _leave_clean(loop)
                finally:
                    self._turn.give()
        finally:
            loop.close()
            loop._poller.close()
            with self._ready:
                self._all.discard(threading.current_thread())

    def _next(self) -> Task | None:
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


class Parking:
    """The sessions that nobody attends to."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._parked: dict[int, Attended] = {}

    def park(self, session: Attended) -> None:
        """Watch over a session. From here on the caller must not touch it any more."""
        fileno = session._fileno
        self._parked[fileno] = session
        self._epoll.register(fileno, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT)

    def take(self, session: Attended) -> bool:
        """Take a session out; False where somebody attends to it already."""
        return self._take(session._fileno, session) is not None

    def take_all(self) -> list[Attended]:
        return [found for fileno in list(self._parked) if (found := self._take(fileno)) is not None]

    def wait(self, seconds: float) -> tuple[list[Attended], list[int]]:
        """The sessions that stirred within `seconds`, and the other watched descriptors that did."""
        stirred, others = [], []
        for fileno, _events in self._epoll.poll(seconds):
            session = self._take(fileno)
            if session is not None:
                stirred.append(session)
            else:
                others.append(fileno)
        return stirred, others

    def watch(self, fileno: int) -> None:
        self._epoll.register(fileno, select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._parked)

    def close(self) -> None:
        self._epoll.close()

    def _take(self, fileno: int, expected: Attended | None = None) -> Attended | None:
        # dict.pop is atomic: whoever gets the session has it, and nobody else does.
        session = self._parked.pop(fileno, None)
        if session is None:
            return None
        if expected is not None and session is not expected:
            self._parked[fileno] = session
            return None
        self._epoll.unregister(fileno)
        return session


def attend(session: Attended, loop: Loop, parking: Parking) -> None:
    """Serve a session in this thread until it ends or is parked. It must be registered with `loop`."""
    until = time.monotonic() + LINGER_SECONDS
    soonest: float | None = _TURN_SECONDS
    try:
        while not session._closed:
            if session.farewell:
                session.say_farewell()
                return
            now = time.monotonic()
            if not session.quiet:
                until = now + LINGER_SECONDS
            elif now >= until:
                loop.unregister(session._fileno)
                parking.park(session)
                return
            before = session.commands
            loop.poll(min(until - now, _TURN_SECONDS if soonest is None else soonest, _TURN_SECONDS))
            soonest = loop.sched.poll()
            if session.commands != before:
                until = time.monotonic() + LINGER_SECONDS
    except Exception:
        _log.exception("ftp session failed")
        session.close()


def take_up(session: Attended, loop: Loop) -> None:
    """Make a parked session this thread's."""
    session.ioloop = loop
    session.add_channel()


def _leave_clean(loop: Loop) -> None:
    """Nothing of one session may be left for the next."""
    leftover: Iterable[Any] = list(loop.socket_map.values())
    for each in leftover:
        each._error = True
        each.close()
    loop.socket_map.clear()
    loop.sched.close()
