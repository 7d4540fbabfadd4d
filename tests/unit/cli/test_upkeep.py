from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from recpipe import __version__
from recpipe.catalogue import migrate
from tests.unit.cli.conftest import Cli


def objects(cli: Cli) -> dict[str, Path]:
    """Stored files by the recording they belong to."""
    files = (path for path in (cli.home / "recpipe-data/objects").rglob("*-*") if path.is_file())
    return {path.name.partition("-")[0]: path for path in files}


def test_what_was_stored_is_sound(cli: Cli, calls: list[Any]) -> None:
    report = cli.json("verify")
    assert report == {
        "recordings": 3,
        "objects": 3,
        "read": 3,
        "read_bytes": sum(call["size_bytes"] for call in calls),
        "incomparable": 0,
        "in_work": 0,
        "ingest_runs": False,
        "problems": [],
    }


def test_rows_that_a_restored_catalogue_lacks_are_taken_back(cli: Cli, calls: list[Any]) -> None:
    with closing(sqlite3.connect(cli.home / "recpipe-data/recpipe.sqlite3")) as database, database:
        database.execute("PRAGMA foreign_keys=ON")
        for table in ("recording", "day_total", "figure_quarter", "figure_value"):
            database.execute(f"DELETE FROM {table}")
    for path in objects(cli).values():
        os.utime(path)  # so new that an ingest might still be at work on them
    told = cli.run("verify", code=1).out
    assert "no ingest is running" in told and "Everything is there" not in told
    assert "3 recovered" in cli.run("recover", "--dry-run").out
    assert cli.json("recover")["counts"] == {"recovered": 3}
    assert "Everything is there" in cli.run("verify").out
    again = cli.json("recordings", "search")["items"]
    assert [one | {"flags": []} for one in again] == [one | {"flags": []} for one in calls[::-1]]
    assert {one["subject"] for one in cli.audited("recover")} == {one["id"] for one in calls}
    assert "as it was stored" in cli.run("verify").out
    assert cli.audited("verify")[0]["detail"] == {"recordings": 3, "objects": 3, "read": 3, "problems": 0}


def test_what_needs_no_guess_is_repaired(cli: Cli, calls: list[Any]) -> None:
    with closing(sqlite3.connect(cli.home / "recpipe-data/recpipe.sqlite3")) as database, database:
        database.execute("PRAGMA foreign_keys=ON")
        database.execute("DELETE FROM recording WHERE id = ?", (calls[0]["id"],))
        database.execute("UPDATE recording SET peaks = x'' WHERE id = ?", (calls[1]["id"],))
    for path in objects(cli).values():
        os.utime(path, (1, 1))
    told = cli.run("verify", code=1).out
    assert "verify --repair takes it back" in told and "verify --repair draws it" in told
    done = cli.json("verify", "--repair")
    assert (sorted(one["kind"] for one in done["mended"]), done["problems"]) == (
        ["counted", "drawn", "recovered"],
        [],
    )
    assert "as it was stored" in cli.run("verify").out
    assert cli.audited("recover")[0]["subject"] == calls[0]["id"]


def test_a_look_that_was_interrupted_goes_on(cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("recpipe.recordings.verify._Look.at_objects", interrupted)
        assert "verify --resume goes on from there" in cli.run("verify", code=130).err
    kept = cli.home / "recpipe-data/verify.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    went_on = cli.run("verify", "--resume")
    assert "Going on with the look of" in went_on.err and "3 recordings, 3 objects; 3 read" in went_on.out
    assert not kept.exists()
    assert cli.json("verify", "--since", "2100-01-01")["recordings"] == 0
    cli.run("verify", "--resume", "--sample", "1", code=2)


def test_each_disagreement_is_found_and_ends_with_1(cli: Cli, calls: list[Any]) -> None:
    # Given an object that is gone, one with a changed byte, and one that nobody knows
    there = objects(cli)
    missing, damaged = there[calls[0]["id"]], there[calls[1]["id"]]
    missing.unlink()
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    stray = there[calls[2]["id"]].with_name("f" * 32 + "-1-1")
    stray.write_bytes(b"stray")
    os.utime(stray, (1, 1))
    # When everything is compared
    report = cli.json("verify", code=1)
    # Then each is named
    found = {problem["recording_id"]: problem for problem in report["problems"]}
    assert found[calls[0]["id"]]["kind"] == "object-missing"
    assert found[calls[1]["id"]]["kind"] == "object-damaged"
    assert found["f" * 32]["kind"] == "object-without-row"
    assert all(problem["tenant"] == "acme" for problem in report["problems"])
    assert len(found) == 3
    done = cli.run("verify", code=1)
    assert "3 problem(s)." in done.out
    assert cli.audited("verify")[0]["outcome"] == "failed"


def test_a_sample_reads_so_many_and_still_misses_no_object(cli: Cli, calls: list[Any]) -> None:
    assert cli.json("verify", "--sample", "2")["read"] == 2
    assert cli.json("verify", "--sample", "100")["read"] == 3
    objects(cli)[calls[0]["id"]].unlink()
    report = cli.json("verify", "--sample", "0", code=1)
    assert (report["read"], report["recordings"]) == (0, 3)
    assert [problem["kind"] for problem in report["problems"]] == ["object-missing"]


def test_a_new_database_is_made_and_an_up_to_date_one_stays(cli: Cli) -> None:
    made = cli.json("--data-dir", cli.home / "other", "migrate")
    assert made == {"schema": migrate.HEAD}
    assert (cli.home / "other/recpipe.sqlite3").exists()
    assert migrate.HEAD in cli.run("--data-dir", cli.home / "other", "migrate").out


def test_settings_are_shown_and_secrets_are_not(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECPIPE_S3_SECRET_KEY", "hunter2hunter2")
    monkeypatch.setenv("RECPIPE_DATABASE_URL", "postgresql+psycopg://recpipe:hunter2@db/recpipe")
    monkeypatch.setenv("RECPIPE_SMTP_URL", "smtp://me:hunter2@mail:25")
    for done in (cli.run("settings", "show"), cli.run("settings", "show", "--json")):
        assert "hunter2" not in done.out + done.err
        assert "settle_seconds" in done.out
    told = cli.json("settings", "show")
    assert told["spool"][0]["tenant"] == "acme"
    assert told["s3_secret_key"] == "**********"


def test_a_setting_that_is_none_is_misuse(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECPIPE_DATABSE_URL", "x")
    done = cli.run("tenant", "list", code=2)
    assert "RECPIPE_DATABASE_URL" in done.err
    monkeypatch.delenv("RECPIPE_DATABSE_URL")
    assert "nowhere.toml" in cli.run("--config", "nowhere.toml", "tenant", "list", code=2).err


def test_the_audit_log_is_searched_in_the_tenants_time(cli: Cli, acme: Any) -> None:
    cli.run("tenant", "create", "globex")
    everything = cli.json("audit", "list")["items"]
    assert [event["detail"]["name"] for event in everything] == ["globex", "acme"]
    assert cli.json("audit", "list", "--tenant", "acme")["items"] == [everything[1]]
    assert cli.json("audit", "list", "--subject", acme["id"])["items"] == [everything[1]]
    assert cli.json("audit", "list", "--outcome", "denied")["items"] == []
    assert cli.json("audit", "list", "--from", "2100-01-01")["items"] == []
    assert len(cli.json("audit", "list", "--to", "2100-01-01", "--actor", everything[0]["actor"])["items"]) == 2
    first = cli.json("audit", "list", "--limit", "1")
    assert cli.json("audit", "list", "--limit", "1", "--cursor", first["next"])["items"] == [everything[1]]
    assert re.search(r"cli:\S+ +tenant\.create +ok +acme", cli.run("audit", "list").out)


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli.json("version") == {"version": __version__}
    assert cli.run("version").out == cli.run("--version").out == f"recpipe {__version__}\n"
