"""Letters about calls that were not recorded as they should be, to whoever asked for them.

One tells of what is open, once a day at most and not where there is nothing; the other adds up each month. Both have
counts, never a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from recpipe.access.principal import Action
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.jobs import letters
from recpipe.jobs.letters import ACTOR, AGAIN_AFTER
from recpipe.languages import said, written
from recpipe.mail import Mailer
from recpipe.messages import counted, message
from recpipe.model import AuditEvent, CallState, Outcome, Tenant, User

OPEN = "completeness"  # what people ask for
MONTH = "completeness-month"
OPEN_EVENT = "completeness.reminded"
MONTH_EVENT = "completeness.month"
MOST_LISTED = 20  # services in one letter
MONTH_FROM_DAY = 3  # of the next month: by then the time of grace of its last calls is over in every zone
_ALARMING = (CallState.MISSING, CallState.IN_ERROR)


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """What is open, one letter."""

    to: User
    open: Sequence[tuple[Tenant, Counter[CallState]]]

    @property
    def recipients(self) -> Sequence[User]:
        return (self.to,)

    def was_sent(self, work: Work, now: datetime) -> bool:
        return letters.sent_since(work, OPEN_EVENT, self.to, now - AGAIN_AFTER)

    def text(self, address: str) -> tuple[str, str]:
        missing = sum(counts[CallState.MISSING] for _, counts in self.open)
        in_error = sum(counts[CallState.IN_ERROR] for _, counts in self.open)
        without = said(counted("{count:,} call without a recording", "{count:,} calls without a recording", missing))
        wrongly = said(counted("{count:,} call recorded in error", "{count:,} calls recorded in error", in_error))
        subject = message("{without} and {wrongly}", without=without, wrongly=wrongly)
        lines = [
            said(
                message(
                    "    {service}: {missing:,} missing, {in_error:,} recorded in error\n",
                    service=tenant.title,
                    missing=counts[CallState.MISSING],
                    in_error=counts[CallState.IN_ERROR],
                )
            )
            for tenant, counts in self.open[:MOST_LISTED]
        ]
        text = message(
            "These calls were not recorded as they should be, and nothing has put it right:\n\n"
            "{list}\n"
            "See which under Reports > Completeness:\n\n    {address}/completeness\n\n"
            "You asked for this letter, once a day at most, under My Admin > My Account:\n\n    {address}/account\n",
            list=_listed(lines, len(self.open)),
            address=address,
        )
        return said(subject) if missing and in_error else without if missing else wrongly, said(text)

    def event(self, outcome: Outcome, now: datetime) -> AuditEvent:
        found = sum((counts for _, counts in self.open), Counter[CallState]())
        detail = {state.value: found[state] for state in _ALARMING}
        return AuditEvent(at=now, actor=ACTOR, action=OPEN_EVENT, outcome=outcome, subject=self.to.id, detail=detail)


@dataclass(frozen=True, slots=True)
class MonthLetter:
    """A month added up, one letter."""

    to: User
    first: date  # of the month
    totals: Sequence[tuple[Tenant, Sums]]

    @property
    def recipients(self) -> Sequence[User]:
        return (self.to,)

    def was_sent(self, work: Work, now: datetime) -> bool:
        return _month_sent(work, self.to, now)

    def text(self, address: str) -> tuple[str, str]:
        lines = [
            said(
                message(
                    "    {service}: {expected:,} expected, {arrived:,} arrived, {excused:,} excused, "
                    "{missing:,} missing, {in_error:,} recorded in error\n",
                    service=tenant.title,
                    expected=sums.expected,
                    arrived=sums.arrived,
                    excused=sums.excused,
                    missing=sums.missing,
                    in_error=sums.in_error,
                )
            )
            for tenant, sums in self.totals[:MOST_LISTED]
        ]
        last = _next_month(self.first) - timedelta(days=1)
        month = written(self.first, "%B %Y")
        text = message(
            "Were the calls of {month} recorded?\n\n"
            "{list}\n"
            "Day by day, with each finding, under Reports > Completeness:\n\n"
            "    {address}/completeness?from={first}&to={last}\n\n"
            "You asked for this letter, once a month, under My Admin > My Account:\n\n    {address}/account\n",
            month=month,
            list=_listed(lines, len(self.totals)),
            address=address,
            first=self.first,
            last=last,
        )
        return said(message("Call recordings of {month}", month=month)), said(text)

    def event(self, outcome: Outcome, now: datetime) -> AuditEvent:
        detail = {"month": f"{self.first:%Y-%m}"}
        return AuditEvent(at=now, actor=ACTOR, action=MONTH_EVENT, outcome=outcome, subject=self.to.id, detail=detail)


@dataclass(frozen=True, slots=True)
class Sums:
    """Recordings of a month, as the report counts them."""

    expected: int
    arrived: int
    excused: int
    missing: int
    in_error: int


def due(work: Work, now: datetime) -> list[OpenLetter | MonthLetter]:
    """What should be sent now. Reads, and changes nothing."""
    tenants = work.tenants.list()
    return [*_open(work, tenants, now), *_months(work, tenants, now)]


def send_due(catalogue: Catalogue, mailer: Mailer, address: str, now: datetime) -> int:
    """Send what is due; how many letters went out.

    Args:
        address: where people reach the portal.

    Raises:
        CatalogueUnavailable: the database does not answer; nothing is lost, the next run does it.
    """
    return len(letters.send_due(catalogue, mailer, address, now, due, "calls that were not recorded as they should be"))


def _open(work: Work, tenants: Sequence[Tenant], now: datetime) -> list[OpenLetter | MonthLetter]:
    alarming: list[tuple[Tenant, Counter[CallState]]] = []
    for tenant in tenants:
        counts = Counter(work.of(tenant.id).completeness.open_findings())
        if any(counts[state] for state in _ALARMING):
            alarming.append((tenant, counts))
    alarming.sort(key=lambda one: (-one[1][CallState.MISSING], one[0].name))
    found: list[OpenLetter | MonthLetter] = []
    for person, who in letters.readers(work, OPEN) if alarming else ():
        theirs = [one for one in alarming if who.may(Action.SEARCH, one[0].id)]
        if theirs and not letters.sent_since(work, OPEN_EVENT, person, now - AGAIN_AFTER):
            found.append(OpenLetter(person, theirs))
    return found


def _months(work: Work, tenants: Sequence[Tenant], now: datetime) -> list[OpenLetter | MonthLetter]:
    if now.day < MONTH_FROM_DAY:
        return []
    first = (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
    found: list[OpenLetter | MonthLetter] = []
    totals: dict[str, Sums | None] = {}
    for person, who in letters.readers(work, MONTH):
        if _month_sent(work, person, now):
            continue
        theirs = []
        for tenant in tenants:
            if who.may(Action.SEARCH, tenant.id):
                if tenant.id not in totals:
                    totals[tenant.id] = _sums(work, tenant, first)
                if (sums := totals[tenant.id]) is not None:
                    theirs.append((tenant, sums))
        if theirs:
            found.append(MonthLetter(person, first, theirs))
    return found


def _sums(work: Work, tenant: Tenant, first: date) -> Sums | None:
    """Those of a month; None where nothing is known of it."""
    days = work.of(tenant.id).completeness.days(str(first), str(_next_month(first) - timedelta(days=1)))
    if not days:
        return None
    return Sums(
        expected=sum(one.expected for one in days),
        arrived=sum(one.arrived for one in days),
        excused=sum(one.excused for one in days),
        missing=sum(one.of(CallState.MISSING) for one in days),
        in_error=sum(one.of(CallState.IN_ERROR) for one in days),
    )


def _month_sent(work: Work, person: User, now: datetime) -> bool:
    """Whether the letter of the last month went out: none is sent before this one began."""
    return letters.sent_since(work, MONTH_EVENT, person, now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _listed(lines: Sequence[str], every: int) -> str:
    more = every - MOST_LISTED
    rest = counted("    and more in {count} other service\n", "    and more in {count} other services\n", more)
    return "".join(lines) + (said(rest) if more > 0 else "")
