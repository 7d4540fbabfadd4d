"""Letters about certificates that expire: 90, 30 and 7 days before, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recpipe import log
from recpipe.access import identity
from recpipe.access.principal import Action
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.jobs import letters
from recpipe.jobs.letters import ACTOR
from recpipe.languages import said
from recpipe.mail import Mailer
from recpipe.messages import counted, message
from recpipe.model import AuditEvent, AuditQuery, Outcome, Tenant, TenantCertificate, User, UserStatus

_log = log.get(__name__)

DAYS_BEFORE = (90, 30, 7)
EVENT = "certificate.reminded"


@dataclass(frozen=True, slots=True)
class Reminder:
    """One letter that is due, to everybody who can do something about it."""

    tenant: Tenant
    certificate: TenantCertificate
    days_before: int  # which of DAYS_BEFORE
    days_left: int  # whole days; negative when it expired
    recipients: tuple[User, ...]

    def was_sent(self, work: Work, now: datetime) -> bool:
        return _was_sent(work, self.certificate, self.days_before)

    def text(self, address: str) -> tuple[str, str]:
        return text_of(self, address)

    def event(self, outcome: Outcome, now: datetime) -> AuditEvent:
        return AuditEvent(
            at=now,
            actor=ACTOR,
            action=EVENT,
            outcome=outcome,
            tenant_id=self.tenant.id,
            subject=self.certificate.id,
            detail={"days_before": self.days_before, "letters": len(self.recipients)},
        )


def due(work: Work, now: datetime) -> list[Reminder]:
    """What should be sent now. Reads, and changes nothing."""
    people = list(work.users.every())
    found = []
    for tenant in work.tenants.list():
        if not tenant.encryption:
            continue
        for certificate in work.of(tenant.id).certificates.list():
            if not certificate.state.trusted:
                continue
            days_before = stage(certificate.not_after, now)
            if days_before is None or _was_sent(work, certificate, days_before):
                continue
            left = (certificate.not_after - now).days
            found.append(Reminder(tenant, certificate, days_before, left, _recipients(work, tenant, people)))
    return found


def stage(expires_at: datetime, now: datetime) -> int | None:
    """Which of DAYS_BEFORE has come, the latest one; None before the first, and once it expired a week ago."""
    left = (expires_at - now).total_seconds() / 86400
    if left < -7:
        return None
    return min((days for days in DAYS_BEFORE if left <= days), default=None)


def send_due(catalogue: Catalogue, mailer: Mailer, address: str, now: datetime) -> int:
    """Send what is due; how many reminders went out. As `letters.send_due`."""
    sent = letters.send_due(catalogue, mailer, address, now, due, "certificates expire")
    for reminder in sent:
        if not reminder.recipients:
            _log.warning("nobody to write to about a certificate that expires", tenant=reminder.tenant.name)
    return len(sent)


def text_of(reminder: Reminder, address: str) -> tuple[str, str]:
    """Subject and text."""
    tenant, certificate, left = reminder.tenant, reminder.certificate, reminder.days_left
    when = counted("expires in {count} day", "expires in {count} days", left) if left >= 0 else message("has expired")
    subject = message("The recording certificate of {service} {when}", service=tenant.title, when=when)
    text = message(
        "The certificate {certificate} of {service} {when} ({day}).\n\n"
        "Once no certificate is valid, new recordings wait until there is one; nothing is stored unsealed and nothing "
        "is lost.\n\n"
        "Make a new key pair, paste its public key and prove it here:\n\n"
        "    {link}\n\n"
        "Keep the old private key: what was sealed for it opens with no other.\n",
        certificate=certificate.label or str(certificate.subject),
        service=tenant.title,
        when=when,
        day=f"{certificate.not_after:%Y-%m-%d}",
        link=f"{address}/addons?service={tenant.name}",
    )
    return said(subject), said(text)


def _was_sent(work: Work, certificate: TenantCertificate, days_before: int) -> bool:
    """Whether this reminder, or a later one, went out; the latest word counts, so a failure means again."""
    query = AuditQuery(action=EVENT, subject=certificate.id)
    for happened in work.of(certificate.tenant_id).audit.list(query, limit=20).items:
        sent_before = happened.detail.get("days_before")
        if isinstance(sent_before, int) and sent_before <= days_before:
            return happened.outcome is Outcome.OK
    return False


def _recipients(work: Work, tenant: Tenant, people: Sequence[User]) -> tuple[User, ...]:
    """Active people who may manage its keys, have an address, and did not say no."""
    return tuple(
        person
        for person in people
        if person.status is UserStatus.ACTIVE
        and person.email
        and person.wants("certificates")
        and identity.of_user(person, work.users.grants(person.id), "").may(Action.KEYS, tenant.id)
    )
