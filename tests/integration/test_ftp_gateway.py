"""What the gateway refuses, whom it turns away, and that nothing stays open behind those who leave."""

from __future__ import annotations

import contextlib
import csv
import ftplib
import io
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftp.session import READ_ONLY, REFUSED, UPLOADING, Session
from recpipe.access.principal import operator
from recpipe.model import AuditEvent
from tests.integration.ftp_world import DAY, ODD_NAME, PASSWORD, FtpWorld, change_settings, ftp_world, trusting, until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpWorld]:
    """For tests that change nothing."""
    with ftp_world(tmp_path_factory.mktemp("ftp")) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FtpWorld]:
    with ftp_world(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _threads_go_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftp.loop.SPARE_SECONDS", 0.3)


class Raw:
    """A control connection without a client's opinions."""

    def __init__(self, world: FtpWorld, *, login: str = "acme") -> None:
        self.socket: socket.socket = socket.create_connection(world.gateway.address, timeout=10)
        self._buffer = b""
        assert self.reply().startswith("220")
        if login:
            self.ask(f"USER {login}")
            assert self.ask(f"PASS {PASSWORD}").startswith("230")

    def send(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def line(self) -> str:
        while b"\r\n" not in self._buffer:
            piece = self.socket.recv(65536)
            if not piece:
                return ""
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    def reply(self) -> str:
        """One reply, its lines joined."""
        lines = [self.line()]
        while re.match(r"\d{3}-", lines[0]) and not lines[-1].startswith(lines[0][:3] + " "):
            lines.append(self.line())
        return "\n".join(lines)

    def ask(self, line: str) -> str:
        self.send(line)
        return self.reply()

    def passive(self) -> socket.socket:
        port = int(self.ask("EPSV").split("|||")[1].rstrip("|)."))
        return socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


# --- one tenant and another -------------------------------------------------------------------------------------

VERBS = sorted(set(Session.proto_cmds) | REFUSED)
# What says nothing of any file: for these a path is a syntax error or is ignored.
PATHLESS = {
    *("ABOR", "ALLO", "AUTH", "CDUP", "EPRT", "EPSV", "FEAT", "HELP", "MODE", "NOOP", "OPTS", "PASS", "PASV", "PBSZ"),
    *(
        "PORT",
        "PROT",
        "PWD",
        "QUIT",
        "REIN",
        "REST",
        "SITE",
        "SITE HELP",
        "STRU",
        "SYST",
        "TYPE",
        "USER",
        "XCUP",
        "XPWD",
    ),
}


@pytest.mark.parametrize("verb", sorted(set(VERBS) - PATHLESS))
def test_a_foreign_path_and_a_missing_one_get_the_same_answer(shared: FtpWorld, verb: str) -> None:
    """Generated from the table of commands: a verb that is added later is judged here by itself."""
    with Raw(shared) as raw:
        for shape in ("{}", "/{}", "../../../{}", "/../globex/{}", "27/../{}"):
            answers = []
            for name in ("foreign.wav", "missing.wav"):
                path = shape.format(f"{DAY.lstrip('/')}/{name}")
                argument = (
                    f"20250327092517 {path}" if verb == "MFMT" else f"777 {path}" if verb == "SITE CHMOD" else path
                )
                with raw.passive():
                    answer = raw.ask(f"{verb} {argument}")
                assert answer[0] == "5", answer
                answers.append(answer.replace(name, "NAME"))
            assert answers[0] == answers[1]


def test_the_table_of_commands_is_covered() -> None:
    assert set(VERBS) >= PATHLESS
    assert {"RETR", "SIZE", "MDTM", "MLST", "MLSD", "LIST", "NLST", "STAT", "CWD", "HASH", "STOR", "DELE"} <= set(VERBS)


def test_a_tenant_sees_its_own_and_nothing_else(shared: FtpWorld) -> None:
    with shared.login("globex") as client:
        assert client.nlst(DAY) == ["foreign.wav", "CALLS.csv", "SHA256SUMS"]
        sums = io.BytesIO()
        client.retrbinary(f"RETR {DAY}/SHA256SUMS", sums.write)
        assert sums.getvalue().count(b"\n") == 1
        with pytest.raises(ftplib.error_perm, match=r"^550 There is no such file"):
            client.size(f"{DAY}/one.wav")


def test_an_account_with_a_subset_sees_that_alone(shared: FtpWorld) -> None:
    with shared.login("acme-202") as client:
        assert client.nlst(DAY) == ["large.wav", "CALLS.csv", "SHA256SUMS"]
        assert client.nlst("/2025") == ["03", "05"]  # months of the tenant; days are shown where the account has calls
        assert client.nlst("/2025/05") == []
        calls = io.BytesIO()
        client.retrbinary(f"RETR {DAY}/CALLS.csv", calls.write)
        assert [row["name"] for row in rows_of(calls.getvalue())] == ["large.wav"]
        with pytest.raises(ftplib.error_perm, match=r"^550 There is no such file"):
            client.retrbinary(f"RETR {DAY}/one.wav", io.BytesIO().write)


def rows_of(calls: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(calls.decode("utf-8-sig"), newline="")))


def test_each_day_says_which_files_are_legs_of_one_call(shared: FtpWorld) -> None:
    """Of a call over midnight, whose record came late; with names that a spreadsheet would calculate."""
    made, linked = shared.made, "1743119940.5"
    legs = [
        made.add(key, made.globex, b"RIFF" + b"x" * 99, minutes=minutes, linked_id=linked, name=name)
        for key, minutes, name in (("first", -4890, "=1+1.wav"), ("second", -4880, 'a;=1,"b".wav'))
    ]
    late = replace(legs[1].facts, linked_id="")
    with made.parts.catalogue.begin() as work:
        recordings = work.of(made.globex.id).recordings
        recordings.set_facts(legs[1].id, late)
        [lone] = [one for one in recordings.calls_in_day("2025-03-24") if one.name == legs[1].name]
        recordings.set_facts(legs[1].id, legs[1].facts)
    assert lone.call == legs[1].id
    with shared.login("globex") as client:
        found = []
        for day in ("/2025/03/23", "/2025/03/24"):
            calls = io.BytesIO()
            client.retrbinary(f"RETR {day}/CALLS.csv", calls.write)
            assert int(dict(client.mlsd(day))["CALLS.csv"]["size"]) == len(calls.getvalue())
            found += [row for row in rows_of(calls.getvalue()) if row["linked_id"] == linked]
        assert [(row["call"], row["name"]) for row in found] == [
            (legs[0].call, "'=1+1.wav"),
            (legs[0].call, 'a;\'=1,"b".wav'),
        ]
        for refused in (f"DELE {DAY}/CALLS.csv", f"RNFR {DAY}/CALLS.csv", f"STOR {DAY}/CALLS.csv"):
            with pytest.raises(ftplib.error_perm):
                client.sendcmd(refused)
        with pytest.raises(ftplib.error_perm, match=r"^550 There is no such file"):
            client.size("/2025/03/29/CALLS.csv")


@pytest.mark.parametrize("verb", sorted(REFUSED | UPLOADING))
def test_a_reader_changes_nothing_and_is_told_why(shared: FtpWorld, verb: str) -> None:
    with Raw(shared) as raw:
        assert raw.ask(f"{verb} 777 {DAY}/one.wav") == READ_ONLY


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../etc/passwd", "/2025/03/27/../../../../etc/passwd", "//etc"]
)
def test_the_servers_own_disk_is_out_of_reach(shared: FtpWorld, path: str) -> None:
    with Raw(shared) as raw:
        for verb in ("SIZE", "MDTM", "MLST", "STAT", "CWD"):
            assert raw.ask(f"{verb} {path}").startswith("550"), verb
        with raw.passive():
            assert raw.ask(f"RETR {path}").startswith("550")


@pytest.mark.parametrize("name", ["a\rb", "a\x00b", "a\x1b[31mb", "\xff\xfe", "x" * 1500, "%n%s", "'; DROP TABLE"])
def test_hostile_names_are_simply_not_there(shared: FtpWorld, name: str) -> None:
    with Raw(shared) as raw:
        raw.socket.sendall(f"SIZE {DAY}/{name}\r\nNOOP\r\n".encode("latin-1"))
        assert raw.reply() == "550 There is no such file or folder."
        assert raw.reply().startswith("200")


def test_replies_stay_one_line_whatever_the_client_sends(shared: FtpWorld) -> None:
    with Raw(shared, login="") as raw:
        raw.socket.sendall(b"BAD\x85550 forged\rX\r\nNOOP\r\n")
        assert raw.reply().startswith("500 ")
        assert raw.reply().startswith("200 ")


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("injected", ["NOOP", "USER acme", "FEAT", "SYST"])
def test_commands_behind_auth_are_not_carried_into_tls(shared: FtpWorld, injected: str) -> None:
    with Raw(shared, login="") as raw:
        raw.send("AUTH TLS", injected)
        assert raw.reply().startswith("503")
        assert raw.reply() == ""
        with pytest.raises((ssl.SSLError, OSError)), trusting().wrap_socket(raw.socket) as secured:
            secured.settimeout(1)
            assert not secured.recv(1000)
            raise OSError("nothing came, as it should be")


def test_what_was_said_in_the_clear_counts_for_nothing_inside_tls(shared: FtpWorld) -> None:
    raw = Raw(shared)
    assert raw.ask("AUTH TLS").startswith("234")
    with trusting().wrap_socket(raw.socket) as secured:
        secured.sendall(b"PWD\r\n")
        assert secured.recv(1000).startswith(b"530")


@pytest.mark.parametrize(
    ("version", "works"), [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_refused(shared: FtpWorld, version: str, works: bool) -> None:
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with socket.create_connection(("127.0.0.1", shared.tls_port), timeout=5) as plain:
        if not works:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain)
            return
        with context.wrap_socket(plain) as secured:
            assert secured.recv(100).startswith(b"220")


def test_ciphers_with_forward_secrecy_and_authentication_are_taken_and_no_others(shared: FtpWorld) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    every = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert {"AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"} <= set(every)
    taken = set()
    for name in every:
        context.set_ciphers(f"{name}:@SECLEVEL=0")
        with (
            socket.create_connection(("127.0.0.1", shared.tls_port), timeout=5) as plain,
            contextlib.suppress(ssl.SSLError, ConnectionError),
            context.wrap_socket(plain) as secured,
        ):
            assert secured.recv(3) == b"220"
            taken.add(name)
    # The server's own key is one on an elliptic curve.
    assert taken == {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    }


def test_the_pair_made_on_first_start_is_for_our_eyes_only_and_stays(tmp_path: Path) -> None:
    with ftp_world(tmp_path) as made:
        data_dir = made.gateway.services.settings.data_dir
        certificate, key = data_dir / "ftp-tls-certificate.pem", data_dir / "ftp-tls-key.pem"
        assert key.stat().st_mode & 0o777 == 0o600
        first = certificate.read_bytes()
        from ftp import tls

        tls.context(made.gateway.services.settings)
        assert certificate.read_bytes() == first


def test_require_tls_refuses_passwords_and_data_in_the_clear(tmp_path: Path) -> None:
    with ftp_world(tmp_path, settings={"ftp_require_tls": True}) as made:
        with Raw(made, login="") as raw:
            assert raw.ask("USER acme").startswith("530 This server wants TLS")
            assert raw.ask(f"PASS {PASSWORD}").startswith("530")
        client = ftplib.FTP_TLS(timeout=10, context=trusting())
        with client:
            client.connect(*made.gateway.address)
            client.login("acme", PASSWORD)
            with pytest.raises(ftplib.error_perm, match=r"^522"):
                client.nlst(DAY)
            client.prot_p()
            assert "one.wav" in client.nlst(DAY)


# --- data connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "PORT 10,0,0,1,200,1",
        "PORT 127,0,0,1,0,22",
        "PORT 127,0,0,1,3,255",
        "EPRT |1|192.0.2.1|50000|",
        "EPRT |1|127.0.0.1|80|",
        "PORT 1,2",
        "PORT 127,0,0,1,999,999",
        "EPRT |9|x|y|",
        "PORT -1,0,0,1,200,1",
    ],
)
def test_active_connections_to_others_or_low_ports_are_refused(shared: FtpWorld, command: str) -> None:
    with Raw(shared) as raw:
        assert raw.ask(command)[0] == "5"
        assert raw.ask("NOOP").startswith("200")


def test_strangers_cannot_take_a_passive_connection_nor_disturb_its_owner(shared: FtpWorld) -> None:
    with Raw(shared) as raw:
        port = int(raw.ask("EPSV").split("|||")[1].rstrip("|)."))
        # Given a stranger who guessed the port (127.0.0.9 is another address than 127.0.0.1)
        with socket.create_connection(("127.0.0.1", port), timeout=5, source_address=("127.0.0.9", 0)) as stranger:
            assert stranger.recv(1) == b""
        # Then the owner is told nothing and can still use it
        with socket.create_connection(("127.0.0.1", port), timeout=5) as owner:
            assert raw.ask(f"RETR {DAY}/one.wav").startswith("125") or raw
            assert owner.recv(1)


def test_passive_ports_stay_in_the_range_vary_and_come_free_again(tmp_path: Path) -> None:
    first = 22_000 + os.getpid() % 400 * 10  # below the ports that the kernel gives to outgoing connections
    with ftp_world(tmp_path, settings={"ftp_passive_ports": f"{first}-{first + 9}"}) as made, Raw(made) as raw:
        ports = [int(raw.ask("EPSV").split("|||")[1].rstrip("|).")) for _ in range(40)]
        assert set(ports) <= set(range(first, first + 10))
        assert len(set(ports)) > 3
        with contextlib.ExitStack() as stack:
            # When every port is waited on, the next one is told so and loses nothing
            others = [stack.enter_context(Raw(made)) for _ in range(10)]
            answers = [other.ask("EPSV") for other in others]
            assert 1 <= sum(answer.startswith("425") for answer in answers) < 10
        assert until(lambda: raw.ask("EPSV").startswith("229"))


def test_the_masquerade_address_is_announced(tmp_path: Path) -> None:
    with ftp_world(tmp_path, settings={"ftp_masquerade_address": "198.51.100.7"}) as made, Raw(made) as raw:
        assert "(198,51,100,7," in raw.ask("PASV")


def test_transfers_need_a_connection_and_come_one_at_a_time(shared: FtpWorld) -> None:
    with Raw(shared) as raw:
        assert raw.ask(f"RETR {DAY}/one.wav").startswith("425")
        raw.ask("EPSV")
        assert raw.ask(f"RETR {DAY}/one.wav").startswith("150")
        assert raw.ask(f"RETR {DAY}/odd.wav").startswith("450")
        assert raw.ask("ABOR").startswith("225")
        # What was aborted does not come with the next connection
        with raw.passive() as data:
            raw.send(f"RETR {DAY}/{ODD_NAME}")
            assert b"".join(iter(lambda: data.recv(65536), b"")) == shared.contents[f"{DAY}/{ODD_NAME}"]


def test_abor_ends_a_transfer_and_the_session_goes_on(shared: FtpWorld) -> None:
    with Raw(shared) as raw:
        with raw.passive() as data:
            data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.send(f"RETR {DAY}/large.wav")
            assert raw.reply()[:3] in ("125", "150")
            assert data.recv(1)
            replies = [raw.ask("ABOR")]
            if replies[0].startswith("426"):
                replies.append(raw.reply())
        assert replies[-1][:3] in ("225", "226")
        assert raw.ask("PWD").startswith("257")


# --- who may be here, and how long ------------------------------------------------------------------------------


def test_wrong_unknown_and_foreign_networks_get_one_answer(shared: FtpWorld) -> None:
    with Raw(shared, login="") as raw:
        answers = set()
        for user, password in (("acme-second", "wrong words here"), ("nobody", "wrong words here")):
            raw.ask(f"USER {user}")
            answers.add(raw.ask(f"PASS {password}"))
        assert answers == {"530 The user name or password is not right."}


def test_the_lock_out_is_that_of_every_door(world: FtpWorld) -> None:
    for _ in range(4):
        with Raw(world, login="") as raw:
            for _ in range(3):
                raw.ask("USER acme-second")
                answer = raw.ask("PASS wrong words here")
                if "Too many" in answer:
                    break
    with Raw(world, login="") as raw:
        raw.ask("USER acme-second")
        assert "Too many failed logins" in raw.ask(f"PASS {PASSWORD}")


@pytest.mark.parametrize("how", ["disable", "password"])
@pytest.mark.parametrize("busy", ["idle", "commands", "transfer"])
def test_a_changed_account_ends_its_live_sessions_in_five_seconds(tmp_path: Path, how: str, busy: str) -> None:
    with ftp_world(tmp_path) as world, Raw(world) as raw, Raw(world, login="acme-second") as other:
        data = raw.passive() if busy == "transfer" else None
        if data is not None:
            raw.send(f"RETR {DAY}/large.wav")
            raw.reply()
            data.recv(1)
        accounts, by = world.made.parts.ftp_accounts, operator("test")
        account = world.account("acme")
        started = time.monotonic()
        if how == "disable":
            accounts.disable(by, account.tenant_id, account.id)
        else:
            accounts.set_password(by, account.tenant_id, account.id, "another fine password")

        def ended() -> bool:
            if busy == "commands":
                with contextlib.suppress(OSError):
                    raw.send("NOOP")
            return world.gateway.status().sessions == 1

        assert until(ended, 5.0)
        assert time.monotonic() - started < 5
        if data is not None:
            data.close()
        assert other.ask("NOOP").startswith("200")


def test_sessions_are_counted_per_address_account_and_in_total(tmp_path: Path) -> None:
    limits = {"ftp_max_per_account": 2, "ftp_max_per_address": 4, "ftp_max_connections": 5}
    with ftp_world(tmp_path, settings=limits) as world, contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Raw(world))
        third = stack.enter_context(Raw(world, login=""))
        third.ask("USER acme")
        assert third.ask(f"PASS {PASSWORD}").startswith("421 This account has too many sessions")
        others = [stack.enter_context(Raw(world, login="acme-second")) for _ in range(2)]
        with socket.create_connection(world.gateway.address, timeout=5) as turned_away:
            assert turned_away.recv(200).startswith(b"421 Too many sessions from your address")
        connected = socket.create_connection(world.gateway.address, timeout=5, source_address=("127.0.0.2", 0))
        with connected:
            assert connected.recv(200).startswith(b"220")
            full = socket.create_connection(world.gateway.address, timeout=5, source_address=("127.0.0.3", 0))
            with full:
                assert full.recv(200).startswith(b"421 Too many sessions on this server")
        # Who leaves makes room
        others[0].ask("QUIT")
        assert until(lambda: world.gateway.status().sessions == 3)
        stack.enter_context(Raw(world, login="acme-second"))


def test_silent_clients_are_sent_away(tmp_path: Path) -> None:
    with ftp_world(tmp_path) as world:
        change_settings(world, ftp_idle_seconds=2, ftp_login_seconds=1)
        with Raw(world, login="") as nobody, Raw(world) as idle:
            assert nobody.reply().startswith("421 Nobody logged in")
            assert idle.reply().startswith("421 Nothing was heard")
            assert idle.reply() == ""
        # A TLS client that never shakes hands
        with socket.create_connection(("127.0.0.1", world.tls_port), timeout=8) as mute:
            assert mute.recv(1) == b""
        assert until(lambda: world.gateway.status().sessions == 0)


def test_idle_sessions_hold_no_thread(world: FtpWorld) -> None:
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(Raw(world, login="acme" if n % 2 else "acme-second")) for n in range(20)]
        assert until(lambda: world.gateway.status().threads == 0, 10)
        assert world.gateway.status().logged_in == 20
        assert all(raw.ask("PWD").startswith("257") for raw in raws)


# --- leaks ------------------------------------------------------------------------------------------------------


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("how", ["reset", "never-reads", "only-asks", "tls-gone", "unfinished-handshake"])
def test_clients_that_vanish_leave_nothing_behind(tmp_path: Path, how: str) -> None:
    with ftp_world(tmp_path) as world:
        change_settings(world, ftp_idle_seconds=2)
        store_streams = _watch_streams(world)
        with Raw(world):
            pass
        assert until(lambda: world.gateway.status().sessions == 0)
        before = _open_files()
        for _ in range(5):
            _vanish(world, how)
        assert until(lambda: world.gateway.status().sessions == 0, 15), world.gateway.status()
        assert until(lambda: world.gateway.status().threads == 0, 10)
        assert until(lambda: all(stream.closed for stream in store_streams), 5)
        assert until(lambda: _open_files() <= before + 2, 5), (_open_files(), before)


def _vanish(world: FtpWorld, how: str) -> None:
    if how == "unfinished-handshake":
        raw = Raw(world, login="")
        raw.ask("AUTH TLS")
        raw.socket.sendall(b"\x16\x03\x01\x02\x00\x01")
        raw.socket.close()
        return
    if how == "tls-gone":
        client = world.login(tls=True)
        data = client.transfercmd(f"RETR {DAY}/large.wav")
        data.recv(1)
        for part in (data, client.sock):
            assert part is not None
            os.close(part.detach())  # no goodbye
        if client.file is not None:
            client.file.close()
        return
    raw = Raw(world)
    if how == "only-asks":
        raw.ask("EPSV")
        raw.ask(f"RETR {DAY}/large.wav")
        raw.socket.close()
        return
    data = raw.passive()
    data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.send(f"RETR {DAY}/large.wav")
    data.recv(1)
    if how == "reset":
        for part in (data, raw.socket):
            part.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            part.close()
        return
    threading.Timer(6, lambda: (data.close(), raw.socket.close())).start()


def _watch_streams(world: FtpWorld) -> list[Any]:
    """Every stream that the store gives from now on."""
    given: list[Any] = []
    reader = world.gateway.services.reader
    original = reader.open

    def watched(*arguments: Any, **named: Any) -> Any:
        stream = original(*arguments, **named)
        given.append(stream)
        return stream

    object.__setattr__(reader, "open", watched)
    return given


def test_stop_is_quick_and_complete_in_the_middle_of_transfers(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with ftp_world(tmp_path) as world, contextlib.ExitStack() as stack:
        for _ in range(3):
            raw = stack.enter_context(Raw(world))
            data = stack.enter_context(raw.passive())
            raw.send(f"RETR {DAY}/large.wav")
            data.recv(1)
        started = time.monotonic()
        world.gateway.stop()
        assert time.monotonic() - started < 8
        assert world.gateway.status().sessions == 0
        assert world.gateway.status().threads == 0
        assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("ftp-")]


# --- uploads ----------------------------------------------------------------------------------------------------


def _events(world: FtpWorld, action: str) -> list[AuditEvent]:
    with world.made.parts.catalogue.read() as work:
        return [event for event in work.audit.list(limit=500).items if event.action == action]


@pytest.mark.parametrize("tls", [False, True], ids=["ftp", "ftps"])
def test_a_media_server_uploads_into_its_spool_and_sees_nothing_else(world: FtpWorld, tls: bool) -> None:
    body = os.urandom(700_000)
    with world.login("pbx", tls=tls) as client:
        assert client.nlst() == []
        client.mkd("2025")
        client.cwd("/2025/03/27")
        assert client.storbinary("STOR in-100-200.wav", io.BytesIO(body)).startswith("226")
        assert client.size("in-100-200.wav") == len(body)
        assert client.nlst() == ["in-100-200.wav"]
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            client.retrbinary("RETR in-100-200.wav", io.BytesIO().write)
    assert (world.spool / "2025/03/27/in-100-200.wav").read_bytes() == body
    with world.login("pbx") as again:
        assert again.nlst("/2025/03/27") == []
    (event,) = _events(world, "upload")
    assert (event.actor, event.detail["bytes"]) == ("ftp:pbx", len(body))


@pytest.mark.parametrize(
    ("name", "why"),
    [("../out.wav", ""), ("notes.txt", "no recording"), (".recpipe/lock.wav", ""), ("a/../../b.wav", "")],
)
def test_uploads_stay_in_the_spool(world: FtpWorld, name: str, why: str) -> None:
    with world.login("pbx") as client:
        with contextlib.suppress(ftplib.error_perm):
            client.storbinary(f"STOR {name}", io.BytesIO(b"RIFF"))
        assert client.sendcmd("NOOP")
    outside = [p for p in world.spool.parent.rglob("*.wav") if not p.is_relative_to(world.spool)]
    assert not outside
    assert not list((world.spool / ".recpipe").rglob("*.wav"))


def test_an_upload_that_is_cut_off_leaves_nothing(world: FtpWorld) -> None:
    # Given a client that is killed: both its connections end
    raw = Raw(world, login="pbx")
    data = raw.passive()
    raw.send("STOR cut.wav")
    assert raw.reply()[:3] in ("125", "150")
    data.sendall(b"RIFF" * 1000)
    raw.socket.close()
    data.close()
    assert until(lambda: world.gateway.status().sessions == 0)
    # And one whose TLS ends without a goodbye
    with world.login("pbx", tls=True) as client:
        secured = client.transfercmd("STOR torn.wav")
        secured.sendall(b"RIFF" * 1000)
        os.close(secured.detach())
        assert client.getmultiline().startswith("426")
        # And one that announced more than it sent
        client.sendcmd("ALLO 5000")
        with pytest.raises(ftplib.error_perm, match="5000 bytes were announced"):
            client.storbinary("STOR short.wav", io.BytesIO(b"RIFF"))
    assert not list(world.spool.rglob("*.wav"))
    assert not list((world.spool / ".recpipe/incoming").iterdir())


def test_an_upload_is_never_changed_afterwards(world: FtpWorld) -> None:
    with world.login("pbx") as client:
        client.storbinary("STOR a.wav", io.BytesIO(b"RIFF one"))
        client.storbinary("STOR a.wav", io.BytesIO(b"RIFF one"))  # the same again counts as success
        with pytest.raises(ftplib.error_perm, match=r"^550 There already is another file"):
            client.storbinary("STOR a.wav", io.BytesIO(b"RIFF two"))
        for command in ("DELE a.wav", "RNFR a.wav", "APPE a.wav"):
            with pytest.raises(ftplib.error_perm, match=r"^550 This account can only send new files"):
                client.sendcmd(command)
        client.sendcmd("REST 4")
        with pytest.raises(ftplib.error_perm, match=r"^550 Uploads start at the beginning"):
            client.storbinary("STOR b.wav", io.BytesIO(b"RIFF"))
    assert (world.spool / "a.wav").read_bytes() == b"RIFF one"
