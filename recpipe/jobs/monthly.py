"""Letters with what the calls of the month before came to, to people who asked for them: one a month and person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import add

from recpipe.access import identity
from recpipe.access.principal import Action
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.jobs import letters
from recpipe.jobs.letters import ACTOR
from recpipe.languages import said, written
from recpipe.mail import Mailer
from recpipe.messages import counted, message
from recpipe.model import AuditEvent, AuditQuery, Outcome, Sum, Tenant, User, UserStatus
from recpipe.recordings.figures import Range

LETTER = "statistics"  # among a person's notification choices
EVENT = "statistics.sent"
WITHIN_DAYS = 7  # of the new month; who asks for letters later gets the first one after the month
MOST_SERVICES = 50  # told one by one


@dataclass(frozen=True, slots=True)
class Monthly:
    """One person's letter.

    Attributes:
        first, last: days of the month.
        services: each with its sums of that month and of as many days before.
        further: how many services are not among these.
    """

    person: User
    first: date
    last: date
    services: tuple[tuple[Tenant, Sum, Sum], ...]
    further: int

    @property
    def recipients(self) -> Sequence[User]:
        return (self.person,)

    def was_sent(self, work: Work, now: datetime) -> bool:
        return _was_sent(work, self.person, self.first)

    def text(self, address: str) -> tuple[str, str]:
        month = written(self.first, "%B %Y")
        parts = [
            f"{tenant.title}\n\n"
            f"    {said(counted('{count:,} call', '{count:,} calls', total.calls))}, "
            f"{said(counted('{count:,} minute', '{count:,} minutes', round(total.duration_ms / 60_000)))}"
            f"{_change(total.calls, before.calls)}\n"
            f"    {_sealed(total)}\n\n"
            f"    {address}/statistics?service={tenant.name}&from={self.first}&to={self.last}\n"
            for tenant, total, before in self.services
        ]
        if self.further:
            further = said(counted("{count:,} further service", "{count:,} further services", self.further))
            parts.append(f"{further}: {address}/statistics\n")
        end = said(message("You asked for this letter. End it under My Account: {link}", link=f"{address}/account"))
        return said(message("Your calls in {month}", month=month)), "\n".join(parts) + f"\n{end}\n"

    def event(self, outcome: Outcome, now: datetime) -> AuditEvent:
        return AuditEvent(now, ACTOR, EVENT, outcome, subject=self.person.id, detail={"month": f"{self.first:%Y-%m}"})


def due(work: Work, now: datetime) -> list[Monthly]:
    """What should be sent now. Reads, and changes nothing."""
    today = now.astimezone(UTC).date()
    if today.day > WITHIN_DAYS:
        return []
    last = today.replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    waiting = [person for person in work.users.every() if _wants(person) and not _was_sent(work, person, first)]
    found = (_letter(work, person, first, last) for person in waiting)
    return [letter for letter in found if letter is not None]


def send_due(catalogue: Catalogue, mailer: Mailer, address: str, now: datetime) -> int:
    """Send what is due; how many letters went out. As `letters.send_due`."""
    return len(letters.send_due(catalogue, mailer, address, now, due, "what a month's calls came to"))


def _wants(person: User) -> bool:
    return person.status is UserStatus.ACTIVE and bool(person.email) and person.wants(LETTER)


def _letter(work: Work, person: User, first: date, last: date) -> Monthly | None:
    """None where the person may search nothing, or nothing was called."""
    mine = identity.of_user(person, work.users.grants(person.id), "").tenants(Action.SEARCH)
    services: list[tuple[Tenant, Sum, Sum]] = []
    further = 0
    for tenant in work.tenants.list(mine):
        asked = Range(first, last, tenant.timezone)
        found = work.figures([tenant.id])
        total = reduce(add, found.by_day(asked.stretches).values(), Sum())
        if not total.calls:
            continue
        if len(services) == MOST_SERVICES:
            further += 1
            continue
        before = reduce(add, found.by_day(asked.before.stretches).values(), Sum())
        services.append((tenant, total, before))
    return Monthly(person, first, last, tuple(services), further) if services else None


def _was_sent(work: Work, person: User, first: date) -> bool:
    """Whether it went out; the latest word counts, so a failure means again."""
    for happened in work.audit.list(AuditQuery(action=EVENT, subject=person.id), limit=10).items:
        if happened.detail.get("month") == f"{first:%Y-%m}":
            return happened.outcome is Outcome.OK
    return False


def _change(now: int, before: int) -> str:
    if not before:
        return ""
    change = message("({change} % on as many days before)", change=f"{100 * (now - before) / before:+.0f}")
    return f" {said(change)}"


def _sealed(total: Sum) -> str:
    every = total.recordings
    share = f"{100 * total.sealed / every:.0f} %" if every else message("none")
    return said(
        counted("{share} of {count:,} recording sealed", "{share} of {count:,} recordings sealed", every, share=share)
    )
