"""`recpipe demo` as somebody shows it from a server: what it prints is pasted, and works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.need import tool


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What a demo printed that serves on every address, while it serves."""
    tool("openssl")
    command = [sys.executable, "-m", "recpipe", "demo", "--folder", str(tmp_path / "demo"), "--json"]
    variables = {
        "RECPIPE_HTTP_LISTEN": "0.0.0.0:0",
        "RECPIPE_FTP_LISTEN": "0.0.0.0:0",
        "RECPIPE_FTP_REQUIRE_TLS": "true",
        "RECPIPE_STORE_URL": "s3://not-here",
    }
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=err, text=True
        )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":  # the document is whole
            break
    try:
        assert lines, (tmp_path / "err").read_text()
        assert "Not heeded: RECPIPE_STORE_URL" in (tmp_path / "err").read_text()
        yield json.loads("".join(lines))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        process.stdout.close()


def test_its_commands_work_when_they_are_pasted(shown: dict[str, Any], tmp_path: Path) -> None:
    tool("curl")
    assert "0.0.0.0" not in json.dumps(shown["commands"])
    printed = {}
    for name, command in shown["commands"].items():
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed[name] = done.stdout
    expected, _, opened = printed["compare"].partition("  ")
    assert expected == shown["commands"]["compare"].rpartition("# ")[2]
    assert (tmp_path / opened.strip()).is_file()
    assert [one["caller"] for one in json.loads(printed["search"])["items"]] == ["02079460958"]
    assert len(printed["list"].splitlines()) >= 6
