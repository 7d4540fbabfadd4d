"""docs/api.md is run as it stands, and names every problem that the server can send."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from recpipe.settings import Spool
from recpipe.web import errors
from tests.integration.api import world
from tests.services.need import tool

DOC = Path(__file__).parents[2] / "docs/api.md"


def test_every_command_of_the_documentation_works(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOC.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert sum(block.count("curl ") for block in blocks) > 20
    tool("curl")
    tool("openssl")
    work = tmp_path / "work"
    work.mkdir()
    with world(tmp_path, spool=(Spool(path=tmp_path / "monitor", tenant="acme"),)) as there:
        variables = {"URL": there.url, "TOKEN": there.tokens["administrator"], "TENANT": "acme"}
        script = "set -euo pipefail\n" + "\n".join(blocks)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=work,
            env={"PATH": os.environ["PATH"], "HOME": str(work), **variables},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert (work / "call.wav").read_bytes() == there.bodies["one"] == (work / "one.wav").read_bytes()
        assert (tmp_path / "monitor/call-4711.wav").read_bytes() == there.bodies["one"]
        assert (tmp_path / "monitor/call-4712.wav").read_bytes() == there.bodies["one"]
        assert "304\n" in done.stdout and '"type":"urn:recpipe:problem:not-found"' in done.stdout


def test_every_problem_is_in_the_documentation() -> None:
    text = DOC.read_text(encoding="utf-8")
    missing = {error.word for error, _, _ in errors._TABLE if f"`{error.word}`" not in text}
    assert missing <= {"cross-site", "keys", "secret-unreadable"}, (
        "the dashboard's own, and what only the command line meets"
    )
