"""Letters about calls that were not recorded as they should be, with a real mail server and a real catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.jobs import completeness_letters
from recpipe.mail import Mailer
from recpipe.model import (
    CallState,
    DayCompleteness,
    Direction,
    Finding,
    Grant,
    Role,
    StoreFormat,
    Tenant,
    User,
    UserStatus,
)
from tests.services.mail import Mailbox
from tests.services.sqlite import new_catalogue
from tests.unit.jobs.test_quarantine import sent

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
BOTH = {"completeness": True, "completeness-month": True}


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """Two tenants; Bea of the first and the administrator Ann asked for letters, others did not or may not."""
    opened = Catalogue.open(new_catalogue(tmp_path / "catalogue.sqlite3"))
    with opened.begin() as work:
        for name in ("acme", "globex"):
            work.tenants.add(Tenant(new_id(), name, name.title(), "Europe/Berlin", "", False, StoreFormat.SOURCE, NOW))
    person(opened, "bea")
    person(opened, "ann", role=Role.ADMINISTRATOR)
    person(opened, "unasked", wishes={})
    person(opened, "gone", status=UserStatus.INACTIVE)
    person(opened, "keys", actions=["keys"])
    yield opened
    opened.close()


def person(
    catalogue: Catalogue,
    name: str,
    wishes: dict[str, bool] = BOTH,
    role: Role = Role.CLIENT,
    status: UserStatus = UserStatus.ACTIVE,
    actions: list[str] | None = None,
) -> None:
    user = User(new_id(), name, role, status, NOW, email=f"{name}@example.com", notifications=wishes)
    with catalogue.begin() as work:
        work.users.add(user)
        acme = work.tenants.named("acme").id
        grants = [Grant(user.id, acme, tuple(actions))] if actions else [Grant(user.id, acme)]
        work.users.set_grants(user.id, grants if role is Role.CLIENT else [])


def lacks(catalogue: Catalogue, tenant: str, kind: CallState, day: str = "2026-03-12") -> Finding:
    """A call of a tenant was not recorded as it should be."""
    with catalogue.begin() as work:
        tenant_id = work.tenants.named(tenant).id
        found = Finding(
            id=new_id(),
            tenant_id=tenant_id,
            kind=kind,
            day=day,
            rule="extension:4711:outbound",
            call_id="1763629200.1",
            linked_id="",
            started_at=NOW - timedelta(days=2),
            direction=Direction.OUTBOUND,
            extension="4711",
            spool="pbx",
            recording_id="",
            expected_ms=None,
            actual_ms=None,
            opened_at=NOW - timedelta(days=1),
        )
        work.of(tenant_id).completeness.set_findings([found])
    return found


def counted(catalogue: Catalogue, tenant: str, day: str, **counts: int) -> None:
    named = {name.replace("_", "-"): count for name, count in counts.items()}
    with catalogue.begin() as work:
        kept = work.of(work.tenants.named(tenant).id).completeness
        kept.set_days(day, day, [DayCompleteness(day, "service", named, NOW)])


def send(catalogue: Catalogue, mailer: Mailer, now: datetime = NOW) -> int:
    return completeness_letters.send_due(catalogue, mailer, "https://p.example", now)


def test_who_asked_is_told_how_many_calls_are_not_as_they_should_be(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    lacks(catalogue, "acme", CallState.MISSING)
    lacks(catalogue, "acme", CallState.MISSING)
    lacks(catalogue, "acme", CallState.IN_ERROR)
    lacks(catalogue, "globex", CallState.MISSING)
    lacks(catalogue, "acme", CallState.UNCONFIRMED)
    assert send(catalogue, mailer) == 2
    letters = sent(mailbox)
    assert set(letters) == {"bea@example.com", "ann@example.com"}
    bea, ann = letters["bea@example.com"], letters["ann@example.com"]
    assert bea.startswith("2 calls without a recording and 1 call recorded in error\n")
    assert "Acme: 2 missing, 1 recorded in error" in bea and "https://p.example/completeness" in bea
    assert "Globex" not in bea and "Globex: 1 missing, 0 recorded in error" in ann
    assert "4711" not in bea + ann and "1763629200" not in bea + ann, "counts, never a call"


def test_one_letter_a_day_is_sent_for_as_long_as_something_is_open(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    lacks(catalogue, "globex", CallState.MISSING)
    hours = [hour for hour in range(49) if send(catalogue, mailer, NOW + timedelta(hours=hour, seconds=-hour))]
    assert hours == [0, 24, 48]
    assert {to for (to,), _ in mailbox.letters} == {"ann@example.com"}


@pytest.mark.parametrize("kind", [CallState.DIFFERS, CallState.NO_CALL_RECORD, CallState.UNCONFIRMED])
def test_what_is_no_alarm_is_no_letter(catalogue: Catalogue, mailer: Mailer, kind: CallState) -> None:
    lacks(catalogue, "acme", kind)
    assert send(catalogue, mailer) == 0


def test_a_month_is_added_up_once_its_last_calls_are_judged_and_told_once(
    catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox
) -> None:
    counted(catalogue, "acme", "2026-01-31", arrived=1000)
    counted(catalogue, "acme", "2026-02-01", arrived=40, missing=2, unanswered=5)
    counted(catalogue, "acme", "2026-02-28", arrived=2, recorded_in_error=1)
    counted(catalogue, "acme", "2026-03-01", arrived=1000)
    month = datetime(2026, 3, 1, tzinfo=UTC)
    days = [day for day in range(1, 32) if send(catalogue, mailer, month + timedelta(days=day - 1))]
    assert days == [3]
    letters = sent(mailbox)
    assert set(letters) == {"bea@example.com", "ann@example.com"}
    bea = letters["bea@example.com"]
    assert bea.startswith("Call recordings of February 2026\n")
    assert "Acme: 49 expected, 42 arrived, 5 excused, 2 missing, 1 recorded in error" in bea
    assert "from=2026-02-01&to=2026-02-28" in bea and "Globex" not in letters["ann@example.com"]
    assert send(catalogue, mailer, month + timedelta(days=33)) == 2, "the next month, of which something is known too"


def test_a_letter_that_was_refused_is_tried_again(catalogue: Catalogue, mailer: Mailer, mailbox: Mailbox) -> None:
    lacks(catalogue, "acme", CallState.MISSING)
    counted(catalogue, "acme", "2026-02-01", arrived=1)
    mailbox.refuse = True
    assert send(catalogue, mailer) == 0
    mailbox.refuse = False
    assert send(catalogue, Mailer("", "")) == 0
    assert send(catalogue, mailer, NOW + timedelta(hours=1)) == 4
    assert send(catalogue, mailer, NOW + timedelta(hours=2)) == 0
