"""Letters with the figures of a month, with a real mail server and a real catalogue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.jobs import monthly
from recpipe.mail import Mailer
from recpipe.model import AuditQuery, Grant, Recording, Role, Tenant, User, UserStatus
from tests.contracts.catalogue_samples import a_recording, keep, kept_tenant
from tests.services.mail import Mailbox
from tests.services.sqlite import new_catalogue

ADDRESS = "https://portal.example.com"


def a_call(tenant: Tenant, at: datetime) -> Recording:
    made = a_recording(tenant, caller="030901820", sealed=True, duration_ms=90_000, started_at=at)
    return replace(made, facts=replace(made.facts, started_at=at))


def test_who_asked_for_it_is_told_once_what_the_month_came_to(tmp_path: Path, mailer: Mailer, mailbox: Mailbox) -> None:
    catalogue = Catalogue.open(new_catalogue(tmp_path / "catalogue.sqlite3"))
    mine = kept_tenant(catalogue, name="acme", title="Acme", timezone="Asia/Kolkata")
    other = kept_tenant(catalogue, name="globex", title="Globex")
    idle = kept_tenant(catalogue, name="idle")
    with catalogue.begin() as work:
        for name, choices, of in (
            ("bea", {"statistics": True}, mine),
            ("quiet", {}, mine),
            ("idle", {"statistics": True}, idle),
        ):
            user = User(
                new_id(),
                name,
                Role.CLIENT,
                UserStatus.ACTIVE,
                datetime(2026, 1, 1, tzinfo=UTC),
                email=f"{name}@example.com",
                notifications=choices,
            )
            work.users.add(user)
            work.users.set_grants(user.id, [Grant(user.id, of.id)])
    # In India it is 1 October already at the first of these, and still 31 October at the last.
    ends = datetime(2026, 9, 30, 18, 30, tzinfo=UTC), datetime(2026, 10, 31, 18, 29, tzinfo=UTC)
    outside = datetime(2026, 9, 30, 18, 29, tzinfo=UTC), datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    keep(catalogue, *(a_call(mine, at) for at in (*ends, *outside)), *(a_call(other, at) for at in ends * 4))
    for day, letters in ((31, 0), (1, 1), (1, 0), (7, 0)):
        now = datetime(2026, 10 if day == 31 else 11, day, 6, tzinfo=UTC)
        assert monthly.send_due(catalogue, mailer, ADDRESS, now) == letters, day
    ((to, letter),) = mailbox.letters
    text = bytes(letter.get_payload(decode=True)).decode()
    assert (to, letter["Subject"]) == (["bea@example.com"], "Your calls in October 2026")
    assert "2 calls, 3 minutes (+100 % on as many days before)" in text and "100 % of 2 recordings sealed" in text
    assert f"{ADDRESS}/statistics?service=acme&from=2026-10-01&to=2026-10-31" in text
    assert f"{ADDRESS}/account" in text and "Globex" not in text and "030901820" not in text
    with catalogue.read() as work:
        [sent] = work.audit.list(AuditQuery(action=monthly.EVENT)).items
        assert sent.detail == {"month": "2026-10"}
    assert monthly.send_due(catalogue, mailer, ADDRESS, datetime(2026, 12, 8, 6, tzinfo=UTC)) == 0
    catalogue.close()
