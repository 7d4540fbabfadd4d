"""What one process remembers for a short while: bounded, and right when the clock is set back."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Generic, TypeVar

from recpipe.times import Clock

Known = TypeVar("Known")


class SeenRecently:
    """Remembers, in this process, what happened in the last seconds. Bounded; thread-safe."""

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, ...], datetime] = {}

    def first(self, what: tuple[str, ...], now: datetime) -> bool:
        """Whether this is the first time in that many seconds; remembers it when it is."""
        with self._lock:
            before = self._seen.get(what)
            if before is not None and 0 <= (now - before).total_seconds() < self._seconds:
                return False
            self._seen.pop(what, None)
            if len(self._seen) >= self._most:  # the oldest are at the front
                del self._seen[next(iter(self._seen))]
            self._seen[what] = now
            return True

    def forget(self, what: tuple[str, ...]) -> None:
        """The next time counts as the first again."""
        with self._lock:
            self._seen.pop(what, None)


class ExpiringCache(Generic[Known]):
    """A small cache whose entries live for a moment. Thread-safe."""

    def __init__(self, clock: Clock, seconds: float, most: int = 4096) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], tuple[datetime, Known]] = {}

    def get(self, key: tuple[str, ...]) -> Known | None:
        now = self._clock()
        with self._lock:
            at, value = self._known.get(key, (None, None))
        if at is None or not 0 <= (now - at).total_seconds() < self._seconds:
            return None
        return value

    def put(self, key: tuple[str, ...], value: Known) -> None:
        with self._lock:
            self._known.pop(key, None)
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = (self._clock(), value)
