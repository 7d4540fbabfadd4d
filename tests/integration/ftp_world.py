"""A gateway on real sockets over a small world: two tenants, sealed and plain recordings, accounts of each kind."""

from __future__ import annotations

import contextlib
import ftplib
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftp.server import FtpGateway
from keys.envelope import Sealer
from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import Direction, FtpAccount, FtpAccountKind
from recpipe.settings import Settings, Spool
from recpipe.web.deps import WebContext
from tests.integration import api
from tests.services.certificates import KeyPair
from tests.services.sqlite import new_catalogue

DAY = "/2025/03/27"
PASSWORD = "three quiet lamps"
ODD_NAME = 'ünï "quoted" [Bob] 100%.wav'


@dataclass
class FtpWorld:
    """The gateway, what it serves, and who may log in (all with `PASSWORD`)."""

    gateway: FtpGateway
    made: api.World
    spool: Path
    contents: dict[str, bytes] = field(default_factory=dict)  # path -> bytes as stored
    plain: dict[str, bytes] = field(default_factory=dict)  # path of a sealed one -> bytes inside

    @property
    def port(self) -> int:
        return self.gateway.address[1]

    @property
    def tls_port(self) -> int:
        assert self.gateway.tls_address is not None
        return self.gateway.tls_address[1]

    def account(self, username: str) -> FtpAccount:
        return self.made.parts.ftp_accounts.named(operator("test"), self.made.acme.id, username)

    def login(self, username: str = "acme", *, tls: bool = False, timeout: float = 10) -> ftplib.FTP:
        client = Resuming(timeout=timeout, context=trusting()) if tls else ftplib.FTP(timeout=timeout)
        client.connect(*self.gateway.address)
        client.login(username, PASSWORD)
        if isinstance(client, ftplib.FTP_TLS):
            client.prot_p()
        return client


def change_settings(world: FtpWorld, **values: Any) -> None:
    """Change settings of a gateway that runs; values may lie below what the settings allow."""
    services = world.gateway.services
    object.__setattr__(services, "settings", services.settings.model_copy(update=values))


class Resuming(ftplib.FTP_TLS):
    """Python's client as docs/ftp.md wants it: data connections resume the session of the control connection."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:  # type: ignore[attr-defined]
            assert isinstance(self.sock, ssl.SSLSocket)
            connection = self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session)
        return connection, size


def trusting() -> ssl.SSLContext:
    """A client context for self-signed certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one reads all the authorities of this machine
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def ftp_world(
    root: Path, key_pair: KeyPair | None = None, settings: dict[str, Any] | None = None
) -> Iterator[FtpWorld]:
    """Open everything below `root`; `settings` go over the defaults."""
    spool = root / "spool"
    given = {
        "data_dir": root / "data",
        "ftp_listen": "127.0.0.1:0",
        "ftps_listen": "127.0.0.1:0",
        "spool": (
            Spool(path=spool, name="monitor", tenant="acme"),
            Spool(path=root / "faxes", name="faxes", tenant="acme", layout="fax", after="delete"),
        ),
    }
    new_catalogue(root / "data" / "recpipe.sqlite3")
    with wiring.open_parts(Settings(**(given | (settings or {})))) as parts:
        with parts.catalogue.begin() as work:
            acme = work.tenants.add(api.tenant("acme"))
            globex = work.tenants.add(api.tenant("globex", "America/New_York"))
        made = api.World(parts, WebContext.of(parts), acme, globex)
        gateway = FtpGateway(parts.settings, parts.access, parts.reader, intake=parts.intake)
        world = FtpWorld(gateway, made, spool)
        _fill(world, key_pair)
        gateway.start()
        try:
            yield world
        finally:
            gateway.stop()


def _fill(world: FtpWorld, key_pair: KeyPair | None) -> None:
    made = world.made

    def add(key: str, body: bytes, **more: Any) -> None:
        recording = made.add(key, made.acme, body, **more)
        world.contents[f"/{recording.day.replace('-', '/')}/{recording.name}"] = body

    add("one", bytes(range(256)) * 40)
    add("empty", b"", minutes=1)
    add("odd", b"RIFF" + bytes(5000), minutes=10, name=ODD_NAME)
    add("large", bytes(range(251)) * 12_000, minutes=11, direction=Direction.OUTBOUND, extension="202")
    add("later", b"another day" * 1000, minutes=60 * 24 * 40)
    for key in ("sealed", "second") if key_pair is not None else ():
        body = key.encode() * 70_000
        envelope = _sealed(body, key_pair)
        add(key, envelope, sealed=True, minutes=5)
        world.plain[f"{DAY}/{key}.wav.enc"] = body
    made.add("foreign", made.globex, b"not for acme" * 100)
    by = operator("test")
    accounts = made.parts.ftp_accounts
    accounts.create(by, made.acme.id, "acme", password=PASSWORD)
    accounts.create(by, made.acme.id, "acme-second", password=PASSWORD)
    accounts.create(by, made.acme.id, "acme-202", password=PASSWORD, extension="202")
    accounts.create(by, made.globex.id, "globex", password=PASSWORD)
    for name, label in (("pbx", "monitor"), ("fax-server", "faxes")):
        if label in {spool.label for spool in made.parts.settings.spool}:
            accounts.create(by, made.acme.id, name, password=PASSWORD, kind=FtpAccountKind.UPLOADER, spool=label)


def _sealed(body: bytes, key_pair: KeyPair | None) -> bytes:
    assert key_pair is not None
    reader = Sealer([key_pair.der]).begin(len(body)).open(io.BytesIO(body))
    out, buffer = bytearray(), memoryview(bytearray(65536))
    while count := reader.readinto(buffer):
        out += buffer[:count]
    return bytes(out)


def barely_read(client: ftplib.FTP, command: str) -> socket.socket:
    """Begin a transfer that cannot end: nobody reads, and what the system would take meanwhile is little.

    The buffers of an ordinary connection grow to megabytes, so that a file may be sent before anybody looks.
    """
    host, port = client.makepasv()
    data = socket.socket()
    data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    data.settimeout(10)
    data.connect((host, port))
    client.sendcmd(command)
    return data


def until(condition: Callable[[], bool], seconds: float = 8.0) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
