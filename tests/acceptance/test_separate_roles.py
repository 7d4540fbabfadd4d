"""Roles in processes of their own: each says how it is."""

from __future__ import annotations

import ftplib
import re
import socket
import time
from pathlib import Path

import httpx
import pytest

from recpipe.cli.roles import RoleName
from recpipe.cli.serve import Running, started
from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings
from tests.acceptance.installation import Installation
from tests.prove._processes import Process


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path, {"RECPIPE_METRICS_LISTEN": "127.0.0.1:0", "RECPIPE_LOG_FORMAT": "json"})
    made.spool(tenant="acme")
    return made


def said(installation: Installation, process: Process, pattern: str) -> str:
    """What the log says, once it does."""
    deadline = time.monotonic() + 60
    while not (found := re.search(pattern, installation.log())):
        assert process.ended() is None and time.monotonic() < deadline, installation.log()
        time.sleep(0.05)
    return found[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "parts", "metric"),
    [
        ("ingest", ["database", "store", "workers", "spool monitor"], "recpipe_spool_files_waiting"),
        ("ftp", ["database", "store"], "recpipe_ftp_sessions"),
        ("jobs", ["database", "store"], "recpipe_verify_problems"),
    ],
)
def test_a_role_alone_tells_health_and_metrics_and_nothing_else(
    installation: Installation, role: str, parts: list[str], metric: str
) -> None:
    with installation.serving(role) as process:
        url = said(installation, process, r'"url": "(http://127.0.0.1:\d+)", "event": "monitor started"')
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            assert client.get("/healthz").json() == {"status": "alive"}
            ready = client.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["checks"] == [{"name": name, "ok": True} for name in parts]
            assert re.search(rf"^{metric}(\{{.*\}})? 0.0$", client.get("/metrics").text, re.MULTILINE)
            passed_on = client.get("/metrics", headers={"x-forwarded-for": "203.0.113.9"})
            assert passed_on.status_code == 401 and b"recpipe_" not in passed_on.content
            for path in ("/", "/api/v1/me", "/api/v1/openapi.json", "/sign-in", "/docs"):
                assert client.get(path).status_code == 404


def settings(root: Path, listen: str) -> Settings:
    given = {"http_listen": "127.0.0.1:0", "ftp_listen": "127.0.0.1:0", "metrics_listen": listen}
    return Settings(data_dir=root / "data", **given)  # type: ignore[arg-type]


def test_a_session_of_a_gateway_alone_is_seen_by_prometheus(tmp_path: Path) -> None:
    running = Running()
    with started(settings(tmp_path, "127.0.0.1:0"), [RoleName.FTP], running):
        assert running.ftp_address is not None
        with ftplib.FTP(timeout=10) as client:
            client.connect(*running.ftp_address)
            assert "\nrecpipe_ftp_sessions 1.0\n" in httpx.get(f"{running.monitor_url}/metrics", trust_env=False).text


def test_it_is_off_unless_asked_for_and_where_the_web_role_answers_already(tmp_path: Path) -> None:
    for listen, roles in (("", [RoleName.FTP]), ("127.0.0.1:0", [RoleName.WEB, RoleName.FTP])):
        running = Running()
        with started(settings(tmp_path, listen), roles, running):
            assert running.monitor_url == ""


def test_a_taken_port_is_named_with_its_setting_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        chosen = settings(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
        refused = pytest.raises(SettingsInvalid, match="RECPIPE_METRICS_LISTEN")
        with refused, started(chosen, [RoleName.INGEST, RoleName.FTP], Running()):
            pass
    running = Running()
    with started(chosen, [RoleName.INGEST, RoleName.FTP], running):
        assert running.monitor_url == f"http://{chosen.metrics_listen}"
