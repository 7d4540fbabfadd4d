from __future__ import annotations

import errno
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recpipe.catalogue import search
from recpipe.recordings.reader import path_of
from recpipe.web.schemas import RecordingResponse
from tests.contracts.catalogue_samples import a_recording, a_tenant
from tests.services.need import tool
from tests.unit.cli.conftest import Cli

EXPORT = ("recordings", "export", "--tenant", "acme", "--out")


def found(cli: Cli, *words: str) -> list[str]:
    return [item["caller"] for item in cli.json("recordings", "search", "--oldest-first", *words)["items"]]


def test_a_recording_has_the_fields_of_the_api(cli: Cli, calls: list[Any]) -> None:
    assert set(calls[0]) == set(RecordingResponse.model_fields)
    assert calls[0]["tenant"] == "acme"
    assert calls[0]["started_at"] == "2025-03-27T08:25:17Z"
    assert calls[0]["caller_e164"] == "+493012340001"
    assert cli.json("recordings", "show", calls[0]["id"]) == calls[0]


def test_a_search_that_finds_little_says_how_far_it_looked(
    cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIRST_STEP", 1)
    monkeypatch.setattr(search, "LOOK_SECONDS", -1)
    words = ("recordings", "search", "--tenant", "acme", "--direction", "unknown")
    done = cli.run(*words)
    assert "Nothing was found so far." in done.out and "Looked back to 2025-03-28" in done.err
    looked = cli.json(*words)
    assert looked["searched_to"].startswith("2025-03-27T") and f"--cursor {looked['next']}" in done.err


@pytest.mark.parametrize(
    ("words", "callers"),
    [
        ((), ["03012340001", "202", "201"]),
        (("--from", "2025-03-28"), ["201"]),  # days are those of the tenant, whose midnight is 23:00 UTC
        (("--to", "2025-03-27"), ["03012340001", "202"]),
        (("--from", "2025-03-27T09:26", "--to", "2025-03-27T23:59:30"), ["202"]),
        (("--from", "2025-03-27T22:59:30Z"), ["201"]),
        (("--direction", "inbound"), ["03012340001"]),
        (("--number", "030 12340001"), ["03012340001"]),
        (("--number", "2340003", "--number-match", "ending"), ["201"]),
        (("--text", "235900"), ["202"]),
        (("--call-id", "1743116340.2"), ["202"]),
        (("--duration-min", "3600"), []),
        (("--sealed",), []),
        (("--plain", "--extension", "202"), ["202"]),
    ],
)
def test_what_is_asked_for_is_found(cli: Cli, calls: list[Any], words: tuple[str, ...], callers: list[str]) -> None:
    assert found(cli, "--tenant", "acme", *words) == callers


def test_pages_follow_each_other(cli: Cli, calls: list[Any]) -> None:
    first = cli.json("recordings", "search", "--limit", "2")
    second = cli.json("recordings", "search", "--limit", "2", "--cursor", first["next"])
    assert [item["id"] for item in (*first["items"], *second["items"])] == [call["id"] for call in reversed(calls)]
    assert second["next"] is None
    assert f"--cursor {first['next']}" in cli.run("recordings", "search", "--limit", "2").err


def test_results_are_for_eyes_too(cli: Cli, calls: list[Any]) -> None:
    lines = cli.run("recordings", "search", "--tenant", "acme").out.splitlines()
    assert lines[-1].startswith(calls[0]["id"])
    assert "2025-03-27 09:25:17" in lines[-1]  # as the tenant's clock showed
    shown = cli.run("recordings", "show", calls[0]["id"]).out
    for told in ("03012340001 (+493012340001)", "/2025/03/27", "Europe/Berlin", calls[0]["sha256"], "stored as it is"):
        assert told in shown
    assert "Nothing was found." in cli.run("recordings", "search", "--number", "99999999").out


def test_a_search_that_cannot_be_is_misuse(cli: Cli, calls: list[Any]) -> None:
    cli.run("recordings", "search", "--from", "2025-03-02", "--to", "2025-03-01", code=2)
    cli.run("recordings", "search", "--tenant", "nobody", code=2)
    cli.run("recordings", "search", "--cursor", "x", code=2)
    cli.run("recordings", "show", "0" * 32, code=2)


def test_an_export_is_what_sha256sum_expects(cli: Cli, calls: list[Any]) -> None:
    out = cli.home / "out"
    told = cli.json(*EXPORT, out)
    assert (told["written"], told["unchanged"], told["problems"]) == (3, 0, [])
    assert told["written_bytes"] == sum(call["size_bytes"] for call in calls)
    for call in calls:
        path = out.joinpath(*call["day"].split("-"), call["name"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == call["sha256"]
        assert path.stat().st_mode & 0o777 == 0o600
    checked = subprocess.run(
        [tool("sha256sum"), "-c", "--strict", "SHA256SUMS"], cwd=out, capture_output=True, text=True
    )
    assert checked.stdout.count(": OK") == 3
    assert checked.returncode == 0
    assert {event["subject"] for event in cli.audited("export")} == {call["id"] for call in calls}


def test_an_export_goes_on_where_it_was_interrupted(cli: Cli, calls: list[Any]) -> None:
    # Given an export of one day, and of another one half a file as a kill leaves it
    out = cli.home / "out"
    assert cli.json(*EXPORT, out, "--to", "2025-03-27")["written"] == 2
    partial = out / "2025/03/28" / f".{calls[2]['id']}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"half")
    # When everything is exported
    told = cli.json(*EXPORT, out)
    # Then only what was not there was written, and all of it is in the list
    assert (told["written"], told["unchanged"]) == (1, 2)
    assert not partial.exists()
    assert len((out / "SHA256SUMS").read_text().splitlines()) == 3
    assert "3 were there already" in cli.run(*EXPORT, out).out


def test_a_folder_without_hard_links_does_too(cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert cli.json("recordings", "export", "--tenant", "acme", "--out", "stick")["written"] == 3
    assert cli.json("recordings", "export", "--tenant", "acme", "--out", "stick")["unchanged"] == 3
    assert list((cli.home / "stick").rglob("*.partial")) == []


def test_a_file_with_other_bytes_is_left_alone_and_reported(cli: Cli, calls: list[Any]) -> None:
    out = cli.home / "out"
    mine = out.joinpath(*calls[0]["day"].split("-"), calls[0]["name"])
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    outside = cli.home / "outside"
    link = mine.with_name(calls[1]["name"])
    link.symlink_to(outside)
    told = cli.json(*EXPORT, out, code=1)
    assert {problem["recording_id"] for problem in told["problems"]} == {calls[0]["id"], calls[1]["id"]}
    assert mine.read_text() == "mine"
    assert not outside.exists()
    assert calls[0]["name"] not in (out / "SHA256SUMS").read_text()


def test_a_missing_or_damaged_object_is_reported_and_the_rest_is_exported(cli: Cli, calls: list[Any]) -> None:
    objects = {p.name.partition("-")[0]: p for p in (cli.home / "recpipe-data/objects").rglob("*-*") if p.is_file()}
    objects[calls[0]["id"]].unlink()
    damaged = objects[calls[1]["id"]]
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    told = cli.json(*EXPORT, cli.home / "out", code=1)
    assert told["written"] == 1
    assert {problem["recording_id"] for problem in told["problems"]} == {calls[0]["id"], calls[1]["id"]}
    files = [p.name for p in (cli.home / "out").rglob("*") if p.is_file()]
    assert sorted(files) == sorted(["SHA256SUMS", calls[2]["name"]])
    assert "Not exported" in cli.run(*EXPORT, cli.home / "out", code=1).err


def test_an_export_of_nothing_writes_nothing(cli: Cli, acme: Any) -> None:
    assert cli.json(*EXPORT, cli.home / "out")["written"] == 0
    assert list((cli.home / "out").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_misuse(cli: Cli, acme: Any) -> None:
    (cli.home / "file").write_text("")
    assert "--out" in cli.run(*EXPORT, cli.home / "file" / "out", code=2).err


# --- deleting ---------------------------------------------------------------------------------------------------

BECAUSE = ("--tenant", "acme", "--reason", "erasure request 4711")


def test_a_deletion_names_what_will_go_and_asks_first(cli: Cli, calls: list[Any]) -> None:
    done = cli.run("recordings", "delete", calls[0]["id"], *BECAUSE, stdin="n\n", code=1)
    assert calls[0]["id"] in done.err and calls[0]["name"] in done.err and "2025-03-27 09:25:17" in done.err
    assert len(found(cli)) == 3
    cli.run("recordings", "delete", calls[0]["id"], *BECAUSE, stdin="y\n")
    assert found(cli) == ["202", "201"]
    cli.run("recordings", "show", calls[0]["id"], code=2)


def test_a_deletion_is_for_good_and_audited(cli: Cli, calls: list[Any]) -> None:
    ids = [call["id"] for call in calls[:2]]
    assert cli.json("recordings", "delete", *ids, *BECAUSE, "--yes") == {"items": [{"id": one} for one in sorted(ids)]}
    objects = [p.name for p in (cli.home / "recpipe-data/objects").rglob("*-*") if p.is_file()]
    assert {name.lstrip(".").partition("-")[0] for name in objects} == {calls[2]["id"]}  # its note among them
    events = cli.audited("delete")
    assert {event["subject"] for event in events} == set(ids)
    assert {event["detail"]["reason"] for event in events} == {"erasure request 4711"}
    cli.run("verify")
    # The same file once more waits for a person instead of coming back
    cli.drop(calls[0]["name"])
    cli.run("ingest", "--once", code=1)
    assert [entry["reason"] for entry in cli.json("quarantine", "list")["items"]] == ["was-deleted"]
    assert found(cli) == ["201"]


@pytest.mark.parametrize(
    "words",
    [
        ("--tenant", "acme", "--reason", " "),
        ("--tenant", "acme", "--reason", "x" * 201),
        ("--tenant", "acme"),
        ("--reason", "x"),
        ("--tenant", "globex", "--reason", "x"),
        ("0" * 32, "--tenant", "acme", "--reason", "x"),
    ],
)
def test_a_deletion_that_is_not_meant_clearly_deletes_nothing(
    cli: Cli, calls: list[Any], words: tuple[str, ...]
) -> None:
    cli.run("tenant", "create", "globex")
    cli.run("recordings", "delete", calls[0]["id"], *words, "--yes", code=2)
    assert len(found(cli)) == 3


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", ".", "a\0b", "..\\..\\x", ""])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    path = path_of(a_recording(a_tenant(), name=name, day="2026-03-14"))
    assert path.startswith("2026/03/14/")
    assert path.count("/") == 3
    assert Path(path).name not in ("", ".", "..")
