"""`scripts/bench search [--quick]`: searches of a large catalogue, on both databases, beside the bare SQL.

One tenant in five is asked: 2 of 10 M recordings, 200,000 of 1 M with --quick. One call in ten has
three legs; searches for calls stand below those for recordings. Beside each search that an index answers
stands its own page statement, sent to the driver as it is and its rows fetched as they come (prepared, no conversion,
no transaction around it): what is above that is ours. The worst searches have a goal in seconds instead.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from recpipe.catalogue import Catalogue
from recpipe.catalogue.engine import transaction
from recpipe.errors import RecpipeError
from recpipe.model import Direction, NumberMatch, RecordingQuery
from tests.benchmarks.catalogue_load import LATEST, a_tenant

TENANTS = 5
_STEP = timedelta(seconds=6)  # between two calls
_CHUNK = 500_000
EXTENSIONS = 60
BUSY = f"0{3000000000 + 104729}"  # of the tenant that is asked: a tenth of its calls

# The first leg of the call that recording n is a leg of: one call in ten has three.
_FIRST = f"(CASE WHEN (n / {TENANTS}) % 12 < 3 THEN n + (2 - (n / {TENANTS}) % 12) * {TENANTS} ELSE n END)"

# What differs between the two databases: a series of rows, ids in no order, a time.
_SQLITE = {
    "rows": "WITH RECURSIVE g(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM g WHERE n < :last) ",
    "from": "g",
    "id": "printf('%016x%016x', (n * 2654435761) % 4294967296 * 65537, n)",
    "at": ":latest - n * :step",
    "call": f"printf('%032x', {_FIRST})",
    "call_at": f":latest - {_FIRST} * :step",
    "blob": "zeroblob(16)",
    "true": "1",
    "false": "0",
    "newline": "char(10)",
}
_POSTGRESQL = {
    "rows": "",
    "from": "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) g(n)",
    "id": "md5(n::text)",
    "at": "CAST(:latest AS timestamptz) - n * CAST(:step AS interval)",
    "call": f"md5(({_FIRST})::text)",
    "call_at": f"CAST(:latest AS timestamptz) - {_FIRST} * CAST(:step AS interval)",
    "blob": "'\\x00112233445566778899aabbccddeeff'::bytea",
    "true": "true",
    "false": "false",
    "newline": "chr(10)",
}


def _fill(catalogue: Catalogue, rows: int) -> str:
    """Rows straight into the tables, by the databases themselves; the id of the tenant that is asked."""
    sqlite = catalogue._engine.dialect.name == "sqlite"
    d = _SQLITE if sqlite else _POSTGRESQL
    tenants = [f"{number:032}" for number in range(TENANTS)]
    with catalogue.begin() as work:
        for number, tenant_id in enumerate(tenants):
            made = a_tenant(f"tenant-{number}")
            work.tenants.add(type(made)(**{**_fields(made), "id": tenant_id}))
    owner = f"lpad((n % {TENANTS})::text, 32, '0')" if not sqlite else f"printf('%032d', n % {TENANTS})"
    numbers = max(rows // 8, 1000) // TENANTS * TENANTS
    # The number of call n: a tenth of a tenant's calls are of one that is busy.
    quiet = f"(n * 7919) % {numbers} / {TENANTS} * {TENANTS} + n % {TENANTS}"
    number = f"(CASE WHEN n % 10 < 1 THEN n % {TENANTS} ELSE {quiet} END)"
    extension = f"(200 + (n / {TENANTS}) % {EXTENSIONS})"
    inbound = "(n / 7) % 2 = 0"
    started = d["at"]
    spoken = _digits(number)
    party, own = f"'0' || {spoken}", f"CAST({extension} AS text)"
    audio = (
        '\'{"container":"wav","codec":"pcm_s16le","sample_rate_hz":8000,"channels":1,"duration_ms":60000,'
        '"frames":480000,"data_offset":44,"data_bytes":960000,"bit_rate_bps":0,"vbr":false,"flags":[]}\''
    )
    values = {
        "id": d["id"],
        "tenant_id": owner,
        "name": f"'call-' || n || '-' || {own} || '.wav'",
        "day": "'2026-03-14'",
        "started_at": started,
        "timezone": "'Europe/Berlin'",
        "duration_ms": "CASE WHEN n % 500009 = 17 THEN 9000000 ELSE (n * 31) % 600000 END",
        "facts_started_at": started,
        "facts_timezone": "'Europe/Berlin'",
        "facts_duration_ms": "NULL",
        "direction": f"CASE WHEN {inbound} THEN 'inbound' ELSE 'outbound' END",
        "caller": f"CASE WHEN {inbound} THEN {party} ELSE {own} END",
        "callee": f"CASE WHEN {inbound} THEN {own} ELSE {party} END",
        "caller_name": "'Caller ' || ((n * 31) % 5000)",
        "callee_name": "''",
        "extension": own,
        "route": "'in'",
        "call_id": "(1700000000 + n) || '.' || n",
        "linked_id": "''",
        "channels": "''",
        "tenant_hint": "''",
        "awaits_cdr": d["false"],
        "audio": audio.replace(":", "\\:"),
        "caller_e164": f"CASE WHEN {inbound} THEN '+49' || {spoken} ELSE '' END",
        "callee_e164": f"CASE WHEN {inbound} THEN '' ELSE '+49' || {spoken} END",
        "source_name": "'2026/call-' || n || '.wav'",
        "source_sha256": f"{d['id']} || {d['id']}",
        "content_bytes": "600000",
        "content_sha256": f"{d['id']} || {d['id']}",
        "object_key": f"{owner} || '/' || {d['id']} || '-1'",
        "stored_bytes": "600528",
        "stored_sha256": f"{d['id']} || {d['id']}",
        "envelope_offset": "500",
        "envelope_bytes": "600016",
        "envelope_iv": d["blob"],
        "envelope_fingerprints": f"'[\"' || {d['id']} || {d['id']} || '\"]'",
        "spool": "'berlin'",
        "ingested_at": started,
        "flags": "'[]'",
        "peaks": "''" if not sqlite else "x''",
        "call": d["call"],
        "call_at": d["call_at"],
    }
    of_call = {"call": d["call"], "call_at": d["call_at"]}
    tables: list[tuple[str, dict[str, str]]] = [
        ("recording", values),
        (
            "recording_text",
            {
                "tenant_id": owner,
                "started_at": started,
                "recording_id": d["id"],
                "text": f"lower({values['name']}) || {d['newline']} || 'caller ' || ((n * 31) % 5000)",
            },
        ),
        (
            "recording_extension",
            {"tenant_id": owner, "extension": own, "started_at": started, "recording_id": d["id"], **of_call},
        ),
        (
            "recording_number",
            {
                "tenant_id": owner,
                "number_id": f"1 + {number}",
                "started_at": started,
                "recording_id": d["id"],
                **of_call,
            },
        ),
    ]
    latest: Any = LATEST if not sqlite else int(LATEST.timestamp() * 1_000_000)
    step: Any = _STEP if not sqlite else int(_STEP.total_seconds() * 1_000_000)
    for first in range(0, max(rows, numbers), _CHUNK):
        asked = {"first": first, "last": min(first + _CHUNK, rows) - 1, "latest": latest, "step": step}
        with transaction(catalogue._engine, None, reads=False) as connection:
            if first == 0:
                _numbers(connection, owner, numbers, d, sqlite=sqlite)
            for table, columns in tables:
                chosen = ", ".join(columns.values())
                insertion = f"INSERT INTO {table} ({', '.join(columns)}) {d['rows']}SELECT {chosen} FROM {d['from']}"
                connection.execute(text(insertion), asked)
    if sqlite:
        with transaction(catalogue._engine, None, reads=False) as connection:
            connection.execute(text("ANALYZE"))
    else:
        with catalogue._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    return tenants[1]


def _fields(made: Any) -> dict[str, Any]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}


def _digits(number: str) -> str:
    national = f"3000000000 + ({number}) * 104729 % 99999989"
    return f"CAST({national} AS text)"


def _numbers(connection: Any, owner: str, numbers: int, d: dict[str, str], *, sqlite: bool) -> None:
    spoken = _digits("n")
    turned = f"reverse({spoken})" if not sqlite else _reversed(spoken)
    columns = "id, tenant_id, digits, international, digits_reversed, international_reversed, written"
    chosen = (
        f"n + 1, {owner}, '0' || {spoken}, '49' || {spoken}, {turned} || '0', {turned} || '94', "
        f"'0' || {spoken} || ' 49' || {spoken}"
    )
    asked = {"first": 0, "last": numbers - 1}
    head = f"INSERT INTO phone_number ({columns}) "
    body = f"SELECT {chosen} FROM {d['from']}"
    connection.execute(text(head + d["rows"] + body), asked)


def _reversed(spoken: str) -> str:
    return " || ".join(f"substr({spoken}, {place}, 1)" for place in range(10, 0, -1))


@dataclass(frozen=True)
class Search:
    """One thing that is asked, and its goal."""

    name: str
    query: RecordingQuery
    goal_ms: float
    limit: int = 50
    far: int = 0  # pages down
    calls: bool = False  # calls with their legs, else recordings
    beside: bool = True  # the bare SQL says something


def _searches(number: str) -> list[Search]:
    ending, inside = NumberMatch.ENDING, NumberMatch.CONTAINING
    month = {"started_from": LATEST - timedelta(days=30), "started_before": LATEST}
    one_day = RecordingQuery(started_from=LATEST - timedelta(days=2), started_before=LATEST - timedelta(1))
    quick = [
        Search("latest page", RecordingQuery(), 50),
        Search("one day", one_day, 50),
        Search("number exact", RecordingQuery(number=number), 50),
        Search("number ending in 4", RecordingQuery(number=number[-4:], number_match=ending), 50),
        Search("number containing 5", RecordingQuery(number=number[-7:-2], number_match=inside), 50),
        Search(
            "extension + direction + month",
            RecordingQuery(extension="215", direction=Direction.INBOUND, **month),
            50,
        ),
        Search("page of 1,000", RecordingQuery(), 50, limit=1000),
        Search("page 1,000", RecordingQuery(), 50, far=1000),
    ]
    by_call = [
        Search("calls: latest page", RecordingQuery(), 50, beside=False, calls=True),
        Search("calls: one day", one_day, 50, beside=False, calls=True),
        Search("calls: number exact", RecordingQuery(number=number), 50, beside=False, calls=True),
        Search("calls: busy number", RecordingQuery(number=BUSY), 50, beside=False, calls=True),
        Search("calls: number ending in 4", quick[3].query, 50, beside=False, calls=True),
        Search("calls: extension + direction + month", quick[5].query, 50, beside=False, calls=True),
        Search("calls: page of 200", RecordingQuery(), 100, limit=200, beside=False, calls=True),
        Search("calls: page 1,000", RecordingQuery(), 50, far=1000, beside=False, calls=True),
        Search("calls: text that is not there", RecordingQuery(text="zzz-not-there"), 1000, beside=False, calls=True),
        Search("calls: plain where none is", RecordingQuery(sealed=False), 1000, beside=False, calls=True),
    ]
    worst = [
        ("text that is not there", RecordingQuery(text="zzz-not-there")),
        ("two letters that are not there", RecordingQuery(text="zq")),
        ("text that matches often", RecordingQuery(text="caller 12")),
        ("three long calls", RecordingQuery(duration_min_ms=8_000_000)),
        ("plain where none is", RecordingQuery(sealed=False)),
        ("a direction nobody has", RecordingQuery(direction=Direction.INTERNAL)),
        ("busy number + direction", RecordingQuery(number=BUSY, direction=Direction.INTERNAL)),
        ("extension + plain", RecordingQuery(extension="215", sealed=False)),
        ("text + direction + length", RecordingQuery(text="9", direction=Direction.INTERNAL, duration_min_ms=590_000)),
    ]
    return quick + by_call + [Search(name, query, 1000, beside=False) for name, query in worst]


def _times(run: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), sorted(taken)[int(rounds * 0.99)]


def _measure(catalogue: Catalogue, tenant_id: str, search: Search, rounds: int) -> bool:
    said: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        said.append((statement, parameters))

    cursor, answer = None, ""

    def ours() -> None:
        nonlocal answer
        try:
            with catalogue.read(limited=True) as work:
                page = (work.calls if search.calls else work.search)({tenant_id}, search.query, cursor, search.limit)
            back = "" if page.searched_to is None else f", looked back {(LATEST - page.searched_to).days} days"
            answer = f"{len(page.items)} rows{back}"
        except RecpipeError as error:
            answer = type(error).__name__

    for _ in range(search.far):
        with catalogue.read(limited=True) as work:
            find = work.calls if search.calls else work.search
            cursor = find({tenant_id}, search.query, cursor, search.limit).next_cursor
    event.listen(catalogue._engine, "before_cursor_execute", note)
    ours()
    event.remove(catalogue._engine, "before_cursor_execute", note)
    p50, p99 = _times(ours, rounds)
    line = f"  {search.name:32} {p50:8.2f} {p99:8.2f}"
    met = p99 <= search.goal_ms
    if search.beside:
        statement, parameters = said[-1]
        with catalogue._engine.connect() as connection:
            driver: Any = connection.connection.cursor()
            bare50, bare99 = _times(lambda: driver.execute(statement, parameters).fetchall(), rounds)
        line += f" {bare50:8.2f} {bare99:8.2f} {p50 / bare50:6.1f}x"
        met = met and p50 <= 5 * bare50
    else:
        line += " " * 26
    print(f"{line}  goal {search.goal_ms:5.0f}  {'met   ' if met else 'MISSED'}  {answer}", flush=True)
    return met


@contextlib.contextmanager
def _urls(kind: str, folder: str | None) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as made:
            yield f"sqlite:///{Path(made) / 'recpipe.sqlite3'}"
        return
    from tests.services.postgres import running

    with running() as server:
        yield server.url(server.create())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1 M recordings")
    parser.add_argument("--rows", type=int, default=0, help="default: 10,000,000, about 15 GB a database")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="default: both")
    parser.add_argument("--folder", help="where the SQLite file is made")
    given = parser.parse_args(arguments)
    rows = given.rows or (1_000_000 if given.quick else 10_000_000)
    met = True
    for kind in [given.database] if given.database else ["sqlite", "postgresql"]:
        with _urls(kind, given.folder) as url:
            catalogue = Catalogue.open(url)
            began = time.perf_counter()
            tenant_id = _fill(catalogue, rows)
            took = time.perf_counter() - began
            print(f"{kind}: {rows:,} recordings, {rows // TENANTS:,} in the tenant, made in {took:.0f} s")
            print(f"  {'':32} {'p50 ms':>8} {'p99':>8} {'bare p50':>8} {'p99':>8} {'ratio':>7}")
            with catalogue.read() as work:
                number = work.search({tenant_id}, RecordingQuery(), limit=20).items[7].facts
            typed = max(number.caller, number.callee, key=len)
            for search in _searches(typed):
                met = _measure(catalogue, tenant_id, search, given.rounds) and met
            catalogue.close()
    print("Goals: p99 as named, and p50 at most 5 times the bare SQL." + ("" if met else " Not all were met."))
    return 0 if met else 1
