"""What a background job is: something that is due at times of the clock and may be done twice without harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

Summary = Mapping[str, int | str]  # ids and counts: it is logged, and kept as JSON


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
        """Return, unless the process stops; call it often.

        Raises:
            Interrupted: it does.
        """
        if self.stopping.is_set():
            raise Interrupted


@dataclass(frozen=True, slots=True)
class Job:
    """Runs once at each tick, on one of all the nodes; again from its start when that node is lost.

    Args:
        name: unique, and stable across releases.
        cron: when it is due, in UTC; a sixth field in front is seconds.
        period: the time between two ticks. A tick missed within the last one is made up for at the next start.
        run: does the work. May be called twice for one tick.
        pauses: seconds before each further attempt at a tick that failed.
    """

    name: str
    cron: str
    period: timedelta
    run: Callable[[Tick], Summary]
    pauses: tuple[float, ...] = (60.0, 300.0)
