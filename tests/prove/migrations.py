"""`recpipe migrate` killed while it brings an older schema up to date, and again while it is repeated."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Connection, Engine, Integer, MetaData, func, insert, select, text

from recpipe.catalogue import engine as engines
from recpipe.catalogue.migrate import HEAD, config, current
from tests.prove import _served
from tests.prove._world import Backend, World
from tests.prove.kills import FILES, NETWORK, Story, kill
from tests.prove.table import Row, Run, proof

FIRST = "0001"
_ALEMBIC = threading.Lock()  # its context is global
_KEPT = ("tenant", "certificate", "recording", "phone_number", "day_total", "audit")


def _engine(world: World) -> Engine:
    return engines.build(engines.parse(world.settings().database))


def _held(connection: Connection) -> dict[str, list[dict[str, object]]]:
    found = MetaData()
    found.reflect(connection)
    tables = [table for table in found.sorted_tables if "trigram" not in table.name]
    return {table.name: [dict(row) for row in connection.execute(select(table)).mappings()] for table in tables}


def set_back(engine: Engine, revision: str) -> None:
    """Make the database anew with an older schema, and put back what it held of the columns that were there then."""
    with engine.connect() as connection:
        held = _held(connection)
    if engine.dialect.name == "sqlite":
        engine.dispose()
        for ending in ("", "-wal", "-shm"):
            Path(f"{engine.url.database}{ending}").unlink(missing_ok=True)
        engines.create_file(engine.url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        with _ALEMBIC:
            command.upgrade(config(connection), revision)
        older = MetaData()
        older.reflect(connection)
        for table in older.sorted_tables:
            for column in table.columns:
                if isinstance(column.type, JSON):
                    column.type.none_as_null = True
            rows = [{k: v for k, v in row.items() if k in table.columns} for row in held.get(table.name, ())]
            if not rows or table.name == "alembic_version":
                continue
            connection.execute(insert(table), rows)
            numbered = "id" in table.columns and isinstance(table.columns["id"].type, Integer)
            if engine.dialect.name == "postgresql" and numbered:  # its sequence does not know what was put in
                sequence = func.pg_get_serial_sequence(table.name, "id")
                connection.execute(select(func.setval(sequence, select(func.max(table.c.id)).scalar_subquery())))


def _counts(engine: Engine) -> dict[str, int]:
    found = MetaData()
    with engine.connect() as connection:
        found.reflect(connection)
        return {
            name: connection.execute(select(func.count()).select_from(found.tables[name])).scalar_one()
            for name in _KEPT
            if name in found.tables
        }


def _migrate(_world: World) -> list[str]:
    return ["migrate"]


def _prepare(revision: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        if not world.dropped:  # a store of its own, which is not copied
            world.fill(2, bad=False)
            world.must("ingest", "--once")
        engine = _engine(world)
        set_back(engine, revision)
        world.marks["rows"] = json.dumps(_counts(engine))
        engine.dispose()

    return prepare


def _judge(world: World, row: Row, words: str) -> None:
    engine = _engine(world)
    with engine.connect() as connection:
        if (found := current(connection)) != HEAD:
            row.add(f"{words}: the schema is {found}, not {HEAD}\n{world.log()[-2000:]}", stuck=1)
    before, after = json.loads(world.marks["rows"]), _counts(engine)
    engine.dispose()
    for name, number in before.items():
        if after[name] != number:
            kind = "lost" if after[name] < number else "doubled"
            row.add(f"{words}: {name} had {number} rows and has {after[name]}", **{kind: 1})
    world.judge(row, words)


def _kill(run: Run, row: Row, backend: Backend | None, calls: tuple[str, ...] | None) -> Row:
    """Half of the kills come amid the newest migration alone, half amid all of them."""
    previous = ScriptDirectory.from_config(config()).get_revision(HEAD).down_revision
    assert isinstance(previous, str)
    for revision, times in ((previous, max(1, run.times // 2)), (FIRST, run.times)):
        story = Story(_migrate, _prepare(revision), _migrate, judge=_judge, stored=backend is None)
        story = story if calls is None else replace(story, calls=calls)
        kill(replace(run, times=times, folder=run.folder / revision), story, backend, row)
    return row


@proof("kill -9: schema migrated", quick=4, long=80)
def migration(run: Run) -> Row:
    return _kill(run, Row(run.name), None, None)


@proof("kill -9: schema migrated, PostgreSQL", quick=0, long=40)
def migration_served(run: Run) -> Row:
    row = Row(run.name)
    with _served.served(row) as backend:
        return _kill(run, row, backend, (*FILES, *NETWORK, "openat"))
