"""Figures: what calls come to, read by range from roll-ups (see `figure_counts`), in any zone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    case,
    func,
    literal,
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
    first_of,
    month_of,
    tally,
)
from recpipe.catalogue.types import Utc
from recpipe.catalogue.walk import is_of
from recpipe.model import Dimension, Direction, Listener, Sum, ValueSum
from recpipe.times import HOURS_A_WEEK, from_quarter, quarter_of

_AT_ONCE = 500
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

    def top(self, dimension: Dimension, since: datetime, before: datetime, limit: int) -> list[ValueSum]:
        """The values with most calls, those first; then in their own order.

        Args:
            since, before: on whole quarters of an hour.

        Whole days and months are read from roll-ups. What is before the first and behind the last whole day of UTC is
        put together from the recordings, and with it the sums of the values that are met there.
        """
        first, end = -(-quarter_of(since) // QUARTERS_A_DAY), quarter_of(before) // QUARTERS_A_DAY
        if first >= end:
            return _best(self._told(dimension, [(since, before)]), limit)
        edges = self._told(
            dimension, [(since, from_quarter(first * QUARTERS_A_DAY)), (from_quarter(end * QUARTERS_A_DAY), before)]
        )
        within = self._spans(dimension, first, end)
        sums = dict(self._summed(within, limit))
        if edges:
            met = sorted({value for _, value in edges})
            for place in range(0, len(met), _AT_ONCE):
                c = figure_value.c
                of_them = [wanted.where(c.value.in_(met[place : place + _AT_ONCE])) for wanted in within]
                sums |= self._summed(of_them, None)
            for key, (calls, duration_ms) in edges.items():
                before_it = sums.get(key, (0, 0))
                sums[key] = (before_it[0] + calls, before_it[1] + duration_ms)
        return _best(sums, limit)

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

    def _summed(self, within: Sequence[Select[Any]], limit: int | None) -> dict[tuple[str, str], tuple[int, int]]:
        rows = (union_all(*within) if len(within) > 1 else within[0]).subquery()
        c = rows.c
        calls = func.sum(c.calls).label("of_all")
        wanted = select(c.tenant_id, c.value, calls, func.sum(c.duration_ms)).group_by(c.tenant_id, c.value)
        if limit is not None:
            wanted = wanted.order_by(calls.desc(), c.value, c.tenant_id).limit(limit)
        found = self._connection.execute(wanted)
        return {(tenant_id, value): (int(of_all), int(length)) for tenant_id, value, of_all, length in found}

    def _told(
        self, dimension: Dimension, ranges: Sequence[tuple[datetime, datetime]]
    ) -> dict[tuple[str, str], tuple[int, int]]:
        """The sums of calls of some ranges, from their recordings."""
        by_tenant: dict[str, list[Leg]] = {}
        for tenant_id, leg in self._legs([one for one in ranges if one[0] < one[1]], "", None):
            by_tenant.setdefault(tenant_id, []).append(leg)
        sums: dict[tuple[str, str], tuple[int, int]] = {}
        for tenant_id, legs in by_tenant.items():
            for (of, _, value), (calls, duration_ms) in tally(legs).values.items():
                if of is dimension:
                    was = sums.get((tenant_id, value), (0, 0))
                    sums[tenant_id, value] = (was[0] + calls, was[1] + duration_ms)
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


def _best(sums: Mapping[tuple[str, str], tuple[int, int]], limit: int) -> list[ValueSum]:
    ordered = sorted(sums.items(), key=lambda one: (-one[1][0], one[0][1], one[0][0]))
    return [ValueSum(tenant_id, value, *both) for (tenant_id, value), both in ordered[:limit] if both[0] > 0]
