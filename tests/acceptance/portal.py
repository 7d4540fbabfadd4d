"""An installation that serves, people who use it in Chromium, and a media server that drops calls."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from recpipe import samples, wiring
from recpipe.access import totp
from recpipe.access.login import Door
from recpipe.access.principal import operator
from recpipe.cli.roles import RoleName
from recpipe.cli.serve import Running, started
from recpipe.mail import Mailer
from recpipe.model import Recording, RecordingQuery, Role, Tenant
from recpipe.settings import Settings, Spool
from tests.services import need

PASSWORD = "correct horse battery"
ADMIN = "ann@example.com"
# Signing in is part of every test. Who registers as a person does has a password of the full cost.


@dataclass
class Portal:
    """What runs, and the folder of the person at the browser."""

    parts: wiring.Parts
    running: Running
    home: Path
    northwind: Tenant
    globex: Tenant
    names: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.running.http_url

    def user(self, name: str, role: Role, grants: dict[str, list[str]] | None = None) -> str:
        """Make a user who can sign in with PASSWORD; returns its id."""
        return _make_user(self.parts, name, role, grants=grants)

    def drop(
        self, sound: str | Path, *, kind: str = "in", to: str = "201", by: str = "02079460958", ago: int = 5
    ) -> str:
        """Put a finished call into the spool of northwind, named as FreePBX does; returns that name."""
        path = samples.paths()[sound] if isinstance(sound, str) else sound
        at = datetime.now(UTC) - timedelta(minutes=ago)
        name = f"{kind}-{to}-{by}-{at:%Y%m%d-%H%M%S}-{int(at.timestamp())}.{len(self.names)}{path.suffix}"
        target = self.parts.settings.spool[0].path / name
        part = target.with_name(f".{name}.part")
        shutil.copy(path, part)
        part.rename(target)
        self.names[name] = str(path)
        return name

    def recordings(self, count: int, tenant: Tenant | None = None) -> list[Recording]:
        """The recordings of a tenant once there are so many, newest first."""
        deadline = time.monotonic() + 30
        while True:
            with self.parts.catalogue.read() as work:
                found = work.of((tenant or self.northwind).id).recordings.search(RecordingQuery()).items
            if len(found) >= count:
                return list(found)
            assert time.monotonic() < deadline, f"{len(found)} of {count} recordings were stored"
            time.sleep(0.1)

    def key_pair(self, name: str = "my") -> tuple[Path, Path]:
        """A key pair made with the documented command; private key, certificate."""
        key, certificate = self.home / f"{name}privatekey.pem", self.home / f"{name}publickey.pem"
        command = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-x509", "-days", "1825")
        openssl(*command, "-out", certificate, "-subj", f"/CN={name}")
        return key, certificate

    def link(self, user: str, recording_id: str, passphrase: str = "") -> str:
        """The code in a link that a user makes to a call, for somebody outside."""
        by = self.parts.access.password(user, PASSWORD, "192.0.2.9", Door.HTTP).principal
        assert by is not None
        about = {"expires_at": self.parts.clock() + timedelta(days=1), "passphrase": passphrase, "download": True}
        made = self.parts.sharing.share(by, recording_id, label="Their lawyer", **about)
        return made.address.partition("#")[2]

    def seal_from_now_on(self, tenant: Tenant) -> Path:
        """A proven key and encryption on, as on the day after the first; returns the private key."""
        key, certificate = self.key_pair()
        by, keyring = operator("test"), self.parts.keyring
        added = keyring.add(by, tenant.id, certificate.read_bytes(), label="office")
        assert added.challenge is not None
        (self.home / "challenge.enc").write_bytes(added.challenge)
        keyring.verify(by, tenant.id, added.certificate.id, code_in_challenge(self.home, key))
        keyring.set_encryption(by, tenant.id, True)
        return key


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run([need.tool("openssl"), *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def documented_decrypt(enc: Path, out: Path, key: Path) -> None:
    """The command of the user guide."""
    openssl("smime", "-decrypt", "-binary", "-in", enc, "-inform", "DER", "-out", out, "-inkey", key)


def code_in_challenge(home: Path, key: Path) -> str:
    documented_decrypt(home / "challenge.enc", home / "challenge.txt", key)
    found = re.search(r"^ {4}(\S+)$", (home / "challenge.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def portal(root: Path, mailer: Mailer | None = None, **more: Any) -> Iterator[Portal]:
    """Two tenants, an administrator, ingest, web and FTP, in this process and over real sockets.

    Args:
        more: settings.
    """
    spool = root / "spool"
    home = root / "home"
    for folder in (spool, home):
        folder.mkdir()
    given = {
        "data_dir": root / "data",
        "http_listen": "127.0.0.1:0",
        "ftp_listen": f"127.0.0.1:{free_port()}",
        "smtp_url": mailer.url if mailer else "",
        "mail_from": mailer.sender if mailer else "",
        "spool": (Spool(path=spool, tenant="northwind", layout="freepbx", timezone="UTC", settle_seconds=0.2),),
    }
    settings = Settings.model_validate({**given, **more})
    running = Running()
    with started(settings, list(RoleName), running) as parts:
        by = operator("test")
        northwind = parts.tenants.create(
            by, "northwind", title="Northwind Bicycles", timezone="Europe/London", region="GB"
        )
        globex = parts.tenants.create(by, "globex", title="Globex", timezone="America/New_York", region="US")
        _make_user(parts, ADMIN, Role.ADMINISTRATOR, display_name="Ann Admin")
        yield Portal(parts, running, home, northwind, globex)


def _make_user(parts: wiring.Parts, name: str, role: Role, **details: Any) -> str:
    return parts.accounts.create(operator("test"), name, role, password=PASSWORD, **details).user.id


# --- what people do -------------------------------------------------------------------------------------------


def sign_in(page: Page, portal: Portal, username: str, secret: str = "", step: int = 0) -> None:
    """Sign in, with the code of an authenticator app where there is one."""
    page.goto(f"{portal.url}/sign-in")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    if secret:
        page.get_by_label("Code").fill(app_code(secret, step))
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def enter(page: Page, portal: Portal, username: str, url: str = "") -> None:
    """Have the session that signing in gives, without the pages on the way; whoever tests those signs in."""
    answer = page.request.post(
        f"{url or portal.url}/sign-in", form={"username": username, "password": PASSWORD}, max_redirects=0
    )
    assert answer.status == 303, answer.text()


def choose_key(page: Page, key: Path) -> None:
    """Give the page a private key, once its script is there to take it."""
    expect(page.get_by_text("Choose private key file")).to_be_visible()
    page.get_by_label("Choose private key file").set_input_files(key)


def app_code(secret: str, later: int = 0) -> str:
    """What an authenticator app shows, or will in `later` half minutes."""
    return totp.code_at(base64.b32decode(secret.replace(" ", "")), int(time.time()) // totp.STEP_SECONDS + later)


def until(page: Page, expression: str, seconds: float = 15.0) -> float:
    """Wait until a script says true, and say how long it took. (Playwright's own waiting evaluates text, which the
    policy of our pages forbids.)
    """
    began = time.perf_counter()
    while not page.evaluate(expression):
        assert time.perf_counter() - began < seconds, f"not within {seconds} s: {expression}"
        threading.Event().wait(0.02)
    return time.perf_counter() - began


PLAYING = "!document.getElementById('audio').paused && document.getElementById('audio').currentTime > 0.2"
