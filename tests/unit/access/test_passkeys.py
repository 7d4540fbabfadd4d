"""Passkeys: made with the password, a second factor behind it, enough alone where the device asks who holds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recpipe.access.login import Door
from recpipe.access.passkeys import MOST_PASSKEYS
from recpipe.access.principal import Principal
from recpipe.access.reauthentication import NO_PROOF, Proof
from recpipe.errors import (
    Conflict,
    CredentialsRejected,
    Forbidden,
    InputInvalid,
    LockedOut,
    NotFound,
    ReauthenticationRequired,
)
from recpipe.model import Role, UserStatus
from tests.services.authenticator import Authenticator
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

ORIGIN, HOST = "https://portal.example", "portal.example"


class Desk:
    """ann with a security key."""

    def __init__(self, world: World) -> None:
        self.world, self.passkeys = world, world.parts.passkeys
        self.user = world.user("ann")
        self.key = Authenticator(ORIGIN, HOST)

    def add(self, key: Authenticator | None = None, by: Principal | None = None, label: str = "key ring") -> list[str]:
        by = by or self.world.principal(self.user)
        asked = self.passkeys.begin_registration(by, PROOF)
        return list(self.passkeys.register(by, asked.cookie, (key or self.key).create(asked.options), label))

    def alone(self, key: Authenticator | None = None) -> Principal:
        asked = self.passkeys.begin()
        return self.passkeys.sign_in(asked.cookie, (key or self.key).get(asked.options), "", ADDRESS)

    def ticket(self) -> str:
        """Of a password that is right."""
        login = self.world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP)
        assert login.principal is None and login.ticket is not None
        assert login.passkeys
        return login.ticket


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def test_browsers_and_apps_show_the_operators_own_name(tmp_path: Path) -> None:
    world = World(tmp_path, brand_name="Acme Voice")
    try:
        by = world.principal(world.user("ann"))
        asked = world.parts.passkeys.begin_registration(by, PROOF)
        assert json.loads(asked.options)["rp"] == {"name": "Acme Voice", "id": HOST}
        assert "issuer=Acme%20Voice&" in world.second_factor.begin(by).uri
    finally:
        world.close()


def test_a_passkey_is_made_with_the_password_and_then_asked_for_behind_it(desk: Desk) -> None:
    by = desk.world.principal(desk.user)
    for proof in (NO_PROOF, Proof("wrong")):
        with pytest.raises(ReauthenticationRequired):
            desk.passkeys.begin_registration(by, proof)
    codes = desk.add()
    assert len(codes) == 10
    (kept,) = desk.passkeys.list(by)
    assert (kept.label, kept.sign_count, kept.last_used_at) == ("key ring", 1, None)
    # A password alone opens nothing any more
    ticket = desk.ticket()
    asked = desk.passkeys.begin(ticket)
    ann = desk.passkeys.sign_in(asked.cookie, desk.key.get(asked.options), ticket, ADDRESS)
    assert (ann.id, ann.second_factor) == (desk.user.id, True)
    assert desk.passkeys.list(by)[0].sign_count == 2
    # The ticket was used up, and a recovery code does as well
    with pytest.raises(CredentialsRejected):
        desk.passkeys.begin(ticket)
    assert desk.world.access.second_factor(desk.ticket(), codes[0], ADDRESS).id == desk.user.id
    assert [e.action for e in desk.world.events() if e.action.startswith("passkey")] == ["passkey.add"]


def test_it_signs_in_alone_where_the_device_asked_who_holds_it(desk: Desk) -> None:
    desk.add()
    ann = desk.alone()
    assert (ann.id, ann.second_factor) == (desk.user.id, True)
    assert desk.world.events("login")[-1].detail == {"door": "http", "second_factor": True}
    desk.key.verifies = False
    with pytest.raises(CredentialsRejected):
        desk.alone()
    # Behind the password, holding it is enough
    ticket = desk.ticket()
    asked = desk.passkeys.begin(ticket)
    assert desk.passkeys.sign_in(asked.cookie, desk.key.get(asked.options), ticket, ADDRESS).id == desk.user.id


def test_an_answer_is_good_once_for_its_question_and_for_five_minutes(desk: Desk) -> None:
    desk.key.counts = False  # as keys that are kept on several devices: no counter tells a copy
    desk.add()
    asked = desk.passkeys.begin()
    answer = desk.key.get(asked.options)
    assert desk.passkeys.sign_in(asked.cookie, answer, "", ADDRESS).id == desk.user.id
    other = desk.passkeys.begin()
    late = desk.passkeys.begin()
    for question, given in ((asked, answer), (other, answer), (replace(other, cookie=""), desk.key.get(other.options))):
        with pytest.raises(CredentialsRejected):
            desk.passkeys.sign_in(question.cookie, given, "", ADDRESS)
    desk.world.pass_time(minutes=5)
    with pytest.raises(CredentialsRejected):
        desk.passkeys.sign_in(late.cookie, desk.key.get(late.options), "", ADDRESS)
    # One that was asked behind a password does not sign in without it, nor the other way round
    ticket = desk.ticket()
    behind, alone = desk.passkeys.begin(ticket), desk.passkeys.begin()
    for question, given in ((behind, ""), (alone, ticket)):
        with pytest.raises(CredentialsRejected):
            desk.passkeys.sign_in(question.cookie, desk.key.get(question.options), given, ADDRESS)
    denied = [e for e in desk.world.events("login") if e.outcome == "denied"]
    assert {e.detail["reason"] for e in denied} == {"passkey"}


@pytest.mark.parametrize(
    "lie", ["another origin", "another host", "another key", "an older counter", "another user", "no answer"]
)
def test_what_is_not_signed_as_it_must_be_is_refused(desk: Desk, lie: str) -> None:
    desk.add()
    assert desk.alone().id == desk.user.id
    if lie == "another origin":
        desk.key.origin = "https://portal.example.evil.example"
    elif lie == "another host":
        desk.key.rp_id = "evil.example"
    elif lie == "another key":
        desk.key.key = Authenticator(ORIGIN, HOST).key
    elif lie == "an older counter":  # a copy of the device
        desk.key.counter = 0
    elif lie == "another user":
        desk.key.user = bytes.fromhex(desk.world.user("bob").id)
    asked = desk.passkeys.begin()
    answers = ["", "[]", "{}", "no"] if lie == "no answer" else [desk.key.get(asked.options)]
    for answer in answers:
        with pytest.raises(CredentialsRejected):
            desk.passkeys.sign_in(asked.cookie, answer, "", ADDRESS)


def test_a_registration_is_of_the_session_that_began_it_and_of_our_host(desk: Desk) -> None:
    ann, bob = desk.world.principal(desk.user), desk.world.principal(desk.world.user("bob"))
    asked = desk.passkeys.begin_registration(ann, PROOF)
    answer = desk.key.create(asked.options)
    with pytest.raises(InputInvalid):
        desk.passkeys.register(bob, asked.cookie, answer, "")
    with pytest.raises(InputInvalid):
        desk.passkeys.register(ann, desk.passkeys.begin().cookie, answer, "")
    with pytest.raises(InputInvalid):
        desk.passkeys.register(ann, asked.cookie, Authenticator("https://evil.example", HOST).create(asked.options), "")
    assert desk.passkeys.list(ann) == []
    desk.passkeys.register(ann, asked.cookie, answer, "")
    with pytest.raises(InputInvalid):
        desk.passkeys.register(ann, asked.cookie, answer, "")
    # The same credential is nobody else's
    with pytest.raises(Conflict):
        desk.add(desk.key, bob)


def test_who_removes_the_last_one_signs_in_by_the_password_again(desk: Desk) -> None:
    desk.add()
    by = desk.world.principal(desk.user)
    second = Authenticator(ORIGIN, HOST, id=b"another")
    assert desk.add(second, by, "spare") == []
    first, other = sorted(desk.passkeys.list(by), key=lambda kept: kept.label)
    bob = desk.world.principal(desk.world.user("bob"))
    with pytest.raises(NotFound):
        desk.passkeys.remove(bob, first.id, PROOF)
    with pytest.raises(ReauthenticationRequired):
        desk.passkeys.remove(by, first.id, NO_PROOF)
    desk.passkeys.remove(by, first.id, PROOF)
    with pytest.raises(CredentialsRejected):
        desk.alone()
    assert desk.alone(second).id == desk.user.id
    desk.passkeys.remove(by, other.id, PROOF)
    assert desk.world.log_in().id == desk.user.id


def test_an_administrator_helps_somebody_who_lost_it_and_who_is_disabled_is_out(desk: Desk) -> None:
    desk.add()
    desk.world.accounts.change(desk.world.root, desk.user.id, status=UserStatus.INACTIVE)
    with pytest.raises(CredentialsRejected):
        desk.alone()
    desk.world.accounts.change(desk.world.root, desk.user.id, status=UserStatus.ACTIVE)
    desk.world.second_factor.reset(desk.world.root, desk.user.id)
    assert desk.world.log_in().id == desk.user.id
    with pytest.raises(CredentialsRejected):
        desk.alone()
    with pytest.raises(Forbidden):
        desk.passkeys.begin_registration(desk.world.root, PROOF)


def test_who_has_no_password_does_not_get_past_the_provider(desk: Desk) -> None:
    desk.add()
    with desk.world.catalogue.begin() as work:
        work.users.update(replace(work.users.get(desk.user.id), password_hash=None))
    with pytest.raises(CredentialsRejected):
        desk.alone()


def test_nobody_has_more_than_twenty_however_many_were_begun(desk: Desk) -> None:
    by = desk.world.principal(desk.user)
    begun = [desk.passkeys.begin_registration(by, PROOF) for _ in range(MOST_PASSKEYS + 1)]
    made = [Authenticator(ORIGIN, HOST, id=bytes([at])).create(asked.options) for at, asked in enumerate(begun)]
    for asked, answer in list(zip(begun, made, strict=True))[:MOST_PASSKEYS]:
        desk.passkeys.register(by, asked.cookie, answer, "")
    with pytest.raises(Conflict, match="Remove one"):
        desk.passkeys.register(by, begun[-1].cookie, made[-1], "")
    with pytest.raises(Conflict, match="Remove one"):
        desk.passkeys.begin_registration(by, PROOF)


def test_answers_that_are_made_up_lock_this_way_in_and_no_other(desk: Desk) -> None:
    desk.add(by=desk.world.principal(desk.world.user("bob")))
    for _ in range(10):
        with pytest.raises(CredentialsRejected):
            desk.passkeys.sign_in("", "{}", "", ADDRESS)
    with pytest.raises(LockedOut):
        desk.alone()
    assert len([e for e in desk.world.events("login") if e.outcome == "denied"]) == 10
    assert desk.world.log_in().id == desk.user.id
    desk.world.pass_time(minutes=5)
    assert desk.alone().name == "bob"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, http_url="http://192.0.2.1:8080")
    yield made
    made.close()


def test_without_a_name_and_https_there_are_none_and_the_reason_is_said(bare: World) -> None:
    user = bare.user("ann", Role.CLIENT)
    assert not bare.parts.passkeys.able
    with pytest.raises(Conflict, match="http_url"):
        bare.parts.passkeys.begin_registration(bare.principal(user), PROOF)
    with pytest.raises(Conflict, match="http_url"):
        bare.parts.passkeys.begin()
