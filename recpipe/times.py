"""Clocks, time zones, and times as people, programs and a PBX write them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

Clock = Callable[[], datetime]  # gives aware times, UTC

_SLACK = timedelta(seconds=60)
_SKEW = timedelta(minutes=5)  # that a PBX's clock may be ahead of ours
_NEAR = timedelta(hours=3)
_EPOCH = date(1970, 1, 1).toordinal()
_QUARTER = timedelta(minutes=15)  # every zone's offset is a multiple of it


def utc_now() -> datetime:
    """The `Clock` of a running installation."""
    return datetime.now(UTC)


def days_since_1970(day: date | datetime) -> int:
    """The number of a day; of a time, which is aware, that of its day in UTC."""
    if isinstance(day, datetime):
        day = day.astimezone(UTC).date()
    return day.toordinal() - _EPOCH


def day_since_1970(number: int) -> date:
    """The day of a number of `days_since_1970`."""
    return date.fromordinal(number + _EPOCH)


def check_timezone(value: str) -> str:
    """Return `value` when it is an IANA zone.

    Raises:
        ValueError: it is not; the message proposes near ones.
    """
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        near = difflib.get_close_matches(value, available_timezones(), n=3, cutoff=0.5)
        hint = f" Did you mean {', '.join(near)}?" if near else " Use a name such as Europe/Berlin."
        raise ValueError(f"{value!r} is not a time zone.{hint}") from error
    return value


def from_iso(written: str, zone: ZoneInfo, *, whole_day: bool = False) -> datetime:
    """Read a date or time of ISO 8601 as UTC.

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


def to_utc(local: datetime, zone: str, epoch: int | None = None) -> datetime:
    """Read a naive local time as UTC.

    A time that occurs twice (clocks set back) means the first occurrence, one that never occurs (clocks set forward)
    is read with the offset before the change. Where the time of the call's beginning is known in UTC it decides
    instead: between the two occurrences, and, when both are off by whole quarter hours, that the server's zone is not
    the configured one.

    Args:
        local: as written in a name or record.
        zone: IANA name of the zone it is believed to be in.
        epoch: seconds since 1970 (UTC) when the call began, at most an hour before `local`.

    Returns:
        Aware, UTC.
    """
    candidates = [local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
    if epoch is None:
        return candidates[0]
    began = datetime.fromtimestamp(epoch, UTC)
    for candidate in candidates:
        if -_SLACK <= candidate - began < timedelta(hours=1):
            return candidate
    off = candidates[0] - began
    quarters = round(off / _QUARTER)
    shift = quarters * _QUARTER
    if abs(off - shift) <= _SLACK and abs(off) <= timedelta(hours=26):
        return candidates[0] - shift
    return candidates[0]


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: f"{number:02}" for number, name in enumerate(_MONTHS, start=1)}


def from_ns(nanoseconds: int) -> datetime:
    """Convert a file's time to UTC; one beyond the calendar is the end of it."""
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def is_credible(moment: datetime, now: datetime) -> bool:
    """Whether a call may have begun then: not later than now, and not before there were recordings in files."""
    return moment <= now + _SKEW and moment.year >= 1990


def likelier_occurrence(start: datetime, zone: str, expected: datetime) -> datetime:
    """Of a local time that occurs twice (clocks set back), the occurrence that is nearer to what is expected.

    Args:
        start: one of the two, aware; any other time is given back as it is.
        zone: IANA name of the zone of the local time.
        expected: aware; more than three hours off it decides nothing.
    """
    local = start.astimezone(ZoneInfo(zone))
    other = local.replace(fold=1 - local.fold).astimezone(UTC)
    if abs(expected - other) < min(abs(expected - start), _NEAR):
        return other
    return start


def full_year(digits: str) -> str:
    """A year of four digits; of two, the one from 1990 to 2089 that is meant."""
    if len(digits) != 2:
        return digits
    return f"19{digits}" if digits >= "90" else f"20{digits}"


def local_time(digits: str) -> datetime:
    """`YYYYMMDDhhmmss` as a naive time.

    Raises:
        ValueError: there is no such day or time, or it is not from 1990 to 2099.
    """
    if len(digits) != 14 or not (digits.isascii() and digits.isdecimal()):
        raise ValueError("not 14 digits")
    local = datetime.strptime(digits, "%Y%m%d%H%M%S")
    if not 1990 <= local.year < 2100:
        raise ValueError("not a year of a recording")
    return local
