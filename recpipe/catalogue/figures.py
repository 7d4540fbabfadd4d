"""Figures: what calls come to, read by range from roll-ups (see `figure_counts`), in any zone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Select,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from recpipe.catalogue.figure_tables import figure_fill, figure_quarter, figure_value
from recpipe.catalogue.operation_tables import audit
from recpipe.catalogue.repository import Repository
from recpipe.catalogue.tables import recording
from recpipe.catalogue.tally import (
    COLUMNS,
    QUARTERS_A_DAY,
    Leg,
    Tally,
    first_of,
    month_of,
    tally,
)
from recpipe.catalogue.types import Utc
from recpipe.catalogue.walk import is_of
from recpipe.model import Dimension, Direction, Listener, Sum, ValueSum
from recpipe.times import HOURS_A_WEEK, from_quarter, quarter_of

_SUMS = ("calls", "recordings", "duration_ms", "longest_ms", "stored_bytes", "sealed")
_DAY, _MONTH = "day", "month"
_THURSDAY = 3  # 1970-01-01, where Monday is 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in which a zone has one offset from UTC.

    Attributes:
        since, before: quarters of an hour since 1970, UTC.
        offset: quarters that the zone's clock is ahead.
    """

    since: int
    before: int
    offset: int


Sums = dict[Dimension, dict[tuple[str, str], tuple[int, int]]]  # calls and milliseconds by tenant and value


@dataclass(frozen=True, slots=True)
class Edges:
    """What a range has beside whole days of UTC, as the recordings tell it, for all dimensions at once.

    Attributes:
        first, end: those days since 1970, the second one not included; the same where the recordings tell all.
        sums: below zero where the whole days have more than the range.
    """

    first: int
    end: int
    sums: Sums


class Figures(Repository):
    """Sums over the tenants it is made for; None is every tenant."""

    __slots__ = ("_tenant_ids",)

    def __init__(self, connection: Connection, tenant_ids: Collection[str] | None) -> None:
        super().__init__(connection)
        self._tenant_ids = None if tenant_ids is None else sorted(tenant_ids)

    def by_day(self, stretches: Sequence[Stretch]) -> dict[int, Sum]:
        """By day of the zone, since 1970; days without calls are left out."""
        return self._by(stretches, lambda quarter: quarter // QUARTERS_A_DAY)

    def by_hour_of_week(self, stretches: Sequence[Stretch]) -> dict[int, Sum]:
        """By hour of the week on the clock of the zone: 0 is Monday from midnight to one."""
        return self._by(stretches, lambda quarter: (quarter // 4 + _THURSDAY * 24) % HOURS_A_WEEK)

    def edges(self, since: datetime, before: datetime) -> Edges:
        """What tells a range from the whole days of UTC that are nearest to it: at most half a day at either end.

        Args:
            since, before: on whole quarters of an hour.
        """
        last = self.uncounted
        first = self._nearest_day(quarter_of(since), begins=True, uncounted=last)
        end = self._nearest_day(quarter_of(before), begins=False, uncounted=last)
        if first >= end:
            return Edges(0, 0, self._told([(since, before, 1)]))
        opens, closes = from_quarter(first * QUARTERS_A_DAY), from_quarter(end * QUARTERS_A_DAY)
        parts = [
            (since, opens, 1) if since < opens else (opens, since, -1),
            (closes, before, 1) if closes < before else (before, closes, -1),
        ]
        return Edges(first, end, self._told([one for one in parts if one[0] < one[1]]))

    def top(
        self, dimension: Dimension, since: datetime, before: datetime, limit: int, edges: Edges | None = None
    ) -> list[ValueSum]:
        """The values with most calls, those first; then in their own order.

        Whole days and months are read from roll-ups, and what a range has more or less than these from the recordings.

        Args:
            since, before: on whole quarters of an hour.
            edges: of this range, where more than one dimension is asked for: they are read once.
        """
        edges = edges or self.edges(since, before)
        told = edges.sums.get(dimension, {})
        if edges.first >= edges.end:
            return _best(told, limit)
        parts = self._spans(dimension, edges.first, edges.end)
        return self._summed([*parts, _rows(self._connection, told)] if told else parts, limit)

    def legs(
        self, since: datetime, before: datetime, *, extension: str = "", direction: Direction | None = None
    ) -> Iterator[Leg]:
        """What is read of the recordings of calls that began in a range, those of one call one behind the other.

        Args:
            extension, direction: of the only legs that may be seen.
        """
        for leg in self._legs([(since, before)], extension, direction):
            yield leg[1]

    def listeners(self, since: datetime, before: datetime, limit: int) -> list[Listener]:
        """Who played and downloaded recordings of the tenants most, as the audit log has it."""
        c = audit.c
        times = [func.sum(case((c.action == action, 1), else_=0)) for action in ("play", "download")]
        heard = select(c.actor, *times).where(
            *self._mine(c.tenant_id),
            c.action.in_(("play", "download")),
            c.outcome == "ok",
            c.at >= literal(since, Utc()),
            c.at < literal(before, Utc()),
        )
        wanted = heard.group_by(c.actor).order_by(func.count().desc(), c.actor).limit(limit)
        return [
            Listener(actor, int(plays), int(downloads)) for actor, plays, downloads in self._connection.execute(wanted)
        ]

    @property
    def uncounted(self) -> int | None:
        """The last day, since 1970, of which recordings of any of the tenants are not counted yet."""
        wanted = select(func.max(figure_fill.c.day)).where(*self._mine(figure_fill.c.tenant_id))
        day: int | None = self._connection.execute(wanted).scalar_one()
        return day

    def uncounted_tenants(self) -> list[str]:
        """Ids of those of the tenants whose recordings are not all counted yet."""
        wanted = select(figure_fill.c.tenant_id).where(*self._mine(figure_fill.c.tenant_id))
        return list(self._connection.execute(wanted.order_by(figure_fill.c.tenant_id)).scalars())

    def _mine(self, tenant_id: Column[str]) -> list[ColumnElement[bool]]:
        return [] if self._tenant_ids is None else [tenant_id.in_(self._tenant_ids)]

    def _by(self, stretches: Sequence[Stretch], place: Any) -> dict[int, Sum]:
        c = figure_quarter.c
        found: dict[int, Sum] = {}
        for stretch in stretches:
            where = place(c.quarter + literal(stretch.offset)).label("place")
            sums = [func.max(c[name]) if name == "longest_ms" else func.sum(c[name]) for name in _SUMS]
            wanted = select(where, *sums).where(
                *self._mine(c.tenant_id), c.quarter >= stretch.since, c.quarter < stretch.before
            )
            for at, *each in self._connection.execute(wanted.group_by(where)):
                found[int(at)] = found.get(int(at), Sum()) + Sum(*map(int, each))
        return found

    def _spans(self, dimension: Dimension, first: int, end: int) -> list[Select[Any]]:
        """The roll-ups that make up the days from `first` to before `end`: whole months, and days around them."""
        c = figure_value.c
        months = month_of(first) + (first != first_of(month_of(first))), month_of(end)
        parts = [(_DAY, first, end)]
        if months[0] < months[1]:
            inner = first_of(months[0]), first_of(months[1])
            parts = [(_DAY, first, inner[0]), (_MONTH, *months), (_DAY, inner[1], end)]
        return [
            select(c.tenant_id, c.value, c.calls, c.duration_ms).where(
                *self._mine(c.tenant_id), c.dimension == dimension.value, c.span == span, c.place >= since, c.place < to
            )
            for span, since, to in parts
            if since < to
        ]

    def _summed(self, parts: Sequence[Select[Any]], limit: int) -> list[ValueSum]:
        rows = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery()
        c = rows.c
        calls = func.sum(c.calls).label("of_all")
        wanted = select(c.tenant_id, c.value, calls, func.sum(c.duration_ms)).group_by(c.tenant_id, c.value)
        best = wanted.having(calls > 0).order_by(calls.desc(), c.value, c.tenant_id).limit(limit)
        found = self._connection.execute(best)
        return [ValueSum(tenant_id, value, int(of_all), int(length)) for tenant_id, value, of_all, length in found]

    @staticmethod
    def _nearest_day(quarter: int, *, begins: bool, uncounted: int | None) -> int:
        """The day that begins nearest; a day that is not counted whole is never one of which a part is taken off."""
        day, more = divmod(quarter, QUARTERS_A_DAY)
        later = more > QUARTERS_A_DAY // 2
        takes_off = more > 0 and later is not begins
        if takes_off and uncounted is not None and day <= uncounted:
            later = not later
        return day + later

    def _told(self, ranges: Sequence[tuple[datetime, datetime, int]]) -> Sums:
        """The sums of calls of some ranges, from their recordings; each with its sign."""
        sums: Sums = {}
        for since, before, sign in ranges:
            by_tenant: dict[str, list[Leg]] = {}
            for tenant_id, leg in self._legs([(since, before)], "", None):
                by_tenant.setdefault(tenant_id, []).append(leg)
            for tenant_id, legs in by_tenant.items():
                add_sums(sums, tenant_id, tally(legs), sign)
        return sums

    def _legs(
        self, ranges: Sequence[tuple[datetime, datetime]], extension: str, direction: Direction | None
    ) -> Iterator[tuple[str, Leg]]:
        c = recording.c
        for since, before in ranges:
            wanted = select(c.tenant_id, *COLUMNS).where(
                *self._mine(c.tenant_id), c.call_at >= literal(since, Utc()), c.call_at < literal(before, Utc())
            )
            if extension:
                wanted = wanted.where(is_of(extension, c, c.id))
            if direction is not None:
                wanted = wanted.where(c.direction == direction.value)
            for tenant_id, *leg in self._connection.execute(wanted.order_by(c.tenant_id, c.call_at, c.call)):
                yield tenant_id, Leg._make(leg)


def add_sums(sums: Sums, tenant_id: str, told: Tally, sign: int = 1) -> None:
    """Add what calls of a tenant come to, of whatever days."""
    for (dimension, _, value), (calls, duration_ms) in told.values.items():
        mine = sums.setdefault(dimension, {})
        was = mine.get((tenant_id, value), (0, 0))
        mine[tenant_id, value] = (was[0] + sign * calls, was[1] + sign * duration_ms)


def _rows(connection: Connection, sums: Mapping[tuple[str, str], tuple[int, int]]) -> Select[Any]:
    """Sums as rows beside those of roll-ups, in one parameter however many they are."""
    given = literal(json.dumps([[*of, *both] for of, both in sums.items()]))
    if connection.dialect.name == "postgresql":
        rows = func.json_array_elements(cast(given, JSON)).table_valued("value")
        texts = [f'value ->> {place} COLLATE "C"' for place in range(2)]
        numbers = [f"CAST(value ->> {place} AS bigint)" for place in (2, 3)]
    else:
        rows = func.json_each(given).table_valued("value")
        texts = [f"json_extract(value, '$[{place}]')" for place in range(2)]
        numbers = [f"json_extract(value, '$[{place}]')" for place in (2, 3)]
    columns = zip((*texts, *numbers), ("tenant_id", "value", "calls", "duration_ms"), strict=True)
    chosen: list[Any] = [literal_column(said).label(name) for said, name in columns]
    return select(*chosen).select_from(rows)


def _best(sums: Mapping[tuple[str, str], tuple[int, int]], limit: int) -> list[ValueSum]:
    ordered = sorted(sums.items(), key=lambda one: (-one[1][0], one[0][1], one[0][0]))
    return [ValueSum(tenant_id, value, *both) for (tenant_id, value), both in ordered[:limit] if both[0] > 0]
