from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import keys.errors
from recpipe.cli import frame, main, words
from recpipe.errors import InputInvalid, NotFound, ObjectMissing, RecpipeError, SettingsInvalid, StoreUnavailable
from tests.unit.cli.conftest import Cli

HEAVY = ("sqlalchemy", "alembic", "pydantic", "cryptography", "boto3", "fastapi", "uvicorn", "numpy", "pyftpdlib")


def test_help_loads_none_of_what_commands_work_with() -> None:
    program = (
        "import sys; from recpipe.cli import main; assert main.run(['--help']) == 0; "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_an_error_is_one_line_without_a_traceback(cli: Cli) -> None:
    done = cli.run("tenant", "show", "nobody", code=2)
    assert done.out == ""
    assert done.err.startswith("Error: There is no tenant nobody.")
    assert len(done.err.splitlines()) == 1


def test_with_json_an_error_is_a_document_too(cli: Cli) -> None:
    done = cli.run("tenant", "show", "nobody", "--json", code=2)
    assert done.json["exit_code"] == 2
    assert done.json["error"]["type"] == "not-found"
    assert done.json["error"]["message"] in done.err


def test_a_word_that_is_no_command_is_misuse_in_both_forms(cli: Cli) -> None:
    assert "No such command" in cli.run("tenants", code=2).err
    assert cli.json("tenants", code=2)["error"]["type"] == "used-wrongly"


def test_debug_shows_where_an_error_comes_from(cli: Cli) -> None:
    with pytest.raises(NotFound):
        main.run(["--debug", "tenant", "show", "nobody"])


def test_what_nobody_foresaw_is_a_line_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: object) -> object:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(frame, "settings", broken)
    done = cli.run("tenant", "list", "--json", code=1)
    assert done.json["error"]["type"] == "unforeseen"
    assert "ZeroDivisionError" in done.err
    assert "Traceback" not in done.err
    with pytest.raises(ZeroDivisionError):
        main.run(["--debug", "tenant", "list"])


def test_a_file_system_that_says_no_is_named(cli: Cli) -> None:
    (cli.home / "file").write_text("")
    done = cli.run("--data-dir", cli.home / "file" / "data", "tenant", "list", code=1)
    assert "file" in done.err
    assert "Not a directory" in done.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsInvalid("x"), 2),
        (InputInvalid("name", "x"), 2),
        (NotFound("tenant", "x"), 2),
        (StoreUnavailable("x"), 1),
        (ObjectMissing("x"), 1),
        (keys.errors.NoRecipientMatches("x"), 1),
    ],
)
def test_misuse_ends_with_2_and_failure_with_1(error: Exception, code: int) -> None:
    assert main.code_of(error) == code


def test_an_error_of_a_command_keeps_the_word_of_its_kind() -> None:
    assert words.Unknown("tenant", "x").word == "not-found"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Erin\x1b[2J", r"Erin\x1b[2J"),
        ("a\nb\tc", r"a\x0ab\x09c"),
        ("wav\u202eexe", r"wav\u202eexe"),
        ("half\udc80", r"half\udc80"),
        ("Jürgen 电话", "Jürgen 电话"),
    ],
)
def test_hostile_text_is_printed_harmlessly(text: str, safe: str) -> None:
    assert frame.printable(text) == safe


def test_markup_in_foreign_text_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[link=https://evil.example]click[/link] [/] [bold"
    frame.say(f"Said: {frame.shown(hostile)}")
    frame.table(("NAME",), [(hostile,)])
    frame.details([("Name", hostile)])
    assert capsys.readouterr().out.count(hostile) == 3


def test_columns_are_aligned_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    frame.table(("NAME", "SIZE"), [("电话", 1), ("x" * 300, 22)])
    header, wide, long = capsys.readouterr().out.splitlines()
    assert header.index("SIZE") == 302
    assert wide == "电话" + " " * 298 + "1"  # a wide character takes two columns
    assert long == "x" * 300 + "  22"


def test_json_is_written_to_a_pipe_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    frame.print_json({"name": "Jürgen \udc80"})
    assert raw.getvalue() == b'{\n  "name": "J\\u00fcrgen \\udc80"\n}\n'


@pytest.mark.parametrize(
    ("written", "whole_day", "utc"),
    [
        ("2025-03-30", False, datetime(2025, 3, 29, 23, tzinfo=UTC)),
        ("2025-03-30", True, datetime(2025, 3, 30, 22, tzinfo=UTC)),  # a day of 23 hours
        ("2025-03-30T12:00", False, datetime(2025, 3, 30, 10, tzinfo=UTC)),
        ("2025-03-30T12:00Z", True, datetime(2025, 3, 30, 12, tzinfo=UTC)),
        ("2025-03-30T12:00+05:30", False, datetime(2025, 3, 30, 6, 30, tzinfo=UTC)),
    ],
)
def test_times_are_those_of_the_tenant_unless_they_say_otherwise(written: str, whole_day: bool, utc: datetime) -> None:
    assert words.moment("--from", written, "Europe/Berlin", whole_day=whole_day) == utc


@pytest.mark.parametrize("written", ["yesterday", "2025-02-30", "27.03.2025", "9999-12-31", "0001-01-01T00:00"])
def test_what_is_no_time_is_misuse(written: str) -> None:
    with pytest.raises(InputInvalid, match="--to"):
        words.moment("--to", written, "Europe/Berlin", whole_day=True)


def test_the_code_is_found_in_the_whole_text_of_a_challenge() -> None:
    text = "You have opened it.\r\n\r\n    4F7K-22QX-9M3T-0B5C-R8ZD-H1WN\r\n\r\nThank you.\r\n"
    assert words.code_in(text) == "4F7K-22QX-9M3T-0B5C-R8ZD-H1WN"
    assert words.code_in(" 4f7k22qx9m3t0b5cr8zdh1wn\n") == "4f7k22qx9m3t0b5cr8zdh1wn"


def test_a_pipe_that_closes_early_leaves_no_traceback(cli: Cli) -> None:
    command = f"{sys.executable} -m recpipe settings show --json | head -c 1"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_an_error_never_is_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(context: object) -> object:
        raise RecpipeError("bad \x1b[31m[red]name[/red]")

    monkeypatch.setattr(frame, "settings", refuse)
    assert main.run(["tenant", "list"]) == 1
    assert r"bad \x1b[31m[red]name[/red]" in capsys.readouterr().err
