"""When a job is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recpipe.jobs.job import DAY, HOUR, Job


@pytest.mark.parametrize(
    ("every", "at", "now", "due"),
    [
        (HOUR, timedelta(minutes=17), "2026-03-14T15:17:00", "2026-03-14T15:17:00"),
        (HOUR, timedelta(minutes=17), "2026-03-14T15:16:59.999999", "2026-03-14T14:17:00"),
        (HOUR, timedelta(minutes=17), "2026-03-14T00:03:00", "2026-03-13T23:17:00"),
        (DAY, timedelta(hours=3, minutes=23), "2026-03-14T03:22:59", "2026-03-13T03:23:00"),
        (DAY, timedelta(hours=3, minutes=23), "2026-12-31T23:59:59", "2026-12-31T03:23:00"),
        # Summer time changes nothing
        (DAY, timedelta(hours=2, minutes=41), "2026-03-29T02:41:00", "2026-03-29T02:41:00"),
    ],
)
def test_a_tick_is_the_latest_time_of_the_clock_in_utc(every: timedelta, at: timedelta, now: str, due: str) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    job = Job("any", every, at, lambda _: {})
    assert job.due(utc(now)) == utc(due)
    assert job.due(utc(due) + every) == utc(due) + every
