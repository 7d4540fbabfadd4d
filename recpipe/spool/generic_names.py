"""Layout "generic": file names read with the spool's own pattern, a regular expression with named groups."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from recpipe.errors import SettingsInvalid
from recpipe.model import TEXT_FACTS, CallFacts
from recpipe.spool.files import plain
from recpipe.spool.grammar import completed, direction_of, not_understood, number_in_name
from recpipe.times import MONTHS, full_year, local_time, to_utc

_NUMBERS = ("caller", "callee")
_TEXTS = tuple(name for name in TEXT_FACTS if name not in _NUMBERS)
_TIMES = ("datetime", "date", "time", "year", "month", "day", "hour", "minute", "second", "epoch", "duration")
GROUPS = frozenset({*_NUMBERS, *_TEXTS, *_TIMES, "tenant", "direction"})


def check_pattern(pattern: str) -> None:
    """Raises:
    SettingsInvalid: the pattern has a group that means nothing, or no group at all.
    """
    groups = set(re.compile(pattern).groupindex)
    unknown = groups - GROUPS
    if unknown or not groups:
        raise SettingsInvalid(
            f"The spool's pattern has {', '.join(sorted(unknown)) or 'no named group'}. "
            f"Its groups may be: {', '.join(sorted(GROUPS))}."
        )


def parse(relative: str, pattern: str, timezone: str) -> CallFacts:
    """See `naming.parse`. Groups: texts as in `CallFacts`; tenant; direction; a time; duration (seconds).

    A time is an epoch, or datetime, or date and time, or year, month, day, hour, minute and second. Which way the call
    went and whose it is follow from the numbers where no group says so.
    """
    subject = relative if "/" in pattern else relative.rpartition("/")[2]
    match = re.fullmatch(pattern, subject)
    if match is None:
        raise not_understood(relative, f"the spool's pattern, {pattern}")
    groups = {name: value for name, value in match.groupdict().items() if value}
    started_at, duration_ms = None, None
    try:
        if "epoch" in groups:
            started_at = datetime.fromtimestamp(int(groups["epoch"]), UTC)
        elif digits := _digits(groups):
            started_at = to_utc(local_time(digits), timezone)
        if "duration" in groups:
            duration_ms = round(float(groups["duration"]) * 1000)
    except (ValueError, OverflowError, OSError):
        raise not_understood(
            relative,
            "a date and time as YYYYMMDDhhmmss or YYMMDDhhmmss (any separators), an epoch or a duration in seconds",
        ) from None
    numbers = {name: number_in_name(groups.get(name, "")) for name in _NUMBERS}
    texts = {name: plain(groups.get(name, "")) for name in _TEXTS}
    facts = CallFacts(
        started_at=started_at,
        start_is_local=started_at is not None and "epoch" not in groups,
        timezone=timezone,
        duration_ms=duration_ms,
        direction=direction_of(groups.get("direction", "")),
        tenant_hint=plain(groups.get("tenant", "")),
    )
    return completed(replace(facts, **numbers, **texts))  # type: ignore[arg-type]


def _digits(groups: dict[str, str]) -> str:
    """The time as YYYYMMDDhhmmss; "" where no group names one."""
    if "year" in groups:
        month = groups.get("month", "")
        month = MONTHS.get(month[:3].lower(), month)
        rest = (month, *(groups.get(name, "0") for name in ("day", "hour", "minute", "second")))
        return full_year(groups["year"]) + "".join(part.zfill(2) for part in rest)
    when = groups.get("datetime", "") or groups.get("date", "")
    runs = re.findall("[0-9]+", when)
    digits = "".join(runs + re.findall("[0-9]+", "" if "datetime" in groups else groups.get("time", "")))
    short = len("".join(runs)) == 6 if "date" in groups else len(runs) > 1 and len(runs[0]) == 2
    if len(digits) == 12 and not short:
        # YYYYMMDDhhmm, or else YYMMDDhhmmss: no year of a recording begins as a month of this century would.
        try:
            local_time(f"{digits}00")
        except ValueError:
            short = True
    if len(digits) in (10, 12) and short:
        digits = full_year(digits[:2]) + digits[2:]
    return digits.ljust(14, "0") if len(digits) == 12 else digits
