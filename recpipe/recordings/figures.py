"""Figures of what somebody may see: sums by day, by hour of the week and by value, of any range, in any zone.

Whoever may search a tenant's recordings may read what they come to. An account with a subset is told what its own part
comes to, put together from those recordings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, reduce
from operator import add
from zoneinfo import ZoneInfo

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue
from recpipe.catalogue.figures import Edges as Edges
from recpipe.catalogue.figures import Stretch, Sums, add_sums
from recpipe.catalogue.tally import Tally, tally
from recpipe.catalogue.work import Work
from recpipe.errors import QueryInvalid
from recpipe.messages import message
from recpipe.model import Dimension, Listener, Sum, ValueSum
from recpipe.recordings.subset import subset_of
from recpipe.times import (
    HOURS_A_WEEK,
    day_since_1970,
    days_since_1970,
    from_iso,
    from_quarter,
    hour_of_week,
    offsets,
    quarter_of,
)

MOST_DAYS = 3660
MOST_VALUES = 10_000
_LATEST_DAY = 2_900_000  # since 1970, and so in the year 9909: a day that `date` has, whatever a row says


@dataclass(frozen=True, slots=True)
class Range:
    """Whole days on the clock of a zone, both included.

    Raises:
        QueryInvalid: they are no range, or too many.
    """

    first: date
    last: date
    zone: str

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise QueryInvalid("The last day lies before the first.")
        if self.days > MOST_DAYS:
            raise QueryInvalid(message("Figures are of at most {most_days:,} days.", most_days=MOST_DAYS))
        if not self.first.year >= 1971 or not self.last.year < 9999:
            raise QueryInvalid("Figures are of days from 1971 on.")

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> Range:
        """As many days before it."""
        return Range(self.first - timedelta(days=self.days), self.first - timedelta(days=1), self.zone)

    @property
    def since(self) -> datetime:
        return from_iso(self.first.isoformat(), ZoneInfo(self.zone))

    @property
    def until(self) -> datetime:
        """The first moment after it."""
        return from_iso(self.last.isoformat(), ZoneInfo(self.zone), whole_day=True)

    @property
    def stretches(self) -> list[Stretch]:
        return [
            Stretch(quarter_of(since), quarter_of(before), offset // timedelta(minutes=15))
            for since, before, offset in offsets(self.zone, self.since, self.until)
        ]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the calls of a range come to.

    Attributes:
        days: every day of the range, in order.
        hours: by hour of the week, 168 of them; 0 is Monday from midnight to one.
        before: the same number of days before that.
        stored_bytes: of all recordings there are; None where only a part of them may be seen.
        uncounted: days up to this one (UTC) are not counted yet; None: all are.
    """

    asked: Range
    days: tuple[tuple[date, Sum], ...]
    hours: tuple[Sum, ...]
    before: Sum
    stored_bytes: int | None
    uncounted: date | None = None

    @property
    def total(self) -> Sum:
        return reduce(add, (each for _, each in self.days), Sum())

    @property
    def in_a_year(self) -> int | None:
        """Bytes that will be stored a year from now if calls go on like these and nothing is deleted."""
        if self.stored_bytes is None:
            return None
        return self.stored_bytes + self.total.stored_bytes * 365 // self.asked.days


class FigureReport:
    """Reads figures. Thread-safe."""

    def __init__(self, catalogue: Catalogue, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._trail = trail

    def of(self, by: Principal, tenant_ids: Collection[str] | None, asked: Range) -> Figures:
        """What calls of these tenants (None: of all that `by` may search) come to.

        Raises:
            NotFound: one of the tenants is nothing to `by`.
            Forbidden: `by` may not search its recordings.
            SearchTooLong: it was stopped; a shorter range may be answered.
        """
        mine = self._mine(by, tenant_ids)
        if mine is not None and not mine:
            empty = tuple((asked.first + timedelta(days=n), Sum()) for n in range(asked.days))
            return Figures(asked, empty, (Sum(),) * HOURS_A_WEEK, Sum(), 0)
        with self._catalogue.read(limited=True) as work:
            found = work.figures(mine)
            if any(subset_of(by).values()):
                part = _Part.of(self._told(work, mine, by, asked), asked.zone)
                before = _Part.of(self._told(work, mine, by, asked.before), asked.zone)
                days, hours, earlier = part.days, part.hours, before.total
                stored, uncounted = None, None
            else:
                stretches = asked.stretches
                days, hours = found.by_day(stretches), found.by_hour_of_week(stretches)
                earlier = reduce(add, found.by_day(asked.before.stretches).values(), Sum())
                stored = sum(total.stored_bytes for total in work.across(mine).stored().values())
                uncounted = found.uncounted
        first = days_since_1970(asked.first)
        return Figures(
            asked,
            tuple((asked.first + timedelta(days=n), days.get(first + n, Sum())) for n in range(asked.days)),
            tuple(hours.get(hour, Sum()) for hour in range(HOURS_A_WEEK)),
            earlier,
            stored,
            None if uncounted is None else min(day_since_1970(min(uncounted, _LATEST_DAY)), asked.last),
        )

    def edges(self, by: Principal, tenant_ids: Collection[str] | None, asked: Range) -> Edges:
        """What `top` reads from the recordings, the same for all dimensions; raises as `of`."""
        mine = self._mine(by, tenant_ids)
        if mine is not None and not mine:
            return Edges(0, 0, {})
        with self._catalogue.read(limited=True) as work:
            if not any(subset_of(by).values()):
                return work.figures(mine).edges(asked.since, asked.until)
            sums: Sums = {}
            # An account with a subset has one tenant.
            [tenant_id] = mine or frozenset[str]()
            add_sums(sums, tenant_id, self._told(work, mine, by, asked))
        return Edges(0, 0, sums)

    def top(
        self,
        by: Principal,
        tenant_ids: Collection[str] | None,
        asked: Range,
        dimension: Dimension,
        limit: int = 10,
        edges: Edges | None = None,
    ) -> Sequence[ValueSum]:
        """The values with most calls; raises as `of`.

        Args:
            edges: as `edges` gave them for the same range, where more than one dimension is asked for.
        """
        mine = self._mine(by, tenant_ids)
        if mine is not None and not mine:
            return ()
        edges = edges or self.edges(by, tenant_ids, asked)
        with self._catalogue.read(limited=True) as work:
            return work.figures(mine).top(dimension, asked.since, asked.until, min(limit, MOST_VALUES), edges)

    def listeners(
        self, by: Principal, tenant_ids: Collection[str] | None, asked: Range, limit: int = 10
    ) -> Sequence[Listener]:
        """Who played and downloaded most, as the audit log has it; of the tenants whose log `by` may read, or none."""
        mine = by.tenants(Action.AUDIT)
        if tenant_ids is not None:
            mine = frozenset(tenant_ids) if mine is None else mine & frozenset(tenant_ids)
        if mine is not None and not mine:
            return ()
        with self._catalogue.read(limited=True) as work:
            return work.figures(mine).listeners(asked.since, asked.until, min(limit, MOST_VALUES))

    def _mine(self, by: Principal, tenant_ids: Collection[str] | None) -> frozenset[str] | None:
        """Of which tenants figures are told; None: of all there are."""
        for tenant_id in tenant_ids or ():
            self._trail.require(by, Action.SEARCH, tenant_id)
        return by.tenants(Action.SEARCH) if tenant_ids is None else frozenset(tenant_ids)

    @staticmethod
    def _told(work: Work, mine: Collection[str] | None, by: Principal, asked: Range) -> Tally:
        return tally(work.figures(mine).legs(asked.since, asked.until, **subset_of(by)))


@dataclass(frozen=True)
class _Part:
    """Sums of some calls, each by its quarter of an hour."""

    quarters: dict[int, Sum]
    zone: str

    @classmethod
    def of(cls, told: Tally, zone: str) -> _Part:
        return cls({quarter: Sum(*sums) for quarter, sums in told.quarters.items()}, zone)

    @property
    def total(self) -> Sum:
        return reduce(add, self.quarters.values(), Sum())

    @cached_property
    def days(self) -> dict[int, Sum]:
        return self._by(lambda at: days_since_1970(at.astimezone(ZoneInfo(self.zone)).date()))

    @cached_property
    def hours(self) -> dict[int, Sum]:
        return self._by(lambda at: hour_of_week(at, self.zone))

    def _by(self, place: Callable[[datetime], int]) -> dict[int, Sum]:
        found: dict[int, Sum] = {}
        for quarter, each in self.quarters.items():
            at = place(from_quarter(quarter))
            found[at] = found.get(at, Sum()) + each
        return found
