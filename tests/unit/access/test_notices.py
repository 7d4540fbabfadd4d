"""Letters to whoever it is done to, and addresses that count once somebody reads there. Over a real mail server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.access.reauthentication import Proof
from recpipe.errors import CredentialsRejected, Forbidden, NotFound, ReauthenticationRequired
from recpipe.mail import Mailer
from recpipe.model import Role, UserStatus
from tests.services.mail import Mailbox
from tests.unit.access.test_reauthentication import app_code, switch_on
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

OLD, NEW = "ann@example.com", "ann@elsewhere.example"


@pytest.fixture
def writing(tmp_path: Path, mailer: Mailer) -> Iterator[World]:
    """A world that sends letters."""
    made = World(tmp_path, mailer=mailer)
    yield made
    made.close()


def letters(world: World, mailbox: Mailbox) -> list[tuple[str, str, str]]:
    """To whom, subject and text of all since the last time."""
    world.parts.outbox.close()
    found = []
    for to, letter in mailbox.letters:
        text = letter.get_payload(decode=True)
        assert isinstance(text, bytes)
        found.append((to[0], str(letter["Subject"]), text.decode()))
    mailbox.letters.clear()
    return found


def secret_of(text: str) -> str:
    found = re.search(r"https://portal\.example/confirm-email#(\S+)", text)
    assert found is not None
    return found[1]


# --- an address counts once it was confirmed --------------------------------------------------------------


def test_a_new_address_counts_once_somebody_reads_there_and_the_old_one_is_told(
    writing: World, mailbox: Mailbox
) -> None:
    # Given: Ann asks for another address
    user = writing.user(OLD)
    me = writing.principal(user)
    changed = writing.accounts.change(me, user.id, email=NEW, display_name="Ann", proof=PROOF).user
    assert (changed.email, changed.email_pending, changed.display_name) == (OLD, NEW, "Ann")

    # Then: a link goes to the new one, word of it to the old one, and a forgotten password still follows the old one
    (to_new, _, link), (to_old, _, told) = letters(writing, mailbox)
    assert (to_new, to_old) == (NEW, OLD)
    assert f"{writing.now:%Y-%m-%d %H:%M} UTC" in told and ADDRESS in told and "https://portal.example/account" in told
    assert secret_of(link) not in told
    (recovery,) = writing.links.recover(OLD, ADDRESS)
    assert recovery.user.email == OLD and writing.links.recover(NEW, ADDRESS) == []

    # When: the link is opened, once
    writing.links.confirm_email(secret_of(link), "203.0.113.9")

    # Then: the new one counts, the old one is told, and neither that link nor a letter of before is good any more
    assert writing.accounts.get(me, user.id).user.email == NEW
    ((to, _, told),) = letters(writing, mailbox)
    assert to == OLD and "203.0.113.9" in told
    for secret in (secret_of(link), recovery.secret):
        with pytest.raises(CredentialsRejected):
            writing.links.confirm_email(secret, ADDRESS)
    with pytest.raises(CredentialsRejected):
        writing.links.reset(recovery.secret, "four other lamps", ADDRESS)
    (event,) = writing.events("user.email")
    assert (event.actor, event.address) == (OLD, "203.0.113.9")


@pytest.mark.parametrize("end", ["kept", "another", "password", "recovered", "disabled", "too late", "set by root"])
def test_the_link_to_a_new_address_is_worth_nothing_after(writing: World, mailbox: Mailbox, end: str) -> None:
    user = writing.user(OLD)
    me = writing.principal(user)
    writing.accounts.change(me, user.id, email=NEW, proof=PROOF)
    secret = secret_of(letters(writing, mailbox)[0][2])

    if end == "kept":
        writing.accounts.keep_email(me, user.id)
    elif end == "another":
        writing.accounts.change(me, user.id, email="third@example.com", proof=PROOF)
    elif end == "password":
        writing.accounts.change_own_password(me, PASSWORD, "four other lamps", end_sessions=False, end_tokens=False)
    elif end == "recovered":
        (link,) = writing.links.recover(OLD, ADDRESS)
        writing.links.reset(link.secret, "four other lamps", ADDRESS)
    elif end == "disabled":
        writing.accounts.change(writing.root, user.id, status=UserStatus.INACTIVE)
    elif end == "set by root":
        writing.accounts.change(writing.root, user.id, email="root@example.com")
    else:
        writing.pass_time(hours=25)

    with pytest.raises(CredentialsRejected):
        writing.links.confirm_email(secret, ADDRESS)
    assert writing.accounts.get(writing.root, user.id).user.email in (OLD, "root@example.com")


def test_saving_ones_name_leaves_an_address_waiting(writing: World, mailbox: Mailbox) -> None:
    user = writing.user(OLD)
    me = writing.principal(user)
    writing.accounts.change(me, user.id, email=NEW, proof=PROOF)
    writing.accounts.change(me, user.id, email=OLD, display_name="Ann")

    assert writing.links.confirm_email(secret_of(letters(writing, mailbox)[0][2]), ADDRESS).email == NEW


def test_an_address_that_a_colleague_changes_waits_as_well(writing: World, mailbox: Mailbox) -> None:
    acme = writing.tenant()
    boss = writing.principal(writing.user("boss", grants={acme.id: []}))
    ann = writing.user(OLD, grants={acme.id: []})
    stranger = writing.principal(writing.user("stranger"))

    assert writing.accounts.change(boss, ann.id, email=NEW, proof=PROOF).user.email == OLD
    (_, _, link), (to, _, told) = letters(writing, mailbox)
    assert to == OLD and "boss" in told
    with pytest.raises((NotFound, Forbidden)):
        writing.accounts.keep_email(stranger, ann.id)
    assert writing.links.confirm_email(secret_of(link), ADDRESS).email == NEW


def test_the_operator_and_a_portal_without_mail_change_an_address_at_once(
    writing: World, world: World, mailbox: Mailbox
) -> None:
    user = writing.user(OLD)
    assert writing.accounts.change(writing.root, user.id, email=NEW).user.email == NEW
    ((to, _, told),) = letters(writing, mailbox)
    assert to == OLD and "the operator" in told

    user = world.user("bea@example.com")
    assert world.accounts.change(world.principal(user), user.id, email=NEW, proof=PROOF).user.email == NEW


def test_taking_ones_address_away_is_told_to_it(writing: World, mailbox: Mailbox) -> None:
    user = writing.user(OLD)
    assert writing.accounts.change(writing.principal(user), user.id, email="", proof=PROOF).user.email == ""
    assert [to for to, _, _ in letters(writing, mailbox)] == [OLD]


# --- ways in ----------------------------------------------------------------------------------------------


def test_new_ways_in_are_told_to_whom_they_belong_with_time_and_origin(writing: World, mailbox: Mailbox) -> None:
    acme = writing.tenant()
    boss = writing.principal(writing.user("boss", grants={acme.id: []}), "198.51.100.4")
    ann = writing.user(OLD, grants={acme.id: []})
    me = writing.principal(ann, "203.0.113.9")

    writing.tokens.create(me, ann.id, "nightly export", ["search"], proof=PROOF)
    secret = switch_on(writing, me)
    writing.pass_time(seconds=60)
    writing.second_factor.new_recovery_codes(me, PROOF)
    writing.second_factor.switch_off(me, Proof(code=app_code(writing, secret)))
    writing.accounts.change_own_password(me, PASSWORD, "four other lamps")
    writing.tokens.create(boss, ann.id, "by boss", ["search"], proof=PROOF)
    writing.accounts.set_password(boss, ann.id, proof=PROOF)
    (link,) = writing.links.recover(OLD, ADDRESS)
    writing.links.reset(link.secret, "five other lamps", "192.0.2.99")

    told = letters(writing, mailbox)
    assert {to for to, _, _ in told} == {OLD}
    origins = ["203.0.113.9"] * 5 + ["198.51.100.4"] * 2 + ["192.0.2.99"]
    assert [re.search(r"From: (\S+)", text)[1] for _, _, text in told] == origins  # type: ignore[index]
    assert [subject for _, subject, _ in told] == [
        "An API token was made",
        "Two-factor sign-in: switched on",
        "Two-factor sign-in: new recovery codes were made",
        "Two-factor sign-in: switched off",
        "Your password was changed",
        "An API token was made",
        "Your password was changed",
        "Your password was changed",
    ]
    assert "nightly export" in told[0][2] and "By:   boss" in told[5][2]
    assert all("UTC" in text and "If not:" in text for _, _, text in told)
    assert secret not in "".join(text for _, _, text in told)


def test_nothing_is_told_of_what_was_refused(writing: World, mailbox: Mailbox) -> None:
    user = writing.user(OLD)
    me = writing.principal(user)
    for attempt in (
        lambda: writing.accounts.change(me, user.id, email=NEW),
        lambda: writing.tokens.create(me, user.id, "", ["search"], proof=Proof("wrong")),
        lambda: writing.accounts.change_own_password(me, "wrong", "four other lamps"),
    ):
        with pytest.raises(ReauthenticationRequired):
            attempt()
    assert letters(writing, mailbox) == []


def test_a_mail_server_that_refuses_stops_nothing(writing: World, mailbox: Mailbox) -> None:
    mailbox.refuse = True
    user = writing.user(OLD)
    writing.accounts.set_password(writing.root, user.id, "four other lamps")
    writing.tokens.create(writing.root, writing.user("robot", Role.API).id, "", ["search"])
    assert letters(writing, mailbox) == []
    assert writing.log_in(OLD, "four other lamps")
