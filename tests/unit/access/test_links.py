from __future__ import annotations

import pytest

from recpipe.errors import CredentialsRejected, Forbidden, InputInvalid, LockedOut
from recpipe.model import LinkPurpose, Outcome, Role, UserStatus
from tests.unit.access.world import ADDRESS, PASSWORD, World


def test_an_invited_person_chooses_a_password_and_is_in(world: World) -> None:
    acme = world.tenant()
    link = world.links.invite(world.root, "ann@example.com", Role.CLIENT, grants={acme.id: []})
    assert link.user.email == "ann@example.com"
    assert world.links.peek(link.secret, LinkPurpose.INVITATION).id == link.user.id

    world.links.accept(link.secret, PASSWORD, ADDRESS, display_name="Ann")

    assert world.log_in("ann@example.com").knows(acme.id)
    with pytest.raises(CredentialsRejected):
        world.links.accept(link.secret, "another good one", ADDRESS)


def test_a_weak_password_leaves_the_invitation_good(world: World) -> None:
    link = world.links.invite(world.root, "ann@example.com", Role.CLIENT)
    with pytest.raises(InputInvalid):
        world.links.accept(link.secret, "short", ADDRESS)
    world.links.accept(link.secret, PASSWORD, ADDRESS)


def test_an_invitation_is_good_for_seven_days_and_the_newest_only(world: World) -> None:
    first = world.links.invite(world.root, "ann@example.com", Role.CLIENT)
    second = world.links.invite_again(world.root, first.user.id)
    with pytest.raises(CredentialsRejected):
        world.links.accept(first.secret, PASSWORD, ADDRESS)

    world.pass_time(days=7)
    with pytest.raises(CredentialsRejected):
        world.links.accept(second.secret, PASSWORD, ADDRESS)


def test_a_user_disabled_meanwhile_cannot_accept(world: World) -> None:
    link = world.links.invite(world.root, "ann@example.com", Role.CLIENT)
    world.accounts.change(world.root, link.user.id, status=UserStatus.INACTIVE)

    with pytest.raises(CredentialsRejected):
        world.links.accept(link.secret, PASSWORD, ADDRESS)


def test_a_recovery_link_gives_a_new_password_once_and_ends_all_sessions(world: World) -> None:
    world.user("ann@example.com")
    session = world.access.sessions.start(world.log_in("ann@example.com"), ADDRESS, "")
    (link,) = world.links.recover("ANN@example.com ", ADDRESS)

    world.links.reset(link.secret, "another good one", ADDRESS)

    assert world.log_in("ann@example.com", "another good one")
    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(session, ADDRESS)
    with pytest.raises(CredentialsRejected):
        world.links.reset(link.secret, "yet another one", ADDRESS)
    assert link.secret not in repr(link)
    assert link.secret not in repr(world.events())


@pytest.mark.parametrize("who", ["unknown", "inactive", "pending", "API user", "without address"])
def test_there_is_no_way_back_for_those_who_were_not_in(world: World, who: str) -> None:
    name = "ann" if who == "without address" else "ann@example.com"
    if who != "unknown":
        user = world.user(name, Role.API if who == "API user" else Role.CLIENT)
        if who in ("inactive", "pending"):
            world.accounts.change(world.root, user.id, status=UserStatus(who))

    assert list(world.links.recover(name, ADDRESS)) == []


def test_a_recovery_link_is_good_for_an_hour(world: World) -> None:
    world.user("ann@example.com")
    (link,) = world.links.recover("ann@example.com", ADDRESS)
    world.pass_time(minutes=60)
    with pytest.raises(CredentialsRejected):
        world.links.reset(link.secret, "another good one", ADDRESS)


@pytest.mark.parametrize("how", ["by oneself", "by another", "another address"])
def test_a_recovery_link_ends_with_a_new_password_or_address(world: World, how: str) -> None:
    user = world.user("ann@example.com")
    (link,) = world.links.recover("ann@example.com", ADDRESS)

    if how == "by oneself":
        world.accounts.change_own_password(world.principal(user), PASSWORD, "another good one")
    elif how == "by another":
        world.accounts.set_password(world.root, user.id, "another good one")
    else:
        world.accounts.change(world.root, user.id, email="ann@elsewhere.example")

    with pytest.raises(CredentialsRejected):
        world.links.reset(link.secret, "the third good one", ADDRESS)


def test_asking_for_an_unknown_name_is_written_down_as_well(world: World) -> None:
    world.links.recover("nobody@example.com", ADDRESS)

    (event,) = world.events("user.recover")
    assert (event.outcome, event.actor, event.subject, event.detail) == (
        Outcome.DENIED,
        "unknown",
        "",
        {"reason": "unknown"},
    )


def test_nobody_floods_a_mailbox(world: World) -> None:
    world.user("ann@example.com")
    with pytest.raises(LockedOut):
        for n in range(11):
            world.links.ask("ann@example.com", f"198.51.100.{n}")
    world.log_in("ann@example.com")  # asking for links is no failed login


def test_links_of_one_purpose_serve_no_other(world: World) -> None:
    invitation = world.links.invite(world.root, "bob@example.com", Role.CLIENT)
    world.user("ann@example.com")
    (recovery,) = world.links.recover("ann@example.com", ADDRESS)

    with pytest.raises(CredentialsRejected):
        world.links.reset(invitation.secret, PASSWORD, ADDRESS)
    with pytest.raises(CredentialsRejected):
        world.links.accept(recovery.secret, PASSWORD, ADDRESS)


def test_whom_nobody_could_let_in_is_not_invited(world: World) -> None:
    acme = world.tenant()
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["users"]}))

    with pytest.raises(InputInvalid):
        world.links.invite(world.root, "robot", Role.API)
    with pytest.raises(Forbidden):
        world.links.invite(clerk, "spy@example.com", Role.CLIENT, grants={acme.id: []})
    with pytest.raises(InputInvalid):
        world.links.invite_again(world.root, world.user("ann").id)
