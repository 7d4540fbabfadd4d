"""Whose turn it is: of the threads that attend to sessions, one at a time runs.

Python runs one at a time anyway. But left to itself it passes its lock on at each system call, and with eight busy
sessions that costs more than their work. Here a thread keeps its turn until it waits for something: for its client, or,
stepping `aside`, for the catalogue, the store, a disk, a password, a cipher. Nothing but speed depends on turns: a
session belongs to one thread whoever's turn it is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

# Who has waited longer than the one, or behind a turn that was longer than the other, is handed the next turn.
_PATIENCE_SECONDS = 0.002
_SHORT_SECONDS = 0.0003


class Turn:
    """For the threads of one gateway. Whoever asks first has it first, or within a few milliseconds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._whose = 0  # a thread's identifier; 0: nobody's
        self._since = 0.0  # monotonic seconds: when this turn began
        self._waiting: deque[_Waiting] = deque()

    def take(self) -> None:
        """Wait for the turn of this thread, which must not have it."""
        me = threading.get_ident()
        with self._guard:
            if not self._whose:
                self._whose, self._since = me, time.monotonic()
                return
            waiting = _Waiting(me)
            self._waiting.append(waiting)
        while True:
            waiting.called.acquire()
            with self._guard:
                if self._whose == me:
                    self._since = time.monotonic()
                    return
                if not self._whose:
                    self._whose, self._since = me, time.monotonic()
                    self._waiting.remove(waiting)
                    return

    def give(self) -> None:
        """Let others have it: whoever comes by, which saves waking a thread, or whoever has waited for long."""
        with self._guard:
            self._whose = 0
            if self._waiting:
                first = self._waiting[0]
                now = time.monotonic()
                if now - first.since > _PATIENCE_SECONDS or now - self._since > _SHORT_SECONDS:
                    self._whose = self._waiting.popleft().thread
                if first.called.locked():
                    first.called.release()

    def aside(self) -> _Aside:
        """`with turn.aside():` around what takes a while."""
        return _Aside(self)

    @property
    def is_mine(self) -> bool:
        return self._whose == threading.get_ident()

    @property
    def is_wanted(self) -> bool:
        return bool(self._waiting)


class Poller:
    """An epoll that is waited for aside.

    Args:
        epoll: what the thread's event loop made.
    """

    def __init__(self, epoll: Any, turn: Turn) -> None:
        self._epoll = epoll
        self._turn = turn
        self.register, self.modify, self.unregister = epoll.register, epoll.modify, epoll.unregister
        self.fileno, self.close = epoll.fileno, epoll.close

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        # A client that takes whatever it is sent would keep its session's turn forever.
        if not self._turn.is_wanted and (found := self._epoll.poll(0)):
            return found  # type: ignore[no-any-return]
        with self._turn.aside():
            return self._epoll.poll(seconds)  # type: ignore[no-any-return]


class _Waiting:
    __slots__ = ("called", "since", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.since = time.monotonic()
        self.called = threading.Lock()
        self.called.acquire()


class _Aside:
    """Inside another one, or in a thread without a turn, it does nothing."""

    __slots__ = ("_gave", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._gave = False

    def __enter__(self) -> None:
        if self._turn.is_mine:
            self._gave = True
            self._turn.give()

    def __exit__(self, *_error: object) -> None:
        if self._gave:
            self._turn.take()
