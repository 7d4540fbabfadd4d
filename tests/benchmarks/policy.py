"""What it costs to change many rules: an import, and Apply, beside the bare SQL of the same rows, on both databases.

The peer is what cannot be done without: the rows of `policy_extension` in one transaction of the driver itself. We
write a pending change, its history and a line of the audit log beside each, and validate every value.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import Tenant
from recpipe.settings import Settings
from recpipe.tenants.changes import Kind
from tests.services import postgres

BY = operator("bench")
COLUMNS = "tenant_id, extension, name, office, outbound, inbound, internal, locked"


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"  {name:44}{time.perf_counter() - wall:9.2f}{time.process_time() - cpu:9.2f}", flush=True)


def table(count: int, word: str) -> bytes:
    """What somebody imports."""
    lines = [f"{100_000 + one};Person {one};Office {one % 40};{word};;skip" for one in range(count)]
    return "\n".join(["extension;name;office;outbound;inbound;internal", *lines]).encode()


def bare_sqlite(root: Path) -> Callable[[list[tuple[object, ...]]], None]:
    """The same rows, by the driver alone."""
    connection = sqlite3.connect(root / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"CREATE TABLE extension ({COLUMNS}, PRIMARY KEY (tenant_id, extension))")

    def write(rows: list[tuple[object, ...]]) -> None:
        connection.execute("BEGIN")
        connection.executemany(f"INSERT OR REPLACE INTO extension ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")

    return write


def bare_postgresql(server: postgres.PostgresServer) -> Callable[[list[tuple[object, ...]]], None]:
    """The same rows, by the driver alone."""
    connection = server.connect(server.create())
    types = ", ".join(f"{name} {'boolean' if name == 'locked' else 'text'}" for name in COLUMNS.split(", "))
    connection.execute(f"CREATE TABLE extension ({types}, PRIMARY KEY (tenant_id, extension))".encode())
    renewed = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[2:])
    places = ", ".join(["%s"] * len(COLUMNS.split(", ")))
    insert = f"INSERT INTO extension ({COLUMNS}) VALUES ({places})"

    def write(rows: list[tuple[object, ...]]) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(f"{insert} ON CONFLICT (tenant_id, extension) DO UPDATE SET {renewed}".encode(), rows)

    return write


def rows_of(count: int, word: str) -> list[tuple[object, ...]]:
    return [
        ("0" * 32, str(100_000 + one), f"Person {one}", f"Office {one % 40}", word, "default", "skip", False)
        for one in range(count)
    ]


def ours(parts: wiring.Parts, tenant: Tenant, count: int) -> None:
    """Import and apply new extensions, then other rules for each of them."""
    for name, word in (("new", "record"), ("changed", "skip")):
        with timed(f"import of {count:,} extensions, {name}"):
            parts.routing.import_csv(BY, tenant, Kind.EXTENSION, table(count, word))
        waiting = [change.id for change in parts.changes.pending(BY, tenant.id)]
        with timed(f"Apply of {len(waiting):,} changes, {name}"):
            parts.changes.apply(BY, tenant.id, waiting)


def one_database(
    name: str, root: Path, url: str, bare: Callable[[list[tuple[object, ...]]], None], counts: list[int]
) -> None:
    print(f"{name:46}{'wall s':>9}{'our CPU s':>10}")
    given = {"data_dir": root / name} | ({"database_url": url} if url else {})
    with wiring.open_parts(Settings.model_validate(given)) as parts:
        for count in counts:
            for word in ("record", "skip"):
                with timed(f"bare SQL, {count:,} rows"):
                    bare(rows_of(count, word))
            tenant = parts.tenants.create(BY, f"acme-{count}", region="AU")
            ours(parts, tenant, count)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench policy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 extensions alone")
    counts = [1000] if parser.parse_args(arguments).quick else [1000, 20_000]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        one_database("SQLite", root, "", bare_sqlite(root), counts)
        with postgres.running(durable=True) as server:
            one_database("PostgreSQL", root, server.url(server.create()), bare_postgresql(server), counts)
    return 0
