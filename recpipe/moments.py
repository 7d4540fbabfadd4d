"""Times as people and programs write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def read(written: str, zone: ZoneInfo, *, whole_day: bool = False) -> datetime:
    """A time in UTC out of ISO 8601.

    Args:
        zone: of dates, and of times without an offset.
        whole_day: a date means the first moment after it, not its own first.

    Raises:
        ValueError: it is neither date nor time, or outside the years 1 to 9999.
    """
    try:
        try:
            day = date.fromisoformat(written)
        except ValueError:
            moment = datetime.fromisoformat(written)
        else:
            moment = datetime.combine(day + timedelta(days=1 if whole_day else 0), time(), zone)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error
