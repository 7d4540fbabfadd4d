"""`scripts/bench figures`: how long the page of statistics takes over a large catalogue, on SQLite and on PostgreSQL.

Time to first byte over real sockets, of thirty days, a quarter and a year, of one service in five and of all of them.
Beside each stand the CPU of this process, which with SQLite is all there is, and is the same however busy the machine,
and the goal, 100 ms; the exit code says whether all were met.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx

from recpipe import log, wiring
from recpipe.access.login import Door
from recpipe.access.principal import operator
from recpipe.catalogue.repository import new_id
from recpipe.model import Role
from recpipe.settings import Settings
from recpipe.web.deps import SESSION_COOKIE, WebContext
from tests.benchmarks._bulk import World, add_keep, database
from tests.benchmarks.catalogue_load import LATEST
from tests.integration.api import served

GOAL_SECONDS = 0.1
TENANTS = 5
PASSWORD = "correct horse battery"
RANGES = (("30 days", 30), ("90 days", 90), ("a year", 365))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench figures", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="recordings of all services")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="20,000 recordings and three rounds")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    add_keep(parser)
    chosen = parser.parse_args(arguments)
    rows, rounds = (20_000, 3) if chosen.quick else (chosen.rows, chosen.rounds)
    log.set_up("json", "error")
    met: list[bool] = []
    world = World(TENANTS, rows)
    for kind in [chosen.only] if chosen.only else ["sqlite", "postgresql"]:
        with database(kind, world, chosen.keep) as url, tempfile.TemporaryDirectory() as folder:
            for services, whose in ((1, f"one service, {rows // TENANTS:,} recordings"), (TENANTS, f"all, {rows:,}")):
                met += _timed(f"{kind}, {whose}", url, Path(folder), world.tenant_ids[:services], rounds)
    return 0 if all(met) else 1


def _timed(name: str, url: str, folder: Path, tenant_ids: list[str], rounds: int) -> list[bool]:
    settings = Settings(data_dir=folder / "data", database_url=url)
    met = []
    with wiring.open_parts(settings) as parts:
        who = f"carl-{new_id()}"  # a new one each time: the database may be one that was kept
        grants: dict[str, list[str]] = {tenant_id: ["search", "play"] for tenant_id in tenant_ids}
        parts.accounts.create(operator("bench"), who, Role.CLIENT, password=PASSWORD, grants=grants)
        principal = parts.access.password(who, PASSWORD, "127.0.0.1", Door.HTTP).principal
        assert principal is not None
        cookie = parts.access.sessions.start(principal, "127.0.0.1", "bench")
        with (
            served(WebContext.of(parts)) as address,
            httpx.Client(base_url=address, trust_env=False, timeout=60, cookies={SESSION_COOKIE: cookie}) as client,
        ):
            for label, days in RANGES:
                asked = {"from": str((LATEST - timedelta(days=days - 1)).date()), "to": str(LATEST.date())}
                client.get("/statistics", params=asked).raise_for_status()
                taken, worked = [], []
                for _ in range(rounds):
                    began, cpu = time.perf_counter(), time.process_time()
                    with client.stream("GET", "/statistics", params=asked) as answer:
                        next(answer.iter_raw())
                        taken.append(time.perf_counter() - began)
                        worked.append(time.process_time() - cpu)
                met.append(_told(f"{name}: {label}", taken, min(worked)))
    return met


def _told(label: str, seconds: list[float], cpu: float) -> bool:
    middle, worst = statistics.median(seconds), max(seconds)
    print(
        f"{label:<50} {middle * 1000:6.0f} ms  least {min(seconds) * 1000:6.0f}  worst {worst * 1000:6.0f}"
        f"  CPU {cpu * 1000:6.0f} ms  goal {GOAL_SECONDS * 1000:.0f} ms",
        flush=True,
    )
    return middle < GOAL_SECONDS
