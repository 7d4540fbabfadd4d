"""Registering: the address is proven first, and no password of a stranger is ever taken over."""

from __future__ import annotations

import pytest

from recpipe.access.at_rest import AtRest
from recpipe.access.registration import Registration
from recpipe.errors import CredentialsRejected, InputInvalid, LockedOut, NotFound
from recpipe.model import Role, UserStatus
from tests.unit.access.world import ADDRESS, PASSWORD, World

ANN = "ann@example.com"


def test_who_registers_is_approved_by_a_link_to_the_proven_address(any_world: World) -> None:
    world = any_world
    acme = world.tenant()
    secret = world.registration.ask(ANN, ADDRESS, display_name="Ann Lee")
    assert world.accounts.list(world.root) == []  # nothing to approve yet, nor of strangers to keep

    user = world.registration.confirm(secret, ADDRESS)
    assert user is not None
    assert (user.status, user.email, user.display_name, user.password_hash) == (
        UserStatus.REGISTERED,
        ANN,
        "Ann Lee",
        None,
    )
    with pytest.raises(CredentialsRejected):
        world.log_in(ANN)

    world.accounts.change(world.root, user.id, grants={acme.id: []})
    link = world.links.invite_again(world.root, user.id)
    assert (link.user.email, link.user.status) == (ANN, UserStatus.PENDING)
    world.links.accept(link.secret, PASSWORD, ADDRESS)
    assert world.log_in(ANN).knows(acme.id)


def test_a_password_that_a_stranger_typed_before_is_not_taken_over(world: World) -> None:
    # Given: a row as earlier versions left it, whose password is an attacker's
    user = world.registration.confirm(world.registration.ask(ANN, ADDRESS), ADDRESS)
    assert user is not None
    world.accounts.set_password(world.root, user.id, PASSWORD)

    world.links.invite_again(world.root, user.id)

    assert world.accounts.get(world.root, user.id).user.password_hash is None


def test_activating_who_registered_leaves_no_way_in_but_a_link(world: World) -> None:
    user = world.registration.confirm(world.registration.ask(ANN, ADDRESS), ADDRESS)
    assert user is not None
    world.accounts.change(world.root, user.id, status=UserStatus.ACTIVE)
    with pytest.raises(CredentialsRejected):
        world.log_in(ANN)
    (link,) = world.links.recover(ANN, ADDRESS)
    world.links.reset(link.secret, PASSWORD, ADDRESS)
    world.log_in(ANN)


def test_asking_is_the_same_for_known_and_unknown_addresses(world: World) -> None:
    world.user(ANN)
    known, unknown = (world.registration.ask(name, ADDRESS) for name in (ANN, "bob@example.com"))

    assert len(known) == len(unknown)
    assert world.registration.is_known("ANN@example.com")
    assert not world.registration.is_known("bob@example.com")


def test_a_link_for_a_taken_name_changes_nothing(world: World) -> None:
    secret = world.registration.ask("ANN@example.com", ADDRESS)
    user = world.user(ANN)

    assert world.registration.confirm(secret, ADDRESS) is None

    assert world.accounts.get(world.root, user.id).user == user
    assert world.events("user.register")[-1].detail == {"reason": "taken"}


def test_a_link_is_good_for_a_day_and_opened_twice_it_registers_once(world: World) -> None:
    secret, late = world.registration.ask(ANN, ADDRESS), world.registration.ask("bob@example.com", ADDRESS)
    assert world.registration.confirm(secret, ADDRESS) is not None
    assert world.registration.confirm(secret, ADDRESS) is None
    world.pass_time(hours=24, seconds=1)
    with pytest.raises(CredentialsRejected):
        world.registration.confirm(late, ADDRESS)


def test_who_was_deleted_is_not_registered_again_by_a_link_asked_for_before(world: World) -> None:
    secret, another = world.registration.ask(ANN, ADDRESS), world.registration.ask("ANN@example.com", ADDRESS)
    world.pass_time(minutes=1)
    user = world.registration.confirm(secret, ADDRESS)
    assert user is not None
    world.accounts.remove(world.root, user.id)
    for link in (secret, another):
        with pytest.raises(CredentialsRejected):
            world.registration.confirm(link, ADDRESS)
    assert world.accounts.list(world.root) == []
    # Then: who asks again may be registered again
    world.pass_time(minutes=1)
    assert world.registration.confirm(world.registration.ask(ANN, ADDRESS), ADDRESS) is not None


@pytest.mark.parametrize("forged", ["", "rp1", "rp1.", "rp1.00000000.AAAA", "cut", "longer", "of another installation"])
def test_a_forged_link_registers_nobody(world: World, forged: str) -> None:
    secret = world.registration.ask(ANN, ADDRESS)
    another = Registration(world.catalogue, AtRest(lambda: [b"x" * 32]), world.clock, world.trail)
    texts = {"cut": secret[:-3], "longer": secret + "AAAA", "of another installation": another.ask(ANN, ADDRESS)}
    with pytest.raises(CredentialsRejected):
        world.registration.confirm(texts.get(forged, forged), ADDRESS)
    assert world.accounts.list(world.root) == []


@pytest.mark.parametrize("name", ["", "ann", "a b@example.com", "ann@example.com\nBcc: x@example.com"])
def test_only_an_address_registers(world: World, name: str) -> None:
    with pytest.raises(InputInvalid):
        world.registration.ask(name, ADDRESS)


def test_neither_a_client_nor_somebodys_mailbox_is_flooded(world: World) -> None:
    for n in range(10):
        world.registration.ask(f"user{n}@example.com", ADDRESS)
        world.registration.ask(ANN, f"198.51.100.{n}")
    for name, address in (("user11@example.com", ADDRESS), (ANN, "198.51.100.99")):
        with pytest.raises(LockedOut):
            world.registration.ask(name, address)
    world.pass_time(minutes=6)
    world.registration.ask(ANN, ADDRESS)


@pytest.mark.parametrize("how", ["create", "change"])
def test_nobody_is_made_a_person_who_registered(world: World, how: str) -> None:
    with pytest.raises(InputInvalid):
        if how == "create":
            world.accounts.create(world.root, "bob", Role.CLIENT, password=PASSWORD, status=UserStatus.REGISTERED)
        else:
            world.accounts.change(world.root, world.user().id, status=UserStatus.REGISTERED)


def test_only_who_may_manage_users_approves(world: World) -> None:
    user = world.registration.confirm(world.registration.ask(ANN, ADDRESS), ADDRESS)
    assert user is not None
    clerk = world.principal(world.user("clerk", grants={world.tenant().id: ["users"]}))
    with pytest.raises(NotFound):
        world.links.invite_again(clerk, user.id)
