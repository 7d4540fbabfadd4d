"""A recpipe that is scanned: `recpipe serve` in all its roles, with two tenants and people of each role."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.settings import Settings
from tests.integration.api import filled
from tests.prove._served import servers
from tests.scanners._front import Front, before

PASSWORD = "correct horse battery"
PEOPLE = {"administrator": Role.ADMINISTRATOR, "client": Role.CLIENT}
_START_SECONDS = 60.0


@dataclass
class Instance:
    """What runs, and who is known to it."""

    url: str  # of its front
    front: Front
    ftp_port: int
    ftps_port: int
    folder: Path  # for what a scanner writes
    tokens: dict[str, str]
    recording: str  # id of one
    cookies: dict[str, str] = field(default_factory=dict)

    def sign_in(self, who: str) -> str:
        """The secret of a new session."""
        with httpx.Client(base_url=self.url, trust_env=False) as browser:
            answer = browser.post("/sign-in", data={"username": f"{who}@acme.example", "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            self.cookies[who] = browser.cookies["recpipe_session"]
        return self.cookies[who]

    def knows(self, who: str) -> bool:
        """Whether what the scanner was given still opens anything."""
        if who == "nobody":
            return True
        given = {"cookie": f"recpipe_session={self.cookies[who]}"} if who in self.cookies else self.bearer(who)
        return httpx.get(f"{self.url}/api/v1/me", headers=given, trust_env=False).status_code == 200

    def bearer(self, who: str) -> dict[str, str]:
        return {} if who == "nobody" else {"authorization": f"Bearer {self.tokens[who]}"}


@contextmanager
def running(backend: str) -> Iterator[Instance]:
    """A fresh one on `sqlite` and a folder, or on `postgresql` and S3."""
    with tempfile.TemporaryDirectory(prefix="recpipe-scanned-") as kept:
        root = Path(kept)
        http, ftp, ftps = _free_ports(3)
        (root / "monitor").mkdir()
        (root / "scanner").mkdir()
        with before(http) as front:
            url = f"http://127.0.0.1:{front.port}"
            variables = {
                "RECPIPE_CONFIG": str(root / "recpipe.toml"),
                "RECPIPE_DATA_DIR": str(root / "data"),
                "RECPIPE_HTTP_LISTEN": f"127.0.0.1:{http}",
                "RECPIPE_HTTP_URL": url,
                "RECPIPE_FTP_LISTEN": f"127.0.0.1:{ftp}",
                "RECPIPE_FTPS_LISTEN": f"127.0.0.1:{ftps}",
                "RECPIPE_TRUSTED_PROXIES": json.dumps(["127.0.0.1"]),
            } | (_served(root.name) if backend == "postgresql" else {})
            (root / "recpipe.toml").write_text(f'[[spool]]\npath = "{root / "monitor"}"\ntenant = "acme"\n')
            tokens, recording = _filled(variables, root)
            with _serving(variables, root, url):
                yield Instance(url, front, ftp, ftps, root / "scanner", tokens, recording)


def _served(name: str) -> dict[str, str]:
    database, store, _ = servers()
    return {
        "RECPIPE_DATABASE_URL": database.url(database.create()),
        "RECPIPE_STORE_URL": f"s3://{store.bucket}/{name}",
        "RECPIPE_S3_ENDPOINT": store.endpoint,
        "RECPIPE_S3_ACCESS_KEY": store.access_key,
        "RECPIPE_S3_SECRET_KEY": store.secret_key,
        "RECPIPE_S3_ADDRESSING": "path",
    }


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("RECPIPE_", "AWS_"))} | variables


def _filled(variables: dict[str, str], root: Path) -> tuple[dict[str, str], str]:
    """Tenants, recordings, and people who can sign in; the tokens by role, and the id of a recording."""
    command = [sys.executable, "-m", "recpipe", "migrate"]
    subprocess.run(command, env=_environment(variables), check=True, capture_output=True)
    named = {k.removeprefix("RECPIPE_").lower(): v for k, v in variables.items() if "CONFIG" not in k}
    named.pop("trusted_proxies")
    with wiring.open_parts(Settings(**named)) as parts:  # type: ignore[arg-type]
        world = filled(parts)
        for who, role in PEOPLE.items():
            grants = {} if role.everything else {world.acme.id: []}
            parts.accounts.create(operator(), f"{who}@acme.example", role, grants=grants, password=PASSWORD)
        parts.ftp_accounts.create(operator(), world.acme.id, "acme", password=PASSWORD)
        return dict(world.tokens), world.recordings["one"].id


@contextmanager
def _serving(variables: dict[str, str], root: Path, url: str) -> Iterator[None]:
    log = root / "serve.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "recpipe", "serve"]
        process = subprocess.Popen(
            command, env=_environment(variables), stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"recpipe does not serve:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.2)
        yield
        if process.poll() is not None:
            raise RuntimeError(f"recpipe ended while it was scanned:\n{log.read_text(errors='replace')[-4000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports
