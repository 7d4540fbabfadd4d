"""Clients that come, take part of a recording and are killed leave nothing behind: memory, descriptors, threads."""

from __future__ import annotations

import ftplib
import json
import os
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from recpipe import wiring
from recpipe.access.principal import Action, operator
from recpipe.model import Recording, Role
from recpipe.settings import Settings
from tests.acceptance.installation import Installation
from tests.integration.api import World, tenant

LARGE_BYTES = 48_000_000  # one copy is more than may be left
TAKEN_BYTES = 1_000_000
READERS = 20  # at each door
PASSWORD = "three quiet lamps"
# What a reader that has stopped may cost while it is there (a piece, the buffers of its socket), and what may be left:
# at once, and when the service has given back what it holds of freed memory, as it does every ten seconds.
MB_OF_A_READER = 1.5
MB_LEFT = 30
MB_AT_REST = 15
GIVEN_BACK_SECONDS = 12


@dataclass
class Served:
    """A running service, with a large recording and small ones."""

    pid: int
    http: int
    ftp: int
    token: str
    large: Recording
    small: list[Recording]

    def memory_mb(self, field: str = "VmRSS") -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(rf"{field}:\s+(\d+)", status)[0]) / 1024

    def forget_peak(self) -> None:
        """Source: proc(5), /proc/pid/clear_refs."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """Without those of the database, whose pool is as large as there were readers of it at once."""
        open_now = []
        for one in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                open_now.append(str(one.readlink()))
        return sum("sqlite3" not in name for name in open_now)

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def get(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.http}/api/v1{path}", body, headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return bytes(answer.read())

    def http_reader(self) -> socket.socket:
        """A client in the midst of the large recording."""
        client = socket.create_connection(("127.0.0.1", self.http), timeout=60)
        head = f"GET /api/v1/recordings/{self.large.id}/media HTTP/1.1\r\nHost: localhost\r\n"
        client.sendall(f"{head}Authorization: Bearer {self.token}\r\n\r\n".encode())
        return _begun(client)

    def ftp_client(self, tls: bool) -> ftplib.FTP:
        client = ftplib.FTP_TLS(context=_context()) if tls else ftplib.FTP()
        client.connect("127.0.0.1", self.ftp, timeout=60)
        client.login("acme", PASSWORD)
        if isinstance(client, ftplib.FTP_TLS):
            client.prot_p()
        return client

    def ftp_reader(self, tls: bool, stack: ExitStack) -> None:
        """The same over FTP; leaving the stack kills it."""
        client = self.ftp_client(tls)
        assert client.sock is not None
        stack.callback(client.sock.close)
        stack.callback(_begun(client.transfercmd(f"RETR {path_of(self.large)}")).close)

    def work(self) -> None:
        """What people and programs do all day, once."""
        ids = [one.id for one in self.small]
        for one in ids:
            self.get(f"/recordings/{one}/media")
        self.get("/recordings?limit=100")
        self.get("/recordings/export?format=csv")
        self.get("/recordings/zip", json.dumps({"ids": ids}).encode())
        for tls in (False, True):
            with self.ftp_client(tls) as client:
                client.retrlines(f"MLSD /{self.large.day.replace('-', '/')}", lambda _: None)
                for recording in self.small:
                    client.retrbinary(f"RETR {path_of(recording)}", lambda _: None)


def path_of(recording: Recording) -> str:
    return f"/{recording.day.replace('-', '/')}/{recording.name}"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _begun(client: socket.socket) -> socket.socket:
    left = TAKEN_BYTES
    while left > 0 and (piece := client.recv(65_536)):
        left -= len(piece)
    assert left <= 0
    return client


def at_once(count: int, do: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def one() -> None:
        try:
            do()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    installation = Installation(root, {"RECPIPE_FTP_MAX_PER_ACCOUNT": "100"})
    with wiring.open_parts(Settings(data_dir=installation.data_dir)) as parts:
        with parts.catalogue.begin() as work:
            acme = work.tenants.add(tenant("acme"))
        world = World(parts, None, acme, acme)  # type: ignore[arg-type]  # nothing is served from this process
        large = world.add("large", acme, os.urandom(1_000_000) * (LARGE_BYTES // 1_000_000))
        small = [world.add(f"small{n}", acme, os.urandom(600_000), minutes=n) for n in range(4)]
        token = world.token("api", Role.API, tuple(action.value for action in Action), {acme.id: []})
        parts.ftp_accounts.create(operator("test"), acme.id, "acme", password=PASSWORD)
    installation.config.touch()
    with installation.serving_alone("web", "ftp") as process:
        deadline = time.monotonic() + 60
        while not (
            (http := re.search(r"http://127\.0\.0\.1:(\d+)", installation.log()))
            and (ftp := re.search(r"ftp started.*?127\.0\.0\.1\D+(\d+)", installation.log()))
        ):
            assert process.poll() is None and time.monotonic() < deadline, installation.log()
            time.sleep(0.05)
        yield Served(process.pid, int(http[1]), int(ftp[1]), token, large, small)


def settled(served: Served, descriptors: int, threads: int) -> None:
    """Wait until no more is open than there was."""
    deadline = time.monotonic() + 40
    while served.descriptors() > descriptors or served.threads() > threads:
        assert time.monotonic() < deadline, (served.descriptors(), descriptors, served.threads(), threads)
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.long)])
def test_killed_readers_leave_no_memory_descriptors_or_threads(tmp_path: Path, rounds: int) -> None:
    with serving(tmp_path) as served:
        served.work()  # what is loaded once, is loaded; the FTP password is known for a minute without Argon2
        at_once(2, served.work)
        # Sockets, and threads of the web's pools, are kept for the next ones; nothing as much as there were readers.
        descriptors, threads = served.descriptors() + 10, served.threads() + READERS
        time.sleep(GIVEN_BACK_SECONDS)
        rest_mb = served.memory_mb()
        for _ in range(rounds):
            served.ftp_client(tls=False).close()  # 60 seconds of a known password begin again
            served.forget_peak()
            with ExitStack() as killed:
                for door in (
                    lambda: killed.callback(served.http_reader().close),
                    lambda: served.ftp_reader(False, killed),
                    lambda: served.ftp_reader(True, killed),
                ):
                    at_once(READERS, door)
                assert served.memory_mb("VmHWM") < rest_mb + MB_LEFT + 3 * READERS * MB_OF_A_READER
            if rounds > 2:
                at_once(4, served.work)
        settled(served, descriptors, threads)
        time.sleep(GIVEN_BACK_SECONDS)
        assert served.memory_mb() < rest_mb + MB_AT_REST
