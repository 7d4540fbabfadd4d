"""A queue in lanes: each lane gets its turn, so one tenant's backlog does not delay another's next call."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Round-robin over lanes, first in first out inside one. Safe for many threads."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, lane: Hashable, item: T) -> None:
        with self._changed:
            self._lanes.setdefault(lane, deque()).append(item)
            self._changed.notify()

    def get(self, timeout_seconds: float | None = None) -> T | None:
        """The next item; None once the time is over, or once the queue is closed."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                if self._closed:
                    return None
                if self._lanes:
                    break
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            lane, waiting = self._lanes.popitem(last=False)
            item = waiting.popleft()
            if waiting:
                self._lanes[lane] = waiting  # to the end: the others come first now
            return item

    def close(self) -> None:
        """Let every `get` return None; what is still queued stays in its spool for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
