"""Answers that are sent piece by piece: how many at once, of whom, and the threads that read for them."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack

import anyio
from prometheus_client import Gauge

from recpipe import metrics
from recpipe.access.principal import Principal
from recpipe.web.errors import ServerBusy, TooManyStreams

READING_THREADS = 32

OPEN = Gauge("recpipe_http_streams", "Answers that are being sent piece by piece", registry=metrics.REGISTRY)


class Streams:
    """Places for such answers. Thread-safe.

    Args:
        most: places in total.
        most_of_one: for one user, all sessions and tokens together.

    Attributes:
        threads: what reads the pieces; a place holds none of them while its client takes its time.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self.threads = anyio.CapacityLimiter(READING_THREADS)
        self._most = most
        self._most_of_one = most_of_one
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def place(self, principal: Principal) -> ExitStack:
        """A place, taken before anything is opened; leaving the stack gives it back.

        Raises:
            TooManyStreams: the user has all of theirs.
            ServerBusy: there is none.
        """
        user = principal.id
        with self._lock:
            if self._taken[user] >= self._most_of_one:
                raise TooManyStreams(self._most_of_one)
            if self._taken.total() >= self._most:
                raise ServerBusy
            self._taken[user] += 1
        OPEN.inc()
        place = ExitStack()
        place.callback(self._give_back, user)
        return place

    def _give_back(self, user: str) -> None:
        with self._lock:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]
        OPEN.dec()
