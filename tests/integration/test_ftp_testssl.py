"""What testssl.sh, which others wrote, says of the gateway's TLS."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.ftp_world import ftp_world
from tests.services.need import tool

FINE = {"OK", "INFO"}
# What testssl says of itself and of what it found there is no judgement of ours.
ABOUT_ITSELF = {"engine_problem", "service"}


# The suite proper tries each version and each cipher of OpenSSL by itself, see test_ftp_gateway.py.
@pytest.mark.long
@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_testssl_finds_no_weakness(tmp_path: Path, implicit: bool) -> None:
    testssl = tool("testssl")
    with ftp_world(tmp_path) as world:
        target = ["127.0.0.1:" + str(world.tls_port)] if implicit else ["-t", "ftp", f"127.0.0.1:{world.port}"]
        report = tmp_path / "report.json"
        options = ["--quiet", "--warnings", "off", "--color", "0", "--protocols", "--std", "--pfs", "--jsonfile"]
        done = subprocess.run(
            [testssl, *options, str(report), *target],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    findings = {found["id"]: found for found in json.loads(report.read_text())}
    assert findings["TLS1_2"]["severity"] == "OK", done.stdout
    assert findings["TLS1_3"]["severity"] == "OK", done.stdout
    assert "not offered" in findings["TLS1"]["finding"] and "not offered" in findings["TLS1_1"]["finding"]
    bad = {name: found["finding"] for name, found in findings.items() if found["severity"] not in FINE}
    assert set(bad) <= ABOUT_ITSELF, bad
