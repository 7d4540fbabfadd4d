"""Letters about certificates that expire, with a real mail server and a real catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.people import Users
from recpipe.catalogue.repository import new_id
from recpipe.jobs import reminders
from recpipe.mail import Mailer
from recpipe.model import CertificateState, Grant, Role, StoreFormat, Tenant, TenantCertificate, User, UserStatus
from tests.services.mail import Mailbox
from tests.services.sqlite import new_catalogue

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """A sealed tenant, its client who wants letters, one who does not, and a stranger."""
    opened = Catalogue.open(new_catalogue(tmp_path / "catalogue.sqlite3"))
    tenant = Tenant(new_id(), "acme", "Acme", "UTC", "", False, StoreFormat.SOURCE, NOW)
    other = Tenant(new_id(), "globex", "Globex", "UTC", "", False, StoreFormat.SOURCE, NOW)
    with opened.begin() as work:
        work.tenants.add(tenant)
        work.tenants.add(other)
        for name, wants, of in (("bea", True, tenant), ("quiet", False, tenant), ("stranger", True, other)):
            user = User(
                new_id(),
                name,
                Role.CLIENT,
                UserStatus.ACTIVE,
                NOW,
                email=f"{name}@example.com",
                notifications={"certificates": wants},
            )
            work.users.add(user)
            work.users.set_grants(user.id, [Grant(user.id, of.id)])
    yield opened
    opened.close()


def certificate(catalogue: Catalogue, days_left: float, encryption: bool = True) -> None:
    with catalogue.begin() as work:
        tenant = work.tenants.named("acme")
        work.of(tenant.id).certificates.add(
            TenantCertificate(
                id=new_id(),
                tenant_id=tenant.id,
                label="office",
                der=b"der",
                fingerprint=new_id() * 2,
                subject="CN=acme",
                serial="01",
                key_bits=2048,
                not_before=NOW - timedelta(days=300),
                not_after=NOW + timedelta(days=days_left),
                synthesised=False,
                state=CertificateState.PROVEN,
                added_at=NOW,
            )
        )
        work.tenants.update(replace(tenant, encryption=encryption))


@pytest.mark.parametrize(
    ("days_left", "stage"),
    [(200, None), (90.5, None), (90, 90), (31, 90), (30, 30), (8, 30), (7, 7), (0, 7), (-1, 7), (-8, None)],
)
def test_each_stage_begins_on_its_day(days_left: float, stage: int | None) -> None:
    assert reminders.stage(NOW + timedelta(days=days_left), NOW) == stage


def test_a_reminder_reaches_whoever_can_act_and_wants_it_once(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    certificate(catalogue, days_left=25)
    assert reminders.send_due(catalogue, mailer, "https://p.example", NOW) == 1
    assert reminders.send_due(catalogue, mailer, "https://p.example", NOW + timedelta(hours=1)) == 0
    ((to, letter),) = mailbox.letters
    assert to == ["bea@example.com"]
    assert letter["Subject"] == "The recording certificate of Acme expires in 25 days"
    assert "https://p.example/addons?service=acme" in bytes(letter.get_payload(decode=True)).decode()
    # And the next stage is a letter of its own
    assert reminders.send_due(catalogue, mailer, "https://p.example", NOW + timedelta(days=19)) == 1
    assert len(mailbox.letters) == 2


def test_nobody_is_forgotten_because_there_are_many_users(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Users.list
    monkeypatch.setattr(Users, "list", lambda work, after="": page(work, after, limit=5))
    certificate(catalogue, days_left=25)
    with catalogue.begin() as work:
        for n in range(10):  # two pages, all of them before bea, by name
            work.users.add(User(new_id(), f"a{n}", Role.SERVICE, UserStatus.ACTIVE, NOW))

    assert reminders.send_due(catalogue, mailer, "https://p.example", NOW) == 1
    assert [to for to, _ in mailbox.letters] == [["bea@example.com"]]


def test_a_letter_that_was_refused_is_tried_again(catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox) -> None:
    certificate(catalogue, days_left=5)
    mailbox.refuse = True
    assert reminders.send_due(catalogue, mailer, "", NOW) == 0
    mailbox.refuse = False
    assert reminders.send_due(catalogue, mailer, "", NOW + timedelta(hours=1)) == 1
    assert len(mailbox.letters) == 1


def test_nobody_is_told_of_a_tenant_that_does_not_encrypt(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    certificate(catalogue, days_left=5, encryption=False)
    assert reminders.send_due(catalogue, mailer, "", NOW) == 0
    assert mailbox.letters == []


def test_without_mail_nothing_is_taken_for_sent(catalogue: Catalogue, mailer: Mailer) -> None:
    certificate(catalogue, days_left=5)
    assert reminders.send_due(catalogue, Mailer("", ""), "", NOW) == 0
    assert reminders.send_due(catalogue, mailer, "", NOW) == 1
