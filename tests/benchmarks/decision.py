"""What it costs to ask whether to record: `GET /api/v1/policy/decision` beside a bare FastAPI route of one word.

Questions come at their times, 84 a second by default (two a call, 42 calls a second), over kept connections, whether
or not the ones before were answered; a wait is counted from when the question was due. Then the same with PostgreSQL
really stopped, and behind nginx with two processes while each is restarted. Both servers are processes of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.settings import Settings
from recpipe.tenants.changes import Kind
from tests.benchmarks.api import free_port, running
from tests.services import postgres

BY = operator("bench")
CONNECTIONS = 8
EXTENSIONS = 1000
WORDS = (b"record", b"skip", b"default")


@dataclass
class Asked:
    """What became of some questions."""

    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def row(self, name: str) -> str:
        waits = sorted(self.waits) or [float("nan")]
        cells = [waits[min(len(waits) - 1, int(len(waits) * part))] * 1000 for part in (0.5, 0.95, 0.99, 1)]
        shown = "".join(f"{cell:>9.2f}" for cell in cells)
        return f"{name:44}{len(self.waits) + len(self.errors):>8}{shown}{len(self.errors):>8}"


def ask(port: int, paths: Sequence[str], headers: str, rate: float, seconds: float) -> Asked:
    """Ask at a rate for a time, each question when it is due; a connection that breaks is made anew once."""
    found, lock = Asked(), threading.Lock()
    began = time.perf_counter() + 0.1
    count = int(rate * seconds)

    def work(first: int) -> None:
        connection: socket.socket | None = None
        for number in range(first, count, CONNECTIONS):
            due = began + number / rate
            if (early := due - time.perf_counter()) > 0:
                time.sleep(early)
            request = f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()
            wrong = ""
            for _ in range(2):  # a kept connection may have been closed since: that is no error of the server
                try:
                    if connection is None:
                        connection = socket.create_connection(("127.0.0.1", port), timeout=1)
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.sendall(request)
                    answer = whole(connection)
                    wrong = "" if answer.endswith(WORDS) else answer[:80].decode("latin-1")
                    break
                except OSError as error:
                    wrong = repr(error)
                    if connection is not None:
                        connection.close()
                    connection = None
            with lock:
                if wrong:
                    found.errors.append(wrong)
                else:
                    found.waits.append(time.perf_counter() - due)
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def whole(connection: socket.socket) -> bytes:
    """One answer with its Content-Length."""
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _some(connection)
    fields = dict(line.lower().split(b": ", 1) for line in answer[:end].split(b"\r\n")[1:])
    while len(answer) < end + 4 + int(fields[b"content-length"]):
        answer += _some(connection)
    return answer


def _some(connection: socket.socket) -> bytes:
    some = connection.recv(65536)
    if not some:
        raise ConnectionResetError
    return some


def serve_bare(port: int) -> None:
    """The peer: a route that says one word, in the same uvicorn."""
    import uvicorn
    from fastapi import FastAPI
    from starlette.responses import Response

    app = FastAPI()

    @app.get("/decision")
    async def decide(direction: str, extension: str = "", call_id: str = "") -> Response:
        return Response("record", media_type="text/plain")

    uvicorn.run(app, port=port, http="h11", log_config=None, access_log=False)


def prepare(url: str, root: Path) -> str:
    """A service of a thousand extensions; the token of its PBX."""
    with wiring.open_parts(Settings.model_validate({"data_dir": root / "prepared", "database_url": url})) as parts:
        acme = parts.tenants.create(BY, "acme", region="AU")
        parts.tenants.set_recording(BY, acme.id, True, agreed=True)
        wanted = {str(1000 + one): {"outbound": "record", "inbound": "skip"} for one in range(EXTENSIONS)}
        changes = parts.changes.save_all(BY, acme.id, Kind.EXTENSION, wanted)
        began = time.process_time()
        parts.changes.apply(BY, acme.id, [change.id for change in changes])
        print(f"applied {EXTENSIONS:,} extensions in {time.process_time() - began:.2f} s of CPU of ours")
        pbx = parts.accounts.create(BY, "pbx1", Role.API, grants={acme.id: ["decide"]}).user
        return parts.tokens.create(BY, pbx.id, "pbx1", ["decide", f"tenant:{acme.id}"]).secret


def ours(url: str, root: Path, name: str, port: int) -> contextlib.AbstractContextManager[None]:
    """`recpipe serve --role web`."""
    environment = {
        "RECPIPE_DATA_DIR": str(root / name),
        "RECPIPE_DATABASE_URL": url,
        "RECPIPE_STORE_URL": f"file://{root / 'objects'}",
        "RECPIPE_HTTP_LISTEN": f"127.0.0.1:{port}",
        "RECPIPE_TRUSTED_PROXIES": '["127.0.0.1"]',
        "RECPIPE_HTTP_ALLOWED_HOSTS": '["localhost"]',
    }
    command = ["env", *(f"{key}={value}" for key, value in environment.items())]
    command += [str(Path(sys.executable).with_name("recpipe")), "serve", "--role", "web"]
    return running(*command, port=port, log=root / f"{name}.log")


@contextlib.contextmanager
def nginx(root: Path, port: int, ports: Sequence[int]) -> Iterator[None]:
    """Before two of ours, as docs/operators.md says."""
    servers = "".join(f"server 127.0.0.1:{one} max_fails=0;" for one in ports)
    (root / "nginx.conf").write_text(
        f"daemon off; pid {root}/nginx.pid; error_log {root}/nginx-error.log;\n"
        f"events {{ }} http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;\n"
        f"fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n"
        f"upstream recpipe {{ {servers} keepalive 16; }} server {{ listen 127.0.0.1:{port};\n"
        "location /api/v1/policy/decision { proxy_pass http://recpipe; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_connect_timeout 250ms;\n'
        "proxy_read_timeout 500ms; proxy_next_upstream error timeout http_502 http_503 http_504; } } }\n"
    )
    with running("nginx", "-c", str(root / "nginx.conf"), "-p", str(root), port=port, log=root / "nginx.log"):
        yield


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench decision", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a minute and a half: 10 seconds of each, the database away for 20; else nine",
    )
    parser.add_argument("--rate", type=float, default=84.0, help="questions a second")
    parser.add_argument("--serve-bare", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve_bare:
        serve_bare(given.serve_bare)
        return 0
    seconds, away, rounds = (10.0, 20.0, 1) if given.quick else (20.0, 300.0, 3)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {given.rate:.0f} questions a second")
    with tempfile.TemporaryDirectory() as made, postgres.running(durable=True) as database:
        root, bare_port, ports = Path(made), free_port(), [free_port(), free_port()]
        url = database.url(database.create())
        secret = prepare(url, root)
        paths = [
            f"/api/v1/policy/decision?direction={direction}&extension={1000 + one}&call_id=bench-{one}&route=0299990000"
            for one in range(500)
            for direction in ("inbound", "outbound")
        ]
        headers = f"Authorization: Bearer {secret}\r\n"
        again = (sys.executable, "-m", "tests.benchmarks", "decision", "--serve-bare", str(bare_port))
        bare_paths = [path.replace("/api/v1/policy/decision", "/decision") for path in paths]
        print(f"{'':44}{'asked':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'worst':>9}{'errors':>8}   ms")
        wrong = 0

        def show(name: str, found: Asked) -> None:
            nonlocal wrong
            wrong += len(found.errors)
            print(found.row(name), *sorted(set(found.errors))[:3], flush=True)

        with (
            running(*again, port=bare_port, log=root / "bare.log"),
            ours(url, root, "first", ports[0]),
            ours(url, root, "second", ports[1]),
        ):
            for one in range(rounds):
                show(f"bare FastAPI route, {one + 1}", ask(bare_port, bare_paths, headers, given.rate, seconds))
                show(f"recpipe, {one + 1}", ask(ports[0], paths, headers, given.rate, seconds))
            database.stop()
            show(f"recpipe, PostgreSQL stopped for {away:.0f} s", ask(ports[0], paths, headers, given.rate, away))
            database.start()
            show("recpipe, PostgreSQL is back", ask(ports[0], paths, headers, given.rate, seconds))
        if shutil.which("nginx") is None:
            print("nginx is not installed: two processes behind it were not tried (apt-get install nginx-light)")
        else:
            show("nginx, two of ours, each restarted", restarted(url, root, ports, paths, headers, given.rate))
        with database.connect(url.rpartition("/")[2]) as connection:
            row = connection.execute("SELECT count(*) FROM decision").fetchone()
            print(f"decisions kept: {row[0] if row else 0}")
    return 1 if wrong else 0


def until_it_answers(port: int, path: str, headers: str) -> None:
    """Wait for a process that was just started, as whoever restarts one after the other does."""
    until = time.monotonic() + 60
    while ask(port, [path], headers, 1, 1).errors:
        if time.monotonic() > until:
            raise TimeoutError("a process that was restarted does not answer within a minute")


def restarted(url: str, root: Path, ports: Sequence[int], paths: Sequence[str], headers: str, rate: float) -> Asked:
    """Ask for as long as it takes to stop and start each of two processes, one after the other."""
    port, found = free_port(), Asked()
    with contextlib.ExitStack() as stack:
        there = [stack.enter_context(contextlib.ExitStack()) for _ in ports]
        for number, own in enumerate(there):
            own.enter_context(ours(url, root, f"behind-{number}", ports[number]))
            until_it_answers(ports[number], paths[0], headers)
        stack.enter_context(nginx(root, port, ports))
        ask(port, paths, headers, rate, 2)
        done = threading.Event()

        def go_on() -> None:
            while not done.is_set():
                some = ask(port, paths, headers, rate, 2)
                found.waits += some.waits
                found.errors += some.errors

        asking = threading.Thread(target=go_on)
        asking.start()
        try:
            for number, own in enumerate(there):
                own.close()
                time.sleep(3)
                own.enter_context(ours(url, root, f"behind-{number}", ports[number]))
                until_it_answers(ports[number], paths[0], headers)
                time.sleep(3)
        finally:
            done.set()
            asking.join()
    return found
