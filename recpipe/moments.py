"""Times as people and programs write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def read(written: str, zone: ZoneInfo, *, whole_day: bool = False) -> datetime:
    """A time in UTC out of ISO 8601.

    Args:
        zone: of dates, and of times without an offset.
        whole_day: a date means the first moment after it, not its own first.

    Raises:
        ValueError: it is neither date nor time, or outside the years 1 to 9999.
    """
    try:
        if _DATE.fullmatch(written):
            day = date.fromisoformat(written) + timedelta(days=1 if whole_day else 0)
            return datetime.combine(day, time(), zone).astimezone(UTC)
        moment = datetime.fromisoformat(written)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error
