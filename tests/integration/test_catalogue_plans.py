"""The queries that run on millions of rows walk their indexes, on both databases: read from the planners themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from recpipe.catalogue import Catalogue
from recpipe.model import Direction, NumberMatch, RecordingKind, RecordingQuery
from tests.benchmarks.catalogue_load import LATEST, load
from tests.contracts.catalogue_samples import kept_tenant

ROWS = 3000
SORTING = ("sort", "bitmapscan")
MANY_NUMBERS = """
    INSERT INTO phone_number (tenant_id, digits, international, digits_reversed, international_reversed, written)
    SELECT %s, n, '', reverse(n), '', n || ' '
    FROM (SELECT (9000000000 + i * 7919)::text FROM generate_series(1, 10000) i) s(n)
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Catalogue, list[str]]]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'recpipe.sqlite3'}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.url(server.create())
    catalogue = Catalogue.open(url)
    tenants = [kept_tenant(catalogue).id for _ in range(3)]
    load(catalogue, tenants, ROWS, seed=1)
    if request.param == "postgresql":
        # The trigram index only pays among many numbers.
        with server.connect(catalogue._engine.url.database) as admin:
            admin.execute(MANY_NUMBERS, [tenants[0]])
            admin.execute("VACUUM ANALYZE phone_number")
    yield catalogue, tenants
    catalogue.close()


def plans(catalogue: Catalogue, run: Any, *, without: tuple[str, ...] = ()) -> str:
    """What the planner says to each SELECT on the big tables that `run` makes, scans of small tables allowed."""
    engine = catalogue._engine
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith("SELECT") and re.search(
            r"\b(recording|phone_number|recording_(number|text|extension))\b", statement
        ):
            prefix = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
            rows = connection.connection.cursor().execute(prefix + statement, parameters)
            found.append("\n".join(str(row[-1]) for row in rows.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        with catalogue.read() as work:
            if engine.dialect.name == "postgresql":
                # So few rows fit in a handful of pages, where reading all is right: the question is what can be used.
                for way in ("seqscan", *without):
                    work._connection.execute(text(f"SET LOCAL enable_{way} = off"))
            run(work)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    return "\n\n".join(found)


SEARCHES = {
    "latest": (RecordingQuery(), "ix_recording_time"),
    "range": (RecordingQuery(started_from=LATEST - timedelta(days=3), started_before=LATEST), "ix_recording_time"),
    "extension": (RecordingQuery(extension="203"), "recording_extension"),
    "call": (RecordingQuery(call_id="1700000005.5"), "ix_recording_call_id"),
    "exact": (RecordingQuery(number="203"), "recording_number"),
    "ending": (RecordingQuery(number="1234", number_match=NumberMatch.ENDING), "phone_number_digits_reversed"),
    "direction": (RecordingQuery(direction=Direction.INTERNAL), "ix_recording_time"),
    "long": (RecordingQuery(duration_min_ms=599_990), "ix_recording_time"),
    "kind": (RecordingQuery(kind=RecordingKind.FAX), "ix_recording_kind_time"),
    "kind and long": (RecordingQuery(kind=RecordingKind.FAX, duration_min_ms=9), "ix_recording_kind_time"),
    "kind of most": (RecordingQuery(kind=RecordingKind.CALL), "ix_recording_time"),
    "plain": (RecordingQuery(sealed=False), "ix_recording_time"),
    "extension and direction": (
        RecordingQuery(extension="203", direction=Direction.INBOUND),
        "recording_extension",
    ),
    "text": (RecordingQuery(text="Caller 4711"), "recording_text"),
    "containing": (RecordingQuery(number="12345", number_match=NumberMatch.CONTAINING), "trigram"),
}


# What a search for calls walks in their place.
OF_CALLS = {
    "ix_recording_time": "ix_recording_call_time",
    "recording_extension": "ix_recording_extension_call",
    "recording_number": "ix_recording_number_call",
    "ix_recording_kind_time": "ix_recording_kind_call_time",
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("tenants", [1, 3])
def test_no_search_reads_a_big_table_whole(filled: tuple[Catalogue, list[str]], name: str, tenants: int) -> None:
    catalogue, ids = filled
    query, index = SEARCHES[name]

    def pages(work: Any) -> None:
        page = work.search(ids[:tenants], query, limit=3)
        if page.next_cursor:
            work.search(ids[:tenants], query, page.next_cursor, limit=3)

    def pages_of_calls(work: Any) -> None:
        page = work.calls(ids[:tenants], query, limit=3)
        if page.next_cursor:
            work.calls(ids[:tenants], query, page.next_cursor, limit=3)

    for plan in (plans(catalogue, pages), plans(catalogue, pages_of_calls)):
        _reads_no_big_table_whole(plan)
        assert OF_CALLS.get(index, index) in plan or index in plan, plan


def _reads_no_big_table_whole(plan: str) -> None:
    assert plan
    assert not re.search(r"Seq Scan on (recording|phone_number|recording_number|recording_text)\b", plan), plan
    assert not re.search(r"SCAN (recording|part|phone_number|recording_number|recording_text)\b(?! USING)", plan), plan


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_page_of_the_newest_calls_is_not_sorted(filled: tuple[Catalogue, list[str]], oldest_first: bool) -> None:
    catalogue, ids = filled
    newest, of_one = (RecordingQuery(oldest_first=oldest_first, extension=one) for one in ("", "203"))
    for walk in (
        lambda work: work.search(ids[:1], newest, limit=5),
        lambda work: work.calls(ids[:1], newest, limit=5),
        lambda work: work.calls(ids[:1], of_one, limit=5),
    ):
        first = plans(catalogue, walk, without=SORTING).split("\n\n")[0]  # what is read then are the legs of a page
        assert not re.search(r"Sort|TEMP B-TREE", first), first


def test_a_folder_is_read_in_the_order_of_its_index(filled: tuple[Catalogue, list[str]]) -> None:
    catalogue, ids = filled
    day = LATEST.date().isoformat()
    plan = plans(catalogue, lambda work: list(work.of(ids[0]).recordings.in_day(day, "a", 5)), without=SORTING)
    assert "uq_recording_tenant_id_day_name" in plan or "sqlite_autoindex_recording" in plan, plan
    assert not re.search(r"Sort|TEMP B-TREE|Seq Scan|SCAN", plan), plan


def test_folder_trees_and_charts_touch_no_recording(filled: tuple[Catalogue, list[str]]) -> None:
    catalogue, ids = filled
    assert (
        plans(catalogue, lambda work: (work.of(ids[0]).recordings.years(), work.of(ids[0]).recordings.totals())) == ""
    )
