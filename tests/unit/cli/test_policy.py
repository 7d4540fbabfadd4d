"""`recpipe policy export`: what a PBX is configured with."""

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
