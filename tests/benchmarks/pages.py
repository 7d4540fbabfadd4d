"""`scripts/bench pages`: every page of the dashboard with many services beside the same page with one.

Time to first byte over real sockets and size of each page that an administrator's menu leads to, of the forms, and of a
list and the statistics: with 50,000 recordings of one service, of 300, and with a million of 300. The goal is at most
twice the CPU of the page with one service, since that is the same however busy the machine is; times stand beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
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

PASSWORD = "correct horse battery"
SERVICES = 300
GOAL = 2.0
_MENU = re.compile(r'<li><a href="(/[a-z/-]*)"')
_MORE = (
    "/services/new",
    "/services/tenant-0/edit",
    "/users/new",
    "/account",
    "/recordings?service=tenant-0",
    "/recordings?number=0958",
    "/recordings?q=caller+12",
    f"/statistics?from={LATEST.date().replace(day=1)}&to={LATEST.date()}",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The least of several rounds."""

    first_byte: float  # seconds
    cpu: float  # seconds, of server and client
    size: int  # bytes, uncompressed


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="recordings of the third catalogue; 0: none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="12,000 recordings each and three rounds")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    add_keep(parser)
    chosen = parser.parse_args(arguments)
    few, many, rounds = (12_000, 0, 3) if chosen.quick else (50_000, chosen.rows, chosen.rounds)
    log.set_up("json", "error")
    found = []
    for world in (World(1, few), World(SERVICES, few), *([World(SERVICES, many)] if many else [])):
        with database(chosen.database, world, chosen.keep) as url, _browser(url) as client:
            found.append({address: _seen(client, address, rounds) for address in _addresses(client)})
            print(f"{chosen.database}: looked at {len(found[-1])} pages of {world.tenants} services, {world.rows:,}")
    met = [_told(address, [each[address] for each in found]) for address in found[0]]
    return 0 if all(met) else 1


@contextlib.contextmanager
def _browser(url: str) -> Iterator[httpx.Client]:
    """A new administrator, signed in: the database may be one that was kept."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder) / "data", database_url=url)
        with wiring.open_parts(settings) as parts:
            who = f"ann-{new_id()}"
            parts.accounts.create(operator("bench"), who, Role.ADMINISTRATOR, password=PASSWORD, grants={})
            principal = parts.access.password(who, PASSWORD, "127.0.0.1", Door.HTTP).principal
            assert principal is not None
            cookie = parts.access.sessions.start(principal, "127.0.0.1", "bench")
            with (
                served(WebContext.of(parts)) as address,
                httpx.Client(
                    base_url=address, trust_env=False, timeout=120, cookies={SESSION_COOKIE: cookie}
                ) as client,
            ):
                yield client


def _addresses(client: httpx.Client) -> list[str]:
    menu = dict.fromkeys(_MENU.findall(client.get("/account").raise_for_status().text))
    assert len(menu) > 8, f"the menu has {list(menu)}"
    return [*menu, *_MORE]


def _seen(client: httpx.Client, address: str, rounds: int) -> Seen:
    size = len(client.get(address).raise_for_status().content)
    waits, worked = [], []
    for _ in range(rounds):
        began, cpu = time.perf_counter(), time.process_time()
        with client.stream("GET", address) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            waits.append(time.perf_counter() - began)
            for _ in chunks:
                pass
        worked.append(time.process_time() - cpu)
    return Seen(min(waits), min(worked), size)


def _told(address: str, seen: list[Seen]) -> bool:
    ratio = seen[1].cpu / seen[0].cpu
    columns = (
        f"{each.first_byte * 1000:7.0f} ms {each.cpu * 1000:6.0f} ms CPU {each.size / 1000:6.0f} kB" for each in seen
    )
    print(f"{address:46} {' | '.join(columns)} | {ratio:4.1f}x {'met' if ratio <= GOAL else 'MISSED'}", flush=True)
    return ratio <= GOAL
