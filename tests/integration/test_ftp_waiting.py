"""That who waits for something holds up nobody, and what comes in the meantime is neither lost nor let through."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import resource
import select
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftp import commands, transfer
from recpipe.store.directory import DirectoryStore
from tests.integration.ftp_world import DAY, PASSWORD, FtpWorld, ftp_world, until
from tests.integration.test_ftp_gateway import Raw


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FtpWorld]:
    with ftp_world(tmp_path) as made:
        yield made


def open_files() -> list[int]:
    return [int(each.name) for each in Path("/proc/self/fd").iterdir()]


def fetched(client: ftplib.FTP, path: str) -> bytes:
    out = io.BytesIO()
    client.retrbinary(f"RETR {path}", out.write)
    return out.getvalue()


@pytest.fixture
def slow_store(world: FtpWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A store on another machine that gives one.wav only when the event is set."""
    gate = threading.Event()
    store: Any = world.made.parts.store
    read = store.read
    size = len(world.contents[f"{DAY}/one.wav"])

    def reads(key: str, start: int = 0, length: int | None = None) -> Any:
        if length == size:
            assert gate.wait(30)
        return read(key, start, length)

    monkeypatch.setattr(DirectoryStore, "is_local", False)
    monkeypatch.setattr(DirectoryStore, "read", staticmethod(reads))
    yield gate
    gate.set()


def test_a_slow_store_holds_up_nobody_else(world: FtpWorld, slow_store: threading.Event) -> None:
    with Raw(world) as patient, world.login() as other, patient.passive() as data:
        patient.send(f"RETR {DAY}/one.wav")
        # Then others log in, list, fetch and go
        assert fetched(other, f"{DAY}/large.wav") == world.contents[f"{DAY}/large.wav"]
        assert "one.wav" in other.nlst(DAY)
        with world.login("acme-second") as third:
            assert third.sendcmd("NOOP")
        slow_store.set()
        assert b"".join(iter(lambda: data.recv(65536), b"")) == world.contents[f"{DAY}/one.wav"]


def test_who_leaves_while_the_store_opens_leaves_nothing_open(world: FtpWorld, slow_store: threading.Event) -> None:
    before = len(open_files())
    raw = Raw(world)
    with raw.passive():
        raw.send(f"RETR {DAY}/one.wav")
        raw.socket.close()
    assert until(lambda: world.gateway.status().sessions == 0)
    slow_store.set()
    assert until(lambda: len(open_files()) <= before)


def test_commands_behind_one_that_waits_are_answered_in_their_order(shared: FtpWorld) -> None:
    with Raw(shared) as raw:
        raw.send(f"CWD {DAY}", "SIZE one.wav", "PWD", "MDTM one.wav", "NOOP", "SIZE none.wav", "TYPE I")
        codes = [raw.reply() for _ in range(7)]
    assert [code[:3] for code in codes] == ["250", "213", "257", "213", "200", "550", "200"]
    assert DAY in codes[2]


def test_a_line_that_is_half_there_when_a_command_ends_is_kept(world: FtpWorld, slow_store: threading.Event) -> None:
    with Raw(world) as raw, raw.passive() as data:
        raw.send(f"RETR {DAY}/one.wav")
        raw.socket.sendall(b"NOOP\r\nPW")
        assert not select.select([raw.socket], [], [], 0.2)[0]
        slow_store.set()
        while data.recv(65536):
            pass
        assert {raw.reply()[:3] for _ in range(3)} == {"125", "226", "200"}
        raw.socket.sendall(b"D\r\n")
        assert raw.reply().startswith("257")


def test_a_password_is_waited_for_before_what_comes_behind_it(shared: FtpWorld) -> None:
    with Raw(shared, login="") as raw:
        raw.send("USER acme", f"PASS {PASSWORD}", f"SIZE {DAY}/one.wav", "QUIT")
        assert [raw.reply()[:3] for _ in range(4)] == ["331", "230", "213", "221"]


def test_commands_behind_auth_are_refused_also_behind_one_that_waits(shared: FtpWorld) -> None:
    with Raw(shared, login="") as raw:
        raw.send("USER acme", f"PASS {PASSWORD}", "AUTH TLS", "NOOP")
        assert [raw.reply()[:3] for _ in range(3)] == ["331", "230", "503"]
        assert raw.reply() == ""


def test_a_flood_of_commands_ends_the_session(shared: FtpWorld) -> None:
    with Raw(shared, login="") as raw:
        raw.send("USER acme", f"PASS {PASSWORD}", *["NOOP"] * 1500)
        with contextlib.suppress(ConnectionError):
            while raw.line():
                pass
        assert until(lambda: raw.socket.getsockname() not in _peers(shared))


def _peers(world: FtpWorld) -> list[Any]:
    return [(session.remote_ip, session.remote_port) for session in world.gateway.census.sessions()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpWorld]:
    """For tests that change nothing."""
    with ftp_world(tmp_path_factory.mktemp("ftp")) as made:
        yield made


def test_without_its_audit_event_a_file_is_not_given_whole(world: FtpWorld) -> None:
    with (
        world.login() as client,
        sqlite3.connect(world.gateway.services.settings.data_dir / "recpipe.sqlite3") as database,
    ):
        database.execute("ALTER TABLE audit RENAME TO put_away")
        database.commit()
        out = io.BytesIO()
        with pytest.raises(ftplib.error_temp, match=r"^451"):
            client.retrbinary(f"RETR {DAY}/large.wav", out.write)
        assert len(out.getvalue()) < len(world.contents[f"{DAY}/large.wav"])
        assert client.sendcmd("NOOP")
        database.execute("ALTER TABLE put_away RENAME TO audit")
        database.commit()
        assert fetched(client, f"{DAY}/large.wav") == world.contents[f"{DAY}/large.wav"]


def test_the_end_of_an_empty_file_waits_for_its_event_without_the_loop(world: FtpWorld) -> None:
    trail = world.made.parts.trail
    with world.login() as client, world.login("acme-second") as other:
        client.size(f"{DAY}/empty.wav")
        with trail._writing:  # somebody else's events take a while
            client.putcmd("EPSV")
            port = int(client.getresp().split("|||")[1].rstrip("|)."))
            with socket.create_connection(("127.0.0.1", port), timeout=10) as data:
                client.putcmd(f"RETR {DAY}/empty.wav")
                assert client.getresp()[:3] in ("125", "150")
                assert other.sendcmd("NOOP")
                assert select.select([data], [], [], 0.2)[0] == [], "the end came before the event was kept"
        assert client.voidresp().startswith("226")


def test_a_disk_that_was_slow_once_is_left_to_workers(world: FtpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.login() as client:
        assert fetched(client, f"{DAY}/large.wav") == world.contents[f"{DAY}/large.wav"]
        assert world.gateway.services.gauge.is_quick
        monkeypatch.setattr(transfer, "SLOW_SECONDS", -1.0)
        assert fetched(client, f"{DAY}/one.wav") == world.contents[f"{DAY}/one.wav"]
        assert not world.gateway.services.gauge.is_quick
        assert fetched(client, f"{DAY}/large.wav") == world.contents[f"{DAY}/large.wav"]


def test_an_active_connection_is_good_for_one_transfer(shared: FtpWorld) -> None:
    with shared.login() as client:
        client.set_pasv(False)
        assert "one.wav" in client.nlst(DAY)
        with pytest.raises(ftplib.error_temp, match=r"^425"):
            client.sendcmd(f"NLST {DAY}")


def test_stat_of_a_crowded_folder_points_to_listings(shared: FtpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with Raw(shared) as raw:
        assert "one.wav" in raw.ask(f"STAT {DAY}")
        monkeypatch.setattr(commands, "_MOST_IN_STAT", 3)
        assert raw.ask(f"STAT {DAY}") == "550 More than 3 entries. List this folder with LIST or MLSD."


def test_a_command_that_fails_in_an_unforeseen_way_ends_its_session_alone(
    world: FtpWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Raw(world) as raw, Raw(world) as other:
        monkeypatch.setattr(world.gateway.services.reader, "by_name", lambda *_: 1 // 0, raising=True)
        assert raw.ask(f"SIZE {DAY}/one.wav") == ""
        assert until(lambda: world.gateway.status().sessions == 1)
        assert world.gateway.status().logged_in == 1
        assert other.ask("NOOP").startswith("200")
    assert "ZeroDivisionError" in caplog.text


def test_without_descriptors_the_door_rests_and_opens_again(world: FtpWorld) -> None:
    program = "import socket; port = int(input()); print(socket.create_connection(('127.0.0.1', port)).recv(9))"
    visitor = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert visitor.stdin is not None and visitor.stdout is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_files()) + 1, hard))
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.dup(0))
        visitor.stdin.write(f"{world.port}\n")
        visitor.stdin.flush()
        assert until(lambda: world.gateway._plain is not None and not _watched(world))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filling:
            os.close(fd)
    assert visitor.communicate(timeout=20)[0].strip() == "b'220 recpi'"


def _watched(world: FtpWorld) -> bool:
    assert world.gateway._plain is not None
    return world.gateway._plain.socket.fileno() in world.gateway.services.loop.socket_map
