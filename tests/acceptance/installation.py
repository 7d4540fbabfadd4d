"""A recpipe as an operator has it: a configuration file, a data dir, and the command line."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile
import structlog

from recpipe.cli import main
from tests.prove._processes import Process
from tests.prove.kills import shared_nursery

SOUNDS = Path("/usr/share/asterisk/sounds")
DOCUMENTED = ("openssl", "smime", "-decrypt", "-binary", "-in", "{enc}", "-inform", "DER", "-out", "{out}")


@dataclass
class Installation:
    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def config(self) -> Path:
        return self.root / "recpipe.toml"

    def spool(self, name: str = "monitor", **settings: object) -> Path:
        """Add a spool to the configuration and make its folder."""
        path = self.root / name
        path.mkdir(exist_ok=True)
        lines = ["[[spool]]", f'path = "{path}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        with self.config.open("a") as config:
            config.write("\n".join(lines) + "\n\n")
        return path

    def environment(self) -> dict[str, str]:
        return (
            {k: v for k, v in os.environ.items() if not k.startswith(("RECPIPE_", "AWS_"))}
            | {"RECPIPE_DATA_DIR": str(self.data_dir), "RECPIPE_CONFIG": str(self.config)}
            | {"RECPIPE_HTTP_LISTEN": "127.0.0.1:0", "RECPIPE_FTP_LISTEN": "127.0.0.1:0"}
            | self.env
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "recpipe", *words]

    def run(self, *words: str, code: int = 0, stdin: str = "") -> str:
        """Run a command to its end and return what it printed; in this process, for a new one imports for a second."""
        out, err = io.StringIO(), io.StringIO()
        root = logging.getLogger()
        handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.environment().items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            done = main.run(words)
        root.handlers[:] = handlers  # a command sets up the logs of its whole process
        root.setLevel(level)
        structlog.configure(**configured)
        assert done == code, f"recpipe {' '.join(words)}: {done}\n{out.getvalue()}\n{err.getvalue()}"
        return out.getvalue()

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))

    @contextmanager
    def serving(self, *roles: str) -> Iterator[Process]:
        """`recpipe serve` in the background; its log is in `serve.log`. A process of its own that was forked: it has
        imported already.
        """
        words = ["serve", *(word for role in roles for word in ("--role", role))]
        with shared_nursery() as forks:
            process = forks.fork(words, self.environment(), self.root, self.root / "serve.log")
            process.go()
            try:
                yield process
            finally:
                if process.ended() is None:
                    process.stop()

    @contextmanager
    def serving_alone(self, *roles: str) -> Iterator[subprocess.Popen[bytes]]:
        """As `serving`, with nothing in its memory but what it loads itself."""
        words = [word for role in roles for word in ("--role", role)]
        with (self.root / "serve.log").open("ab") as out:
            process = subprocess.Popen(self.command("serve", *words), env=self.environment(), stdout=out, stderr=out)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=30)

    def log(self) -> str:
        return (self.root / "serve.log").read_text(errors="replace")

    def export(self, tenant: str) -> list[Path]:
        out = self.root / "export"
        self.run("recordings", "export", "--tenant", tenant, "--out", str(out))
        return sorted(path for path in out.rglob("*") if path.is_file() and path.name != "SHA256SUMS")


def audio_files(folder: Path) -> list[Path]:
    """Recordings still in a spool; recpipe's own folder does not count."""
    # os.walk does not mind folders that vanish: recpipe removes date folders that are over and empty.
    return [
        Path(top) / name
        for top, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".wav", ".mp3")) and ".recpipe" not in Path(top).parts
    ]


def wait_until_empty(folder: Path, process: Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while audio_files(folder):
        assert process.ended() is None, f"recpipe stopped with {process.ended()}"
        assert time.monotonic() < deadline, f"{len(audio_files(folder))} files left in {folder}"
        time.sleep(0.1)


def openssl_decrypt(enc: Path, out: Path, key: Path) -> None:
    """The command of the user guide, word for word."""
    words = [word.format(enc=enc, out=out) for word in DOCUMENTED]
    done = subprocess.run([*words, "-inkey", str(key)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def samples(path: Path) -> bytes:
    data, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return rate.to_bytes(4, "big") + data.tobytes()


def freepbx_name(number: int, extension: str = "wav") -> str:
    """A name as FreePBX gives it, in the folder of its day."""
    second = f"{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}"
    epoch = 1_790_000_000 + number
    day = f"{1 + number % 28:02}"
    return f"2026/09/{day}/out-0301234{number:04}-201-202609{day}-{second}-{epoch}.{number}.{extension}"
