"""`scripts/bench search [--quick]`: searches of a large catalogue, on both databases, beside the bare SQL.

One tenant in five is asked: 2 of 10 M recordings, 200,000 of 1 M with --quick. One call in ten has
three legs; searches for calls stand below those for recordings. Beside each search that an index answers
stands its own page statement, sent to the driver as it is and its rows fetched as they come (prepared, no conversion,
no transaction around it): what is above that is ours. The worst searches have a goal in seconds instead. The least CPU
of this process says with SQLite what a search costs however busy the machine is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from recpipe.catalogue import Catalogue
from recpipe.errors import RecpipeError
from recpipe.model import Direction, NumberMatch, RecordingQuery
from tests.benchmarks._bulk import World, add_keep, database
from tests.benchmarks.catalogue_load import LATEST

TENANTS, ASKED = 5, 1


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


def _searches(number: str, busy: str) -> list[Search]:
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
        Search("calls: busy number", RecordingQuery(number=busy), 50, beside=False, calls=True),
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
        ("busy number + direction", RecordingQuery(number=busy, direction=Direction.INTERNAL)),
        ("extension + plain", RecordingQuery(extension="215", sealed=False)),
        ("text + direction + length", RecordingQuery(text="9", direction=Direction.INTERNAL, duration_min_ms=590_000)),
    ]
    return quick + by_call + [Search(name, query, 1000, beside=False) for name, query in worst]


def _times(run: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Median and 99th percentile, and the least CPU of this process, in milliseconds."""
    taken, worked = [], []
    for _ in range(rounds):
        began, cpu = time.perf_counter(), time.process_time()
        run()
        taken.append((time.perf_counter() - began) * 1000)
        worked.append((time.process_time() - cpu) * 1000)
    return statistics.median(taken), sorted(taken)[int(rounds * 0.99)], min(worked)


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
    p50, p99, cpu = _times(ours, rounds)
    line = f"  {search.name:38} {p50:8.2f} {p99:8.2f} {cpu:8.2f}"
    met = p99 <= search.goal_ms
    if search.beside:
        statement, parameters = said[-1]
        with catalogue._engine.connect() as connection:
            driver: Any = connection.connection.cursor()
            bare50, bare99, _ = _times(lambda: driver.execute(statement, parameters).fetchall(), rounds)
        line += f" {bare50:8.2f} {bare99:8.2f} {p50 / bare50:6.1f}x"
        met = met and p50 <= 5 * bare50
    else:
        line += " " * 26
    print(f"{line}  goal {search.goal_ms:5.0f}  {'met   ' if met else 'MISSED'}  {answer}", flush=True)
    return met


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1 M recordings")
    parser.add_argument("--rows", type=int, default=0, help="default: 10,000,000, about 15 GB a database")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="default: both")
    add_keep(parser)
    given = parser.parse_args(arguments)
    rows = given.rows or (1_000_000 if given.quick else 10_000_000)
    world = World(TENANTS, rows)
    met = True
    for kind in [given.database] if given.database else ["sqlite", "postgresql"]:
        with database(kind, world, given.keep) as url:
            catalogue = Catalogue.open(url)
            tenant_id = world.tenant_ids[ASKED]
            print(f"{kind}: {rows:,} recordings, {rows // TENANTS:,} in the tenant")
            print(f"  {'':38} {'p50 ms':>8} {'p99':>8} {'CPU':>8} {'bare p50':>8} {'p99':>8} {'ratio':>7}")
            with catalogue.read() as work:
                number = work.search({tenant_id}, RecordingQuery(), limit=20).items[7].facts
            typed = max(number.caller, number.callee, key=len)
            for search in _searches(typed, world.busy(ASKED)):
                met = _measure(catalogue, tenant_id, search, given.rounds) and met
            catalogue.close()
    print("Goals: p99 as named, and p50 at most 5 times the bare SQL." + ("" if met else " Not all were met."))
    return 0 if met else 1
