from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Cli

NAMES = [f"out-0301234000{n}-201-20250327-09251{n}-174306391{n}.{n}.wav" for n in range(3)]


@pytest.fixture
def waiting(cli: Cli, acme: Any) -> list[Any]:
    """Two files that are no audio, and wait for a person."""
    for name in NAMES[:2]:
        cli.drop(name).write_bytes(b"this is no audio at all, whatever its name says" * 40)
    cli.run("ingest", "--once", code=1)
    entries: list[Any] = cli.json("quarantine", "list")["items"]
    assert len(entries) == 2
    return entries


def test_what_waits_says_where_why_and_since_when(cli: Cli, waiting: list[Any]) -> None:
    assert {entry["relative"] for entry in waiting} == set(NAMES[:2])
    done = cli.run("quarantine", "list")
    for entry in waiting:
        assert entry["id"] in done.out
        assert entry["message"] in done.out
    assert "Nothing waits." not in done.out


def test_pages_follow_each_other(cli: Cli, waiting: list[Any]) -> None:
    first = cli.json("quarantine", "list", "--limit", "1")
    second = cli.json("quarantine", "list", "--limit", "1", "--cursor", first["next"])
    assert [*first["items"], *second["items"]] == waiting


def test_a_retry_puts_the_file_back_and_it_is_tried_again(cli: Cli, waiting: list[Any]) -> None:
    entry = waiting[0]
    told = cli.json("quarantine", "retry", entry["id"])
    assert told["items"] == [{"entry": entry, "back_in_spool": True}]
    assert (cli.monitor / entry["relative"]).exists()
    assert [one["id"] for one in cli.json("quarantine", "list")["items"]] == [waiting[1]["id"]]
    cli.run("ingest", "--once", code=1)
    listed = {one["relative"]: one for one in cli.json("quarantine", "list")["items"]}
    assert len(listed) == 2
    again = listed[entry["relative"]]
    assert (again["first_seen_at"], again["attempts"]) == (entry["first_seen_at"], 2), "what it said is remembered"
    assert cli.audited("quarantine.retry")[0]["subject"] == entry["id"]


def test_all_of_one_reason_are_retried_at_once(cli: Cli, waiting: list[Any]) -> None:
    assert cli.json("quarantine", "retry", "--all", "--reason", "something-else")["items"] == []
    assert "2 back in the spool." in cli.run("quarantine", "retry", "--all", "--reason", waiting[0]["reason"]).out


def test_a_discard_asks_first(cli: Cli, waiting: list[Any]) -> None:
    done = cli.run("quarantine", "discard", waiting[0]["id"], stdin="n\n", code=1)
    assert waiting[0]["relative"] in done.err
    assert len(cli.json("quarantine", "list")["items"]) == 2
    cli.run("quarantine", "discard", waiting[0]["id"], stdin="y\n")
    assert [one["id"] for one in cli.json("quarantine", "list")["items"]] == [waiting[1]["id"]]


def test_a_discard_deletes_for_good_and_is_audited(cli: Cli, waiting: list[Any]) -> None:
    told = cli.json("quarantine", "discard", "--all", "--yes")
    assert told["items"] == waiting
    assert list(cli.monitor.rglob("*.wav")) == []
    assert "Nothing waits." in cli.run("quarantine", "list").out
    assert {event["subject"] for event in cli.audited("quarantine.discard")} == {entry["id"] for entry in waiting}


@pytest.mark.parametrize("command", ["retry", "discard"])
@pytest.mark.parametrize("words", [(), ("x", "--all"), ("x", "--reason", "y"), ("0" * 32,)])
def test_what_is_not_meant_clearly_is_misuse(
    cli: Cli, waiting: list[Any], command: str, words: tuple[str, ...]
) -> None:
    cli.run("quarantine", command, *words, code=2)
    assert cli.json("quarantine", "list")["items"] == waiting


def test_a_held_file_stays_and_is_tried_again_by_itself(cli: Cli, acme: Any, key_pair: Any) -> None:
    # Given a tenant whose only certificate does not serve any more
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path, "--vouch")
    cli.run("tenant", "set", "acme", "--encryption", "on")
    _expire(cli, added["certificate"]["id"])
    cli.drop(NAMES[2])
    cli.run("ingest", "--once", code=1)
    (entry,) = cli.json("quarantine", "list")["items"]
    assert (entry["held"], entry["reason"]) == (True, "no-usable-certificate")
    # When it is retried
    done = cli.run("quarantine", "retry", entry["id"])
    # Then it stays where it is
    assert "held in place" in done.out
    assert (cli.monitor / NAMES[2]).exists()
    assert "New recordings are held" in cli.run("tenant", "show", "acme").err


def _expire(cli: Cli, certificate_id: str) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(cli.home / "recpipe-data/recpipe.sqlite3")) as database, database:
        before = database.execute("SELECT not_before FROM certificate WHERE id = ?", (certificate_id,)).fetchone()
        database.execute("UPDATE certificate SET not_after = ? WHERE id = ?", (before[0], certificate_id))


def test_a_file_that_says_nothing_is_taken_with_what_a_person_says_of_its_call(cli: Cli, acme: Any) -> None:
    cli.drop("who knows.wav")
    cli.run("ingest", "--once", code=1)
    [entry] = cli.json("quarantine", "list")["items"]
    refused = cli.run("quarantine", "take", entry["id"], "--started-at", "some day", code=2)
    assert "started_at must be a time" in refused.err
    told = cli.json("quarantine", "take", entry["id"], "--started-at", "2025-03-27T09:25:17", "--caller", "+4930123456")
    assert told == {"entry": entry, "back_in_spool": True}
    cli.run("ingest", "--once")
    [found] = cli.json("recordings", "search")["items"]
    assert (found["caller"], found["started_at"]) == ("+4930123456", "2025-03-27T08:25:17Z")  # the spool is in Berlin
    assert cli.json("quarantine", "list")["items"] == [] and list(cli.monitor.glob("who*")) == []
    [event] = cli.audited("quarantine.take")
    assert event["detail"]["stated"] == "started_at, caller" and "4930123456" not in str(event)
