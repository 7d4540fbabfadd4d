from __future__ import annotations

import pytest

from recpipe.access.principal import Action, Principal
from recpipe.errors import CredentialsRejected, NotFound
from recpipe.model import Role, UserStatus
from tests.unit.access.world import ADDRESS, World


def _signed_in(world: World) -> tuple[str, Principal]:
    secret = world.access.sessions.start(world.log_in(), ADDRESS, "Firefox")
    return secret, world.access.sessions.open(secret, ADDRESS)


def test_a_session_gives_its_user_back_with_the_grants_of_this_moment(world: World) -> None:
    acme = world.tenant()
    user = world.user()
    secret, before = _signed_in(world)
    assert not before.may(Action.PLAY, acme.id)

    world.accounts.change(world.root, user.id, grants={acme.id: []})

    assert world.access.sessions.open(secret, ADDRESS).may(Action.PLAY, acme.id)


def test_the_secret_is_kept_as_a_hash_only(world: World) -> None:
    world.user()
    secret, principal = _signed_in(world)
    with world.catalogue.read() as work:
        (kept,) = work.sessions.list(principal.id)

    assert secret not in repr(kept)
    assert secret != kept.hash
    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(kept.hash, ADDRESS)
    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(kept.id, ADDRESS)


def test_half_an_hour_of_silence_ends_a_session(world: World) -> None:
    world.user()
    secret, _ = _signed_in(world)
    for _ in range(3):
        world.pass_time(minutes=29)
        world.access.sessions.open(secret, ADDRESS)

    world.pass_time(minutes=30)
    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(secret, ADDRESS)


def test_twelve_hours_end_a_session_however_busy_it_is(world: World) -> None:
    world.user()
    secret, principal = _signed_in(world)
    for _ in range(36):
        world.access.sessions.open(secret, ADDRESS)
        world.pass_time(minutes=20)

    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(secret, ADDRESS)
    assert not world.access.still_valid(principal)
    assert world.access.sessions.list(principal) == []


def test_rotating_makes_the_old_secret_worthless(world: World) -> None:
    world.user()
    secret, principal = _signed_in(world)

    fresh = world.access.sessions.rotate(principal)

    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(secret, ADDRESS)
    assert world.access.sessions.open(fresh, ADDRESS).credential_id == principal.credential_id


def test_logging_out_ends_this_session_alone(world: World) -> None:
    world.user()
    (here, me), (there, _) = _signed_in(world), _signed_in(world)

    world.access.sessions.end(me)

    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(here, ADDRESS)
    assert len(world.access.sessions.list(world.access.sessions.open(there, ADDRESS))) == 1


def test_all_other_sessions_can_be_ended(world: World) -> None:
    world.user()
    (here, me), (there, _) = _signed_in(world), _signed_in(world)

    assert world.access.sessions.end_others(me) == 1

    world.access.sessions.open(here, ADDRESS)
    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(there, ADDRESS)


def test_nobody_ends_the_session_of_another(world: World) -> None:
    world.user()
    world.user("mallory")
    _, victim = _signed_in(world)
    mallory = world.log_in("mallory")

    with pytest.raises(NotFound):
        world.access.sessions.end(mallory, victim.credential_id)


@pytest.mark.parametrize("change", ["disabled", "password", "administrator"])
def test_a_changed_user_is_signed_out(world: World, change: str) -> None:
    user = world.user()
    secret, _ = _signed_in(world)
    if change == "disabled":
        world.accounts.change(world.root, user.id, status=UserStatus.INACTIVE)
    elif change == "password":
        world.accounts.set_password(world.root, user.id)
    else:
        world.accounts.change(world.root, user.id, role=Role.ADMINISTRATOR)

    with pytest.raises(CredentialsRejected):
        world.access.sessions.open(secret, ADDRESS)


def test_programs_have_no_web_sessions(world: World) -> None:
    with pytest.raises(ValueError, match="only a person"):
        world.access.sessions.start(world.root, ADDRESS, "")


def test_old_sessions_do_not_pile_up_for_ever(world: World) -> None:
    world.user()
    for _ in range(3):
        _signed_in(world)
        world.pass_time(days=1)

    with world.catalogue.begin() as work:
        assert work.sessions.prune(world.now) == 1
