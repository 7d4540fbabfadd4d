"""A password that somebody else made: it signs in for a while, until another is chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recpipe.access.login import Door
from recpipe.access.principal import Principal
from recpipe.access.reauthentication import Proof
from recpipe.access.ways_in import INITIAL_PASSWORD_TIME
from recpipe.errors import (
    CredentialsRejected,
    InputInvalid,
    ReauthenticationRequired,
)
from recpipe.model import Role, User
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

GIVEN, OWN = "three other lamps", "seven new windows"


def administrator(world: World) -> Principal:
    return world.principal(world.user("admin", Role.ADMINISTRATOR))


def by_token(world: World) -> Principal:
    admin = world.user("admin", Role.ADMINISTRATOR)
    token = world.tokens.create(world.principal(admin), admin.id, "made by a program", ["users"], proof=PROOF)
    return world.access.token(token.secret, ADDRESS)


def made(world: World) -> str:
    return world.accounts.create(world.root, "ann", Role.CLIENT, generate=True).password or ""


def made_anew(world: World) -> str:
    return world.accounts.set_password(world.root, world.user().id).password or ""


def given(world: World) -> str:
    world.accounts.create(administrator(world), "ann", Role.CLIENT, password=GIVEN, proof=PROOF)
    return GIVEN


def given_anew(world: World) -> str:
    world.accounts.set_password(administrator(world), world.user().id, GIVEN, proof=PROOF)
    return GIVEN


def given_by_a_program(world: World) -> str:
    world.accounts.create(by_token(world), "ann", Role.CLIENT, password=GIVEN)
    return GIVEN


WAYS = (made, made_anew, given, given_anew, given_by_a_program)


def ann(world: World) -> User:
    with world.catalogue.read() as work:
        return work.users.by_username("ann")


@pytest.mark.parametrize("way", WAYS)
def test_a_password_of_somebody_elses_making_ends_after_three_days(world: World, way: Callable[[World], str]) -> None:
    password = way(world)
    world.pass_time(seconds=INITIAL_PASSWORD_TIME.total_seconds() - 1)
    session = world.access.sessions.start(world.log_in(password=password), ADDRESS, "")
    assert world.access.sessions.open(session, ADDRESS).name == "ann"
    assert world.access.password("ann", password, ADDRESS, Door.API).principal is not None

    world.pass_time(seconds=1)
    for door in (Door.HTTP, Door.API):
        verified = world.passwords.verifications
        with pytest.raises(CredentialsRejected):
            world.access.password("ann", password, ADDRESS, door)
        assert world.passwords.verifications == verified + 1  # as much work as for any other
        assert world.events("login")[-1].detail["reason"] == "password-expired"


def test_with_it_a_password_is_chosen_that_stays(world: World) -> None:
    password = made(world)
    session = world.access.sessions.start(world.log_in(password=password), ADDRESS, "")
    opened = world.access.sessions.open(session, ADDRESS)
    with pytest.raises(InputInvalid):
        world.accounts.change_own_password(opened, password, password)
    world.accounts.change_own_password(opened, password, OWN)

    assert world.access.sessions.open(session, ADDRESS).name == "ann"
    world.pass_time(days=100)
    assert world.log_in(password=OWN).name == "ann"
    assert ann(world).password_until is None


def test_what_the_operator_types_may_be_the_operators_own_and_stays(world: World) -> None:
    world.user(password=GIVEN)
    world.accounts.set_password(world.root, ann(world).id, PASSWORD)
    world.pass_time(days=30)

    session = world.access.sessions.start(world.log_in(), ADDRESS, "")
    assert world.access.sessions.open(session, ADDRESS).name == "ann"


def test_a_letter_gets_somebody_back_in_whose_initial_password_ended(world: World) -> None:
    given = world.accounts.create(world.root, "ann@acme.example", Role.CLIENT, generate=True).password or ""
    world.pass_time(days=4)
    [link] = world.links.recover("ann@acme.example", ADDRESS)
    with pytest.raises(InputInvalid):
        world.links.reset(link.secret, given, ADDRESS)
    world.links.reset(link.secret, OWN, ADDRESS)

    session = world.access.sessions.start(world.log_in("ann@acme.example", OWN), ADDRESS, "")
    assert world.access.sessions.open(session, ADDRESS).name == "ann@acme.example"


def test_one_that_ended_proves_nothing_in_a_session_that_was_opened_elsewhere(world: World) -> None:
    password = made(world)
    principal = world.principal(ann(world))
    world.accounts.reauthentication.require(principal, Proof(password))
    world.pass_time(days=4)
    with pytest.raises(ReauthenticationRequired):
        world.accounts.reauthentication.require(principal, Proof(password))
