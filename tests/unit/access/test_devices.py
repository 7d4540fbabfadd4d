"""Browsers that signed in before: what others do does not keep them out; a stolen cookie is worth few guesses."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Collection

import pytest

from recpipe.access.lockout import devices_of
from recpipe.access.login import Door
from recpipe.access.principal import Principal
from recpipe.errors import CredentialsRejected, LockedOut
from tests.unit.access.test_totp_secrets import code, enrolled
from tests.unit.access.world import ADDRESS, PASSWORD, World

ELSEWHERE = "198.51.100.23"
Devices = Collection[str]


def knock(
    world: World, devices: Devices = (), password: str = "wrong", address: str = ADDRESS, name: str = "ann"
) -> str:
    """`in`, or the name of the refusal."""
    try:
        world.access.password(name, password, address, Door.HTTP, devices)
    except (CredentialsRejected, LockedOut) as refused:
        return type(refused).__name__
    return "in"


def browser(world: World, name: str = "ann", devices: Devices = (), address: str = ADDRESS) -> tuple[str, ...]:
    """What the cookie of a browser holds after a sign-in."""
    principal: Principal | None = world.access.password(name, PASSWORD, address, Door.HTTP, devices).principal
    assert principal is not None
    return world.access.trust(principal, devices)


def lock_everywhere(world: World, name: str = "ann") -> None:
    for n in range(10):
        knock(world, address=f"203.0.113.{n}", name=name)
    assert knock(world, password=PASSWORD, address="203.0.113.99", name=name) == "LockedOut"


def test_a_browser_that_signed_in_before_passes_the_lock_of_its_account(any_world: World) -> None:
    world = any_world
    world.user()
    known = browser(world)
    lock_everywhere(world)

    assert knock(world, password=PASSWORD, address=ELSEWHERE) == "LockedOut"
    assert knock(world, known, PASSWORD, ELSEWHERE) == "in"


def test_and_that_of_an_address_it_shares_with_an_attacker(world: World) -> None:
    world.user()
    known = browser(world)
    for n in range(10):
        knock(world, name=f"guess{n}")
    for _ in range(10):
        knock(world)

    assert knock(world, password=PASSWORD) == "LockedOut"
    assert knock(world, known, PASSWORD) == "in"


@pytest.mark.parametrize("forged", ["", "x", "A" * 32, "another account's", "cut", "doubled"])
def test_a_forged_cookie_or_one_of_another_account_passes_nothing(world: World, forged: str) -> None:
    world.user()
    world.user("bob")
    own, bobs = browser(world), browser(world, "bob")
    cookies = {"another account's": bobs[0], "cut": own[0][:-1], "doubled": own[0] * 2}
    lock_everywhere(world)

    cookie = cookies.get(forged, forged)
    assert knock(world, devices_of(cookie), PASSWORD, ELSEWHERE) == "LockedOut"
    assert knock(world, (cookie,), PASSWORD, ELSEWHERE) == "LockedOut"


def test_a_stolen_cookie_gives_ten_guesses_an_hour_from_wherever(world: World) -> None:
    world.user()
    stolen = browser(world)
    lock_everywhere(world)

    answers = []
    for n in range(25):  # from an address of its own each
        answers.append(knock(world, stolen, address=f"198.51.100.{n}"))
        world.pass_time(seconds=9)
    assert answers.count("CredentialsRejected") == 10
    assert set(answers[10:]) == {"LockedOut"}
    # Then: other counters open after five minutes, this one does not
    world.pass_time(minutes=6)
    lock_everywhere(world)
    assert knock(world, stolen, PASSWORD, ELSEWHERE) == "LockedOut"


def test_many_guesses_with_a_stolen_cookie_at_once_are_hardly_more_than_ten(any_world: World) -> None:
    world = any_world
    world.user()
    stolen = browser(world)
    lock_everywhere(world)
    before = world.passwords.verifications

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: knock(world, stolen, f"guess {n}", f"198.51.100.{n}"), range(40)))

    assert world.passwords.verifications - before <= 13


def test_failures_of_a_known_browser_lock_out_nobody_else(world: World) -> None:
    world.user()
    known = browser(world)
    for n in range(20):
        knock(world, known, address=f"198.51.100.{n}")
    assert knock(world, password=PASSWORD, address="203.0.113.7") == "in"


def test_who_mistypes_often_on_a_known_browser_waits_like_everybody(world: World) -> None:
    world.user()
    known = browser(world)
    for _ in range(10):
        knock(world, known)
        world.pass_time(seconds=20)
    assert knock(world, known, PASSWORD) == "LockedOut"
    world.pass_time(minutes=6)
    assert knock(world, known, PASSWORD) == "in"


def test_a_browser_is_forgotten_after_90_days(world: World) -> None:
    world.user()
    known = browser(world)
    world.pass_time(days=91)
    lock_everywhere(world)
    assert knock(world, known, PASSWORD) == "LockedOut"


def test_several_people_share_a_browser(world: World) -> None:
    world.user()
    world.user("bob")
    cookie = browser(world, "bob", browser(world))
    assert len(cookie) == 2
    assert browser(world, "bob", cookie) == cookie  # known already: nothing new is made
    lock_everywhere(world)
    lock_everywhere(world, "bob")
    assert [knock(world, cookie, PASSWORD, ELSEWHERE, name) for name in ("ann", "bob")] == ["in", "in"]


def test_a_cookie_that_was_planted_becomes_nobodys_key(world: World) -> None:
    world.user()
    world.user("mallory")
    planted = browser(world, "mallory")
    cookie = browser(world, "ann", planted)
    assert cookie[0] not in planted
    lock_everywhere(world)
    assert knock(world, planted, PASSWORD, ELSEWHERE) == "LockedOut"


@pytest.mark.parametrize("sent", ["", ".", "a.b.c", "A" * 5000, ".".join(["A" * 32] * 9), "\udcff" * 32, "é" * 32])
def test_of_a_cookie_only_what_can_be_ours_is_looked_at(sent: str) -> None:
    assert len(devices_of(sent)) <= 5
    assert all(len(part) == 32 and part.isascii() for part in devices_of(sent))


def test_the_second_factor_is_passed_by_a_known_browser_and_guessed_by_nobody(any_world: World) -> None:
    world = any_world
    _, secret, _ = enrolled(world)
    half = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    known = world.access.trust(world.access.second_factor(half, code(world, secret), ADDRESS), ())
    world.pass_time(seconds=60)
    lock_everywhere(world)
    half = world.access.password("ann", PASSWORD, ELSEWHERE, Door.HTTP, known).ticket or ""
    with pytest.raises(LockedOut):
        world.access.second_factor(half, code(world, secret), ELSEWHERE)
    tries = 0
    with pytest.raises(LockedOut):
        for n in range(20):
            tries = n
            with contextlib.suppress(CredentialsRejected):
                world.access.second_factor(half, "000000", f"198.51.100.{n}", known)
    assert tries == 10


# --- slowing down -----------------------------------------------------------------------------------------


def test_after_five_failures_a_person_waits_longer_each_time(world: World) -> None:
    world.user()
    waits = []
    for _ in range(10):
        try:
            world.access.password("ann", "wrong", ADDRESS, Door.HTTP)
        except CredentialsRejected:
            waits.append(0)
        except LockedOut as locked:
            waits.append(locked.retry_after_seconds)
            with contextlib.suppress(CredentialsRejected):
                world.pass_time(seconds=locked.retry_after_seconds)
                world.access.password("ann", "wrong", ADDRESS, Door.HTTP)
    assert waits[:9] == [0, 0, 0, 0, 0, 0, 1, 2, 4]
    assert waits[9] == 8


def test_waiting_costs_no_computation_and_counts_for_nothing(world: World) -> None:
    world.user()
    for _ in range(6):
        knock(world)
    before = world.passwords.verifications
    for _ in range(50):
        assert knock(world, password=PASSWORD) == "LockedOut"
    assert world.passwords.verifications == before
    world.pass_time(seconds=1)
    assert knock(world, password=PASSWORD) == "in"


def test_a_program_is_not_slowed_down(world: World) -> None:
    acme = world.tenant()
    world.ftp_accounts.create(world.root, acme.id, "nightly", password=PASSWORD)
    for _ in range(9):
        with pytest.raises(CredentialsRejected):
            world.access.ftp("nightly", "wrong", ADDRESS)
    world.access.ftp("nightly", PASSWORD, ADDRESS)


# --- who was attacked -------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["password", "second factor", "ftp"])
def test_each_refusal_names_the_account_that_was_attacked(world: World, door: str) -> None:
    acme = world.tenant()
    world.ftp_accounts.create(world.root, acme.id, "office", password=PASSWORD)
    enrolled(world)
    half = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    for n in range(14):
        with contextlib.suppress(CredentialsRejected, LockedOut):
            if door == "password":
                world.access.password("ann", "wrong", f"198.51.100.{n}", Door.HTTP)
            elif door == "second factor":
                world.access.second_factor(half, "000000", ADDRESS)
            else:
                world.access.ftp("office", "wrong", f"198.51.100.{n}")
    denied = [event for event in world.events("login") if event.outcome == "denied"]
    assert {event.actor for event in denied} == {"ftp:office" if door == "ftp" else "ann"}
    assert denied[-1].detail["reason"] == "locked-out"


def test_a_code_from_a_locked_address_names_the_account_too(world: World) -> None:
    _, secret, _ = enrolled(world)
    half = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    for n in range(10):
        knock(world, name=f"guess{n}")
    with pytest.raises(LockedOut):
        world.access.second_factor(half, code(world, secret), ADDRESS)
    assert (world.events("login")[-1].actor, world.events("login")[-1].detail["reason"]) == ("ann", "locked-out")
