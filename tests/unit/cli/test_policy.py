"""`recpipe policy`: rules, and what a PBX is configured with."""

from __future__ import annotations

from recpipe.access.tokens import new_token
from tests.unit.cli.conftest import Cli


def test_rules_are_printed_and_a_pbx_that_asks_gets_its_token_from_a_file_or_stdin(cli: Cli) -> None:
    cli.run("tenant", "create", "acme")
    export = ("policy", "export", "--tenant", "acme", "--for")
    assert cli.json(*export, "json")["tenant"] == "acme"
    assert "database put recpipe otherwise default" in cli.run(*export, "asterisk").out
    token = new_token()
    (cli.home / "pbx1.token").write_text(token + "\n")
    asked = cli.run(*export, "freepbx", "--ask", "https://rec.example.com", "--token-file", cli.home / "pbx1.token")
    assert f"CURLOPT(userpwd)=pbx:{token}" in asked.out
    from_stdin = cli.json(*export, "freepbx", "--ask", "https://rec.example.com", "--token-file", "-", stdin=token)
    assert from_stdin == {"for": "freepbx", "text": asked.out}
    assert "--token-file" in cli.run(*export, "freepbx", "--ask", "https://rec.example.com", code=2).err
    assert cli.run(*export, "kazoo", "--ask", "https://rec.example.com", "--token-file", "-", stdin=token, code=2).err


def test_rules_are_imported_listed_and_applied(cli: Cli) -> None:
    cli.run("tenant", "create", "acme", "--region", "GB")
    extensions = ("--tenant", "acme", "--of", "extensions")
    table = "extension,name,outbound,locked\n1000,Eve,skip,\n99,Ann,record,yes\n"
    assert cli.json("policy", "import", "-", *extensions, stdin=table) == {"changed": 2, "applied": 0}
    assert cli.run("policy", "list", *extensions).out.splitlines()[1].split() == (
        ["99", "Ann", "record", "default", "default", "locked", "waits"]
    )
    assert cli.json("policy", "apply", "--tenant", "acme") == {"applied": 2}
    first = cli.json("policy", "list", *extensions, "--limit", "1")
    assert [(one["extension"], one["pending"]) for one in first["items"]] == [("99", False)]
    second = cli.json("policy", "list", *extensions, "--cursor", first["next"])
    assert [one["extension"] for one in second["items"]] == ["1000"] and second["next"] is None
    (cli.home / "numbers.csv").write_text("number,recording\n020 7946 0958,record\n")
    routes = ("--tenant", "acme", "--of", "routes")
    assert "1 changed. 1 applied." in cli.run("policy", "import", cli.home / "numbers.csv", *routes, "--apply").out
    exported = cli.json("policy", "export", "--tenant", "acme", "--for", "json")
    assert [one["number"] for one in exported["routes"]] == ["+442079460958"] and exported["policy_version"] == 2
    assert "Line 2" in cli.run("policy", "import", "-", *routes, stdin="number,recording\n1,always\n", code=2).err
    assert "cannot be read" in cli.run("policy", "import", cli.home / "none.csv", *routes, code=2).err
