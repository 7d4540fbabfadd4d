"""How the gateway talks: lines, types, restarts, data connections that come early or twice, and what it logs."""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import io
import os
import select
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.integration.ftp_world import DAY, PASSWORD, FtpWorld, change_settings, ftp_world, trusting, until
from tests.integration.test_ftp_gateway import Raw


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpWorld]:
    """For tests that change nothing."""
    with ftp_world(tmp_path_factory.mktemp("ftp")) as made:
        yield made


# --- lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2049, 3000, 70_000])
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_line_that_is_too_long_gets_one_answer_and_none_of_it_is_run(world: FtpWorld, size: int, pieces: int) -> None:
    with Raw(world) as raw:
        line = b"RETR " + b"A" * size
        if pieces == 2:
            raw.socket.sendall(line)
            assert not select.select([raw.socket], [], [], 0.1)[0]
            line = b""
        raw.socket.sendall(line + b"CWD /2025\r\nPWD\r\n")
        assert raw.reply().startswith("500 ")
        assert raw.reply().startswith('257 "/"')


def test_a_line_may_have_2048_bytes(world: FtpWorld) -> None:
    with Raw(world) as raw:
        assert raw.ask("SIZE " + "A" * (2048 - 6)).startswith("550")


def test_a_line_feed_alone_ends_a_command(world: FtpWorld) -> None:
    with Raw(world) as raw:
        raw.socket.sendall(b"PWD\nNOOP\r\nTYPE I\n")
        assert [raw.reply()[:3] for _ in range(3)] == ["257", "200", "200"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        *(("TYPE A N", "200"), ("TYPE I N", "200"), ("type a n", "200"), ("TYPE L 8", "200"), ("TYPE A T", "504")),
        *(("TYPE E", "504"), ("OPTS HASH", "200"), ("OPTS HASH SHA-256", "200"), ("OPTS HASH MD5", "504")),
        *(("OPTS UTF8 ON", "200"), ("OPTS MLST type;size;", "200"), ("OPTS NONE", "501")),
    ],
)
def test_types_and_options_are_those_of_the_standards(world: FtpWorld, command: str, code: str) -> None:
    with Raw(world) as raw:
        assert raw.ask(command)[:3] == code


# --- files and folders ------------------------------------------------------------------------------------------


def test_a_restart_is_for_the_next_transfer_alone(world: FtpWorld) -> None:
    with world.login() as client:
        for listing in ("LIST", "NLST", "MLSD"):
            client.sendcmd("REST 100")
            client.retrlines(f"{listing} {DAY}", lambda _line: None)
            got = io.BytesIO()
            client.retrbinary(f"RETR {DAY}/one.wav", got.write)
            assert got.getvalue() == world.contents[f"{DAY}/one.wav"], listing


@pytest.mark.parametrize("options", ["-la", "-l -a", "-R"])
def test_stat_drops_options_as_list_does(world: FtpWorld, options: str) -> None:
    with Raw(world) as raw:
        assert "one.wav" in raw.ask(f"STAT {options} {DAY}")
        raw.ask(f"CWD {DAY}")
        assert "one.wav" in raw.ask(f"STAT {options}")


def test_a_folder_is_no_file_whatever_asks_for_it(world: FtpWorld) -> None:
    with Raw(world) as raw:
        for command in ("RETR", "SIZE", "MDTM", "HASH"):
            with raw.passive():
                assert raw.ask(f"{command} {DAY}").startswith("550 This is a folder"), command


def test_the_file_of_checksums_has_one_itself(world: FtpWorld) -> None:
    with world.login() as client:
        got = io.BytesIO()
        client.retrbinary(f"RETR {DAY}/SHA256SUMS", got.write)
        expected = hashlib.sha256(got.getvalue()).hexdigest()
        assert client.sendcmd(f"XSHA256 {DAY}/SHA256SUMS") == f"250 {expected}"
        assert expected in client.sendcmd(f"HASH {DAY}/SHA256SUMS")


# --- data connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["PASV", "EPSV", "PORT 127,0,0,1,200,1"])
def test_another_data_connection_ends_a_transfer_with_an_answer(world: FtpWorld, command: str) -> None:
    with Raw(world, login="pbx") as raw, raw.passive() as data:
        raw.send("STOR superseded.wav")
        assert raw.reply()[:3] in ("125", "150")
        data.sendall(b"RIFF" * 1000)
        assert raw.ask(command).startswith("426")
        assert raw.reply()[0] in "24"
        assert raw.ask("NOOP").startswith("200")
    raw, _control = secured(Raw(world, login=""))
    with raw, raw.passive():
        raw.send(f"RETR {DAY}/one.wav")
        assert raw.reply()[:3] in ("125", "150")
        assert raw.ask(command).startswith("426")
    assert not (world.spool / "superseded.wav").exists()


def test_a_transfer_that_waits_for_its_connection_is_ended_with_an_answer_too(world: FtpWorld) -> None:
    with Raw(world) as raw:
        raw.ask("EPSV")
        assert raw.ask(f"RETR {DAY}/one.wav").startswith("150")
        assert raw.ask("EPSV").startswith("426")
        assert raw.reply().startswith("229")


def secured(raw: Raw) -> tuple[Raw, ssl.SSLSocket]:
    """A control connection over TLS, its data connections too."""
    assert raw.ask("AUTH TLS").startswith("234")
    raw.socket = control = trusting().wrap_socket(raw.socket)
    raw.ask("USER acme")
    assert raw.ask(f"PASS {PASSWORD}").startswith("230")
    raw.ask("PBSZ 0")
    assert raw.ask("PROT P").startswith("200")
    return raw, control


@pytest.mark.parametrize("when", ["before the command", "after its answer"])
def test_a_client_may_shake_hands_as_soon_as_it_is_connected(world: FtpWorld, when: str) -> None:
    raw, _control = secured(Raw(world, login=""))
    with raw, raw.passive() as plain:
        context = trusting()
        if when == "after its answer":
            raw.send(f"RETR {DAY}/one.wav")
            assert raw.reply()[:3] in ("125", "150")
        with context.wrap_socket(plain) as data:
            if when == "before the command":
                raw.send(f"RETR {DAY}/one.wav")
                assert raw.reply()[:3] in ("125", "150")
            got = b"".join(iter(lambda: data.recv(65536), b""))
        assert got == world.contents[f"{DAY}/one.wav"]
        assert raw.reply().startswith("226")


def test_active_connections_speak_tls_too(world: FtpWorld) -> None:
    with world.login(tls=True) as reader, world.login("pbx", tls=True) as sender:
        for client in (reader, sender):
            client.set_pasv(False)
        assert "one.wav" in reader.nlst(DAY)
        assert sender.storbinary("STOR active.wav", io.BytesIO(b"RIFF" * 100)).startswith("226")
    assert (world.spool / "active.wav").read_bytes() == b"RIFF" * 100


def test_a_handshake_that_failed_early_is_told_when_something_is_asked_for(world: FtpWorld) -> None:
    raw, _control = secured(Raw(world, login=""))
    with raw, raw.passive() as plain:
        plain.sendall(b"no TLS at all\r\n")
        assert raw.ask(f"RETR {DAY}/one.wav")[:3] in ("125", "150")
        assert raw.reply().startswith("522")
        assert raw.ask("NOOP").startswith("200")


def test_an_open_data_connection_without_a_transfer_keeps_no_thread_and_no_session(world: FtpWorld) -> None:
    raw, _control = secured(Raw(world, login=""))
    with raw, raw.passive():
        assert until(lambda: world.gateway.status().threads == 0, 10)
        (session,) = [
            each for each in world.gateway.census.sessions() if each.remote_port == raw.socket.getsockname()[1]
        ]
        assert session.quiet


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["alert", "clear byte", "alert in the handshake", "gone in the handshake"])
def test_junk_inside_tls_is_one_line_of_log_and_no_traceback(
    world: FtpWorld, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Raw(world, login="") as raw:
        assert raw.ask("AUTH TLS").startswith("234")
        if how == "alert in the handshake":
            raw.socket.sendall(b"\x15\x03\x01\x00\x02\x02\x28")  # fatal, handshake_failure
        elif how == "gone in the handshake":
            raw.socket.sendall(b"\x16\x03\x01")
        else:
            tls = trusting().wrap_socket(raw.socket)
            clear = socket.socket(fileno=os.dup(tls.fileno()))
            with clear:
                clear.sendall(b"\x15\x03\x03\x00\x02\x02\x28" if how == "alert" else b"x" * 32)
                with contextlib.suppress(OSError):
                    tls.recv(1)
            tls.close()
    assert until(lambda: world.gateway.status().sessions == 0)
    assert "Traceback" not in caplog.text
    lines = [record for record in caplog.records if record.name.startswith("ftp")]
    assert [record.levelname for record in lines] == ["INFO"] * len(lines)
    assert len(lines) <= 1


def test_ciphers_are_preferred_in_the_servers_order(world: FtpWorld) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES256+AESGCM:ECDHE+CHACHA20:ECDHE+AES128+AESGCM")
    with (
        socket.create_connection(("127.0.0.1", world.tls_port), timeout=5) as plain,
        context.wrap_socket(plain) as tls,
    ):
        chosen = tls.cipher()
        assert chosen is not None and chosen[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize(("curve", "works"), [("prime256v1", True), ("secp384r1", True), ("secp521r1", False)])
def test_groups_that_nobody_needs_are_not_offered(world: FtpWorld, curve: str, works: bool) -> None:
    context = trusting()
    context.set_ecdh_curve(curve)
    with socket.create_connection(("127.0.0.1", world.tls_port), timeout=5) as plain:
        if works:
            with context.wrap_socket(plain) as tls:
                assert tls.recv(3) == b"220"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain)


# --- uploads over TLS -------------------------------------------------------------------------------------------


class Sender:
    """An uploader over TLS whose data connections speak TLS in memory, so that every byte of the server is seen."""

    def __init__(self, world: FtpWorld, version: ssl.TLSVersion) -> None:
        self.context = trusting()
        self.context.minimum_version = self.context.maximum_version = version
        self.raw = Raw(world, login="")
        assert self.raw.ask("AUTH TLS").startswith("234")
        self.raw.socket = self.control = self.context.wrap_socket(self.raw.socket)
        self.raw.ask("USER pbx")
        assert self.raw.ask(f"PASS {PASSWORD}").startswith("230")
        self.raw.ask("PBSZ 0")
        self.raw.ask("PROT P")

    @contextlib.contextmanager
    def store(self, name: str, *, resume: bool = True) -> Iterator[Data]:
        with self.raw.passive() as sock:
            self.raw.send(f"STOR {name}")
            assert self.raw.reply()[:3] in ("125", "150")
            yield Data(sock, self.context, self.control.session if resume else None)


class Data:
    """TLS over a socket, with what the server sent after the handshake left unread in the socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, session=session)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(self._out.read())
                self._in.write(sock.recv(65536))
        sock.sendall(self._out.read())

    def send(self, body: bytes) -> None:
        self.tls.write(body)
        self.sock.sendall(self._out.read())

    def say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.sock.sendall(self._out.read())


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


def a_wav(size: int) -> bytes:
    return b"RIFF" + (size - 8).to_bytes(4, "little") + b"WAVE" + os.urandom(size - 12)


@VERSIONS
def test_a_client_that_only_sends_finds_nothing_unread(
    world: FtpWorld, version: ssl.TLSVersion, request: pytest.FixtureRequest
) -> None:
    sender, name = Sender(world, version), f"{request.node.callspec.id}.wav"
    body = os.urandom(480_000)
    with sender.raw, sender.store(name) as data:
        data.send(body)
        assert not select.select([data.sock], [], [], 0.2)[0], "something that the client would leave unread"
        data.say_goodbye()
        assert sender.raw.reply().startswith("226")
        # Who does read finds a goodbye
        data._in.write(data.sock.recv(65536))
        with pytest.raises(ssl.SSLZeroReturnError):
            data.tls.read()
    assert (world.spool / name).read_bytes() == body


@VERSIONS
def test_an_upload_has_to_resume_the_session_of_its_control_connection(
    world: FtpWorld, version: ssl.TLSVersion
) -> None:
    owner, name = Sender(world, version), f"stolen-{version.name}.wav"
    with owner.raw:
        for session in (None, session_of_a_stranger(world, owner.context)):
            with owner.raw.passive() as sock:
                owner.raw.send(f"STOR {name}")
                assert owner.raw.reply()[:3] in ("125", "150")
                data = Data(sock, owner.context, session)
                with contextlib.suppress(OSError):
                    data.send(a_wav(1000))
                    data.say_goodbye()
                assert owner.raw.reply().startswith("522")
        # Then one session after the other, the owner's own
        for _ in range(3):
            with owner.store(name) as data:
                data.send(b"the owner's")
                data.say_goodbye()
                assert owner.raw.reply().startswith("226")
    assert (world.spool / name).read_bytes() == b"the owner's"


def session_of_a_stranger(world: FtpWorld, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """Of somebody who is connected, and not logged in."""
    with socket.create_connection(("127.0.0.1", world.tls_port)) as sock, context.wrap_socket(sock) as tls:
        tls.recv(100)
        return tls.session


def test_resumption_is_wanted_where_the_setting_says(world: FtpWorld) -> None:
    gateway = world.gateway
    before = gateway.services.settings.ftp_tls_resumption
    try:
        for wanted, code in (("off", "226"), ("uploads", "522"), ("always", "522")):
            change_settings(world, ftp_tls_resumption=wanted)
            with Sender(world, ssl.TLSVersion.TLSv1_3).raw as raw, raw.passive() as sock:
                raw.send(f"STOR {wanted}.wav")
                raw.reply()
                data = Data(sock, trusting(), None)
                with contextlib.suppress(OSError):
                    data.send(b"RIFF")
                    data.say_goodbye()
                assert raw.reply()[:3] == code
            client = ftplib.FTP_TLS(timeout=10, context=trusting())
            client.connect(*gateway.address)
            client.login("acme", PASSWORD)
            client.prot_p()
            if wanted == "always":
                with contextlib.suppress(OSError):
                    client.transfercmd(f"NLST {DAY}").close()
                assert client.getmultiline().startswith("522")
            else:
                assert client.nlst(DAY)
            client.close()
    finally:
        change_settings(world, ftp_tls_resumption=before)


@VERSIONS
@pytest.mark.parametrize(
    ("how", "code"), [("announced", "226"), ("by its header", "226"), ("less", "426"), ("unknown", "426")]
)
def test_without_a_goodbye_an_upload_is_whole_when_it_says_so_itself(
    world: FtpWorld, version: ssl.TLSVersion, how: str, code: str
) -> None:
    sender, name = Sender(world, version), f"bye-{version.name}-{how.replace(' ', '-')}.wav"
    body = a_wav(300_000) if how in ("by its header", "less") else os.urandom(300_000)
    with sender.raw:
        if how == "announced":
            assert sender.raw.ask(f"ALLO {len(body)}")[0] == "2"
        with sender.store(name) as data:
            data.send(body[:-10_000] if how == "less" else body)
        assert sender.raw.reply()[:3] == code
    assert (world.spool / name).exists() is (code == "226")
