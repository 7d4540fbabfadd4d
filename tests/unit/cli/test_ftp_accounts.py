from __future__ import annotations

from typing import Any

from tests.unit.cli.conftest import Cli

SET = ("ftp-account", "set")


def test_an_account_is_made_and_then_changed_by_the_same_command(cli: Cli, acme: Any) -> None:
    made = cli.json(*SET, "acme", "office", "--network", "192.0.2.0/24", "--extension", "201", "--direction", "inbound")
    account = made["account"]
    assert len(made["password"]) >= 20
    assert account["allowed_networks"] == ["192.0.2.0/24"]
    assert (account["extension"], account["direction"], account["kind"]) == ("201", "inbound", "reader")

    changed = cli.json(*SET, "acme", "office", "--network", "any", "--extension", "", "--direction", "any")
    assert changed["password"] is None
    assert changed["account"] == account | {"allowed_networks": [], "extension": "", "direction": None}
    assert cli.json("ftp-account", "list", "acme")["items"] == [changed["account"]]


def test_a_password_is_shown_once_and_can_be_renewed(cli: Cli, acme: Any) -> None:
    first = cli.json(*SET, "acme", "office")["password"]
    second = cli.json(*SET, "acme", "office", "--new-password")["password"]
    assert second not in (None, first)
    done = cli.run(*SET, "acme", "office", "--password-stdin", stdin="three quiet lamps\n")
    assert "three quiet lamps" not in done.out + done.err
    assert second not in cli.run("ftp-account", "list", "acme").out


def test_an_account_that_is_there_is_not_changed_by_naming_it(cli: Cli, acme: Any) -> None:
    cli.run(*SET, "acme", "office")
    assert "nothing to change" in cli.run(*SET, "acme", "office", code=2).err


def test_an_account_is_disabled_and_let_in_again(cli: Cli, acme: Any) -> None:
    cli.run(*SET, "acme", "office")
    assert cli.json("ftp-account", "disable", "acme", "office")["account"]["enabled"] is False
    assert "disabled" in cli.run("ftp-account", "list", "acme").out
    assert cli.json(*SET, "acme", "office", "--enabled", "on")["account"]["enabled"] is True
    assert "Did you mean office?" in cli.run("ftp-account", "disable", "acme", "ofice", code=2).err


def test_an_account_can_be_made_disabled(cli: Cli, acme: Any) -> None:
    assert cli.json(*SET, "acme", "office", "--enabled", "off")["account"]["enabled"] is False
    assert cli.json("ftp-account", "list", "acme")["items"][0]["enabled"] is False


def test_a_media_server_writes_into_a_spool_that_is_there(cli: Cli, acme: Any) -> None:
    assert "monitor" in cli.run(*SET, "-", "pbx7", "--uploader", "monitr", code=2).err
    made = cli.json(*SET, "-", "pbx7", "--uploader", "monitor")["account"]
    assert (made["kind"], made["spool"], made["tenant_id"]) == ("uploader", "monitor", None)
    assert [one["username"] for one in cli.json("ftp-account", "list", "-")["items"]] == ["pbx7"]


def test_a_reader_does_not_become_a_media_server(cli: Cli, acme: Any) -> None:
    cli.run(*SET, "acme", "office")
    assert cli.json(*SET, "acme", "office", "--uploader", "monitor", code=1)["error"]["reason"] == "account-exists"


def test_a_reader_needs_a_tenant_and_a_network_must_be_one(cli: Cli, acme: Any) -> None:
    cli.run(*SET, "-", "office", code=2)
    cli.run(*SET, "acme", "office", "--network", "example.com", code=2)
    assert cli.json("ftp-account", "list", "acme")["items"] == []


def test_an_account_of_another_tenant_is_neither_shown_nor_changed(cli: Cli, acme: Any) -> None:
    cli.run("tenant", "create", "globex")
    cli.run(*SET, "acme", "office")
    assert cli.json("ftp-account", "list", "globex")["items"] == []
    assert cli.json(*SET, "globex", "office", code=2)["error"]["type"] == "already-exists"
    assert cli.json("ftp-account", "disable", "globex", "office", code=2)["error"]["type"] == "not-found"
