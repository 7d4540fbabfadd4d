"""Store and database, which every file needs: while one is away, one file at a time tries, and the others wait.

One cause makes one line when it goes, one a minute with the number of files that wait, and one when it is back, which
wakes all of them at once. A file that is refused while others pass has a cause of its own, and is no outage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from recpipe import log, metrics
from recpipe.errors import CatalogueUnavailable, ObjectRefused, StoreRejected, StoreUnavailable

_log = log.get(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
REMIND_SECONDS = 60.0
SILENT_SECONDS = 20.0  # a request that takes so long is told of; what it ends with decides
_PROBE_SECONDS = 120.0  # one of which nothing is heard any more makes room for the next


@dataclass(slots=True)
class Asking:
    """A request under way."""

    since: float = field(default_factory=time.monotonic)

    def goes_on(self) -> None:
        """Some of it was taken: it is slow, not silent."""
        self.since = time.monotonic()


@dataclass(slots=True)
class Part:
    """One of the two: how it is, and since when. Changed under the lock of its `Gate` alone."""

    name: str
    why: str = ""  # "" while it is there
    away_since: float = 0.0
    said_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    next_probe: float = 0.0
    probing: bool = False
    passes: int = 0
    requests: dict[int, Asking] = field(default_factory=dict)
    silence_said: bool = False

    def admits(self, now: float) -> bool:
        """Whether a file may try now."""
        if not self.why:
            return True
        return now >= self.next_probe and (not self.probing or now >= self.next_probe + _PROBE_SECONDS)

    def silent_seconds(self, now: float) -> float:
        """How long the slowest request has not moved; 0 where there is none."""
        return max((now - request.since for request in list(self.requests.values())), default=0.0)


class Gate:
    """What each worker passes with each file.

    Args:
        waiting: how many files are in the spools, for the log.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.store, self.database = Part("store"), Part("database")
        self._parts = (self.database, self.store)
        self._waiting = waiting
        self._changed = threading.Condition()
        self._closed = False

    # --- the worker's side --------------------------------------------------------------------------------

    def enter(self) -> bool:
        """Wait for a turn; False once the gate is closed. `passed`, `failed` or `leave` follows."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if all(part.admits(now) for part in self._parts):
                    for part in self._parts:
                        part.probing = bool(part.why)
                    return True
                times = [part.next_probe - now for part in self._parts if part.why and not part.probing]
                self._changed.wait(max(0.01, min((wait for wait in times if wait > 0), default=1.0)))
        return False

    def leave(self) -> None:
        """The file ended before it said anything of either: the next may try."""
        if any(part.probing for part in self._parts):
            with self._changed:
                for part in self._parts:
                    part.probing = False
                self._changed.notify_all()

    def passed(self, part: Part) -> None:
        """It did what it was asked to."""
        part.passes += 1
        if not part.why:
            return
        with self._changed:
            if not part.why:
                return
            part.why, part.probing, part.pause = "", False, FIRST_PAUSE_SECONDS
            seconds = round(time.monotonic() - part.away_since, 1)
            self._changed.notify_all()
        metrics.AWAY.labels(part.name).set(0)
        _log.info("recordings go on", part=part.name, away_seconds=seconds, files=self._waiting())

    def failed(self, error: Exception, before: Mapping[str, int]) -> Part | None:
        """A file failed: the part that is away by that, or None where the cause is the file's own.

        Args:
            before: the `passes` of a part, by its name, when this file failed there before.
        """
        part = self.part_of(error)
        if part is None or part.passes > before.get(part.name, part.passes):
            self.leave()
            return None
        now = time.monotonic()
        with self._changed:
            news = not part.why
            if news:
                part.away_since = part.said_at = now
                part.pause = FIRST_PAUSE_SECONDS
            elif part.probing:
                part.pause = min(2 * part.pause, LONGEST_PAUSE_SECONDS)
            part.why = str(error)
            if news or part.probing:
                part.next_probe = now + part.pause
            for each in self._parts:
                each.probing = False
            self._changed.notify_all()
        if news:
            metrics.AWAY.labels(part.name).set(1)
            _log.error("recordings wait", part=part.name, why=part.why, files=self._waiting())
        return part

    def part_of(self, error: Exception) -> Part | None:
        """Which one an error speaks of; None for one that is about this file alone."""
        if isinstance(error, CatalogueUnavailable):
            return self.database
        if isinstance(error, (StoreUnavailable, StoreRejected)) and not isinstance(error, ObjectRefused):
            return self.store
        return None

    @contextmanager
    def asking(self, part: Part) -> Iterator[Asking]:
        """Around a request, so that one that is never answered shows."""
        request = Asking()
        part.requests[id(request)] = request
        try:
            yield request
        finally:
            del part.requests[id(request)]

    # --- the owner's side ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def look(self) -> None:
        """Say what there is to say; to be called every second or so."""
        now = time.monotonic()
        for part in self._parts:
            silent = part.silent_seconds(now)
            if silent < SILENT_SECONDS:
                part.silence_said = False
            elif not part.silence_said and not part.why:
                part.silence_said = True
                metrics.AWAY.labels(part.name).set(1)
                _log.error("no answer", part=part.name, seconds=round(silent), files=self._waiting())
            if not part.why and not part.silence_said:
                metrics.AWAY.labels(part.name).set(0)
            elif part.why and now - part.said_at >= REMIND_SECONDS:
                part.said_at = now
                away = round(now - part.away_since)
                _log.warning("recordings still wait", part=part.name, away_seconds=away, files=self._waiting())

    def away_seconds(self) -> float:
        """How long one of the two has been away, or silent."""
        now = time.monotonic()
        return max(now - p.away_since if p.why else p.silent_seconds(now) for p in self._parts)

    def silent_seconds(self) -> float:
        """How long the slowest request has not moved."""
        now = time.monotonic()
        return max(part.silent_seconds(now) for part in self._parts)

    def troubles(self) -> dict[str, str]:
        """What is the matter with each, and what to do; "" where nothing is."""
        now = time.monotonic()
        found = {}
        for part in self._parts:
            silent = part.silent_seconds(now)
            slow = f"The {part.name} has not answered for {silent:.0f} seconds. Check that it runs and can be reached."
            found[part.name] = part.why or (slow if silent >= SILENT_SECONDS else "")
        return found
