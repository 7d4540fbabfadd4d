"""The API beside what could have been used instead: downloads beside a bare starlette FileResponse and `rclone serve
http` of the same files, searches beside the catalogue alone and beside bare SQL.

Every server is a process of its own, the client the same few lines for all; rounds are interleaved, so that a machine
which is slower for a minute is so for everybody, and the median of the rounds is shown with its ratio to the peer.
Ours looks at the token, the grant and the row, and writes the audit event; the peers hand out what is asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from recpipe import wiring
from recpipe.catalogue import Catalogue
from recpipe.model import NumberMatch, RecordingQuery, Role
from recpipe.settings import Settings
from tests.benchmarks.catalogue_load import a_tenant, load
from tests.integration.api import world

SIZES = {"1 KB": 1_000, "600 KB": 600_336, "4.8 MB": 4_800_044, "115 MB": 115_200_044}


@dataclass(frozen=True)
class Peer:
    """One server, and how its files are asked for."""

    name: str
    port: int
    paths: dict[str, str]
    headers: str = ""


class Client:
    """One kept-alive connection that reads answers and throws them away."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._socket = socket.create_connection(("127.0.0.1", peer.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1024 * 1024)

    def get(self, path: str) -> int:
        """Bytes of the body."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{self._peer.headers}\r\n".encode())
        view, head = memoryview(self._buffer), b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            count = self._socket.recv_into(view)
            assert count, f"{self._peer.name} hung up"
            head += view[:count]
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        fields = dict(line.lower().split(b": ", 1) for line in head[:end].split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        left = length - (len(head) - end - 4)
        while left > 0:
            count = self._socket.recv_into(view)
            assert count, f"{self._peer.name} hung up"
            left -= count
        return length

    def close(self) -> None:
        self._socket.close()


def timed(peer: Peer, label: str, seconds: float, clients: int) -> tuple[float, float]:
    """MB/s and requests/s of some clients together."""
    totals = [(0, 0)] * clients
    begin = threading.Barrier(clients + 1)

    def work(number: int) -> None:
        client, got, requests = Client(peer), 0, 0
        client.get(peer.paths[label])
        begin.wait()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or not requests:
            got += client.get(peer.paths[label])
            requests += 1
        totals[number] = (got, requests)
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    return sum(got for got, _ in totals) / took / 1e6, sum(n for _, n in totals) / took


# --- servers ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(*command: str, port: int, log: Path) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(what: str, folder: str, port: int) -> None:
    """The servers of ours and of starlette, in the same uvicorn."""
    import uvicorn

    from recpipe import log

    log.set_up("json", "warning")
    if what == "starlette":
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import FileResponse, Response
        from starlette.routing import Route

        async def give(request: Request) -> Response:
            return FileResponse(Path(folder) / request.path_params["name"])

        app: object = Starlette(routes=[Route("/{name}", give)])
        uvicorn.run(app, port=port, log_config=None, access_log=False)  # type: ignore[arg-type]
        return
    from recpipe.web.app import create_app
    from recpipe.web.deps import WebContext

    with wiring.open_parts(Settings(data_dir=Path(folder))) as parts:
        uvicorn.run(create_app(WebContext.of(parts)), port=port, log_config=None, access_log=False)


@contextlib.contextmanager
def peers(root: Path) -> Iterator[list[Peer]]:
    """Ours, starlette and rclone, each over the same bytes on the same disk."""
    plain = root / "plain"
    plain.mkdir()
    with world(root) as there:
        token, ours = there.tokens["client"], {}
        for label, size in SIZES.items():
            body = secrets.token_bytes(size)
            (plain / label).write_bytes(body)
            ours[label] = f"/api/v1/recordings/{there.add(label, there.acme, body).id}/media"
    theirs = {label: "/" + quote(label) for label in SIZES}
    ports = [free_port() for _ in range(3)]
    again = (sys.executable, "-m", "tests.benchmarks", "api", "--serve")
    rclone = str(Path(sys.executable).with_name("rclone"))
    with (
        running(*again, "ours", str(root / "data"), str(ports[0]), port=ports[0], log=root / "ours.log"),
        running(*again, "starlette", str(plain), str(ports[1]), port=ports[1], log=root / "starlette.log"),
        running(
            *(rclone, "--config", "", "serve", "http", str(plain), f"--addr=127.0.0.1:{ports[2]}", "--read-only"),
            port=ports[2],
            log=root / "rclone.log",
        ),
    ):
        yield [
            Peer("recpipe", ports[0], ours, f"Authorization: Bearer {token}\r\n"),
            Peer("starlette FileResponse", ports[1], theirs),
            Peer("rclone serve http", ports[2], theirs),
        ]


def downloads(rounds: int, seconds: float, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as made, peers(Path(made)) as servers:
        print(f"{'downloads':24}{'clients':>8}" + "".join(f"{peer.name:>26}" for peer in servers))
        for label in SIZES:
            for clients in (1, 4):
                found: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in servers}
                for _ in range(rounds):
                    for peer in servers:
                        found[peer.name].append(timed(peer, label, seconds, clients))
                unit = 1 if label == "1 KB" else 0
                values = [statistics.median(one[unit] for one in found[peer.name]) for peer in servers]
                word = "requests/s" if unit else "MB/s"
                cells = [f"{values[0]:,.0f} {word}"]
                cells += [f"{value:,.0f} (we: {values[0] / value:.2f}x)" for value in values[1:]]
                print(f"{label:24}{clients:>8}" + "".join(f"{cell:>26}" for cell in cells))


# --- searches ---------------------------------------------------------------------------------------------------

SEARCHES = {
    "latest page": (RecordingQuery(), ""),
    "one extension": (RecordingQuery(extension="203"), "&extension=203"),
    "exact number": (RecordingQuery(number="03000000042"), "&number=03000000042"),
    "last 4 digits": (
        RecordingQuery(number="0042", number_match=NumberMatch.ENDING),
        "&number=0042&number_match=ending",
    ),
    "7 digits inside": (
        RecordingQuery(number="0000042", number_match=NumberMatch.CONTAINING),
        "&number=0000042&number_match=containing",
    ),
}


def searches(rows: int, rounds: int, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        root = Path(made)
        with world(root) as there:
            token = there.token("searcher", Role.ADMINISTRATOR, ("search",), {})
        url = f"sqlite:///{root / 'data/recpipe.sqlite3'}"
        catalogue = Catalogue.open(url)
        tenants = [a_tenant(f"tenant-{number}") for number in range(2)]
        with catalogue.begin() as work:
            for tenant in tenants:
                work.tenants.add(tenant)
        began = time.perf_counter()
        load(catalogue, [tenant.id for tenant in tenants], rows, seed=1)
        print(
            f"\nsearches of one tenant among {rows:,} recordings, pages of 50 "
            f"(loaded in {time.perf_counter() - began:.0f} s)"
        )
        port, tenant = free_port(), tenants[0]
        bare = sqlite3.connect(root / "data/recpipe.sqlite3")
        again = (sys.executable, "-m", "tests.benchmarks", "api", "--serve", "ours", str(root / "data"), str(port))
        with running(*again, port=port, log=root / "ours.log"):
            client = Client(Peer("recpipe", port, {}, f"Authorization: Bearer {token}\r\n"))
            print(f"{'':18}{'HTTP':>22}{'HTTP, count=false':>22}{'catalogue':>22}{'bare SQL':>22}   p50 / p99 in ms")
            for name, (query, words) in SEARCHES.items():
                path = f"/api/v1/recordings?tenant={tenant.name}{words}"

                def catalogued(query: RecordingQuery = query) -> None:
                    with catalogue.read() as work:
                        work.search([tenant.id], query)

                def by_sql() -> None:
                    bare.execute(
                        "SELECT * FROM recording WHERE tenant_id = ? ORDER BY started_at DESC, id DESC LIMIT 51",
                        (tenant.id,),
                    ).fetchall()

                ways: list[Callable[[], object]] = [
                    lambda path=path: client.get(path),  # type: ignore[misc]
                    lambda path=path: client.get(path + "&count=false"),  # type: ignore[misc]
                    catalogued,
                ]
                if name == "latest page":
                    ways.append(by_sql)
                times: list[list[float]] = [[] for _ in ways]
                for _ in range(rounds):
                    for way, kept in zip(ways, times, strict=True):
                        start = time.perf_counter()
                        way()
                        kept.append((time.perf_counter() - start) * 1000)
                cells = [f"{statistics.median(k):.2f} / {sorted(k)[int(len(k) * 0.99)]:.2f}" for k in times]
                print(f"{name:18}" + "".join(f"{cell:>22}" for cell in cells))
            client.close()
        bare.close()
        catalogue.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench api", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, 100,000 recordings")
    parser.add_argument("--folder", help="where files are made; default: the temporary folder")
    parser.add_argument("--only", choices=("downloads", "searches"))
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        serve(given.serve[0], given.serve[1], int(given.serve[2]))
        return 0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if given.only != "searches":
        downloads(3 if given.quick else 7, 0.5 if given.quick else 1.5, given.folder)
    if given.only != "downloads":
        searches(100_000 if given.quick else 1_000_000, 100 if given.quick else 300, given.folder)
    return 0
