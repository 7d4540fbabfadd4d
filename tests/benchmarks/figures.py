"""`scripts/bench figures`: how long the page of statistics takes over a large catalogue, on SQLite and on PostgreSQL.

Time to first byte over real sockets, of thirty days, a quarter and a year, of one service. Beside each time stands its
goal, 100 ms; the exit code says whether all were met.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx

from recpipe import log, wiring
from recpipe.access.login import Door
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.settings import Settings
from recpipe.web.deps import SESSION_COOKIE, WebContext
from tests.benchmarks.catalogue_load import LATEST, load
from tests.integration.api import served
from tests.services.postgres import running

GOAL_SECONDS = 0.1
PASSWORD = "correct horse battery"
RANGES = (("30 days", 30), ("90 days", 90), ("a year", 365))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench figures", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="recordings of one service")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="20,000 recordings and three rounds")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    chosen = parser.parse_args(arguments)
    rows, rounds = (20_000, 3) if chosen.quick else (chosen.rows, chosen.rounds)
    log.set_up("json", "error")
    met: list[bool] = []
    if chosen.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            met += _timed("SQLite", f"sqlite:///{folder}/recpipe.sqlite3", Path(folder), rows, rounds)
    if chosen.only != "sqlite":
        with tempfile.TemporaryDirectory() as folder, running(durable=True) as server:
            met += _timed("PostgreSQL", server.url(server.create()), Path(folder), rows, rounds)
    return 0 if all(met) else 1


def _timed(name: str, url: str, folder: Path, rows: int, rounds: int) -> list[bool]:
    settings = Settings(data_dir=folder / "data", database_url=url)
    met = []
    with wiring.open_parts(settings) as parts:
        tenant = parts.tenants.create(operator("bench"), "acme", title="Acme", timezone="Europe/Berlin", region="DE")
        print(f"{name}: loading {rows:,} recordings ...", file=sys.stderr)
        load(parts.catalogue, [tenant.id], rows, seed=1)
        parts.accounts.create(
            operator("bench"), "carl", Role.CLIENT, password=PASSWORD, grants={tenant.id: ["search", "play"]}
        )
        principal = parts.access.password("carl", PASSWORD, "127.0.0.1", Door.HTTP).principal
        assert principal is not None
        cookie = parts.access.sessions.start(principal, "127.0.0.1", "bench")
        with (
            served(WebContext.of(parts)) as address,
            httpx.Client(base_url=address, trust_env=False, timeout=60, cookies={SESSION_COOKIE: cookie}) as client,
        ):
            for label, days in RANGES:
                asked = {"from": str((LATEST - timedelta(days=days - 1)).date()), "to": str(LATEST.date())}
                client.get("/statistics", params=asked).raise_for_status()
                taken = []
                for _ in range(rounds):
                    began = time.perf_counter()
                    with client.stream("GET", "/statistics", params=asked) as answer:
                        next(answer.iter_raw())
                        taken.append(time.perf_counter() - began)
                met.append(_told(f"{name}, {rows:,} recordings: {label}", taken))
    return met


def _told(label: str, seconds: list[float]) -> bool:
    middle, worst = statistics.median(seconds), max(seconds)
    goal = GOAL_SECONDS
    print(f"{label:<52} {middle * 1000:6.0f} ms  worst {worst * 1000:6.0f} ms  goal {goal * 1000:.0f} ms", flush=True)
    return middle < goal
