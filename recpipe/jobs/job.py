"""What a background job is: something that is due at times of the clock and may be done twice without harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Summary = Mapping[str, int | str]  # ids and counts: it is logged, and kept as JSON

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Interrupted(BaseException):
    """The process stops in the middle of a job, which begins anew at the next start.

    Not an Exception, so that nothing on its way takes it for a failure of the job.
    """


@dataclass(frozen=True, slots=True)
class Tick:
    """One time that a job is due, and whether to go on with it."""

    due: datetime
    stopping: threading.Event

    def go_on(self) -> None:
        """Return, unless the process stops or another one has taken the run over; call it often.

        Raises:
            Interrupted: either is so.
        """
        if self.stopping.is_set():
            raise Interrupted


@dataclass(frozen=True, slots=True)
class Job:
    """Runs once at each tick, on one of all the nodes; again from its start when that node is lost.

    Args:
        name: unique, and stable across releases.
        every: the time between two ticks, such as an hour. When several were missed, the latest is made up for.
        at: the time of a tick within that, in UTC: the minutes past the hour, or the time of day.
        run: does the work. May be called twice for one tick.
        pauses: seconds before each further attempt at a tick that failed.
    """

    name: str
    every: timedelta
    at: timedelta
    run: Callable[[Tick], Summary]
    pauses: tuple[float, ...] = (60.0, 300.0)

    def due(self, now: datetime) -> datetime:
        """The latest tick that is not after `now`."""
        since = _EPOCH + self.at
        return since + (now - since) // self.every * self.every
