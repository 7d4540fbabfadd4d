"""What starting costs, beside the imports that no such program does without: `import boto3, fastapi, sqlalchemy`.

Every command is a process of its own; rounds are interleaved, so that a machine which is slower for a minute is so for
all, and the median of the rounds is shown with its ratio to that import. CPU time is user and system, and children's.
A server counts until all of its roles say that they started. Then each is left alone for a while: what it uses of one
core is measured between two readings of its own clock, and its memory is its resident set at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from recpipe.cli.roles import RoleName

PEER = "import boto3, fastapi, sqlalchemy"
EVERY = "serve, all roles"
# Ratios of CPU time to that of the import.
GOALS = {"--help": 0.25, "certificate check": 0.5, EVERY: 1.8}
GOAL_IDLE_PERCENT, GOAL_IDLE_MB = 2.0, 120.0
_READY = {RoleName.INGEST: "ingest started", RoleName.WEB: "web started", RoleName.FTP: "ftp started"}
_READY[RoleName.JOBS] = "jobs started"
_SETTLES_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock and of CPU."""

    wall: float
    cpu: float


def timed(command: Sequence[str], home: Path) -> Spent:
    """Run a command to its end."""
    begun = time.perf_counter()
    with subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return Spent(time.perf_counter() - begun, used.ru_utime + used.ru_stime)


class Server:
    """`recpipe serve` with some roles, from its start to when all of them are ready."""

    def __init__(self, home: Path, roles: Sequence[RoleName]) -> None:
        log, words = home / "serve.log", [word for role in roles for word in ("--role", role)]
        listening = {f"RECPIPE_{door}_LISTEN": "127.0.0.1:0" for door in ("HTTP", "FTP")}
        begun = time.perf_counter()
        with log.open("w") as out:
            command = [sys.executable, "-m", "recpipe", "serve", *words]
            self._process = subprocess.Popen(command, cwd=home, env={**os.environ, **listening}, stdout=out, stderr=out)
        self.process = psutil.Process(self._process.pid)
        while not all(_READY[role] in log.read_text() for role in roles):
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended with {self._process.returncode}:\n{log.read_text()}")
            time.sleep(0.005)
        self.started = Spent(time.perf_counter() - begun, self._cpu())

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def idle(self, settles: float, seconds: float) -> tuple[float, float]:
        """Percent of one core, and MB of memory."""
        time.sleep(settles)
        before, begun = self._cpu(), time.perf_counter()
        time.sleep(seconds)
        used = (self._cpu() - before) / (time.perf_counter() - begun)
        return used * 100, self.process.memory_info().rss / 1e6

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds, and ten seconds of leaving alone")
    quick = parser.parse_args(arguments).quick
    with tempfile.TemporaryDirectory(prefix="recpipe-start-") as folder:
        home = Path(folder)
        spent = starts(home, rounds=3 if quick else 9)
        tell_starts(spent)
        print(f"\n{'idle':24}{'of one core':>14}{'memory':>12}")
        for roles in ([one] for one in RoleName):
            tell_idle(f"--role {roles[0]}", *alone(home, roles, quick=quick))
        used, memory = alone(home, list(RoleName), quick=quick)
        tell_idle("all roles", used, memory, goals=f"goals {GOAL_IDLE_PERCENT:g} %, {GOAL_IDLE_MB:g} MB")
    return 0


def alone(home: Path, roles: Sequence[RoleName], *, quick: bool) -> tuple[float, float]:
    server = Server(home, roles)
    try:
        return server.idle(5 if quick else _SETTLES_SECONDS, 10 if quick else 60)
    finally:
        server.stop()


def starts(home: Path, rounds: int) -> dict[str, list[Spent]]:
    """What each spent in each round."""
    key, certificate = home / "key.pem", home / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench", "-days", "3650"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    ours = [sys.executable, "-m", "recpipe"]
    commands = {
        PEER: [sys.executable, "-c", PEER],
        "--help": [*ours, "--help"],
        "certificate check": [*ours, "certificate", "check", str(certificate)],
        "tenant list": [*ours, "tenant", "list"],
    }
    spent: dict[str, list[Spent]] = {}
    for number in range(rounds + 1):
        for name, command in commands.items():
            took = timed(command, home)
            if number:  # the first compiles, and makes the database
                spent.setdefault(name, []).append(took)
        server = Server(home, list(RoleName))
        server.stop()
        if number:
            spent.setdefault(EVERY, []).append(server.started)
    return spent


def tell_starts(spent: dict[str, list[Spent]]) -> None:
    print(f"{'start':40}{'wall':>9}{'CPU':>9}{'ratio':>8}")
    peer = statistics.median(one.cpu for one in spent[PEER])
    for name, rounds in spent.items():
        wall, cpu = (statistics.median(getattr(one, field) for one in rounds) for field in ("wall", "cpu"))
        goal = f"   goal {GOALS[name]:g}" if name in GOALS else ""
        print(f"{name:40}{wall:8.2f}s{cpu:8.2f}s{cpu / peer:8.2f}{goal}", flush=True)


def tell_idle(name: str, used: float, memory: float, goals: str = "") -> None:
    print(f"{name:24}{used:12.2f} %{memory:9.0f} MB   {goals}".rstrip(), flush=True)
