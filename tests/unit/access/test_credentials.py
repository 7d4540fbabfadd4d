"""API tokens and FTP accounts: who may make them, and what is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from recpipe.errors import AlreadyExists, Conflict, Forbidden, InputInvalid, NotFound
from recpipe.model import Direction, FtpAccountKind, Role
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

# --- tokens -----------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_kept_as_a_hash(world: World) -> None:
    user = world.user()
    made = world.tokens.create(world.principal(user), user.id, "laptop", ["search", "play"], proof=PROOF)

    (kept,) = world.tokens.list(world.root, user.id)
    assert kept.prefix == made.secret[:8]
    assert kept.scopes == ("play", "search")
    assert made.secret not in repr((made, kept, world.events()))


@pytest.mark.parametrize(
    "scopes", [[], ["fly"], ["tenant:" + "a" * 32], ["search", "tenant:acme"], ["upload", "spool:"]]
)
def test_scopes_name_known_things_and_at_least_one_action(world: World, scopes: list[str]) -> None:
    user = world.user()
    with pytest.raises(InputInvalid):
        world.tokens.create(world.root, user.id, "", scopes)


def test_a_token_that_is_born_expired_is_refused(world: World) -> None:
    user = world.user()
    with pytest.raises(InputInvalid):
        world.tokens.create(world.root, user.id, "", ["search"], world.now - timedelta(seconds=1))


def test_a_user_has_a_hundred_live_tokens_at_most(world: World) -> None:
    user = world.user()
    made = [world.tokens.create(world.root, user.id, "", ["search"]) for _ in range(100)]
    with pytest.raises(Conflict):
        world.tokens.create(world.root, user.id, "", ["search"])
    world.tokens.revoke(world.root, made[0].token.id)
    world.tokens.create(world.root, user.id, "", ["search"])


def test_a_token_makes_no_token_with_wider_scopes(world: World) -> None:
    chief = world.user("chief", Role.ADMINISTRATOR)
    acme = world.tenant()
    clerk = world.user("clerk", Role.SERVICE, {acme.id: ["search"]})
    secret = world.tokens.create(world.root, chief.id, "", ["users", "search"]).secret
    token = world.access.token(secret, ADDRESS)

    assert world.tokens.create(token, clerk.id, "", ["search"])
    with pytest.raises(Forbidden):
        world.tokens.create(token, clerk.id, "", ["search", "delete"])
    with pytest.raises(NotFound):
        world.tokens.create(token, chief.id, "", ["users"])


def test_another_users_token_is_not_found(world: World) -> None:
    acme = world.tenant()
    victim = world.user("victim", Role.ADMINISTRATOR)
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["users"]}))
    made = world.tokens.create(world.root, victim.id, "", ["search"])

    with pytest.raises(NotFound) as foreign:
        world.tokens.revoke(clerk, made.token.id)
    with pytest.raises(NotFound) as missing:
        world.tokens.revoke(clerk, "0" * 32)
    assert str(foreign.value).replace(made.token.id, "") == str(missing.value).replace("0" * 32, "")
    assert world.tokens.list(clerk) == []


def test_what_becomes_of_its_people_is_in_the_log_of_their_tenant(world: World) -> None:
    acme, globex = world.tenant("acme"), world.tenant("globex")
    ann = world.user("ann", grants={acme.id: []})
    both = world.user("both", grants={acme.id: [], globex.id: []})

    for user in (ann, both):
        made = world.tokens.create(world.root, user.id, "laptop", ["search"])
        world.tokens.revoke(world.root, made.token.id)
        world.second_factor.reset(world.root, user.id)
    world.links.invite(world.root, "new@example.com", Role.CLIENT, grants={acme.id: []})

    with world.catalogue.read() as work:
        theirs = [event.action for event in work.of(acme.id).audit.list().items]
    assert theirs.count("token.create") == theirs.count("token.revoke") == 1
    assert theirs.count("user.second-factor-off") == theirs.count("user.invite") == 1


def test_a_leaked_token_can_end_itself(world: World) -> None:
    user = world.user(role=Role.API)
    made = world.tokens.create(world.root, user.id, "", ["search"])

    revoked = world.tokens.revoke(world.access.token(made.secret, ADDRESS), made.token.id)

    assert revoked.revoked_at == world.now


# --- FTP accounts -----------------------------------------------------------------------------------------


def test_an_ftp_password_is_shown_once(world: World) -> None:
    acme = world.tenant()
    made = world.ftp_accounts.create(world.root, acme.id, "acme")
    assert made.password is not None

    assert world.access.ftp("acme", made.password, ADDRESS)
    assert made.password not in repr((made, world.events()))
    fresh = world.ftp_accounts.set_password(world.root, acme.id, made.account.id)
    assert fresh.password not in (None, made.password)
    assert fresh.account.generation == made.account.generation + 1


@pytest.mark.parametrize(
    "bad",
    [
        {"username": "a"},
        {"username": "no spaces"},
        {"username": "ftp:x"},
        {"username": "../etc"},
        {"allowed_networks": ["192.0.2.0/33"]},
        {"allowed_networks": ["anywhere"]},
        {"allowed_networks": [f"192.0.2.{n}" for n in range(51)]},
        {"password": "short"},
        {"spool": "berlin"},
        {"kind": FtpAccountKind.UPLOADER},
        {"kind": FtpAccountKind.UPLOADER, "spool": "berlin", "extension": "201"},
    ],
    ids=str,
)
def test_an_ftp_account_that_cannot_be_is_refused(world: World, bad: dict[str, Any]) -> None:
    acme = world.tenant()
    with pytest.raises(InputInvalid):
        world.ftp_accounts.create(world.root, acme.id, **{"username": "acme", **bad})
    assert world.ftp_accounts.list(world.root, acme.id) == []


def test_a_user_name_is_one_tenants_only(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    world.ftp_accounts.create(world.root, acme.id, "office")
    with pytest.raises(AlreadyExists):
        world.ftp_accounts.create(world.root, other.id, "OFFICE")


def test_a_change_keeps_the_rest_and_is_audited_with_old_and_new(world: World) -> None:
    acme = world.tenant()
    account = world.ftp_accounts.create(world.root, acme.id, "acme", direction=Direction.INBOUND).account

    changed = world.ftp_accounts.change(
        world.root, acme.id, account.id, allowed_networks=["192.0.2.7", "2001:db8::/32"]
    )

    assert changed.direction is Direction.INBOUND
    assert changed.allowed_networks == ("192.0.2.7/32", "2001:db8::/32")
    assert world.events("ftp-account.change")[-1].detail == {
        "old_allowed_networks": "",
        "new_allowed_networks": "192.0.2.7/32 2001:db8::/32",
    }
    assert world.ftp_accounts.change(world.root, acme.id, account.id, any_direction=True).direction is None


def test_tenants_manage_their_readers_and_never_a_media_server(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    boss = world.principal(world.user(grants={acme.id: []}))
    pbx = world.ftp_accounts.create(
        world.root, acme.id, "pbx1", kind=FtpAccountKind.UPLOADER, spool="berlin", password=PASSWORD
    ).account
    foreign = world.ftp_accounts.create(world.root, other.id, "other").account
    mine = world.ftp_accounts.create(boss, acme.id, "acme", proof=PROOF).account

    assert world.ftp_accounts.disable(boss, acme.id, mine.id).enabled is False
    with pytest.raises(Forbidden):
        world.ftp_accounts.set_password(boss, acme.id, pbx.id)
    with pytest.raises(Forbidden):
        world.ftp_accounts.remove(boss, acme.id, pbx.id)
    with pytest.raises(Forbidden):
        world.ftp_accounts.create(boss, acme.id, "pbx2", kind=FtpAccountKind.UPLOADER, spool="berlin")
    with pytest.raises(Forbidden):
        world.ftp_accounts.list(boss, None)
    for tenant_id in (acme.id, other.id):
        with pytest.raises(NotFound):
            world.ftp_accounts.set_password(boss, tenant_id, foreign.id)


def test_a_service_user_without_ftp_manages_no_accounts(world: World) -> None:
    acme = world.tenant()
    clerk = world.principal(world.user(role=Role.SERVICE, grants={acme.id: ["search"]}))
    with pytest.raises(Forbidden):
        world.ftp_accounts.list(clerk, acme.id)
