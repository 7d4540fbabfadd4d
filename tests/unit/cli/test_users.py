from __future__ import annotations

from typing import Any

import pytest

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.settings import load
from tests.unit.cli.conftest import Cli

PASSWORD = "three quiet lamps"


def test_a_user_gets_a_password_that_is_shown_once(cli: Cli, acme: Any) -> None:
    made = cli.json("user", "create", "ann@acme.example", "--grant", "acme:search,play")
    assert len(made["password"]) >= 20
    assert made["user"]["email"] == "ann@acme.example"
    assert made["user"]["grants"] == [{"tenant_id": acme["id"], "actions": ["play", "search"]}]
    done = cli.run("user", "list")
    assert made["password"] not in done.out
    assert "acme:play,search" in done.out
    assert cli.json("user", "list")["items"] == [made["user"]]


def test_a_password_of_ones_own_comes_from_standard_input_and_is_not_repeated(cli: Cli, acme: Any) -> None:
    done = cli.run("user", "create", "ann", "--grant", "acme", "--password-stdin", stdin=f"{PASSWORD}\nmore\n")
    assert PASSWORD not in done.out + done.err
    assert "shown this once" not in done.out


@pytest.mark.parametrize("given", ["", "\n", "short\n"])
def test_a_password_that_cannot_be_is_misuse(cli: Cli, given: str) -> None:
    assert (
        cli.json("user", "create", "ann", "--password-stdin", stdin=given, code=2)["error"]["type"] == "input-invalid"
    )
    assert cli.json("user", "list")["items"] == []


def test_two_ways_to_a_password_are_one_too_many(cli: Cli) -> None:
    cli.run("user", "create", "ann", "--password-stdin", "--ask-password", code=2)


def test_a_user_without_a_tenant_is_told_that_it_can_do_nothing(cli: Cli) -> None:
    assert "--grant" in cli.run("user", "create", "ann").err


def test_grants_are_added_replaced_and_taken_away(cli: Cli, acme: Any) -> None:
    globex = cli.json("tenant", "create", "globex")
    cli.run("user", "create", "ann", "--grant", "acme:search")
    changed = cli.json("user", "set", "ann", "--grant", "globex:play", "--grant", "acme:play")["user"]
    assert {g["tenant_id"]: g["actions"] for g in changed["grants"]} == {acme["id"]: ["play"], globex["id"]: ["play"]}
    changed = cli.json("user", "set", "ann", "--revoke", "acme")["user"]
    assert [g["tenant_id"] for g in changed["grants"]] == [globex["id"]]
    assert "nothing to do with acme" in cli.run("user", "set", "ann", "--revoke", "acme", code=2).err


@pytest.mark.parametrize("grant", ["nobody", "acme:steal", ":search"])
def test_a_grant_that_cannot_be_is_misuse_and_changes_nothing(cli: Cli, acme: Any, grant: str) -> None:
    cli.run("user", "create", "ann", "--grant", grant, code=2)
    assert cli.json("user", "list")["items"] == []


def test_a_new_password_is_made_or_given(cli: Cli) -> None:
    cli.run("user", "create", "ann")
    made = cli.json("user", "set", "ann", "--new-password")
    assert made["password"] and made["user"]["password_until"]
    given = cli.json("user", "set", "ann", "--password-stdin", stdin=PASSWORD)
    assert given["password"] is None and given["user"]["password_until"] is None
    assert "another one has to be chosen by then" in cli.run("user", "set", "ann", "--new-password").out
    assert len(cli.audited("user.password")) == 3


def test_a_disabled_user_can_be_let_in_again(cli: Cli) -> None:
    cli.run("user", "create", "ann")
    assert cli.json("user", "disable", "ann")["user"]["status"] == "inactive"
    assert cli.json("user", "set", "ann", "--status", "active")["user"]["status"] == "active"


def test_a_misspelt_user_gets_a_proposal(cli: Cli) -> None:
    cli.run("user", "create", "ann@acme.example")
    assert "Did you mean ann@acme.example?" in cli.run("user", "disable", "ann@acme.exmple", code=2).err


def test_to_change_nothing_is_misuse(cli: Cli) -> None:
    cli.run("user", "create", "ann")
    assert "--help" in cli.run("user", "set", "ann", code=2).err


def test_a_program_gets_a_token_and_no_password(cli: Cli, acme: Any) -> None:
    assert cli.json("user", "create", "exports", "--role", "api", "--grant", "acme")["password"] is None
    cli.run("user", "create", "other", "--role", "api", "--password-stdin", stdin=PASSWORD, code=2)
    made = cli.json(
        *("token", "create", "exports", "--scope", "search,export", "--scope", "play"),
        *("--tenant", "acme", "--label", "nightly", "--expires", "2100-01-01"),
    )
    assert made["secret"].startswith("rp_")
    assert made["token"]["scopes"] == ["export", "play", "search", f"tenant:{acme['id']}"]
    assert made["token"]["expires_at"] == "2100-01-01T00:00:00Z"
    done = cli.run("token", "list", "exports")
    assert made["secret"] not in done.out
    assert "tenant:acme" in done.out
    assert cli.json("token", "list")["items"] == [made["token"]]


def test_a_token_is_revoked_by_its_id_its_beginning_or_itself(cli: Cli) -> None:
    cli.run("user", "create", "exports", "--role", "api")
    tokens = [cli.json("token", "create", "exports") for _ in range(3)]
    for named in (tokens[0]["token"]["id"], tokens[1]["token"]["prefix"], tokens[2]["secret"]):
        assert cli.json("token", "revoke", named)["revoked_at"]
    assert all(token["revoked_at"] for token in cli.json("token", "list")["items"])


def test_what_a_token_made_is_told_when_it_is_revoked(cli: Cli) -> None:
    cli.run("user", "create", "ann", "--role", "administrator")
    plain, made = (cli.json("token", "create", "ann", "--scope", scope)["secret"] for scope in ("search", "users"))
    with wiring.open_parts(load()) as parts:
        token = parts.access.token(made, "192.0.2.7")
        parts.accounts.create(token, "spy", Role.CLIENT, generate=True)
        parts.accounts.set_password(token, parts.accounts.named(operator(), "spy").user.id)
        parts.accounts.list(token)
    assert "live on" not in cli.run("token", "revoke", plain).out
    told = cli.run("token", "revoke", made).out
    assert "2 times, and those live on" in told and f"recpipe audit list --actor ann/{made[:8]}" in told
    events = cli.json("audit", "list", "--actor", f"ann/{made[:8]}")["items"]
    assert [one["action"] for one in events if one["action"] != "login"] == ["user.password", "user.create"]


def test_a_beginning_that_every_token_has_revokes_none(cli: Cli) -> None:
    cli.run("user", "create", "exports", "--role", "api")
    cli.run("token", "create", "exports")
    assert cli.json("token", "revoke", "rp_", code=2)["error"]["type"] == "not-found"


def test_the_words_of_a_token_that_is_not_there_are_not_repeated(cli: Cli) -> None:
    secret = "rp_" + "x" * 33
    assert secret not in cli.run("token", "revoke", secret, code=2).err


def test_an_expiry_in_the_past_or_a_scope_that_is_none_is_misuse(cli: Cli) -> None:
    cli.run("user", "create", "exports", "--role", "api")
    cli.run("token", "create", "exports", "--expires", "2001-01-01", code=2)
    cli.run("token", "create", "exports", "--scope", "everything", code=2)
    cli.run("token", "create", "exports", "--tenant", "nobody", code=2)
