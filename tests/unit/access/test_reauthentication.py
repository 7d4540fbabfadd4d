"""A session alone opens no way in: what outlives it takes the password or a code, with this very request."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from recpipe.access import totp
from recpipe.access.principal import Principal
from recpipe.access.reauthentication import NO_PROOF, Proof
from recpipe.errors import CredentialsRejected, Forbidden, LockedOut, NotFound, ReauthenticationRequired
from recpipe.model import Outcome, Role, User, UserStatus
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

OTHER_PASSWORD = "four other lamps"


def app_code(world: World, secret: str, later: int = 0) -> str:
    return totp.code_at(base64.b32decode(secret), int(world.now.timestamp()) // 30 + later)


def switch_on(world: World, me: Principal) -> str:
    """Two-factor sign-in for `me`; its secret."""
    secret = world.second_factor.begin(me).secret
    world.second_factor.confirm(me, PROOF, secret, app_code(world, secret))
    return secret


def undo(world: World) -> None:
    """Take back what an attack makes for itself beforehand."""
    with world.catalogue.begin() as work:
        for user in list(work.users.every()):
            if user.username == "new@example.com":
                work.users.remove(user.id)
        for tenant in work.tenants.list():
            for account in work.of(tenant.id).ftp_accounts.list():
                work.of(tenant.id).ftp_accounts.remove(account.id)


Attack = Callable[[World, Principal, User, Proof], object]


def confirm_a_second_factor(w: World, me: Principal, _: User, proof: Proof) -> object:
    secret = w.second_factor.begin(me).secret
    return w.second_factor.confirm(me, proof, secret, app_code(w, secret))


def ftp_password(w: World, me: Principal, _: User, proof: Proof) -> object:
    tenant = next(iter(me.grants))
    account = w.ftp_accounts.create(w.root, tenant, "nightly").account
    return w.ftp_accounts.set_password(me, tenant, account.id, proof=proof)


def ftp_limits(w: World, me: Principal, proof: Proof, **limits: Any) -> object:
    tenant = next(iter(me.grants))
    limited = {"allowed_networks": ["192.0.2.0/24"], "extension": "201"}
    account = w.ftp_accounts.create(w.root, tenant, "nightly", **limited).account  # type: ignore[arg-type]
    w.ftp_accounts.change(me, tenant, account.id, enabled=False)  # whoever is robbed must be quick
    return w.ftp_accounts.change(me, tenant, account.id, **limits, proof=proof)


def invited(w: World, me: Principal) -> User:
    return w.links.invite(w.root, "new@example.com", Role.CLIENT, grants={next(iter(me.grants)): []}).user


ATTACKS: dict[str, Attack] = {
    "own address": lambda w, me, _, proof: w.accounts.change(me, me.id, email="thief@elsewhere.example", proof=proof),
    "own address taken away": lambda w, me, _, proof: w.accounts.change(me, me.id, email="", proof=proof),
    "own token": lambda w, me, _, proof: w.tokens.create(me, me.id, "kept", ["search"], proof=proof),
    "second factor": confirm_a_second_factor,
    "another's address": lambda w, me, o, proof: w.accounts.change(me, o.id, email="thief@else.example", proof=proof),
    "another's password": lambda w, me, o, proof: w.accounts.set_password(me, o.id, OTHER_PASSWORD, proof=proof),
    "another's password made": lambda w, me, o, proof: w.accounts.set_password(me, o.id, proof=proof),
    "another's second factor": lambda w, me, o, proof: w.second_factor.reset(me, o.id, proof),
    "another's token": lambda w, me, o, proof: w.tokens.create(me, o.id, "", ["search"], proof=proof),
    "another's role": lambda w, me, o, proof: w.accounts.change(me, o.id, role=Role.CLIENT, proof=proof),
    "another's grants": lambda w, me, o, proof: w.accounts.change(
        me, o.id, grants={next(iter(me.grants)): ["search", "delete"]}, proof=proof
    ),
    "new user": lambda w, me, _, proof: w.accounts.create(
        me, "spy", Role.CLIENT, grants={next(iter(me.grants)): []}, password=OTHER_PASSWORD, proof=proof
    ),
    "invitation": lambda w, me, _, proof: w.links.invite(
        me, "spy@example.com", Role.CLIENT, grants={next(iter(me.grants)): []}, proof=proof
    ),
    "invitation again": lambda w, me, _, proof: w.links.invite_again(me, invited(w, me).id, proof),
    "approval": lambda w, me, _, proof: w.accounts.change(me, invited(w, me).id, status=UserStatus.ACTIVE, proof=proof),
    "FTP account": lambda w, me, _, proof: w.ftp_accounts.create(me, next(iter(me.grants)), "spy", proof=proof),
    "FTP password": ftp_password,
    "FTP account open to all": lambda w, me, _, proof: ftp_limits(w, me, proof, allowed_networks=()),
    "FTP account that sees all": lambda w, me, _, proof: ftp_limits(w, me, proof, extension=""),
    "FTP account switched on": lambda w, me, _, proof: ftp_limits(w, me, proof, enabled=True),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_session_alone_opens_no_way_in(world: World, attack: str) -> None:
    # Given: Ann's session, and a colleague whom she manages
    acme = world.tenant()
    ann = world.user("ann@example.com", grants={acme.id: []})
    colleague = world.user("carl", Role.SERVICE, {acme.id: ["search"]})
    me = world.access.sessions.open(world.access.sessions.start(world.log_in("ann@example.com"), ADDRESS, ""), ADDRESS)

    # When: somebody with nothing but the session tries, or guesses
    for proof in (NO_PROOF, Proof("not the password"), Proof(code="123456"), Proof(" "), Proof(code=PASSWORD)):
        with pytest.raises(ReauthenticationRequired):
            ATTACKS[attack](world, me, colleague, proof)
        undo(world)

    # Then: nothing was changed, and the log tells of it
    assert world.accounts.get(world.root, ann.id).user == replace(ann, last_login_at=world.now)
    assert world.accounts.get(world.root, colleague.id).user == colleague
    assert world.tokens.list(world.root, ann.id) == world.tokens.list(world.root, colleague.id) == []
    assert not {"spy", "spy@example.com"} & {a.user.username for a in world.accounts.list(world.root)}
    denied = world.events("password.confirm")
    assert {event.outcome for event in denied} == {Outcome.DENIED}
    assert {event.detail["reason"] for event in denied} == {"missing", "wrong"}
    # And: with the password it is done
    undo(world)
    ATTACKS[attack](world, me, colleague, PROOF)


def test_a_code_of_the_app_is_as_good_as_the_password_once(any_world: World) -> None:
    world = any_world
    user = world.user()
    me = world.principal(user)
    secret = switch_on(world, me)
    world.pass_time(seconds=60)
    code = app_code(world, secret)

    # Also where the change is of the very row that remembers the code
    world.accounts.change(me, user.id, email="ann@example.com", proof=Proof(code=f"{code[:3]} {code[3:]}"))

    assert world.accounts.get(world.root, user.id).user.email == "ann@example.com"
    with pytest.raises(ReauthenticationRequired):
        world.tokens.create(me, user.id, "", ["search"], proof=Proof(code=code))
    world.pass_time(seconds=30)
    world.second_factor.switch_off(me, Proof(code=app_code(world, secret)))
    assert world.log_in().name == "ann"


def test_a_proof_is_good_for_one_request_and_one_person(world: World) -> None:
    user, other = world.user(), world.user("bea")
    me = world.principal(user)
    secret = switch_on(world, me)
    world.pass_time(seconds=60)
    proof = Proof(code=app_code(world, secret))

    for label in ("first", "second"):
        world.tokens.create(me, user.id, label, ["search"], proof=proof)

    for by in (world.principal(other), replace(me, credential_id="another session")):
        with pytest.raises(ReauthenticationRequired):
            world.tokens.create(by, by.id, "", ["search"], proof=proof)
    with pytest.raises(ReauthenticationRequired):  # what another request sends is another object
        world.tokens.create(me, user.id, "", ["search"], proof=Proof(code=proof.code))


def test_a_code_opens_nothing_where_no_second_factor_is_on(world: World) -> None:
    user = world.user()
    me = world.principal(user)
    secret = world.second_factor.begin(me).secret

    with pytest.raises(ReauthenticationRequired):
        world.second_factor.confirm(me, Proof(code=app_code(world, secret)), secret, app_code(world, secret))
    with pytest.raises(ReauthenticationRequired):
        world.accounts.change_own_password(me, "", OTHER_PASSWORD)


@pytest.mark.parametrize("kind", ["password", "code"])
def test_guesses_in_a_stolen_session_end_after_ten_and_stop_nobody_else(world: World, kind: str) -> None:
    user = world.user()
    stolen = replace(world.principal(user), credential_id="stolen")
    for n in range(10):
        proof = Proof(f"guess {n}") if kind == "password" else Proof(code=f"{n:06}")
        with pytest.raises(ReauthenticationRequired):
            world.tokens.create(stolen, user.id, "", ["search"], proof=proof)

    for proof in (Proof("guess"), Proof(code="000011"), PROOF):
        with pytest.raises(LockedOut):
            world.tokens.create(stolen, user.id, "", ["search"], proof=proof)

    # Its owner signs in elsewhere, and goes on
    assert world.tokens.create(replace(world.log_in(), credential_id="own"), user.id, "", ["search"], proof=PROOF)
    assert [event.detail["reason"] for event in world.events("password.confirm")] == ["wrong"] * 10 + ["locked-out"]
    world.pass_time(minutes=6)
    assert world.tokens.create(stolen, user.id, "", ["search"], proof=PROOF)


def test_a_right_is_asked_for_before_the_password(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    me = world.principal(world.user(grants={acme.id: []}))
    boss = world.user("boss", Role.ADMINISTRATOR)

    with pytest.raises(Forbidden):
        world.accounts.create(me, "spy", Role.ADMINISTRATOR, proof=PROOF)
    for proof in (NO_PROOF, PROOF):
        for attempt in (
            lambda proof=proof: world.accounts.set_password(me, boss.id, OTHER_PASSWORD, proof=proof),
            lambda proof=proof: world.accounts.change(me, boss.id, email="thief@elsewhere.example", proof=proof),
            lambda proof=proof: world.second_factor.reset(me, boss.id, proof),
            lambda proof=proof: world.tokens.create(me, boss.id, "", ["search"], proof=proof),
            lambda proof=proof: world.ftp_accounts.create(me, other.id, "spy", proof=proof),
        ):
            with pytest.raises(NotFound):
                attempt()
    assert world.accounts.get(world.root, boss.id).user == boss


@pytest.mark.parametrize("attempt", ["token", "second factor"])
def test_nothing_is_done_to_who_became_an_administrator_meanwhile(
    world: World, attempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.tenant()
    manager = world.principal(world.user("manager", grants={acme.id: []}))
    ann = world.user("ann", grants={acme.id: []})
    verify_really = world.passwords.verify

    def verify_while_ann_is_promoted(password: str, kept: str | None) -> bool:
        world.accounts.change(world.root, ann.id, role=Role.ADMINISTRATOR, grants={})
        return verify_really(password, kept)

    monkeypatch.setattr(world.passwords, "verify", verify_while_ann_is_promoted)
    with pytest.raises(NotFound):
        if attempt == "token":
            world.tokens.create(manager, ann.id, "", ["search"], proof=PROOF)
        else:
            world.second_factor.reset(manager, ann.id, PROOF)
    assert world.tokens.list(world.root, ann.id) == []


def test_people_disable_others_and_change_their_own_name_without_a_password(world: World) -> None:
    acme = world.tenant()
    me = world.principal(world.user(grants={acme.id: []}))
    carl = world.user("carl", Role.SERVICE, {acme.id: ["search"]})

    world.accounts.change(me, me.id, display_name="Ann", contact={"phone": "555"})
    world.accounts.change(me, carl.id, status=UserStatus.INACTIVE, display_name="Carl")
    world.accounts.end_sessions(me, carl.id)


# --- what ends with an old password -----------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("way", ["own", "another's"])
def test_a_new_password_ends_what_it_is_told_to(world: World, way: str, ends: tuple[bool, bool]) -> None:
    # Given: two sessions and a token of Ann, and an FTP account of her tenant
    acme = world.tenant()
    user = world.user(grants={acme.id: []})
    open_sessions = [world.access.sessions.start(world.log_in(), ADDRESS, "") for _ in range(2)]
    token = world.tokens.create(world.root, user.id, "nightly", ["search"]).secret
    world.ftp_accounts.create(world.root, acme.id, "pull", password=PASSWORD)
    sessions, tokens = ends
    named = {"end_sessions": sessions, "end_tokens": tokens}
    if ends == (True, True):
        named = {}  # which is what is meant where nothing is said

    # When
    if way == "own":
        me = world.access.sessions.open(open_sessions[1], ADDRESS)
        world.accounts.change_own_password(me, PASSWORD, OTHER_PASSWORD, **named)
    else:
        world.accounts.set_password(world.root, user.id, OTHER_PASSWORD, **named)
    world.pass_time(seconds=1)

    # Then
    def opens(secret: str) -> bool:
        try:
            return bool(world.access.sessions.open(secret, ADDRESS))
        except CredentialsRejected:
            return False

    assert opens(open_sessions[0]) is not sessions
    assert opens(open_sessions[1]) is (way == "own" or not sessions)
    if tokens:
        with pytest.raises(CredentialsRejected):
            world.access.token(token, ADDRESS)
    else:
        assert world.access.token(token, ADDRESS)
    assert world.access.ftp("pull", PASSWORD, ADDRESS)
    ended = (1 if way == "own" else 2) * sessions
    assert world.events("user.password")[-1].detail == {"sessions": ended, "tokens": int(tokens)}


@pytest.mark.parametrize("end_tokens", [True, False])
def test_a_recovered_password_ends_the_tokens_unless_told_otherwise(world: World, end_tokens: bool) -> None:
    user = world.user("ann@example.com")
    token = world.tokens.create(world.root, user.id, "nightly", ["search"]).secret
    (link,) = world.links.recover("ann@example.com", ADDRESS)

    world.links.reset(link.secret, OTHER_PASSWORD, ADDRESS, end_tokens=end_tokens)

    assert world.events("user.reset")[-1].detail == {"sessions": 0, "tokens": int(end_tokens)}
    if end_tokens:
        with pytest.raises(CredentialsRejected):
            world.access.token(token, ADDRESS)
    else:
        assert world.access.token(token, ADDRESS)


def test_a_token_says_from_where_it_was_made_and_used(world: World) -> None:
    user = world.user()
    made = world.tokens.create(world.principal(user, "198.51.100.4"), user.id, "nightly", ["search"], proof=PROOF)
    world.access.token(made.secret, "203.0.113.9")

    (kept,) = world.tokens.list(world.principal(user), user.id)
    assert (kept.created_from, kept.last_used_from, kept.last_used_at) == ("198.51.100.4", "203.0.113.9", world.now)
