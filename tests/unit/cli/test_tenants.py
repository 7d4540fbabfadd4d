from __future__ import annotations

from typing import Any

from tests.services.certificates import KeyPair
from tests.unit.cli.conftest import Cli


def test_a_tenant_is_made_with_what_was_named(cli: Cli) -> None:
    made = cli.json(
        *("tenant", "create", "acme", "--title", "Acme Ltd", "--timezone", "Europe/Berlin", "--region", "de"),
        *("--store-format", "mp3", "--alias", "acme.example.com", "--alias", "4711"),
    )
    assert made["name"] == "acme"
    assert made["title"] == "Acme Ltd"
    assert made["region"] == "DE"
    assert made["store_format"] == "mp3"
    assert made["aliases"] == ["acme.example.com", "4711"]
    assert made["encryption"] is False
    assert cli.json("tenant", "show", "ACME") == made
    assert cli.json("tenant", "show", "4711") == made
    assert cli.json("tenant", "show", made["id"]) == made
    assert cli.json("tenant", "list") == {"items": [made], "next": None}


def test_the_list_is_for_eyes_too(cli: Cli, acme: Any) -> None:
    cli.run("tenant", "create", "globex")
    header, *rows = cli.run("tenant", "list").out.splitlines()
    assert header.split()[:3] == ["TENANT", "TITLE", "ENCRYPTION"]
    assert [row.split()[0] for row in rows] == ["acme", "globex"]


def test_the_list_is_that_of_a_group_where_one_is_named(cli: Cli, acme: Any) -> None:
    assert cli.json("tenant", "set", "acme", "--group", "North")["group"] == "North"
    cli.run("tenant", "create", "globex", "--group", "South")
    assert [t["name"] for t in cli.json("tenant", "list", "--group", "North")["items"]] == ["acme"]
    assert "South" in cli.run("tenant", "list").out and "South" in cli.run("tenant", "show", "globex").out
    assert "No tenant is in the group East" in cli.run("tenant", "list", "--group", "East").out


def test_without_tenants_the_list_says_what_to_do(cli: Cli) -> None:
    assert "recpipe tenant create" in cli.run("tenant", "list").out
    assert cli.json("tenant", "list")["items"] == []


def test_a_misspelt_tenant_gets_a_proposal(cli: Cli, acme: Any) -> None:
    assert "Did you mean acme?" in cli.run("tenant", "show", "acne", code=2).err


def test_a_name_that_is_taken_is_misuse(cli: Cli, acme: Any) -> None:
    assert cli.json("tenant", "create", "acme", code=2)["error"]["type"] == "already-exists"


def test_what_is_not_named_stays(cli: Cli, acme: Any) -> None:
    cli.run("tenant", "set", "acme", "--alias", "a.example", "--alias", "b.example")
    changed = cli.json("tenant", "set", "acme", "--remove-alias", "a.example", "--title", "Acme")
    assert changed == acme | {"title": "Acme", "aliases": ["b.example"]}


def test_an_alias_that_is_not_there_cannot_be_taken_away(cli: Cli, acme: Any) -> None:
    assert "it has none" in cli.run("tenant", "set", "acme", "--remove-alias", "x", code=2).err


def test_to_change_nothing_is_misuse(cli: Cli, acme: Any) -> None:
    assert "--help" in cli.run("tenant", "set", "acme", code=2).err


def test_a_time_zone_that_is_none_gets_a_proposal_and_changes_nothing(cli: Cli, acme: Any) -> None:
    done = cli.run("tenant", "set", "acme", "--timezone", "Europe/Berln", "--encryption", "off", code=2)
    assert "Europe/Berlin" in done.err
    assert cli.json("tenant", "show", "acme") == acme


def test_encryption_needs_a_usable_certificate_and_the_rest_is_saved(cli: Cli, acme: Any) -> None:
    done = cli.run("tenant", "set", "acme", "--title", "Acme", "--encryption", "on", code=1)
    assert "no certificate" in done.err
    assert "The other settings were saved." in done.err
    assert cli.json("tenant", "show", "acme") == acme | {"title": "Acme"}


def test_encryption_goes_on_with_a_certificate_and_off_again(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    cli.run("certificate", "add", "acme", key_pair.certificate_path, "--vouch")
    done = cli.run("tenant", "set", "acme", "--encryption", "on")
    assert "Sealed for    CN=acme" in done.out
    assert cli.json("tenant", "show", "acme")["encryption"] is True
    assert cli.json("tenant", "set", "acme", "--encryption", "off")["encryption"] is False


def test_recording_goes_on_once_the_disclaimer_is_agreed_to(cli: Cli, acme: Any) -> None:
    assert cli.json("tenant", "set", "acme", "--recording", "on", code=1)["error"]["reason"] == "disclaimer-not-agreed"
    changed = cli.json("tenant", "set", "acme", "--recording", "on", "--disclaimer-agreed")
    assert changed["recording_enabled"] is True
    assert changed["disclaimer_agreed_by"].startswith("cli:")


def test_every_change_is_on_the_audit_log(cli: Cli, acme: Any) -> None:
    cli.run("tenant", "set", "acme", "--region", "GB")
    (event,) = cli.audited("tenant.change")
    assert event["actor"].startswith("cli:")
    assert event["detail"] == {"old_region": "DE", "new_region": "GB"}
