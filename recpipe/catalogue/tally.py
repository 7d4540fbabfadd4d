"""What calls come to, told from their legs: the one place that says what a figure counts.

Roll-ups are kept by differences: what the calls concerned came to before, and what they come to afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from recpipe.catalogue.rows import extensions_of
from recpipe.catalogue.tables import recording
from recpipe.catalogue.types import clean_text
from recpipe.model import Dimension, Direction, Recording, RecordingKind
from recpipe.numbers import digits
from recpipe.times import day_since_1970, days_since_1970, quarter_of

QUARTERS_A_DAY = 96
LOOK_AGAIN = -1  # as the longest of a quarter: it went, or became shorter
_LONGEST_VALUE = 200  # characters

ValueCell = tuple[Dimension, int, str]  # with the UTC day


class Leg(NamedTuple):
    """What is read of a recording, column by column."""

    call: str
    call_at: datetime
    kind: str
    duration_ms: int
    stored_bytes: int
    envelope_offset: int | None
    direction: str
    extension: str
    route: str
    caller: str
    callee: str
    caller_e164: str
    callee_e164: str


COLUMNS = tuple(recording.c[name] for name in Leg._fields)


def leg_of(given: Recording) -> Leg:
    """The leg that a recording without others is, as its row will say it."""
    facts, envelope = given.facts, given.envelope
    return Leg(
        given.id,
        given.started_at,
        facts.kind.value,
        given.duration_ms,
        given.stored_bytes,
        None if envelope is None else envelope.content_offset,
        facts.direction.value,
        clean_text("\n".join(extensions_of(facts))),
        clean_text(facts.route),
        clean_text(facts.caller),
        clean_text(facts.callee),
        given.caller_e164,
        given.callee_e164,
    )


def month_of(day: int) -> int:
    """The month that a day is in; both since 1970."""
    its = day_since_1970(day)
    return (its.year - 1970) * 12 + its.month - 1


def first_of(month: int) -> int:
    """The first day of a month; both since 1970."""
    return days_since_1970(date(1970 + month // 12, month % 12 + 1, 1))


@dataclass(slots=True)
class Tally:
    """Sums by quarter, in the order of the columns of `figure_quarter`, and by value: calls and milliseconds."""

    quarters: dict[int, list[int]] = field(default_factory=dict)
    values: dict[ValueCell, list[int]] = field(default_factory=dict)

    def minus(self, before: Tally) -> Tally:
        """What has to be added to `before` to have this; cells that stay as they are left out."""
        quarters = _difference(self.quarters, before.quarters, longest=3)
        return Tally(quarters, _difference(self.values, before.values))


def tally(legs: Iterable[Leg]) -> Tally:
    """What calls come to; voicemail, conferences and faxes are none.

    Args:
        legs: all that count, those of one call one behind the other.
    """
    result = Tally()
    for _, of_call in groupby(legs, itemgetter(0)):
        some = [leg for leg in of_call if leg.kind == RecordingKind.CALL]
        if not some:
            continue
        quarter = min(quarter_of(leg.call_at) for leg in some)
        sums = result.quarters.setdefault(quarter, [0, 0, 0, 0, 0, 0])
        sums[0] += 1
        sums[1] += len(some)
        values: dict[tuple[Dimension, str], int] = {}
        for leg in some:
            sums[2] += leg.duration_ms
            sums[3] = max(sums[3], leg.duration_ms)
            sums[4] += leg.stored_bytes
            sums[5] += leg.envelope_offset is not None
            for each in values_of_leg(leg):
                values[each] = values.get(each, 0) + leg.duration_ms
        day = quarter // QUARTERS_A_DAY
        for (dimension, value), duration_ms in values.items():
            cell = result.values.setdefault((dimension, day, value), [0, 0])
            cell[0] += 1
            cell[1] += duration_ms
    return result


def values_of_leg(leg: Leg) -> set[tuple[Dimension, str]]:
    """What a leg counts for."""
    found = {(Dimension.DIRECTION, leg.direction)}
    found.update((Dimension.EXTENSION, one) for one in leg.extension.split("\n"))
    found.add((Dimension.ROUTE, leg.route))
    caller = leg.caller_e164 or digits(leg.caller)
    callee = leg.callee_e164 or digits(leg.callee)
    if leg.direction == Direction.INBOUND:
        found |= {(Dimension.CALLED, callee), (Dimension.NUMBER, caller)}
    elif leg.direction == Direction.OUTBOUND:
        found.add((Dimension.NUMBER, callee))
    elif leg.direction == Direction.UNKNOWN:
        found |= {(Dimension.NUMBER, caller), (Dimension.NUMBER, callee)}
    return {(dimension, value[:_LONGEST_VALUE]) for dimension, value in found if value}


def _difference(after: dict[Any, list[int]], before: dict[Any, list[int]], longest: int = -1) -> dict[Any, list[int]]:
    changed = {}
    for cell in after.keys() | before.keys():
        now, then = after.get(cell), before.get(cell)
        zero: Sequence[int] = [0] * len(now or then or ())
        each = [new - old for new, old in zip(now or zero, then or zero, strict=True)]
        if any(each):
            if longest >= 0:
                each[longest] = (now or zero)[longest] if each[longest] >= 0 else LOOK_AGAIN
            changed[cell] = each
    return changed
