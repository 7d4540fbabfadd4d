"""What benchmarks fill catalogues with is what the product would have written for the same recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from recpipe.catalogue import Catalogue
from recpipe.catalogue.columns import metadata
from recpipe.catalogue.engine import transaction
from recpipe.catalogue.phone import has_trigrams
from recpipe.catalogue.rows import recording_of
from recpipe.catalogue.tables import recording
from recpipe.model import Recording, RecordingKind
from recpipe.numbers import e164
from tests.benchmarks._bulk import World, database, fill
from tests.services.postgres import PostgresServer

WORLD = World(tenants=3, rows=2000, plain=True)
_AT_ONCE = 97  # recordings that are added together: legs of one call come together and apart
_SCHEMA = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'",
    "postgresql": """
        SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'constraint', conname::text, pg_get_constraintdef(oid) || convalidated FROM pg_constraint
    """,
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Catalogue, Catalogue]]:
    """A catalogue that was filled in bulk, and one to which the product added the same recordings."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("bulk")
        urls = [f"sqlite:///{folder / name}" for name in ("bulk.sqlite3", "product.sqlite3")]
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        urls = [server.url(server.create()) for _ in range(2)]
    fill(urls[0], WORLD, told=False)
    bulk, product = (Catalogue.open(url) for url in urls)
    made = recordings_of(bulk)
    with bulk.read() as work:
        tenants = work.tenants.list()
    with product.begin() as work:
        for tenant in tenants:
            work.tenants.add(tenant)
    for place in range(0, len(made), _AT_ONCE):
        with product.begin() as work:
            assert all(added.new for added in work.add_recordings(made[place : place + _AT_ONCE]))
    yield bulk, product
    bulk.close()
    product.close()


def recordings_of(catalogue: Catalogue) -> list[Recording]:
    with catalogue._engine.connect() as connection:
        return [recording_of(row) for row in connection.execute(select(recording).order_by(recording.c.name))]


@pytest.mark.parametrize("table", [table for table in sorted(metadata.tables) if table != "phone_number"])
def test_every_table_is_as_the_product_writes_it(both: tuple[Catalogue, Catalogue], table: str) -> None:
    bulk, product = (contents(catalogue, table) for catalogue in both)

    assert bulk == product


def test_every_number_is_as_the_product_writes_it(both: tuple[Catalogue, Catalogue]) -> None:
    bulk, product = (contents(catalogue, "phone_number", without="id") for catalogue in both)

    assert bulk == product


def contents(catalogue: Catalogue, table: str, *, without: str = "") -> Counter[tuple[Any, ...]]:
    """The rows as the driver has them, since a number 1 and a text "1" are different things; numbers by themselves."""
    columns = [column.name for column in metadata.tables[table].columns if column.name != without]
    chosen = [
        f"(SELECT digits || '/' || international FROM phone_number n WHERE n.id = {table}.number_id)"
        if name == "number_id"
        else f'"{name}"'
        for name in columns
    ]
    with catalogue._engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT {', '.join(chosen)} FROM {table}")
        return Counter(tuple(row) for row in rows)


def test_indexes_and_constraints_are_those_of_the_product(both: tuple[Catalogue, Catalogue]) -> None:
    bulk, product = (schema_of(catalogue) for catalogue in both)

    assert bulk == product


def schema_of(catalogue: Catalogue) -> set[tuple[Any, ...]]:
    with catalogue._engine.connect() as connection:
        return {tuple(row) for row in connection.exec_driver_sql(_SCHEMA[connection.dialect.name])}


def test_a_number_that_is_new_afterwards_gets_an_id_of_its_own(both: tuple[Catalogue, Catalogue]) -> None:
    bulk, _ = both
    with transaction(bulk._engine, None, reads=False) as connection:
        connection.exec_driver_sql(
            "INSERT INTO phone_number "
            "(tenant_id, digits, international, digits_reversed, international_reversed, written) "
            f"VALUES ('{WORLD.tenant_ids[0]}', '1', '', '1', '', '1 ')"
        )
        check_trigrams(connection)
        connection.exec_driver_sql("DELETE FROM phone_number WHERE digits = '1'")


def check_trigrams(connection: Connection) -> None:
    """That the trigram index of SQLite has each number once. Source: SQLite, "FTS5 Extension", 6.4."""
    if connection.dialect.name == "sqlite" and has_trigrams(connection):
        connection.exec_driver_sql(
            "INSERT INTO phone_number_trigram(phone_number_trigram, rank) VALUES ('integrity-check', 1)"
        )


def test_figures_are_what_the_recordings_come_to(both: tuple[Catalogue, Catalogue]) -> None:
    bulk, _ = both
    day: int | None = -1
    for _ in range(40):  # with the end of a month
        assert day is not None
        with bulk.read() as work:
            day = work.of(WORLD.tenant_ids[1]).figure_counts.next_day(day + 1)
        assert day is not None
        with bulk.read() as work:
            assert not work.of(WORLD.tenant_ids[1]).figure_counts.differs(day)


def test_the_calls_are_of_every_kind_that_searches_tell_apart(both: tuple[Catalogue, Catalogue]) -> None:
    bulk, _ = both
    made = recordings_of(bulk)
    legs = Counter(Counter(one.call for one in made).values())
    asked = [one for one in made if one.tenant_id == WORLD.tenant_ids[1]]
    busy = [one for one in asked if WORLD.busy(1) in (one.facts.caller, one.facts.callee)]

    assert set(legs) == {1, 3}
    assert {one.facts.kind for one in made} == {RecordingKind.CALL, RecordingKind.VOICEMAIL}
    assert len({one.facts.extension for one in asked}) == 60
    assert len(asked) / 15 < len(busy) < len(asked) / 5
    assert {one.sealed for one in made} == {True, False}
    for one in asked[:50]:
        assert (e164(one.facts.caller, "DE"), e164(one.facts.callee, "DE")) == (one.caller_e164, one.callee_e164)


def test_both_databases_are_given_the_same_recordings(tmp_path: Path, postgres_url: str) -> None:
    world = World(tenants=2, rows=150)
    urls = [f"sqlite:///{tmp_path / 'recpipe.sqlite3'}", postgres_url]
    made = []
    for url in urls:
        fill(url, world, told=False)
        catalogue = Catalogue.open(url)
        made.append(recordings_of(catalogue))
        catalogue.close()

    assert made[0] == made[1]
    assert len(made[0]) == 150


def test_a_database_that_is_kept_is_filled_once(tmp_path: Path) -> None:
    world = World(tenants=1, rows=200)
    with database("sqlite", world, str(tmp_path)) as url:
        pass
    [kept] = tmp_path.glob("*.sqlite3")
    made_at = kept.stat().st_mtime_ns
    with database("sqlite", world, str(tmp_path)) as again:
        assert again == url
    assert kept.stat().st_mtime_ns == made_at
