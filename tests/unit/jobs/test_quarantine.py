"""Letters about files in quarantine, with a real mail server and a real catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.jobs import quarantine
from recpipe.mail import Mailer
from recpipe.model import Grant, Role, StoreFormat, Tenant, User, UserStatus
from tests.services.mail import Mailbox
from tests.services.sqlite import new_catalogue

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
NUMBER = "02079460958"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """Two tenants; Bea of the first and the administrator Ann asked for letters, Quiet and Unasked did not."""
    opened = Catalogue.open(new_catalogue(tmp_path / "catalogue.sqlite3"))
    acme = Tenant(new_id(), "acme", "Acme", "Europe/Berlin", "", False, StoreFormat.SOURCE, NOW)
    globex = Tenant(new_id(), "globex", "Globex", "UTC", "", False, StoreFormat.SOURCE, NOW)
    with opened.begin() as work:
        work.tenants.add(acme)
        work.tenants.add(globex)
    person(opened, "bea", acme)
    person(opened, "ann", None, role=Role.ADMINISTRATOR)
    person(opened, "quiet", acme, {"quarantine": False})
    person(opened, "unasked", acme, {})
    person(opened, "gone", acme, status=UserStatus.INACTIVE)
    yield opened
    opened.close()


def person(
    catalogue: Catalogue,
    name: str,
    tenant: Tenant | None,
    wanted: dict[str, bool] | None = None,
    role: Role = Role.CLIENT,
    status: UserStatus = UserStatus.ACTIVE,
) -> None:
    wishes = {"quarantine": True} if wanted is None else wanted
    user = User(new_id(), name, role, status, NOW, email=f"{name}@example.com", notifications=wishes)
    with catalogue.begin() as work:
        work.users.add(user)
        work.users.set_grants(user.id, [Grant(user.id, tenant.id)] if tenant else [])


def waits(catalogue: Catalogue, tenant: str | None, hours_ago: int = 3) -> None:
    """A file of this tenant waits, with a telephone number in its name and in the reason."""
    name = f"in-201-{NUMBER}-{new_id()}.wav"
    with catalogue.begin() as work:
        work.quarantine.record(
            spool="berlin",
            path=f"/spool/{name}",
            relative=name,
            tenant_id=work.tenants.named(tenant).id if tenant else None,
            reason="not-audio",
            message=f"{name} is no sound.",
            held=False,
            size_bytes=44,
            at=NOW - timedelta(hours=hours_ago),
        )


def sent(mailbox: Mailbox) -> dict[str, str]:
    """Address -> subject and text of its one letter."""
    found = {}
    for (to,), letter in mailbox.letters:
        assert to not in found, f"{to} got two"
        found[to] = f"{letter['Subject']}\n{bytes(letter.get_payload(decode=True)).decode()}"
    mailbox.letters.clear()
    return found


def send(catalogue: Catalogue, mailer: Mailer, now: datetime = NOW) -> int:
    return quarantine.send_due(catalogue, mailer, "https://p.example", now)


def test_who_asked_is_told_how_many_wait_since_when_and_where_to_look(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    waits(catalogue, "acme", hours_ago=3)
    waits(catalogue, "acme", hours_ago=30)
    assert send(catalogue, mailer) == 2
    letters = sent(mailbox)
    assert set(letters) == {"bea@example.com", "ann@example.com"}
    bea, ann = letters["bea@example.com"], letters["ann@example.com"]
    assert bea.startswith("2 files wait in quarantine\n")
    assert "Acme: 2 files, since 13 Mar 2026, 07:00 (Europe/Berlin)" in bea
    # Each is shown the page that is open to them
    assert "https://p.example/services" in bea and "/system" not in bea
    assert "https://p.example/system" in ann


def test_nobody_is_told_of_a_tenant_that_is_not_theirs(catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox) -> None:
    waits(catalogue, "globex")
    waits(catalogue, None)
    assert send(catalogue, mailer) == 1
    letters = sent(mailbox)
    assert set(letters) == {"ann@example.com"}
    assert "Globex: 1 file," in letters["ann@example.com"]
    assert "Of no known service: 1 file," in letters["ann@example.com"]
    waits(catalogue, "acme")
    assert send(catalogue, mailer) == 1
    assert "Globex" not in sent(mailbox)["bea@example.com"]


def test_no_letter_and_no_record_of_it_has_a_file_name_or_number(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    waits(catalogue, "acme")
    send(catalogue, mailer)
    letters = "".join(sent(mailbox).values())
    assert letters and NUMBER not in letters and ".wav" not in letters
    with catalogue.read() as work:
        events = [e for e in work.audit.list().items if e.action == quarantine.EVENT]
    assert len(events) == 2 and NUMBER not in repr(events)


def test_one_letter_a_day_is_sent_for_as_long_as_files_wait(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    waits(catalogue, "acme")
    hours = [hour for hour in range(49) if send(catalogue, mailer, NOW + timedelta(hours=hour, seconds=-hour))]
    assert hours == [0, 24, 48]
    with catalogue.begin() as work:
        for entry in work.quarantine.list().items:
            work.quarantine.remove(entry.id)
    assert send(catalogue, mailer, NOW + timedelta(days=5)) == 0


def test_a_letter_that_was_refused_is_tried_again(catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox) -> None:
    waits(catalogue, "acme")
    mailbox.refuse = True
    assert send(catalogue, mailer) == 0
    mailbox.refuse = False
    assert send(catalogue, mailer, NOW + timedelta(hours=1)) == 2
    assert send(catalogue, mailer, NOW + timedelta(hours=2)) == 0


def test_without_mail_nothing_is_taken_for_sent(catalogue: Catalogue, mailer: Mailer) -> None:
    waits(catalogue, "acme")
    assert send(catalogue, Mailer("", "")) == 0
    assert send(catalogue, mailer) == 2


def test_a_letter_about_very_many_services_stays_short(catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox) -> None:
    with catalogue.begin() as work:
        for number in range(22):
            name = f"tenant-{number:02}"
            work.tenants.add(Tenant(new_id(), name, name, "UTC", "", False, StoreFormat.SOURCE, NOW))
    for number in range(22):
        waits(catalogue, f"tenant-{number:02}", hours_ago=100 - number)
    assert send(catalogue, mailer) == 1
    letter = sent(mailbox)["ann@example.com"]
    assert letter.startswith("22 files wait") and "and more in 2 other services" in letter
    assert "tenant-00" in letter and "tenant-21" not in letter
