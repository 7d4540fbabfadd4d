"""`recpipe completeness`, from what a PBX writes to what an operator reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.cli.conftest import SETTINGS, Cli


def row(unique: str, start: datetime, recording: str) -> str:
    at = f"{start:%Y-%m-%d %H:%M:%S}"
    about = ["", "201", "03012340001", "from-internal", "", "PJSIP/201-1", "PJSIP/trunk-1", "Dial", "x"]
    times = [at, at, at, "63", "60", "ANSWERED", "DOCUMENTATION", unique, "", "", unique, "7", recording]
    return ",".join(f'"{cell}"' for cell in (*about, *times)) + "\n"


def test_a_recording_that_never_came_is_named_and_one_that_comes_late_puts_it_right(cli: Cli, acme: Any) -> None:
    (cli.home / "recpipe.toml").write_text(
        SETTINGS.replace("Europe/Berlin", "UTC") + 'cdr_csv = "recpipe.csv"\nlayout = "freepbx"\n'
    )
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    names, rows = [], ""
    for number in (1, 2):
        unique = f"{int(began.timestamp())}.{number}"
        names.append(f"out-03012340001-201-{began:%Y%m%d-%H%M%S}-{unique}.wav")
        rows += row(unique, began, names[-1])
    (cli.home / "recpipe.csv").write_text(rows)
    assert cli.json("completeness", "--tenant", "acme") == {"days": [], "findings": [], "next": None}
    cli.drop(names[0])
    cli.run("ingest", "--once")

    found = cli.json("completeness", "--tenant", "acme", code=1)
    (day,) = found["days"]
    assert (day["rule"], day["expected"], day["arrived"], day["missing"]) == ("pbx", 2, 1, 1)
    assert {one["kind"]: one["call_id"].rpartition(".")[2] for one in found["findings"]} == {
        "missing": "2",
        "duration-differs": "1",  # the sample is shorter than the minute that Asterisk tells
    }
    shown = cli.run("completeness", "--tenant", "acme", "--open", code=1).out
    assert "MISSING" in shown and "the PBX" in shown

    cli.drop(names[1])
    cli.run("ingest", "--once")
    found = cli.json("completeness", "--tenant", "acme")
    late = next(one for one in found["findings"] if one["kind"] == "missing")
    assert late["closed_at"] is not None and late["recording_id"] and late["open_seconds"] >= 0
    again = cli.json("completeness", "--tenant", "acme", "--open", "--from", f"{began:%Y-%m-%d}")
    assert {one["kind"] for one in again["findings"]} == {"duration-differs"}


def test_what_is_typed_wrongly_is_said(cli: Cli, acme: Any) -> None:
    assert "is no date" in cli.run("completeness", "--tenant", "acme", "--from", "yesterday", code=2).err
    assert (
        "before the first"
        in cli.run("completeness", "--tenant", "acme", "--from", "2026-02-02", "--to", "2026-02-01", code=2).err
    )
    assert "no tenant acne" in cli.run("completeness", "--tenant", "acne", code=2).err
    assert "no days before" in cli.run("completeness", "--tenant", "acme", "--to", "0001-01-02", code=2).err
