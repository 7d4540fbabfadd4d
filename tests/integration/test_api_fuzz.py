"""schemathesis over the OpenAPI document, as each role: no 5xx, nothing that the document does not declare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recpipe.settings import Spool
from tests.integration.api import world

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


ROLES = ("administrator", "client", "service", "api", "nobody")


@pytest.mark.slow
@pytest.mark.parametrize("who", ROLES)
def test_schemathesis_finds_nothing_that_is_not_declared(tmp_path: Path, who: str) -> None:
    fuzz(tmp_path, who, "examples,fuzzing", examples=2)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ROLES)
def test_schemathesis_finds_nothing_when_it_looks_for_long(tmp_path: Path, who: str) -> None:
    fuzz(tmp_path, who, "examples,coverage,fuzzing", examples=50)


def fuzz(root: Path, who: str, phases: str, examples: int) -> None:
    """Let schemathesis try every operation with a token of this role."""
    with world(root, spool=(Spool(path=root / "acme", tenant="acme"),)) as there:
        header = [] if who == "nobody" else ["-H", f"Authorization: Bearer {there.tokens[who]}"]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{there.url}/api/v1/openapi.json", *header]
        command += ["--checks", ",".join(CHECKS), "--max-examples", str(examples), "--phases", phases]
        command += ["--no-shrink", "--continue-on-failure", "--seed", "1", "--warnings", "off", "--no-color"]
        command += ["--suppress-health-check", "all"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=800)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
