"""The command line of an installation of its own, run in this process."""

from __future__ import annotations

import io
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from recpipe import samples
from recpipe.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Runs command lines in an installation below `home`, which is the working folder too."""

    def __init__(self, home: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._capture = capture
        self._monkeypatch = monkeypatch

    @property
    def monitor(self) -> Path:
        return self.home / "monitor"

    def run(self, *words: object, code: int = 0, stdin: str | None = None) -> Done:
        if stdin is not None:
            given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
            self._monkeypatch.setattr("sys.stdin", given)
        self._capture.readouterr()
        got = main.run([str(word) for word in words])
        printed = self._capture.readouterr()
        done = Done(got, printed.out, printed.err)
        assert done.code == code, f"recpipe {' '.join(map(str, words))}: {done}"
        return done

    def json(self, *words: object, code: int = 0, stdin: str | None = None) -> Any:
        return self.run(*words, "--json", code=code, stdin=stdin).json

    def audited(self, action: str) -> list[Any]:
        """Events of this kind, newest first."""
        found: list[Any] = self.json("audit", "list", "--action", action)["items"]
        return found

    def drop(self, name: str, sound: str = "order-inquiry.wav") -> Path:
        """A finished call in the spool."""
        path = self.monitor / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(samples.paths()[sound], path)
        return path


CALLS = {
    "in-201-03012340001-20250327-092517-1743063917.1.wav": "order-inquiry.wav",
    "out-03012340002-202-20250327-235900-1743116340.2.wav": "opening-hours-alaw.wav",
    "out-03012340003-201-20250328-000100-1743116460.3.mp3": "invoice-request.mp3",
}
SETTINGS = '[[spool]]\npath = "monitor"\ntenant = "acme"\ntimezone = "Europe/Berlin"\nsettle_seconds = 0\n'


@contextmanager
def _logs_as_before() -> Iterator[None]:
    """Commands set up the logs of the whole process."""
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    with _logs_as_before():
        yield


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data dirs to copy, made by the commands themselves once: `empty`, with the tenant `acme`, with its `calls`."""
    home = tmp_path_factory.mktemp("cli")
    (home / "recpipe.toml").write_text(SETTINGS)

    def run(*words: str) -> None:
        with redirect_stdout(io.StringIO()):
            assert main.run(words) == 0

    with _logs_as_before(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run("migrate")
        shutil.copytree("recpipe-data", "empty")
        run("tenant", "create", "acme", "--timezone", "Europe/Berlin", "--region", "DE")
        shutil.copytree("recpipe-data", "acme")
        for name, sound in CALLS.items():
            (home / "monitor").mkdir(exist_ok=True)
            shutil.copyfile(samples.paths()[sound], home / "monitor" / name)
        run("ingest", "--once")
        shutil.copytree("recpipe-data", "calls")
    return home


@pytest.fixture
def cli(tmp_path: Path, templates: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """One spool, `monitor`, of the tenant acme, that takes files at once."""
    shutil.copytree(templates / "empty", tmp_path / "recpipe-data")
    (tmp_path / "recpipe.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Cli(tmp_path, capsys, monkeypatch)


@pytest.fixture
def acme(cli: Cli, templates: Path) -> Any:
    """The tenant whose spool it is."""
    shutil.copytree(templates / "acme", cli.home / "recpipe-data", dirs_exist_ok=True)
    return cli.json("tenant", "show", "acme")


@pytest.fixture
def calls(cli: Cli, templates: Path) -> list[Any]:
    """Three plain recordings of acme, oldest first."""
    shutil.copytree(templates / "calls", cli.home / "recpipe-data", dirs_exist_ok=True)
    found: list[Any] = cli.json("recordings", "search", "--oldest-first")["items"]
    assert len(found) == len(CALLS)
    return found
