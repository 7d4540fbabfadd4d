"""The HTTP door against clients that hold it open: heads and bodies that never end, and too many of them."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from recpipe import descriptors, metrics
from recpipe.settings import Settings
from recpipe.web.connections import Config, Server
from recpipe.web.security import address_of

HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: "


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of bytes that came."""
    if scope["type"] != "http":
        return
    received, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(received).encode()})


@contextmanager
def listening(app: Any = echo, on: socket.socket | None = None, **settings: Any) -> Iterator[tuple[str, int]]:
    """A server as `recpipe serve` starts it, around a small application; its address."""
    server = Server(Config(app, Settings(**settings), host="127.0.0.1", port=0, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": on and [on]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


def knock(address: tuple[str, int], said: bytes = HALF_A_HEAD) -> socket.socket:
    client = socket.create_connection(address, timeout=10)
    client.sendall(said)
    return client


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def whole_answer(client: socket.socket) -> bytes:
    client.settimeout(10)
    answer = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(4096):
            answer += piece
    return answer


def get(address: tuple[str, int]) -> int:
    return httpx.get(f"http://{address[0]}:{address[1]}/", trust_env=False, timeout=10).status_code


@pytest.mark.parametrize(
    "limit", [{"http_max_connections": 20}, {"http_max_per_address": 20}], ids=["in total", "for one address"]
)
def test_clients_that_ask_for_nothing_keep_nobody_out(limit: dict[str, int]) -> None:
    with listening(**limit) as address, ExitStack() as stack:
        held = [stack.enter_context(knock(address)) for _ in range(60)]
        assert get(address) == 200
        assert sum(map(is_open, held)) <= 20


def test_a_client_at_work_is_not_dropped_for_another() -> None:
    body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n123"
    with listening(http_max_connections=2) as address, knock(address, body) as one, knock(address, body) as two:
        time.sleep(0.2)
        with knock(address, b"") as third:
            answer = whole_answer(third)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after:" in answer
        for client in (one, two):
            client.sendall(b"45")
            client.settimeout(10)
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert get(address) == 200  # the two that have their answers make room


def test_a_client_has_its_ipv4_address_where_a_server_listens_for_both() -> None:
    seen = []

    async def see(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])
        await echo(scope, receive, send)

    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both,
        listening(see, both, http_max_per_address=2, trusted_proxies=["127.0.0.0/8"]) as address,
        ExitStack() as stack,
    ):
        there = ("127.0.0.1", address[1])
        said = b"GET / HTTP/1.1\r\nHost: x\r\n"
        assert whole_answer(stack.enter_context(knock(there, said + b"Connection: close\r\n\r\n")))
        forwarded = b"X-Forwarded-For: ::ffff:192.0.2.7\r\nConnection: close\r\n\r\n"
        assert whole_answer(stack.enter_context(knock(there, said + forwarded)))
        held = [stack.enter_context(knock(there)) for _ in range(5)]
        assert get(there) == 200
        assert all(map(is_open, held))
    assert [address_of({"client": (client, 1)}) for client in seen[:2]] == ["127.0.0.1", "192.0.2.7"]


def test_a_proxy_speaks_for_many_clients() -> None:
    with (
        listening(http_max_per_address=2, trusted_proxies=["127.0.0.0/8"]) as address,
        ExitStack() as stack,
    ):
        held = [stack.enter_context(knock(address)) for _ in range(10)]
        assert get(address) == 200
        assert all(map(is_open, held))


@pytest.mark.parametrize("after_a_request", [False, True])
def test_the_head_of_a_request_must_come_within_its_time(after_a_request: bool) -> None:
    with listening(http_head_seconds=0.5) as address, knock(address, b"") as client:
        if after_a_request:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        ended = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                for byte in HALF_A_HEAD + b"a" * 1000:
                    if ended.wait(0.05):
                        return
                    client.sendall(bytes([byte]))

        dripping = threading.Thread(target=drip)
        begun = time.monotonic()
        dripping.start()
        answer = whole_answer(client)
        ended.set()
        dripping.join()
        assert time.monotonic() - begun < 5
        assert b" 408 " in answer or answer == b""


def test_a_body_must_keep_coming_and_may_take_its_time() -> None:
    with listening(http_body_seconds=2) as address:
        with knock(address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8192\r\n\r\n") as slow:
            for _ in range(8):
                time.sleep(0.28)
                slow.sendall(bytes(1024))
            assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")
        with knock(address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8192\r\n\r\n") as dripping:
            begun = time.monotonic()
            with suppress(OSError):
                while time.monotonic() - begun < 8:
                    dripping.sendall(b"a")
                    time.sleep(0.1)
            assert time.monotonic() - begun < 8


@pytest.mark.parametrize("size", [20_000, 3_000_000, 30_000_000], ids=["small", "large", "streamed"])
def test_an_answer_that_is_not_taken_gives_everything_back(size: int) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def generous(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        piece = bytes(min(size, 256 * 1024 if size > 5_000_000 else size))
        try:
            for _ in range(max(1, size // len(piece))):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            ended.set()

    with listening(generous, http_answer_seconds=0.6, http_head_seconds=0.2) as address:
        with few_bytes(address) as client:
            for _ in range(300):  # one after the other, so that small ones fill the buffers too
                with suppress(OSError):
                    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert begun.wait(10) and ended.wait(10)
            closed_within(10)
        assert get(address) == 200


def test_an_answer_may_be_taken_slowly() -> None:
    async def generous(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3000000")]})
        await send({"type": "http.response.body", "body": bytes(3_000_000)})

    with listening(generous, http_answer_seconds=1.5) as address, few_bytes(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        taken, begun = 0, time.monotonic()
        while time.monotonic() - begun < 3:
            taken += len(client.recv(16_384))
            time.sleep(0.01)
        assert taken < 2_000_000
        while piece := client.recv(65_536):
            taken += len(piece)
            if taken > 3_000_000:
                break
        assert taken > 3_000_000


def few_bytes(address: tuple[str, int]) -> socket.socket:
    """A client whose kernel takes in little for it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(address)
    return client


def closed_within(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while metrics.REGISTRY.get_sample_value("recpipe_http_connections"):
        assert time.monotonic() < deadline, "connections are not given back"
        time.sleep(0.02)


def test_connections_fit_into_the_descriptors_that_there_are() -> None:
    few = descriptors.fitted(Settings(), 1024)
    taken = few.http_max_connections + few.http_max_streams + 3 * few.ftp_max_connections
    assert taken <= 768 and few.http_max_per_address < few.http_max_connections
    assert descriptors.fitted(Settings(), 65_536) == Settings()


def test_more_idle_clients_than_descriptors_stop_neither_http_nor_ftp(tmp_path: Path) -> None:
    """The soft limit is raised to the hard one, which is low here; what knocks is more than it."""
    program = [sys.executable, "-m", "recpipe", "serve", "--role", "web", "--role", "ftp", "--json"]
    settings = {
        "RECPIPE_DATA_DIR": str(tmp_path / "data"),
        "RECPIPE_HTTP_LISTEN": "127.0.0.1:0",
        "RECPIPE_FTP_LISTEN": "127.0.0.1:0",
    }

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256))

    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            program,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            preexec_fn=few_descriptors,
        )
    try:
        told = tmp_path / "log"
        http = _port(told, r"http://127\.0\.0\.1:(\d+)", process)
        ftp = _port(told, r'"address": \["127\.0\.0\.1", (\d+)\]', process)
        assert Path(f"/proc/{process.pid}/limits").read_text().split("Max open files")[1].split()[:2] == ["256", "256"]
        with ExitStack() as stack:
            for _ in range(300):
                with suppress(OSError):
                    stack.enter_context(knock(("127.0.0.1", http)))
            assert httpx.get(f"http://127.0.0.1:{http}/healthz", trust_env=False, timeout=10).status_code == 200, (
                told.read_text()
            )
            with socket.create_connection(("127.0.0.1", ftp), timeout=10) as control:
                assert control.recv(100).startswith(b"220")
        assert "Traceback" not in told.read_text()
        assert len(told.read_text().splitlines()) < 100
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _port(log: Path, pattern: str, process: subprocess.Popen[Any]) -> int:
    deadline = time.monotonic() + 60
    while not (found := re.search(pattern, log.read_text())):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return int(found[1])
