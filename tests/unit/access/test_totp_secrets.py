"""What authenticator apps share with us is encrypted where it is kept, and a lost key has a way back."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from recpipe.access import totp
from recpipe.access.at_rest import AtRest, Purpose
from recpipe.access.login import Access, Door
from recpipe.access.second_factor import SecondFactor
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.errors import CredentialsRejected, SecretUnreadable, SettingsInvalid
from recpipe.model import User
from tests.services.logs import captured
from tests.unit.access.world import ADDRESS, INSTALLATION_KEY, PASSWORD, PROOF, World


def code(world: World, secret: str) -> str:
    return totp.code_at(base64.b32decode(secret), int(world.now.timestamp()) // totp.STEP_SECONDS)


def enrolled(world: World, name: str = "ann") -> tuple[User, str, str]:
    """Somebody with a second factor; the secret, and a recovery code."""
    user = world.user(name)
    me = world.principal(user)
    secret = world.second_factor.begin(me).secret
    codes = world.second_factor.confirm(me, PROOF, secret, code(world, secret))
    world.pass_time(seconds=60)
    return kept(world, user.id), secret, codes[0]


def kept(world: World, user_id: str) -> User:
    with world.catalogue.read() as work:
        return work.users.get(user_id)


def put(world: World, user: User) -> None:
    with world.catalogue.begin() as work:
        work.users.update(user)


def ticket(access: Access, name: str = "ann") -> str:
    return access.password(name, PASSWORD, ADDRESS, Door.HTTP).ticket or ""


def with_another_key(world: World) -> Access:
    secrets = TotpSecrets(AtRest(lambda: [b"k" * 32]))
    return Access(world.catalogue, world.clock, world.passwords, world.trail, secrets, two_factors=False)


def test_the_database_holds_no_secret_that_makes_codes(any_world: World) -> None:
    world = any_world
    user, secret, _ = enrolled(world)

    assert secret not in user.totp_secret and user.totp_secret.startswith("rp1.")
    assert world.access.second_factor(ticket(world.access), code(world, secret), ADDRESS).name == "ann"


def test_secrets_of_earlier_versions_are_encrypted_at_the_start(any_world: World) -> None:
    world = any_world
    ann, secret, _ = enrolled(world)
    bob, _, _ = enrolled(world, "bob")
    put(world, replace(ann, totp_secret=secret))

    assert world.totp_secrets.seal_all(world.catalogue) == 1
    assert world.totp_secrets.seal_all(world.catalogue) == 0

    assert kept(world, ann.id).totp_secret.startswith("rp1.")
    assert kept(world, bob.id).totp_secret == bob.totp_secret
    assert world.access.second_factor(ticket(world.access), code(world, secret), ADDRESS).name == "ann"


def test_a_secret_of_an_earlier_version_is_encrypted_with_its_next_use(any_world: World) -> None:
    world = any_world
    ann, secret, _ = enrolled(world)
    put(world, replace(ann, totp_secret=secret))

    world.access.second_factor(ticket(world.access), code(world, secret), ADDRESS)

    assert kept(world, ann.id).totp_secret.startswith("rp1.")


def test_a_secret_copied_to_another_user_opens_nothing(any_world: World) -> None:
    world = any_world
    mallory, secret, _ = enrolled(world, "mallory")
    ann, _, _ = enrolled(world)
    put(world, replace(ann, totp_secret=mallory.totp_secret))

    with pytest.raises(SecretUnreadable):
        world.access.second_factor(ticket(world.access), code(world, secret), ADDRESS)


@pytest.mark.parametrize("damaged", ["rp1.", "rp1.00000000.", "rp1.zz.%%%", "cut", "flipped"])
def test_a_damaged_secret_is_refused_and_told(world: World, damaged: str) -> None:
    ann, secret, _ = enrolled(world)
    cases = {"cut": ann.totp_secret[:-4], "flipped": ann.totp_secret[:-6] + "AAAAAA"}
    put(world, replace(ann, totp_secret=cases.get(damaged, damaged)))

    with captured() as log, pytest.raises(SecretUnreadable):
        world.access.second_factor(ticket(world.access), code(world, secret), ADDRESS)
    assert [entry["event"] for entry in log] == ["second factor unreadable"]


def test_without_the_key_the_log_says_so_and_there_is_a_way_back(any_world: World) -> None:
    world = any_world
    ann, secret, recovery_code = enrolled(world)
    elsewhere = with_another_key(world)

    # When the key is another one
    with captured() as log:
        TotpSecrets(AtRest(lambda: [b"k" * 32])).seal_all(world.catalogue)
        with pytest.raises(SecretUnreadable) as refused:
            elsewhere.second_factor(ticket(elsewhere), code(world, secret), ADDRESS)
    assert {entry["event"] for entry in log} == {"second factors unreadable", "second factor unreadable"}
    assert refused.value.wanted in str(refused.value) and refused.value.present in str(refused.value)
    assert "recovery.key" in str(refused.value)
    assert world.events("login")[-1].detail["reason"] == "secret-unreadable"
    # Then it is no wrong code: a recovery code still signs in
    assert elsewhere.second_factor(ticket(elsewhere), recovery_code, ADDRESS).name == "ann"
    # And an administrator switches it off
    world.second_factor.reset(world.root, ann.id)
    assert elsewhere.password("ann", PASSWORD, ADDRESS, Door.HTTP).principal is not None


def test_a_wrong_code_without_the_key_cannot_be_guessed_without_end(world: World) -> None:
    enrolled(world)
    elsewhere = with_another_key(world)
    half = ticket(elsewhere)
    answers = []
    for n in range(12):
        with pytest.raises(Exception) as refused:
            elsewhere.second_factor(half, f"{n:06}", ADDRESS)
        answers.append(refused.type.__name__)
    assert answers[-1] == "LockedOut"


def test_one_key_for_each_purpose(world: World) -> None:
    at_rest = AtRest(lambda: [INSTALLATION_KEY])
    closed = at_rest.closed(Purpose.REGISTRATION, "text", "about")
    assert at_rest.opened(Purpose.REGISTRATION, closed, "about") == "text"
    for purpose, about in ((Purpose.SECOND_FACTOR, "about"), (Purpose.REGISTRATION, "other")):
        with pytest.raises(SecretUnreadable):
            at_rest.opened(purpose, closed, about)


def test_without_a_readable_key_nothing_is_kept_in_the_clear(world: World) -> None:
    def broken() -> list[bytes]:
        raise SettingsInvalid("recovery.key holds no recovery key")

    user = world.user()
    me = world.principal(user)
    factor = SecondFactor(world.catalogue, world.accounts, world.clock, TotpSecrets(AtRest(broken)), "recpipe")
    secret = factor.begin(me).secret
    with pytest.raises(SettingsInvalid):
        factor.confirm(me, PROOF, secret, code(world, secret))
    assert kept(world, user.id).totp_secret == ""
    with pytest.raises(CredentialsRejected):
        world.access.second_factor("no ticket", "000000", ADDRESS)
