from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from recpipe import times

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("written", "whole_day", "expected"),
    [
        ("2025-03-27", False, datetime(2025, 3, 27, tzinfo=UTC)),
        ("2025-03-27", True, datetime(2025, 3, 28, tzinfo=UTC)),
        # Other ways to write a date are dates as well, and no midnights
        ("20250327", True, datetime(2025, 3, 28, tzinfo=UTC)),
        ("2025-W13-4", True, datetime(2025, 3, 28, tzinfo=UTC)),
        # The day on which summer time begins has 23 hours
        ("2025-03-30", False, datetime(2025, 3, 30, tzinfo=UTC)),
        ("2025-03-30", True, datetime(2025, 3, 30, 23, tzinfo=UTC)),
        ("2025-07-01T09:25", False, datetime(2025, 7, 1, 8, 25, tzinfo=UTC)),
        ("2025-07-01T09:25", True, datetime(2025, 7, 1, 8, 25, tzinfo=UTC)),
        ("2025-03-27T09:25:17+05:30", False, datetime(2025, 3, 27, 3, 55, 17, tzinfo=UTC)),
        ("2025-03-27T09:25:17Z", False, datetime(2025, 3, 27, 9, 25, 17, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_the_zone_that_they_do_not_name(written: str, whole_day: bool, expected: datetime) -> None:
    assert times.from_iso(written, LONDON, whole_day=whole_day) == expected


@pytest.mark.parametrize(
    "written", ["", "yesterday", "27.03.2025", "2025-02-30", "2025-03-27T25:00", "9999-12-31", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        times.from_iso(written, LONDON, whole_day=True)
