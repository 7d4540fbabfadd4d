"""Letters about files that wait in quarantine, to whoever asked for them: how many, since when, where to look.

Names of files may hold telephone numbers, so no letter has any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from recpipe.access.principal import Action
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.jobs import letters
from recpipe.jobs.letters import ACTOR, AGAIN_AFTER
from recpipe.languages import said, written
from recpipe.mail import Mailer
from recpipe.messages import counted, message
from recpipe.model import AuditEvent, Outcome, QuarantineTotal, Tenant, User

EVENT = "quarantine.reminded"
MOST_LISTED = 20  # services in one letter


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter that is due."""

    to: User
    waiting: Sequence[tuple[Tenant | None, QuarantineTotal]]  # oldest first; None: of no known service
    may_decide: bool  # to retry and discard them

    @property
    def recipients(self) -> Sequence[User]:
        return (self.to,)

    def was_sent(self, work: Work, now: datetime) -> bool:
        return letters.sent_since(work, EVENT, self.to, now - AGAIN_AFTER)

    def text(self, address: str) -> tuple[str, str]:
        return text_of(self, address)

    def event(self, outcome: Outcome, now: datetime) -> AuditEvent:
        files = sum(total.files for _, total in self.waiting)
        return AuditEvent(
            at=now, actor=ACTOR, action=EVENT, outcome=outcome, subject=self.to.id, detail={"files": files}
        )


def due(work: Work, now: datetime) -> list[Letter]:
    """What should be sent now. Reads, and changes nothing."""
    totals = sorted(work.quarantine.totals(), key=lambda total: total.since)
    if not totals:
        return []
    tenants = {tenant.id: tenant for tenant in work.tenants.list()}
    found = []
    for person, who in letters.readers(work, "quarantine"):
        if letters.sent_since(work, EVENT, person, now - AGAIN_AFTER):
            continue
        may_decide = who.may(Action.QUARANTINE)
        waiting = [
            (tenants.get(total.tenant_id or ""), total)
            for total in totals
            if (may_decide if total.tenant_id is None else who.knows(total.tenant_id))
        ]
        if waiting:
            found.append(Letter(person, waiting, may_decide))
    return found


def send_due(catalogue: Catalogue, mailer: Mailer, address: str, now: datetime) -> int:
    """Send what is due; how many letters went out. As `letters.send_due`."""
    return len(letters.send_due(catalogue, mailer, address, now, due, "files wait in quarantine"))


def text_of(letter: Letter, address: str) -> tuple[str, str]:
    """Subject and text."""
    every = sum(total.files for _, total in letter.waiting)
    lines = [_line(tenant, total) for tenant, total in letter.waiting[:MOST_LISTED]]
    if (more := len(letter.waiting) - MOST_LISTED) > 0:
        rest = counted("    and more in {count} other service\n", "    and more in {count} other services\n", more)
        lines.append(said(rest))
    if letter.may_decide:
        look = message(
            "See why, and try them again or discard them, under Operation > System:\n\n    {address}/system\n\n",
            address=address,
        )
    else:
        look = message(
            "My Services > Voice counts them; an administrator can try them again:\n\n    {address}/services\n\n",
            address=address,
        )
    text = message(
        "Files that could not be ingested wait for a person. None of them is lost.\n\n"
        "{list}\n{look}"
        "You asked for this letter, once a day at most, under My Admin > My Account:\n\n    {address}/account\n",
        list="".join(lines),
        look=look,
        address=address,
    )
    subject = counted("{count:,} file waits in quarantine", "{count:,} files wait in quarantine", every)
    return said(subject), said(text)


def _line(tenant: Tenant | None, total: QuarantineTotal) -> str:
    title, zone = (tenant.title, tenant.timezone) if tenant else (said(message("Of no known service")), "UTC")
    since = total.since.astimezone(ZoneInfo(zone))
    line = counted(
        "    {service}: {count:,} file, since {since} ({zone})\n",
        "    {service}: {count:,} files, since {since} ({zone})\n",
        total.files,
        service=title,
        since=written(since, "%-d %b %Y, %H:%M"),
        zone=zone,
    )
    return said(line)
