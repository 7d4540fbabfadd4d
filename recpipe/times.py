"""Clocks, time zones, and times as people, programs and a PBX write them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from recpipe.messages import message

Clock = Callable[[], datetime]  # gives aware times, UTC

_SLACK = timedelta(seconds=60)
_SKEW = timedelta(minutes=5)  # that a PBX's clock may be ahead of ours
_NEAR = timedelta(hours=3)
_EPOCH = date(1970, 1, 1).toordinal()
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_0_SECONDS = 62_167_219_200  # from the year 0 to 1970
_EARLIEST_UNIX, _LATEST_UNIX = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1990, 2100))
HOURS_A_WEEK = 168
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([0-9]{1,2})(?::00)?(?:-([0-9]{1,2})(?::00)?)?")
_QUARTER = timedelta(minutes=15)  # every zone's offset is a multiple of it


def utc_now() -> datetime:
    """The `Clock` of a running installation."""
    return datetime.now(UTC)


def hour_of_week(moment: datetime, zone: str) -> int:
    """The hour of the week on the clock of a zone: 0 is Monday from midnight to one."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.weekday() * 24 + local.hour


def week_hours(days: str, hours: str) -> tuple[int, ...]:
    """The hours of the week, as `hour_of_week` has them, that people write as days and times of day.

    Args:
        days: such as `tue`, `mon-fri` or `mon,wed`; a range may go over the end of the week; "" means any.
        hours: such as `12` or `12-14`, which ends before 14:00; a range may go over midnight; "" means any.

    Returns:
        In order; () where both are "".

    Raises:
        ValueError: one of them is none; the message says how they are written.
    """
    if not days and not hours:
        return ()
    chosen_days = _days_of_week(days.lower().replace(" ", "")) if days else set(range(7))
    chosen = _hours_of_day(hours.replace(" ", "")) if hours else set(range(24))
    return tuple(sorted(day * 24 + hour for day in chosen_days for hour in chosen))


def _days_of_week(written: str) -> set[int]:
    chosen: set[int] = set()
    for part in written.split(","):
        first, _, last = part.partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS or part.endswith("-"):
            raise ValueError(message("Weekdays are written as tue, mon-fri or mon,wed."))
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        chosen.update((begin + more) % 7 for more in range((end - begin) % 7 + 1))
    return chosen


def _hours_of_day(written: str) -> set[int]:
    read = _HOURS.fullmatch(written)
    begin, end = (int(read[1]), int(read[2] or int(read[1]) + 1)) if read else (24, 24)
    if begin > 23 or end > 24 or begin == end:
        raise ValueError(
            message("A time of day is written as 12 for the hour from 12:00, or as 12-14 for from 12:00 to 14:00.")
        )
    return {(begin + more) % 24 for more in range((end - begin) % 24)} or set(range(24))


def offsets(zone: str, since: datetime, before: datetime) -> list[tuple[datetime, datetime, timedelta]]:
    """The stretches of a time, in order, in each of which a zone has one offset from UTC.

    Args:
        since, before: aware.
    """
    place = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(place).utcoffset() or timedelta()

    stretches, begin, at = [], since, since
    while at < before:
        following = min(at + timedelta(days=1), before)
        if offset(following) != offset(at):
            # Between the two; changes of clocks lie on whole quarters of an hour.
            low, high = at, following
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if offset(middle) == offset(at) else (low, middle)
            change = from_quarter(round((high - _BEGIN) / _QUARTER))
            stretches.append((begin, change, offset(at)))
            begin = change
        at = following
    if begin < before:
        stretches.append((begin, before, offset(begin)))
    return stretches


def quarter_of(moment: datetime) -> int:
    """The quarter of an hour of UTC, since 1970, that an aware time is in."""
    return (moment - _BEGIN) // _QUARTER


def from_quarter(quarter: int) -> datetime:
    """The begin of a quarter of an hour since 1970, UTC."""
    return _BEGIN + quarter * _QUARTER


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
        hint = message("Use a name such as Europe/Berlin.")
        if near:
            hint = message("Did you mean {zones}?", zones=", ".join(near))
        raise ValueError(message("{value!r} is not a time zone. {hint}", value=value, hint=hint)) from error
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


def from_gregorian(seconds: int | str | None) -> datetime | None:
    """The time that KAZOO gives as seconds since the year 0, UTC; None where it is none of 1990 to 2099.

    Source: Erlang, calendar:datetime_to_gregorian_seconds/1.
    """
    if isinstance(seconds, str):
        seconds = int(seconds) if seconds.isascii() and seconds.isdecimal() and len(seconds) < 20 else None
    if seconds is None:
        return None
    unix = seconds - _YEAR_0_SECONDS
    return datetime.fromtimestamp(unix, UTC) if _EARLIEST_UNIX <= unix < _LATEST_UNIX else None


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
