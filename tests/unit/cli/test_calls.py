from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from recpipe.catalogue import Catalogue
from recpipe.web.schemas import CallResponse
from tests.unit.cli.conftest import Cli


def test_calls_are_listed_and_shown_with_their_legs(cli: Cli, calls: list[Any]) -> None:
    # Given three recordings, of which the record says that the last two are legs of one call
    path = next((cli.home / "recpipe-data").glob("*.sqlite3"))
    with closing(Catalogue.open(f"sqlite:///{path}")) as catalogue, catalogue.begin() as work:
        recordings = work.of(calls[0]["tenant_id"]).recordings
        for one in calls[1:]:
            recordings.set_facts(one["id"], replace(recordings.get(one["id"]).facts, linked_id="1743116340.2"))

    found = cli.json("calls", "list", "--tenant", "acme")["items"]
    assert [[leg["id"] for leg in call["legs"]] for call in found] == [
        [calls[1]["id"], calls[2]["id"]],
        [calls[0]["id"]],
    ]
    assert set(found[0]) == set(CallResponse.model_fields)
    for address in (found[0]["id"], calls[2]["id"]):
        assert cli.json("calls", "show", address) == found[0]
    # By the number of the second leg, and by pages
    assert cli.json("calls", "list", "--number", "2340003", "--number-match", "ending")["items"] == found[:1]
    first = cli.json("calls", "list", "--limit", "1")
    assert cli.json("calls", "list", "--limit", "1", "--cursor", first["next"])["items"] == found[1:]
    lines = cli.run("calls", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [call["id"] for call in found]
    shown = cli.run("calls", "show", found[0]["id"]).out
    assert all(leg["name"] in shown and leg["id"] in shown for leg in found[0]["legs"])
    assert "Nothing was found." in cli.run("calls", "list", "--number", "99999999").out
    cli.run("calls", "show", "0" * 32, code=2)
