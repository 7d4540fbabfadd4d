"""Fills an empty catalogue with calls by the databases themselves, ten million in minutes, and everything that is kept
beside recordings with them. `tests/integration/test_bulk_filler.py` holds it against what the product writes.

One recording in ten or so is a leg of a call with three, one in a hundred is a voicemail, a tenth of a tenant's calls
are with one number, and the others with one of an eighth as many numbers as it has calls.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.engine import make_url

from recpipe.catalogue import Catalogue
from recpipe.catalogue.tables import recording
from recpipe.catalogue.tally import month_of
from recpipe.times import days_since_1970
from tests.benchmarks.catalogue_load import AUDIO, LATEST, a_tenant

DAYS = 365  # that the calls are spread over
EXTENSIONS = 60
LONG_MS = 9_000_000  # how long a few of them are
_LEG_US = 20_000_000  # between the legs of a call
_CHUNK = 240_000
_BUSY = 3  # of each ten calls of a tenant this one is with its busy number
_EPOCH_US = 1_000_000
_BIG = ("recording", "recording_number", "recording_extension", "recording_text")


@dataclass(frozen=True, slots=True)
class World:
    """What there is to be: so many recordings, in turns of so many tenants.

    Attributes:
        plain: whether every second recording is not sealed; else all are.
    """

    tenants: int
    rows: int
    plain: bool = False

    @property
    def tenant_ids(self) -> list[str]:
        return [f"{number:032}" for number in range(self.tenants)]

    @property
    def numbers(self) -> int:
        """Telephone numbers of each tenant, without its extensions."""
        number = max(self.rows // self.tenants // 8, 3) | 1
        # Without a common factor with what they are chosen by, so that each of them is in a call.
        while number % 5 == 0 or number % 7919 == 0:
            number += 2
        return number

    def busy(self, tenant: int) -> str:
        """The number, as a PBX writes it, that a tenth of a tenant's calls are with."""
        return f"0{3_000_000_000 + tenant * 104_729 % 99_999_989}"


class _Database(Protocol):
    """What differs between the two."""

    @property
    def words(self) -> Mapping[str, str]: ...

    def run(self, statement: str) -> None: ...


def fill(url: str, world: World, *, told: bool = True) -> list[str]:
    """Make the tenants and their calls in a database without any; ids of the tenants."""
    if world.rows < 40 * world.tenants:
        raise ValueError("a tenant has forty recordings or more: else not every number is in one")
    catalogue = Catalogue.open(url)
    with catalogue.begin() as work:
        for number, tenant_id in enumerate(world.tenant_ids):
            work.tenants.add(replace(a_tenant(f"tenant-{number}"), id=tenant_id))
    catalogue.close()
    began = time.monotonic()

    def tell(what: str) -> None:
        if told:
            print(f"\r  {time.monotonic() - began:5.0f} s  {what:60}", end="", file=sys.stderr, flush=True)

    with _sqlite(url) if url.startswith("sqlite") else _postgresql(url) as database:
        database.run(f"CREATE TEMPORARY TABLE made ({_MADE})")
        database.run(f"CREATE TEMPORARY TABLE of_extension ({_OF_EXTENSION})")
        # A multiple of the twelve recordings of each tenant of which three are one call.
        at_once = max(_CHUNK // (12 * world.tenants), 1) * 12 * world.tenants
        for first in range(0, world.rows, at_once):
            tell(f"{first:,} of {world.rows:,} recordings")
            database.run(database.words["empty"])
            for statement in _of_chunk(world, database.words, first, min(first + at_once, world.rows)):
                database.run(statement)
        tell("telephone numbers")
        for statement in _numbers(world, database.words):
            database.run(statement)
        tell("months")
        for statement in _months():
            database.run(statement)
        database.run("DROP TABLE made")
        database.run("DROP TABLE of_extension")
        tell("indexes")
    tell(f"{world.rows:,} recordings are there")
    if told:
        print(file=sys.stderr)
    return world.tenant_ids


# --- the rows -------------------------------------------------------------------------------------------------

# What every row of a recording is made of: computed once, then read by the insertions into all tables.
_MADE = (
    "n bigint, tenant_id text, id text, call text, call_at bigint, at bigint, name text, kind text, ms bigint,"
    " ext text, party text, e164 text, number_id bigint, ext_id bigint, inbound integer, first integer, sealed integer,"
    " linked text, caller_name text"
)
_OF_EXTENSION = "tenant_id text, day bigint, direction text, ext text, calls bigint, legs bigint, ms bigint"
_STORED_BYTES = 600_528
_AUDIO = json.dumps(asdict(AUDIO), separators=(",", ":"))


def _of_chunk(world: World, words: Mapping[str, str], since: int, before: int) -> Iterator[str]:
    yield _made(world, words, since, before)
    yield from (_insertion(table, values) for table, values in _rows_of(words))
    yield _day_totals(words)
    yield from _figures()


def _made(world: World, words: Mapping[str, str], since: int, before: int) -> str:
    tenants, numbers = world.tenants, world.numbers
    # k is a recording's place among those of its tenant; f that of the first leg of its call.
    step = timedelta(days=DAYS) // timedelta(microseconds=1) // world.rows
    latest = int(LATEST.timestamp()) * _EPOCH_US
    sha, newline = words["sha"], words["newline"]
    return f"""
        INSERT INTO made
        WITH {words["series"].format(since=since, before=before)},
        placed(n, t, k, f) AS MATERIALIZED (
            SELECT n, n % {tenants}, n / {tenants},
                CASE WHEN n / {tenants} % 12 < 3 THEN n / {tenants} - n / {tenants} % 12 ELSE n / {tenants} END FROM g
        ), drawn(n, t, k, f, g, j, e, inbound) AS MATERIALIZED (
            SELECT n, t, k, f, f * {tenants} + t, CASE WHEN f % 10 = {_BUSY} THEN 0 ELSE f * 7919 % {numbers} END,
                (f * 7919 / 64 + (k - f) * 7) % {EXTENSIONS}, f * 104729 / 128 % 2 FROM placed
        ), said(n, t, k, f, j, e, inbound, tenant_id, linked, at, digits) AS MATERIALIZED (
            SELECT n, t, k, f, j, e, inbound, {words["tenant"].format("t")},
                CAST(1700000000 + g AS text) || '.' || g, {latest} - ({world.rows} - 1 - g) * {step},
                CAST(3000000000 + (j * {tenants} + t) * 104729 % 99999989 AS text) FROM drawn
        )
        SELECT n, tenant_id, {sha.format("'recording ' || n")},
            {sha.format(f"tenant_id || {newline} || 'berlin' || {newline} || linked")},
            at, at + (k - f) * {_LEG_US},
            'Call-' || n || '-' || (200 + e) || '.wav',
            CASE WHEN k % 100 = 99 THEN 'voicemail' ELSE 'call' END,
            CASE WHEN n % 500009 = 17 THEN {LONG_MS} ELSE k * 7907 % 600000 END,
            CAST(200 + e AS text), '0' || digits, '+49' || digits,
            1 + j * {tenants} + t, {numbers * tenants} + 1 + t * {EXTENSIONS} + e,
            inbound, CASE WHEN k = f THEN 1 ELSE 0 END,
            {"CASE WHEN k % 2 = 0 THEN 1 ELSE 0 END" if world.plain else "1"},
            linked, 'Caller ' || (k * 31 % 5000)
        FROM said
    """


def _rows_of(words: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    at, call_at = words["moment"].format("at"), words["moment"].format("call_at")
    sealed = "CASE WHEN sealed = 1 THEN {} END".format
    values = {
        "id": "id",
        "tenant_id": "tenant_id",
        "name": "name",
        "day": words["day"].format("at"),
        "started_at": at,
        "timezone": "'Europe/Berlin'",
        "duration_ms": "ms",
        "facts_started_at": at,
        "facts_timezone": "'Europe/Berlin'",
        "facts_duration_ms": "NULL",
        "direction": "CASE WHEN inbound = 1 THEN 'inbound' ELSE 'outbound' END",
        "caller": "CASE WHEN inbound = 1 THEN party ELSE ext END",
        "callee": "CASE WHEN inbound = 1 THEN ext ELSE party END",
        "caller_name": "caller_name",
        "extension": "ext",
        "route": "'in'",
        "call_id": "CAST(1700000000 + n AS text) || '.' || n",
        "linked_id": "linked",
        "awaits_cdr": words["false"],
        "kind": "kind",
        "audio": f"'{_AUDIO}'",
        "caller_e164": "CASE WHEN inbound = 1 THEN e164 ELSE '' END",
        "callee_e164": "CASE WHEN inbound = 1 THEN '' ELSE e164 END",
        "source_name": "'2026/call-' || n || '.wav'",
        "source_sha256": "id || id",
        "content_bytes": "600000",
        "content_sha256": "id || id",
        "object_key": "tenant_id || '/' || substr(id, 1, 2) || '/' || id || '-1'",
        "stored_bytes": str(_STORED_BYTES),
        "stored_sha256": "id || id",
        "envelope_offset": sealed("500"),
        "envelope_bytes": sealed("600016"),
        "envelope_iv": sealed(words["iv"]),
        "envelope_fingerprints": sealed("'[\"' || tenant_id || tenant_id || '\"]'"),
        "spool": "'berlin'",
        "ingested_at": words["moment"].format("(at + 60000000)"),
        "flags": "'[]'",
        "peaks": words["nothing"],
        "call": "call",
        "call_at": call_at,
    }
    empty = {column.name: "''" for column in recording.columns if column.name not in values}
    yield "recording", values | empty
    whose = {"tenant_id": "tenant_id", "started_at": at, "recording_id": "id"}
    yield "recording_text", whose | {"text": f"lower(name) || {words['newline']} || lower(caller_name)"}
    of_call = {"call": "call", "call_at": call_at}
    yield "recording_extension", whose | of_call | {"extension": "ext"}
    yield "recording_number", whose | of_call | {"number_id": "number_id"}
    yield "recording_number", whose | of_call | {"number_id": "ext_id"}


def _insertion(table: str, values: Mapping[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM made"


def _day_totals(words: Mapping[str, str]) -> str:
    return f"""
        INSERT INTO day_total (tenant_id, day, recordings, stored_bytes, duration_ms)
        SELECT tenant_id, {words["day"].format("at")} AS its, count(*), count(*) * {_STORED_BYTES}, sum(ms) FROM made
        WHERE true GROUP BY tenant_id, its
        ON CONFLICT (tenant_id, day) DO UPDATE SET recordings = day_total.recordings + excluded.recordings,
            stored_bytes = day_total.stored_bytes + excluded.stored_bytes,
            duration_ms = day_total.duration_ms + excluded.duration_ms
    """


def _figures() -> Iterator[str]:
    yield f"""
        INSERT INTO figure_quarter
            (tenant_id, quarter, calls, recordings, duration_ms, longest_ms, stored_bytes, sealed)
        SELECT tenant_id, call_at / 900000000 AS its, sum(first), count(*), sum(ms), max(ms),
            count(*) * {_STORED_BYTES}, sum(sealed) FROM made WHERE kind = 'call' GROUP BY tenant_id, its
        ON CONFLICT (tenant_id, quarter) DO UPDATE SET calls = figure_quarter.calls + excluded.calls,
            recordings = figure_quarter.recordings + excluded.recordings,
            duration_ms = figure_quarter.duration_ms + excluded.duration_ms,
            longest_ms = CASE WHEN figure_quarter.longest_ms > excluded.longest_ms THEN figure_quarter.longest_ms
                ELSE excluded.longest_ms END,
            stored_bytes = figure_quarter.stored_bytes + excluded.stored_bytes,
            sealed = figure_quarter.sealed + excluded.sealed
    """
    # The legs of a call have one direction, route and number of others, and an extension each.
    yield "DELETE FROM of_extension"
    yield """
        INSERT INTO of_extension SELECT tenant_id, call_at / 86400000000 AS its,
            CASE WHEN inbound = 1 THEN 'inbound' ELSE 'outbound' END, ext, sum(first), count(*), sum(ms)
        FROM made WHERE kind = 'call' GROUP BY tenant_id, its, inbound, ext
    """
    for dimension, value, calls, where in (
        ("direction", "direction", "sum(calls)", "true"),
        ("route", "'in'", "sum(calls)", "true"),
        ("extension", "ext", "sum(legs)", "true"),
        ("called", "ext", "sum(legs)", "direction = 'inbound'"),
    ):
        yield _values(f"""
            SELECT tenant_id, '{dimension}', 'day', day, {value} AS its, {calls}, sum(ms) FROM of_extension
            WHERE {where} GROUP BY tenant_id, day, its
        """)
    yield _values("""
        SELECT tenant_id, 'number', 'day', call_at / 86400000000 AS its, e164, sum(first), sum(ms)
        FROM made WHERE kind = 'call' GROUP BY tenant_id, its, e164
    """)


def _values(chosen: str) -> str:
    return f"""
        INSERT INTO figure_value (tenant_id, dimension, span, place, value, calls, duration_ms) {chosen}
        ON CONFLICT (tenant_id, dimension, span, place, value) DO UPDATE
        SET calls = figure_value.calls + excluded.calls, duration_ms = figure_value.duration_ms + excluded.duration_ms
    """


def _months() -> Iterator[str]:
    """The values of each month, from those of its days."""
    month = (LATEST - timedelta(days=DAYS + 1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= LATEST:
        following = (month + timedelta(days=32)).replace(day=1)
        yield _values(f"""
            SELECT tenant_id, dimension, 'month', {month_of(days_since_1970(month.date()))}, value, sum(calls),
                sum(duration_ms)
            FROM figure_value WHERE span = 'day' AND place >= {days_since_1970(month.date())}
                AND place < {days_since_1970(following.date())}
            GROUP BY tenant_id, dimension, value
        """)
        month = following


def _numbers(world: World, words: Mapping[str, str]) -> Iterator[str]:
    digits = "CAST(3000000000 + n * 104729 % 99999989 AS text)"
    columns = "(id, tenant_id, digits, international, digits_reversed, international_reversed, written)"
    turned = words["reverse"].format("digits")
    yield f"""
        INSERT INTO phone_number {columns}
        WITH {words["series"].format(since=0, before=world.numbers * world.tenants)},
        spoken(n, digits) AS (SELECT n, {digits} FROM g)
        SELECT n + 1, {words["tenant"].format(f"(n % {world.tenants})")}, '0' || digits, '49' || digits,
            {turned} || '0', {turned} || '94', '0' || digits || ' 49' || digits FROM spoken
    """
    a_turned = "substr(extension, 3, 1) || substr(extension, 2, 1) || substr(extension, 1, 1)"
    first = world.numbers * world.tenants + 1
    owner = "CAST(tenant_id AS bigint)"
    yield f"""
        INSERT INTO phone_number {columns}
        SELECT {first} + {owner} * {EXTENSIONS} + CAST(extension AS bigint) - 200, tenant_id, extension, '',
            {a_turned}, '', extension || ' '
        FROM (SELECT DISTINCT tenant_id, extension FROM recording_extension) AS used
    """


# --- the databases --------------------------------------------------------------------------------------------


class _SQLite:
    words: Mapping[str, str] = {
        "series": "RECURSIVE g(n) AS (SELECT {since} UNION ALL SELECT n + 1 FROM g WHERE n + 1 < {before})",
        "tenant": "printf('%032d', {})",
        "sha": "sha256_hex({})",
        "empty": "DELETE FROM made",
        "newline": "char(10)",
        "moment": "{}",
        "day": "strftime('%Y-%m-%d', {} / 1000000, 'unixepoch')",
        "false": "0",
        "iv": "x'00112233445566778899aabbccddeeff'",
        "nothing": "x''",
        "reverse": " || ".join(f"substr({{0}}, {place}, 1)" for place in range(10, 0, -1)),
    }

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        self._connection.execute(statement)


@contextlib.contextmanager
def _sqlite(url: str) -> Iterator[_Database]:
    """Everything in one transaction without a journal: a file that is not whole at the end is thrown away."""
    connection = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    connection.create_function(
        "sha256_hex", 1, lambda said: hashlib.sha256(said.encode()).hexdigest()[:32], deterministic=True
    )
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-3000000", "temp_store=MEMORY", "threads=2"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    wanted = ", ".join(f"'{table}'" for table in _BIG)
    kept = connection.execute(
        f"SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({wanted})"
    ).fetchall()
    for name, _ in kept:
        connection.execute(f"DROP INDEX {name}")
    yield _SQLite(connection)
    for _, statement in kept:
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


class _PostgreSQL:
    words: Mapping[str, str] = {
        "series": "g(n) AS (SELECT generate_series(CAST({since} AS bigint), {before} - 1))",
        "tenant": "lpad(CAST({} AS text), 32, '0')",
        "sha": "left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 32)",
        "empty": "TRUNCATE made",
        "newline": "chr(10)",
        "moment": "(timestamptz 'epoch' + {} * interval '1 microsecond')",
        "day": "to_char(timestamp 'epoch' + {} * interval '1 microsecond', 'YYYY-MM-DD')",
        "false": "false",
        "iv": "'\\x00112233445566778899aabbccddeeff'::bytea",
        "nothing": "''::bytea",
        "reverse": "reverse({0})",
    }

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        self._connection.execute(statement)


@contextlib.contextmanager
def _postgresql(url: str) -> Iterator[_Database]:
    """Everything in one transaction; what is checked and looked up row by row is made at its end, all at once."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign keys: the rows know their owners
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("SET work_mem = '256MB'")
        again = list(_taken_down(connection, _BIG))
        yield _PostgreSQL(connection)
        for statement in again:
            connection.execute(statement)
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('phone_number', 'id'), (SELECT max(id) FROM phone_number))"
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _taken_down(connection: Any, tables: Sequence[str]) -> Iterator[str]:
    """Drop indexes and unique constraints, and say how each is made again; the key of recordings stays, since foreign
    keys of others hang on it.
    """
    constraints = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype IN ('p', 'u') AND conrelid::regclass::text = ANY(%s) AND conname <> 'pk_recording'",
        [list(tables)],
    ).fetchall()
    for table, name, definition in constraints:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname <> 'pk_recording'",
        [list(tables)],
    ).fetchall()
    for name, definition in indexes:
        connection.execute(f"DROP INDEX {name}")
        yield definition


def add_keep(parser: argparse.ArgumentParser) -> None:
    """The option that says where databases stay, so that several benchmarks fill them once."""
    parser.add_argument("--keep", metavar="DIR", help="where databases are kept for the next run, or found")


@contextlib.contextmanager
def database(kind: str, world: World, keep: str | None = None) -> Iterator[str]:
    """The URL of a database with this world in it: as it was kept in a folder, or made there, or made for the moment.

    Args:
        kind: `sqlite` or `postgresql`.
        keep: a folder; what is made in it stays.
    """
    import tempfile

    name = f"w{world.rows}_{world.tenants}{'_plain' if world.plain else ''}"
    with contextlib.ExitStack() as stack:
        folder = Path(keep or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "sqlite":
            whole, part = folder / f"{name}.sqlite3", folder / f"{name}.part"
            if not whole.exists():
                for left in folder.glob(f"{name}.part*"):
                    left.unlink()
                fill(f"sqlite:///{part}", world)
                part.rename(whole)
            yield f"sqlite:///{whole}"
            return
        from tests.services.postgres import running

        server = stack.enter_context(running(keep=folder / "postgresql", options=_SERVER))
        with server.connect() as admin:
            there = {str(one) for (one,) in admin.execute("SELECT datname FROM pg_database")}
            if name not in there:
                admin.execute(f"DROP DATABASE IF EXISTS {name}_part WITH (FORCE)")
                admin.execute(f"CREATE DATABASE {name}_part")
                fill(server.url(f"{name}_part"), world)
                admin.execute(f"ALTER DATABASE {name}_part RENAME TO {name}")
        yield server.url(name)


# A tenth of the memory of a small server, as its operator would give it; and fewer checkpoints while it is filled.
_SERVER = {"shared_buffers": "2GB", "max_wal_size": "8GB", "effective_cache_size": "8GB"}
