"""The FTP gateway beside `rclone serve ftp` over the same S3 server, and beside stock pyftpdlib over a local folder.

Every server is a process of its own; all are asked the same by the same client, in interleaved rounds, and the median
of the rounds is shown. `ours, folder` has the embedded store and is compared with pyftpdlib, both with sendfile; `ours,
S3` is compared with rclone. Ours records every download in its audit log before its last byte leaves.

Goals: faster than rclone in everything; RETR at least 0.7 of stock pyftpdlib; MLSD no slower than stock pyftpdlib over
a local folder of the same size.
"""

from __future__ import annotations

import argparse
import contextlib
import ftplib
import hashlib
import io
import os
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import AudioFacts, CallFacts, Container, Recording
from recpipe.settings import Settings
from recpipe.store.layout import new_object_key
from tests.services.s3 import S3Server, seaweedfs

DAY = datetime(2026, 3, 14, tzinfo=UTC)
FOLDER = "/2026/03/14"
CROWD = "/2026/03/15"
USER, PASSWORD = "bench", "three quiet lamps"
FILE_BYTES = 600_336  # five minutes at 16 kbit/s
SESSIONS = 8


@dataclass(frozen=True)
class Scale:
    rounds: int
    files: int  # fetched at a time, each time others: what is read again within a minute is recorded once
    entries: int  # of the folder that is listed
    stored_entries: int  # of those, how many are real objects, for rclone to list
    logins: int

    @property
    def all_files(self) -> int:
        """Plain and over TLS in each round, after one round that is not counted."""
        return self.files * 2 * (self.rounds + 1)


FULL = Scale(rounds=5, files=128, entries=100_000, stored_entries=100_000, logins=1000)
QUICK = Scale(rounds=3, files=48, entries=20_000, stored_entries=3_000, logins=300)


@dataclass
class Server:
    """A running server, where its files and its crowded folder are, and how TLS begins."""

    name: str
    address: tuple[str, int]
    pid: int
    files: list[str]
    crowd: str
    crowd_size: int
    implicit: tuple[str, int] | None = None  # where explicit TLS is not spoken
    measured: dict[str, list[float]] = field(default_factory=dict)

    def login(self, tls: bool = False) -> ftplib.FTP:
        if not tls:
            plain = ftplib.FTP(timeout=120)
            plain.connect(*self.address)
            plain.login(USER, PASSWORD)
            plain.voidcmd("TYPE I")
            return plain
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        secured = ftplib.FTP_TLS(timeout=120, context=context)
        if self.implicit is None:
            secured.connect(*self.address)
            secured.login(USER, PASSWORD)
        else:
            secured.sock = context.wrap_socket(socket.create_connection(self.implicit, timeout=120))
            secured.af = secured.sock.family
            secured.host = self.implicit[0]
            secured.file = secured.sock.makefile("r", encoding="utf-8")
            secured.getresp()
            ftplib.FTP.login(secured, USER, PASSWORD)
        if self.implicit is None:
            secured.prot_p()  # rclone answers PBSZ and PROT with 550 and sends data in the clear
        secured.voidcmd("TYPE I")
        return secured

    def note(self, what: str, value: float) -> None:
        self.measured.setdefault(what, []).append(value)

    def median(self, what: str) -> float | None:
        return statistics.median(self.measured[what]) if what in self.measured else None


# --- servers ----------------------------------------------------------------------------------------------------


def recordings(tenant_id: str, started_at: datetime, names: list[str], body: bytes, key: Callable[[], str]) -> Any:
    digest = hashlib.sha256(body).hexdigest()
    audio = AudioFacts(Container.MP3, "mp3", 8000, 1, 300_000, 2_400_000, 0, len(body))
    for number, name in enumerate(names):
        at = started_at + timedelta(milliseconds=number)
        yield Recording(
            id=hashlib.sha256(f"{tenant_id}{name}{started_at}".encode()).hexdigest()[:32],
            tenant_id=tenant_id,
            name=name,
            day=f"{started_at:%Y-%m-%d}",
            started_at=at,
            timezone="UTC",
            duration_ms=300_000,
            facts=CallFacts(started_at=at),
            audio=audio,
            caller_e164="",
            callee_e164="",
            source_name=name,
            source_sha256=digest,
            content_bytes=len(body),
            content_sha256=digest,
            object_key=key(),
            stored_bytes=len(body),
            stored_sha256=digest,
            envelope=None,
            spool="bench",
            ingested_at=at,
        )


def call_names(count: int) -> list[str]:
    return [f"out-0{30_000_000 + n}-2{n % 90:02}-20260315-101112-1742043072.{n:06}.mp3" for n in range(count)]


@contextlib.contextmanager
def ours(name: str, root: Path, scale: Scale, body: bytes, settings: Settings) -> Iterator[tuple[Server, list[str]]]:
    with wiring.open_parts(settings) as parts:
        by = operator("bench")
        tenant = parts.tenants.create(by, "bench")
        parts.ftp_accounts.create(by, tenant.id, USER, password=PASSWORD)
        names = call_names(scale.all_files)

        def new_key() -> str:
            return new_object_key(tenant.id, os.urandom(16).hex(), "0" * 8)

        kept = list(recordings(tenant.id, DAY, names, body, new_key))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda r: parts.store.put(r.object_key, io.BytesIO(body), len(body)), kept))  # type: ignore[arg-type]
        crowd = list(recordings(tenant.id, DAY + timedelta(days=1), call_names(scale.entries), body, new_key))
        for first in range(0, len(kept + crowd), 2000):
            with parts.catalogue.begin() as work:
                work.of(tenant.id).recordings.add_many((kept + crowd)[first : first + 2000])
    port, implicit = free_port(), free_port()
    env = {"RECPIPE_FTP_LISTEN": f"127.0.0.1:{port}", "RECPIPE_FTPS_LISTEN": f"127.0.0.1:{implicit}"}
    env |= {f"RECPIPE_FTP_MAX_{what}": "2000" for what in ("CONNECTIONS", "PER_ADDRESS", "PER_ACCOUNT")}
    env |= {"RECPIPE_DATA_DIR": str(settings.data_dir), "RECPIPE_LOG_LEVEL": "error"}
    for setting in ("store_url", "s3_endpoint", "s3_addressing"):
        env[f"RECPIPE_{setting.upper()}"] = getattr(settings, setting)
    for secret in ("s3_access_key", "s3_secret_key"):
        env[f"RECPIPE_{secret.upper()}"] = getattr(settings, secret).get_secret_value()
    command = [str(Path(sys.executable).with_name("recpipe")), "serve", "--role", "ftp"]
    with running(command, root / f"{name}.log", port, env) as pid:
        files = [f"{FOLDER}/{each}" for each in names]
        server = Server(name, ("127.0.0.1", port), pid, files, CROWD, scale.entries)
        yield server, [f"{settings.store.partition('://')[2].partition('/')[2]}/{r.object_key}" for r in kept]


@contextlib.contextmanager
def rclone(root: Path, s3: S3Server, keys: list[str], scale: Scale, pair: tuple[Path, Path]) -> Iterator[list[Server]]:
    """Two of them, since one process of rclone speaks either plain FTP or implicit FTPS."""
    config = root / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = SeaweedFS\nendpoint = {s3.endpoint}\n"
        f"access_key_id = {s3.access_key}\nsecret_access_key = {s3.secret_key}\n"
    )
    port, implicit = free_port(), free_port()
    base = [str(Path(sys.executable).with_name("rclone")), "--config", str(config), "serve", "ftp", f"s3:{s3.bucket}"]
    base += ["--user", USER, "--pass", PASSWORD, "--read-only", "--use-server-modtime", "--dir-cache-time", "1s"]
    plain = [*base, "--addr", f"127.0.0.1:{port}", "--passive-port", "41000-43000"]
    tls = [*base, "--addr", f"127.0.0.1:{implicit}", "--passive-port", "43001-45000"]
    tls += ["--cert", str(pair[0]), "--key", str(pair[1])]
    with running(plain, root / "rclone.log", port) as one, running(tls, root / "rclone-tls.log", implicit) as two:
        files = [f"/{key}" for key in keys]
        yield [
            Server("rclone, S3", ("127.0.0.1", port), one, files, "/crowd", scale.stored_entries),
            Server("rclone, S3", ("", 0), two, files, "", 0, implicit=("127.0.0.1", implicit)),
        ]


_STOCK = """
import sys, warnings
warnings.simplefilter("ignore")
import pyftpdlib.ioloop
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer
import logging
logging.getLogger("pyftpdlib").addHandler(logging.NullHandler())
logging.getLogger("pyftpdlib").setLevel(logging.ERROR)
authorizer = DummyAuthorizer()
authorizer.add_user(sys.argv[2], sys.argv[3], sys.argv[4])
TLS_FTPHandler.authorizer, TLS_FTPHandler.certfile, TLS_FTPHandler.keyfile = authorizer, sys.argv[5], sys.argv[6]
server = FTPServer(("127.0.0.1", int(sys.argv[1])), TLS_FTPHandler)
server.max_cons = 5000
server.serve_forever()
"""


@contextlib.contextmanager
def stock(root: Path, scale: Scale, body: bytes, pair: tuple[Path, Path]) -> Iterator[Server]:
    home = root / "stock"
    (home / "files").mkdir(parents=True)
    (home / "crowd").mkdir()
    names = call_names(scale.all_files)
    for name in names:
        (home / "files" / name).write_bytes(body)
    for name in call_names(scale.entries):
        (home / "crowd" / name).touch()
    port = free_port()
    command = [sys.executable, "-c", _STOCK, str(port), USER, PASSWORD, str(home), str(pair[0]), str(pair[1])]
    with running(command, root / "stock.log", port) as pid:
        files = [f"/files/{name}" for name in names]
        yield Server("pyftpdlib, folder", ("127.0.0.1", port), pid, files, "/crowd", scale.entries)


@contextlib.contextmanager
def running(command: list[str], log: Path, port: int, env: dict[str, str] | None = None) -> Iterator[int]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | (env or {})
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- what is measured -------------------------------------------------------------------------------------------


def retrieve(server: Server, files: list[str], tls: bool) -> float:
    """MB/s of `SESSIONS` sessions that share the files between them; logins not counted."""
    sessions = [server.login(tls) for _ in range(SESSIONS)]
    shares = [files[number::SESSIONS] for number in range(SESSIONS)]
    taken = [0] * SESSIONS

    def fetch(number: int) -> None:
        buffer = memoryview(bytearray(256 * 1024))
        for path in shares[number]:
            with sessions[number].transfercmd(f"RETR {path}") as data:
                while count := data.recv_into(buffer):
                    taken[number] += count
            sessions[number].voidresp()

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(SESSIONS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for session in sessions:
        session.close()
    assert sum(taken) == len(files) * FILE_BYTES, (server.name, sum(taken))
    return sum(taken) / seconds / 1e6


def list_crowd(server: Server) -> tuple[float, list[float]]:
    """Seconds for MLSD of the crowded folder, and the latencies of NOOPs of another session meanwhile."""
    lister, other = server.login(), server.login()
    stop = threading.Event()
    latencies: list[float] = []

    def knock() -> None:
        while not stop.is_set():
            at = time.perf_counter()
            other.voidcmd("NOOP")
            latencies.append(time.perf_counter() - at)
            time.sleep(0.002)

    knocker = threading.Thread(target=knock)
    knocker.start()
    started = time.perf_counter()
    lines = 0
    with lister.transfercmd(f"MLSD {server.crowd}") as data:
        while piece := data.recv(256 * 1024):
            lines += piece.count(b"\n")
    seconds = time.perf_counter() - started
    stop.set()
    knocker.join()
    lister.voidresp()
    lister.close()
    other.close()
    assert lines >= server.crowd_size, (server.name, lines)
    return seconds, latencies


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """What a process has used so far; a machine that does other work at the same time changes it least."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def idle_logins(server: Server, count: int) -> tuple[float, float]:
    """What `count` idle logins add to a server's memory, and all that it has then, in MB."""
    server.login().close()
    time.sleep(1)
    before = resident_mb(server.pid)
    sessions = [server.login() for _ in range(count)]
    time.sleep(7)  # threads that serve nobody have gone by then
    after = resident_mb(server.pid)
    for session in sessions:
        session.close()
    return after - before, after


def run(scale: Scale, root: Path, only: str) -> int:
    body = os.urandom(FILE_BYTES)
    missed = 0
    with contextlib.ExitStack() as stack:
        s3 = stack.enter_context(seaweedfs(root / "s3"))
        pair = make_pair(root)
        settings = s3.settings("recordings", data_dir=root / "data-s3")
        over_s3, keys = stack.enter_context(ours("ours, S3", root, scale, body, settings))
        if not only or only == "mlsd":
            with ThreadPoolExecutor(16) as pool:
                put = s3.client().put_object
                list(
                    pool.map(lambda name: put(Bucket=s3.bucket, Key=f"crowd/{name}"), call_names(scale.stored_entries))
                )
        folder = Settings(data_dir=root / "data-folder")
        over_folder, _ = stack.enter_context(ours("ours, folder", root, scale, body, folder))
        peer, peer_tls = stack.enter_context(rclone(root, s3, keys, scale, pair))
        local = stack.enter_context(stock(root, scale, body, pair))
        plain = [over_s3, peer, over_folder, local]
        # First, while no server has memory left over from anything else.
        for server in plain if only in ("", "idle") else []:
            added, total = idle_logins(server, scale.logins)
            server.note("idle", added / scale.logins * 1000)
            server.note("idle total", total)
        for number in range(scale.rounds + 1):
            # Each time files that were not read before, so that ours has each download to record.
            for what, tls, servers in (
                ("retr", False, plain),
                ("retr tls", True, [over_s3, peer_tls, over_folder, local]),
            ):
                first = (2 * number + tls) * scale.files
                for server in servers if only in ("", "retr") else []:
                    before = cpu_seconds(server.pid)
                    rate = retrieve(server, server.files[first : first + scale.files], tls)
                    if number:
                        server.note(what, rate)
                        server.note(f"{what} cpu", (cpu_seconds(server.pid) - before) / scale.files * 1000)
            if not number:
                continue  # nothing was warm
            for server in plain if only in ("", "mlsd") else []:
                seconds, latencies = list_crowd(server)
                server.note("mlsd", seconds / server.crowd_size * 100_000)
                server.note("noop p50", statistics.median(latencies) * 1000)
                server.note("noop max", max(latencies) * 1000)
        peer.measured |= peer_tls.measured
        rows = (
            ("RETR, MB/s", "retr", True, 0.7),
            ("RETR over TLS, MB/s", "retr tls", True, 0.7),
            ("RETR, CPU ms a file", "retr cpu", False, None),
            ("RETR over TLS, CPU ms a file", "retr tls cpu", False, None),
            ("MLSD, s for 100,000", "mlsd", False, 1.0),
            ("NOOP meanwhile, p50 ms", "noop p50", False, None),
            ("NOOP meanwhile, max ms", "noop max", False, None),
            ("1,000 idle logins add, MB", "idle", False, None),
            ("process with its idle logins, MB", "idle total", False, None),
        )
        print(f"{'':34}" + "".join(f"{s.name:>19}" for s in plain) + f"{'/ rclone':>11}{'/ pyftpdlib':>13}")
        for label, what, more_is_better, goal in rows:
            values = [server.median(what) for server in plain]
            if any(value is None for value in values):
                continue
            first, second, third, fourth = (max(value or 0.0, 1e-9) for value in values)
            against_rclone = first / second if more_is_better else second / first
            against_stock = third / fourth if more_is_better else fourth / third
            met = against_rclone > 1 and (goal is None or against_stock >= goal)
            tells = what.endswith("cpu")  # where the time goes, and no goal
            missed += not met and not tells
            shown = "".join(f"{value:>19,.2f}" for value in values)
            verdict = "" if tells else "met" if met else "MISSED"
            print(f"{label:34}{shown}{against_rclone:>10.2f}x{against_stock:>12.2f}x  {verdict}".rstrip())
        print("Under FTPS rclone encrypts its control connection alone: its RETR over TLS is of bytes in the clear.")
        print("Ratios above 1 are in our favour. Goals: / rclone above 1; / pyftpdlib 0.7 (RETR), 1.0 (MLSD).")
        if scale.stored_entries != scale.entries:
            print(f"rclone listed {scale.stored_entries:,} objects and pyftpdlib {scale.entries:,} files, scaled up.")
    return 1 if missed else 0


def make_pair(root: Path) -> tuple[Path, Path]:
    certificate, key = root / "bench.crt", root / "bench.key"
    command = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench ftp", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a smaller folder, fewer logins")
    parser.add_argument("--only", choices=("retr", "mlsd", "idle"), default="", help="this part alone")
    chosen = parser.parse_args(arguments)
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as folder:
        return run(QUICK if chosen.quick else FULL, Path(folder), chosen.only)
