from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from recpipe.access import totp
from recpipe.access.passwords import check_chosen
from recpipe.access.principal import Action
from recpipe.access.reauthentication import Proof
from recpipe.errors import AlreadyExists, Conflict, CredentialsRejected, Forbidden, InputInvalid, LockedOut, NotFound
from recpipe.model import Outcome, Role, UserStatus
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

# --- making users -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["password", "email", "role", "remove", "token"])
def test_a_token_does_to_its_own_person_nothing_that_takes_a_password(world: World, what: str) -> None:
    # Given: a session was stolen, and a token made with it that may do all its person may
    acme = world.tenant()
    ann = world.user("ann@portal.example", Role.CLIENT, {acme.id: []})
    made = world.tokens.create(world.principal(ann), ann.id, "kept", [action.value for action in Action], proof=PROOF)
    token = world.access.token(made.secret, ADDRESS)
    tries: dict[str, Callable[[], object]] = {
        "password": lambda: world.accounts.set_password(token, ann.id, "three other lamps"),
        "email": lambda: world.accounts.change(token, ann.id, email="thief@elsewhere.example"),
        "role": lambda: world.accounts.change(token, ann.id, role=Role.SERVICE),
        "remove": lambda: world.accounts.remove(token, ann.id),
        "token": lambda: world.tokens.create(token, ann.id, "kept longer", ["search"]),
    }
    with pytest.raises(Conflict):
        tries[what]()
    world.log_in("ann@portal.example")


def test_a_generated_password_is_shown_once_and_opens_the_door(world: World) -> None:
    made = world.accounts.create(world.root, "ann", Role.CLIENT, generate=True)
    assert made.password is not None

    assert world.log_in(password=made.password).name == "ann"
    assert check_chosen(made.password) == made.password
    assert made.password not in repr(made)
    assert made.password not in repr(world.events())


def test_an_api_user_has_no_password(world: World) -> None:
    with pytest.raises(InputInvalid):
        world.accounts.create(world.root, "robot", Role.API, generate=True)
    robot = world.user("robot", Role.API)
    with pytest.raises(InputInvalid):
        world.accounts.set_password(world.root, robot.id)


def test_becoming_an_api_user_takes_the_password_away(world: World) -> None:
    user = world.user()
    world.accounts.change(world.root, user.id, role=Role.API)

    assert world.accounts.get(world.root, user.id).user.password_hash is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "cli:root",
        "ftp:acme",
        "ann/rp_x",
        "unknown",
        "Pipeline",
        "an n",
        "ann\n",
        "\u0430nn",
        "-ann",
        "x" * 101,
    ],
)
def test_a_name_that_could_pass_for_something_else_is_refused(world: World, name: str) -> None:
    if name == "ann\n":
        assert world.accounts.create(world.root, name, Role.CLIENT).user.username == "ann"
        return
    with pytest.raises(InputInvalid):
        world.accounts.create(world.root, name, Role.CLIENT)


def test_a_name_is_taken_whatever_its_case(world: World) -> None:
    world.user("Ann@Example.com")
    with pytest.raises(AlreadyExists):
        world.user("ann@example.COM")


@pytest.mark.parametrize(
    "email", ["nobody", "a@b@c", "a b@c.de", "a@c\r\nBcc: x@y", "<a@b>", "a@[", "a@b(", "a@" + "b" * 300]
)
def test_an_address_that_could_break_a_mail_is_refused(world: World, email: str) -> None:
    with pytest.raises(InputInvalid):
        world.accounts.create(world.root, "ann", Role.CLIENT, email=email)


@pytest.mark.parametrize("actions", [["system"], ["tenants"], ["fly"], []])
def test_a_service_user_is_granted_known_actions_by_name(world: World, actions: list[str]) -> None:
    acme = world.tenant()
    with pytest.raises(InputInvalid):
        world.user(role=Role.SERVICE, grants={acme.id: actions})


def test_a_tenant_that_does_not_exist_cannot_be_granted(world: World) -> None:
    with pytest.raises(NotFound):
        world.user(grants={"0" * 32: []})
    assert world.accounts.list(world.root) == []


# --- who may manage whom ----------------------------------------------------------------------------------


def test_a_tenants_own_manager_makes_users_for_that_tenant_only(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    manager = world.principal(world.user("boss", grants={acme.id: []}))

    made = world.accounts.create(manager, "clerk", Role.SERVICE, grants={acme.id: ["play"]}, generate=True, proof=PROOF)
    assert [a.user.username for a in world.accounts.list(manager)] == ["boss", "clerk"]
    assert world.principal(made.user).may(Action.PLAY, acme.id)

    with pytest.raises(NotFound) as foreign:
        world.accounts.create(manager, "spy", Role.CLIENT, grants={other.id: []})
    with pytest.raises(NotFound) as missing:
        world.accounts.create(manager, "spy", Role.CLIENT, grants={"0" * 32: []})
    assert str(foreign.value).replace(other.id, "") == str(missing.value).replace("0" * 32, "")
    for role, grants in ((Role.ADMINISTRATOR, {}), (Role.ADMINISTRATOR, {acme.id: []}), (Role.CLIENT, {})):
        with pytest.raises(Forbidden):
            world.accounts.create(manager, "spy", role, grants=grants)
    assert world.events("users")[-1].outcome is Outcome.DENIED


def test_nobody_grants_more_than_they_have(world: World) -> None:
    acme = world.tenant()
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["users", "search"]}))

    world.accounts.create(clerk, "temp", Role.SERVICE, grants={acme.id: ["search"]}, proof=PROOF)
    for role, actions in ((Role.SERVICE, ["delete"]), (Role.CLIENT, []), (Role.SERVICE, ["upload"])):
        with pytest.raises(Forbidden):
            world.accounts.create(clerk, "spy", role, grants={acme.id: actions})


@pytest.mark.parametrize("attack", ["password", "change", "sessions", "token", "remove", "second factor", "read"])
@pytest.mark.parametrize("victim", ["administrator", "foreign", "shared", "stronger", "nobody's"])
def test_nobody_takes_over_a_user_who_may_do_more(world: World, attack: str, victim: str) -> None:
    acme, other = world.tenant(), world.tenant("other")
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["users", "search"]}))
    role, grants = {
        "administrator": (Role.ADMINISTRATOR, {acme.id: ["search"]}),
        "foreign": (Role.CLIENT, {other.id: ["search"]}),
        "shared": (Role.CLIENT, {acme.id: ["search"], other.id: ["search"]}),
        "stronger": (Role.CLIENT, {acme.id: []}),
        "nobody's": (Role.CLIENT, {}),
    }[victim]
    target = world.user("victim", role, grants)
    attacks = {
        "password": lambda: world.accounts.set_password(clerk, target.id, "my own password 1"),
        "change": lambda: world.accounts.change(clerk, target.id, email="mallory@example.com"),
        "sessions": lambda: world.accounts.end_sessions(clerk, target.id),
        "token": lambda: world.tokens.create(clerk, target.id, "", ["search"]),
        "remove": lambda: world.accounts.remove(clerk, target.id),
        "second factor": lambda: world.second_factor.reset(clerk, target.id),
        "read": lambda: world.accounts.named(clerk, "victim"),
    }

    with pytest.raises(Forbidden if victim in ("shared", "stronger") else NotFound):
        attacks[attack]()

    assert world.accounts.get(world.root, target.id).user == target
    assert "victim" not in [a.user.username for a in world.accounts.list(clerk)]
    assert world.events("users")[-1].outcome is Outcome.DENIED


def test_asking_for_a_hidden_user_by_name_is_like_asking_for_none(world: World) -> None:
    acme = world.tenant()
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["users"]}))
    world.user("hidden", Role.ADMINISTRATOR)

    with pytest.raises(NotFound) as hidden:
        world.accounts.named(clerk, "hidden")
    with pytest.raises(NotFound) as missing:
        world.accounts.named(clerk, "hidde")
    assert str(hidden.value) == str(missing.value).replace("hidde", "hidden")


def test_a_token_of_an_administrator_makes_no_administrator(world: World) -> None:
    chief = world.user("chief", Role.ADMINISTRATOR)
    token = world.access.token(world.tokens.create(world.root, chief.id, "", ["users"]).secret, ADDRESS)

    with pytest.raises(Forbidden):
        world.accounts.create(token, "spy", Role.ADMINISTRATOR)
    with pytest.raises(NotFound):
        world.accounts.set_password(token, chief.id, "my own password 1")


def test_whoever_manages_no_users_lists_none(world: World) -> None:
    acme = world.tenant()
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["search"]}))
    with pytest.raises(Forbidden):
        world.accounts.list(clerk)


# --- changing ---------------------------------------------------------------------------------------------


def test_people_change_their_own_details_and_not_their_rights(world: World) -> None:
    acme = world.tenant()
    user = world.user(grants={acme.id: []})
    me = world.principal(user)

    world.accounts.change(me, user.id, display_name="Ann", contact={"phone": "555"}, notifications={"expiry": True})
    kept = world.accounts.get(me, user.id).user
    assert (kept.display_name, kept.contact, kept.notifications) == ("Ann", {"phone": "555"}, {"expiry": True})

    for rights in ({"role": Role.ADMINISTRATOR}, {"status": UserStatus.ACTIVE}, {"grants": {acme.id: ["upload"]}}):
        with pytest.raises(Conflict):
            world.accounts.change(me, user.id, **rights)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        world.accounts.remove(me, user.id)


def test_a_change_is_audited_with_old_and_new_and_without_details_of_people(world: World) -> None:
    acme = world.tenant()
    user = world.user(grants={acme.id: []})

    world.accounts.change(
        world.root, user.id, role=Role.SERVICE, grants={acme.id: ["play"]}, contact={"phone": "+49301234567"}
    )

    event = world.events("user.change")[-1]
    assert event.detail == {
        "old_role": "client",
        "new_role": "service",
        "old_grants": f"{acme.id}: all",
        "new_grants": f"{acme.id}: play",
        "contact_changed": True,
    }
    assert event.actor == "cli:root"


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "\u202eevil", "x" * 201])
def test_text_that_would_break_a_line_is_refused(world: World, text: str) -> None:
    user = world.user()
    with pytest.raises(InputInvalid):
        world.accounts.change(world.root, user.id, display_name=text)
    with pytest.raises(InputInvalid):
        world.accounts.change(world.root, user.id, contact={"phone": text})


def test_changing_ones_password_takes_the_old_one_and_ends_all_other_sessions(world: World) -> None:
    world.user()
    other = world.access.sessions.start(world.log_in(), ADDRESS, "")
    mine = world.access.sessions.start(world.log_in(), ADDRESS, "")
    me = world.access.sessions.open(mine, ADDRESS)

    with pytest.raises(CredentialsRejected):
        world.accounts.change_own_password(me, "not the old one", "another good one")
    with pytest.raises(InputInvalid):
        world.accounts.change_own_password(me, PASSWORD, "short")
    world.accounts.change_own_password(me, PASSWORD, "another good one")

    assert world.access.sessions.open(mine, ADDRESS).name == "ann"
    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(other, ADDRESS)
    assert world.log_in(password="another good one")


def test_a_stolen_session_cannot_guess_the_password(world: World) -> None:
    world.user()
    me = world.log_in()
    with pytest.raises(LockedOut):
        for n in range(11):
            with pytest.raises(CredentialsRejected):
                world.accounts.reauthentication.require(me, Proof(f"guess {n}"))
    assert world.passwords.verifications == 11  # the login and ten guesses


def test_a_password_is_not_given_to_who_became_an_administrator_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.tenant()
    manager = world.principal(world.user("manager", grants={acme.id: []}))
    ann = world.user("ann", grants={acme.id: []})
    hash_really = world.passwords.hash

    def hash_while_ann_is_promoted(password: str) -> str:
        world.accounts.change(world.root, ann.id, role=Role.ADMINISTRATOR, grants={})
        return hash_really(password)

    monkeypatch.setattr(world.passwords, "hash", hash_while_ann_is_promoted)
    with pytest.raises(NotFound):
        world.accounts.set_password(manager, ann.id, "taken over by me", proof=PROOF)

    assert world.log_in("ann", PASSWORD)


# --- second factor ----------------------------------------------------------------------------------------


def test_a_second_factor_is_on_only_after_a_right_code_and_password(world: World) -> None:
    user = world.user()
    me = world.log_in()
    enrolment = world.second_factor.begin(me)

    with pytest.raises(InputInvalid):
        world.second_factor.confirm(me, PROOF, enrolment.secret, "000000")
    with pytest.raises(InputInvalid):
        world.second_factor.confirm(me, PROOF, "not a secret!", "000000")
    with pytest.raises(CredentialsRejected):
        world.second_factor.confirm(me, Proof("wrong"), enrolment.secret, "000000")

    assert world.accounts.get(world.root, user.id).user.totp_secret == ""
    assert enrolment.secret not in repr(enrolment)


def test_an_administrator_helps_somebody_who_lost_the_phone(world: World) -> None:

    user = world.user()
    me = world.log_in()
    enrolment = world.second_factor.begin(me)
    code = totp.code_at(base64.b32decode(enrolment.secret), int(world.now.timestamp()) // 30)
    old = world.second_factor.confirm(me, PROOF, enrolment.secret, code)
    fresh = world.second_factor.new_recovery_codes(me, PROOF)
    assert not set(old) & set(fresh)
    with pytest.raises(Conflict):
        world.second_factor.reset(me, user.id)
    with pytest.raises(Conflict):
        world.second_factor.confirm(me, PROOF, enrolment.secret, code)

    world.second_factor.reset(world.root, user.id)

    assert world.log_in().name == "ann"
    with pytest.raises(Conflict):
        world.second_factor.new_recovery_codes(world.log_in(), PROOF)


def test_what_was_granted_with_one_tenant_is_not_in_the_log_of_another(world: World) -> None:
    acme, globex = world.tenant(), world.tenant("globex")
    user = world.user(grants={acme.id: [], globex.id: []})

    world.accounts.change(world.root, user.id, grants={acme.id: []})
    world.accounts.change(world.root, user.id, grants={acme.id: ["play"]})

    before, after = world.events("user.change")[-2:]
    assert globex.id in str(before.detail) and before.tenant_id is None
    assert globex.id not in str(after.detail) and after.tenant_id == acme.id
