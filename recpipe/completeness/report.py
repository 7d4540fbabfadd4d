"""What people and programs read of whether calls were recorded, and having it looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue
from recpipe.completeness.assess import assess
from recpipe.errors import QueryInvalid
from recpipe.messages import message
from recpipe.model import CallState, DayCompleteness, Finding, Page, Tenant
from recpipe.times import Clock

MOST_DAYS = 400
_DEFAULT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """Which findings of which days.

    Attributes:
        first, last: days in the tenant's zone, both included.
        rule: None: any.
    """

    first: date
    last: date
    kind: CallState | None = None
    rule: str | None = None
    only_open: bool = False


class CompletenessReport:
    """Reads what was found, for those who may search the tenant's recordings. Thread-safe."""

    def __init__(self, catalogue: Catalogue, trail: AuditTrail, clock: Clock, grace_hours: float) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._clock = clock
        self._grace = timedelta(hours=grace_hours)

    def asked(
        self,
        tenant: Tenant,
        first: date | None,
        last: date | None,
        *,
        kind: CallState | None = None,
        rule: str | None = None,
        only_open: bool = False,
    ) -> Asked:
        """What is asked for; by default of the seven days up to `last`, and that is today in the tenant's zone.

        Raises:
            QueryInvalid: there are no such days.
        """
        last = last or self._clock().astimezone(ZoneInfo(tenant.timezone)).date()
        try:
            first = first or last - timedelta(days=_DEFAULT_DAYS - 1)
        except OverflowError:
            raise QueryInvalid("There are no days before the year 1.") from None
        return Asked(first, last, kind, rule, only_open)

    def days(self, by: Principal, tenant: Tenant, asked: Asked) -> Sequence[DayCompleteness]:
        """Counts by day and rule, oldest first.

        Raises:
            NotFound, Forbidden: `by` may not search this tenant's recordings.
            QueryInvalid: more than 400 days.
        """
        self._allow(by, tenant, asked)
        with self._catalogue.read(limited=True) as work:
            return work.of(tenant.id).completeness.days(str(asked.first), str(asked.last))

    def findings(
        self, by: Principal, tenant: Tenant, asked: Asked, cursor: str | None = None, limit: int = 100
    ) -> Page[Finding]:
        """Findings, the latest call first.

        Raises:
            NotFound, Forbidden, QueryInvalid: as `days`; or the cursor is not of this list.
        """
        self._allow(by, tenant, asked)
        with self._catalogue.read(limited=True) as work:
            return work.of(tenant.id).completeness.findings(
                str(asked.first),
                str(asked.last),
                cursor,
                limit,
                kind=asked.kind,
                rule=asked.rule,
                only_open=asked.only_open,
            )

    def look(self, by: Principal, tenant: Tenant, asked: Asked) -> None:
        """Judge these days anew, as far as their calls are known still.

        Raises:
            NotFound, Forbidden, QueryInvalid: as `days`.
        """
        self._allow(by, tenant, asked)
        assess(self._catalogue, tenant, asked.first, asked.last, self._clock(), self._grace)

    def _allow(self, by: Principal, tenant: Tenant, asked: Asked) -> None:
        self._trail.require(by, Action.SEARCH, tenant.id)
        if asked.last < asked.first:
            raise QueryInvalid("The last day lies before the first.")
        if (asked.last - asked.first).days >= MOST_DAYS:
            raise QueryInvalid(message("A report is of at most {most_days} days.", most_days=MOST_DAYS))


def total(days: Iterable[DayCompleteness]) -> dict[str, int]:
    """Counts over all days and rules."""
    counts: dict[str, int] = {}
    for day in days:
        for word, count in day.counts.items():
            counts[word] = counts.get(word, 0) + count
    return counts
