"""How figures are kept: roll-ups that the transaction which adds, changes or deletes a recording puts right.

A transaction adds the difference between what the calls concerned came to and what they come to; rows are taken in the
order of their keys, after all other locks. Whoever counts anew shuts out those who add, for one tenant and a day of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from recpipe.catalogue.figure_tables import figure_fill, figure_quarter, figure_value
from recpipe.catalogue.figures import Figures
from recpipe.catalogue.repository import Scoped, upsert
from recpipe.catalogue.rows import values_of_call
from recpipe.catalogue.tables import recording
from recpipe.catalogue.tally import (
    COLUMNS,
    LOOK_AGAIN,
    QUARTERS_A_DAY,
    Leg,
    Tally,
    first_of,
    leg_of,
    month_of,
    tally,
)
from recpipe.catalogue.types import Utc
from recpipe.model import Dimension, Recording, RecordingKind
from recpipe.times import from_quarter, quarter_of

# The first half of the advisory locks of tenants' figures.
_FIGURES_LOCK = 0x666967
_AT_ONCE = 500
_SUMS = ("calls", "recordings", "duration_ms", "longest_ms", "stored_bytes", "sealed")
_CELL = ("dimension", "span", "place", "value")
_DAY, _MONTH = "day", "month"
_THURSDAY = 3  # 1970-01-01, where Monday is 0

_FAR = 2_900_000  # days; beyond the calendar

_MINE: BindParameter[str] = bindparam("owner")
_LEGS = (
    select(*COLUMNS)
    .where(recording.c.tenant_id == _MINE, recording.c.call.in_(bindparam("calls", expanding=True)))
    .order_by(recording.c.call)
)


# --- the write path -------------------------------------------------------------------------------------------


def of_calls(connection: Connection, tenant_id: str, calls: Iterable[str]) -> Tally:
    """What calls come to as they stand now."""
    wanted = sorted(set(calls))
    legs: list[Leg] = []
    for place in range(0, len(wanted), _AT_ONCE):
        asked = {"owner": tenant_id, "calls": wanted[place : place + _AT_ONCE]}
        legs += map(Leg._make, connection.execute(_LEGS, asked).all())
    return tally(legs)


def linked_calls(recordings: Iterable[Recording]) -> set[str]:
    """The calls of recordings that may have other legs, as their rows say it."""
    return {call for one in recordings if (call := values_of_call(one)["call"]) != one.id}


def count_added(
    connection: Connection, tenant_id: str, added: Iterable[Recording], linked: Collection[str], before: Tally
) -> None:
    """Put the figures right after recordings were added.

    Args:
        linked: at least the `linked_calls` of those.
        before: what these calls came to before that.
    """
    alone = tally(leg_of(one) for one in added if values_of_call(one)["call"] == one.id)
    joined = of_calls(connection, tenant_id, linked).minus(before)
    for mine, more in ((alone.quarters, joined.quarters), (alone.values, joined.values)):
        _add_cells(mine, more)
    count(connection, tenant_id, alone)


def count(connection: Connection, tenant_id: str, difference: Tally) -> None:
    """Add a difference to the figures of a tenant."""
    if not difference.quarters and not difference.values:
        return
    _lock(connection, tenant_id, shared=True)
    # What was not counted yet is counted later, as it then is.
    filled = select(figure_fill.c.day).where(figure_fill.c.tenant_id == tenant_id)
    if (last := connection.execute(filled).scalar()) is not None:
        difference = Tally(
            {quarter: sums for quarter, sums in difference.quarters.items() if quarter // QUARTERS_A_DAY > last},
            {cell: sums for cell, sums in difference.values.items() if cell[1] > last},
        )
    _write(connection, tenant_id, difference)
    for quarter in sorted(quarter for quarter, sums in difference.quarters.items() if sums[3] == LOOK_AGAIN):
        _find_longest(connection, tenant_id, quarter)


def _add_cells(into: dict[Any, list[int]], more: Mapping[Any, Sequence[int]]) -> None:
    for cell, sums in more.items():
        mine = into.get(cell)
        # The fourth of six is the longest.
        into[cell] = (
            list(sums)
            if mine is None
            else [_longer(a, b) if place == 3 else a + b for place, (a, b) in enumerate(zip(mine, sums, strict=True))]
        )


def _longer(one: int, other: int) -> int:
    return LOOK_AGAIN if LOOK_AGAIN in (one, other) else max(one, other)


def _lock(connection: Connection, tenant_id: str, *, shared: bool) -> None:
    """Let those who count anew wait for all who add, and the other way round, until the end of the transaction."""
    if connection.dialect.name == "postgresql":
        take = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        connection.execute(select(take(_FIGURES_LOCK, func.hashtext(tenant_id))))


@cache
def _add_quarters(dialect: str) -> Any:
    add = [name for name in _SUMS if name != "longest_ms"]
    return upsert(dialect, figure_quarter, ("tenant_id", "quarter"), (), add=add, most=("longest_ms",))


@cache
def _add_values(dialect: str) -> Any:
    key = ("tenant_id", "dimension", "span", "place", "value")
    return upsert(dialect, figure_value, key, (), add=("calls", "duration_ms"))


_value_key = (
    figure_value.c.tenant_id == _MINE,
    figure_value.c.dimension == bindparam("its_dimension"),
    figure_value.c.span == bindparam("its_span"),
    figure_value.c.place == bindparam("its_place"),
    figure_value.c.value == bindparam("its_value"),
)
_FORGET_VALUE = delete(figure_value).where(*_value_key, figure_value.c.calls <= 0)
_FORGET_QUARTER = delete(figure_quarter).where(
    figure_quarter.c.tenant_id == _MINE,
    figure_quarter.c.quarter == bindparam("its_quarter"),
    figure_quarter.c.calls <= 0,
)


def _write(connection: Connection, tenant_id: str, difference: Tally) -> None:
    """Add to rows in the order of their keys, and remove those that come to nothing."""
    dialect = connection.dialect.name
    quarters = sorted(difference.quarters.items())
    if quarters:
        connection.execute(
            _add_quarters(dialect),
            [
                {"tenant_id": tenant_id, "quarter": quarter, **dict(zip(_SUMS, sums, strict=True))}
                for quarter, sums in quarters
            ],
        )
    values: dict[tuple[str, str, int, str], list[int]] = {}
    for (dimension, day, value), sums in difference.values.items():
        for span, place in ((_DAY, day), (_MONTH, month_of(day))):
            _add_cells(values, {(dimension.value, span, place, value): sums})
    cells = sorted(values.items())
    if cells:
        connection.execute(
            _add_values(dialect),
            [
                {"tenant_id": tenant_id, **dict(zip(_CELL, cell, strict=True)), "calls": calls, "duration_ms": length}
                for cell, (calls, length) in cells
            ],
        )
    gone = [
        {"owner": tenant_id, **{f"its_{name}": part for name, part in zip(_CELL, cell, strict=True)}}
        for cell, (calls, _) in cells
        if calls < 0
    ]
    if gone:
        connection.execute(_FORGET_VALUE, gone)
    less = [{"owner": tenant_id, "its_quarter": quarter} for quarter, sums in quarters if sums[0] < 0]
    if less:
        connection.execute(_FORGET_QUARTER, less)


def _find_longest(connection: Connection, tenant_id: str, quarter: int) -> None:
    """The longest recording of a quarter, after others were deleted; their figures are locked already."""
    c = recording.c
    since, before = from_quarter(quarter), from_quarter(quarter + 1)
    longest = select(func.coalesce(func.max(c.duration_ms), 0)).where(
        c.tenant_id == tenant_id, c.call_at >= since, c.call_at < before, c.kind == RecordingKind.CALL.value
    )
    found = connection.execute(longest).scalar_one()
    its = (figure_quarter.c.tenant_id == tenant_id, figure_quarter.c.quarter == quarter)
    connection.execute(update(figure_quarter).where(*its).values(longest_ms=found))


# --- counting anew --------------------------------------------------------------------------------------------


class FigureCounts(Scoped):
    """The figures of one tenant beside its recordings: whether they agree, and counting them anew."""

    __slots__ = ()

    def next_day(self, day: int | None = None) -> int | None:
        """The first day, since 1970, from this one on that has recordings or figures."""
        c = recording.c
        recorded = select(func.min(c.call_at, type_=Utc())).where(c.tenant_id == self._tenant_id)
        quarters = select(func.min(figure_quarter.c.quarter)).where(figure_quarter.c.tenant_id == self._tenant_id)
        values = select(func.min(figure_value.c.place)).where(*self._values(_DAY))
        if day is not None:
            recorded = recorded.where(c.call_at >= literal(from_quarter(day * QUARTERS_A_DAY), Utc()))
            quarters = quarters.where(figure_quarter.c.quarter >= day * QUARTERS_A_DAY)
            values = values.where(figure_value.c.place >= day)
        at = self._connection.execute(recorded).scalar_one()
        quarter = self._connection.execute(quarters).scalar_one()
        # The values of one dimension: every call has a direction.
        place = self._connection.execute(values.where(figure_value.c.dimension == Dimension.DIRECTION)).scalar_one()
        days = (
            None if at is None else quarter_of(at) // QUARTERS_A_DAY,
            None if quarter is None else quarter // QUARTERS_A_DAY,
            place,
        )
        return min((one for one in days if one is not None), default=None)

    def differs(self, day: int) -> bool:
        """Whether what is kept of a day, and of its month, is other than what the recordings come to.

        In a transaction of its own: all of it is seen as it was at one moment.
        """
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        kept, found = self._kept(day), self._found(day)
        if (kept.quarters, kept.values) != (found.quarters, found.values):
            return True
        return self._month_differs(month_of(day)) if self._is_last_of_month(day) else False

    def recount(self, day: int) -> None:
        """Count one day anew, and put its month right by as much."""
        _lock(self._connection, self._tenant_id, shared=False)
        kept, found = self._kept(day), self._found(day)
        c = figure_quarter.c
        its = (
            c.tenant_id == self._tenant_id,
            c.quarter >= day * QUARTERS_A_DAY,
            c.quarter < (day + 1) * QUARTERS_A_DAY,
        )
        self._connection.execute(delete(figure_quarter).where(*its))
        _write(self._connection, self._tenant_id, Tally(found.quarters, found.minus(kept).values))

    def sum_month_of(self, day: int) -> None:
        """Put the month of a day together anew from its days."""
        month = month_of(day)
        _lock(self._connection, self._tenant_id, shared=False)
        c = figure_value.c
        self._connection.execute(delete(figure_value).where(*self._values(_MONTH), c.place == month))
        columns = ("tenant_id", "dimension", "span", "place", "value", "calls", "duration_ms")
        summed = (
            select(
                c.tenant_id,
                c.dimension,
                literal(_MONTH),
                literal(month),
                c.value,
                func.sum(c.calls),
                func.sum(c.duration_ms),
            )
            .where(*self._values(_DAY), c.place >= first_of(month), c.place < first_of(month + 1))
            .group_by(c.tenant_id, c.dimension, c.value)
        )
        self._connection.execute(insert(figure_value).from_select(columns, summed))

    def fill_on(self) -> int | None:
        """Count the newest day that was not counted yet; None, and no such mark, once there is none any more.

        Returns:
            The day that was counted, since 1970.
        """
        _lock(self._connection, self._tenant_id, shared=False)
        mine = figure_fill.c.tenant_id == self._tenant_id
        last = self._connection.execute(select(figure_fill.c.day).where(mine)).scalar()
        if last is None:
            return None
        c = recording.c
        newest = select(func.max(c.call_at, type_=Utc())).where(c.tenant_id == self._tenant_id)
        if last < _FAR:
            newest = newest.where(c.call_at < literal(from_quarter((last + 1) * QUARTERS_A_DAY), Utc()))
        at = self._connection.execute(newest).scalar_one()
        if at is None:
            self._connection.execute(delete(figure_fill).where(mine))
            return None
        day = quarter_of(at) // QUARTERS_A_DAY
        self.recount(day)
        self._connection.execute(update(figure_fill).where(mine).values(day=day - 1))
        return day

    @property
    def uncounted(self) -> int | None:
        """The last day, since 1970, whose recordings are not counted yet; None where all are."""
        wanted = select(figure_fill.c.day).where(figure_fill.c.tenant_id == self._tenant_id)
        day: int | None = self._connection.execute(wanted).scalar()
        return day

    def _values(self, span: str) -> tuple[ColumnElement[bool], ...]:
        return figure_value.c.tenant_id == self._tenant_id, figure_value.c.span == span

    def _found(self, day: int) -> Tally:
        since, before = (from_quarter((day + more) * QUARTERS_A_DAY) for more in (0, 1))
        return tally(Figures(self._connection, [self._tenant_id]).legs(since, before))

    def _kept(self, day: int) -> Tally:
        q, v = figure_quarter.c, figure_value.c
        quarters = select(q.quarter, *(q[name] for name in _SUMS)).where(
            q.tenant_id == self._tenant_id, q.quarter >= day * QUARTERS_A_DAY, q.quarter < (day + 1) * QUARTERS_A_DAY
        )
        values = select(v.dimension, v.value, v.calls, v.duration_ms).where(
            *self._values(_DAY), v.dimension.in_(list(Dimension)), v.place == day
        )
        kept = Tally()
        for quarter, *sums in self._connection.execute(quarters):
            kept.quarters[quarter] = sums
        for dimension, value, *sums in self._connection.execute(values):
            kept.values[Dimension(dimension), day, value] = sums
        return kept

    def _is_last_of_month(self, day: int) -> bool:
        following = self.next_day(day + 1)
        return following is None or month_of(following) != month_of(day)

    def _month_differs(self, month: int) -> bool:
        c = figure_value.c
        of_days = (
            select(c.dimension, c.value, func.sum(c.calls), func.sum(c.duration_ms))
            .where(*self._values(_DAY), c.place >= first_of(month), c.place < first_of(month + 1))
            .group_by(c.dimension, c.value)
        )
        of_month = select(c.dimension, c.value, c.calls, c.duration_ms).where(*self._values(_MONTH), c.place == month)
        days, its = ({tuple(row) for row in self._connection.execute(wanted)} for wanted in (of_days, of_month))
        return days != its
