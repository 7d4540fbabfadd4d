"""Migrations on both databases: what they make is what the tables say, and several processes may start at once."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, create_engine, insert, inspect, select, text

from recpipe.catalogue import Catalogue, tables
from recpipe.catalogue.engine import create_file, parse
from recpipe.catalogue.migrate import HEAD, config, current
from recpipe.catalogue.repository import new_id, row_of
from recpipe.catalogue.rows import values_of
from recpipe.catalogue.tables import metadata
from recpipe.errors import CatalogueError, CatalogueUnavailable
from recpipe.model import Direction, NumberMatch, RecordingQuery, Role, Token, User, UserStatus
from recpipe.recordings.counting import fill
from tests.contracts.catalogue_calls import grouped
from tests.contracts.catalogue_figures import disagreeing
from tests.contracts.catalogue_samples import a_recording, a_tenant, keep, kept_tenant


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'recpipe.sqlite3'}"
    url: str = request.getfixturevalue("postgres_empty_url")
    return url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """To what the migrations made of an empty database; it is read only."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('made') / 'recpipe.sqlite3'}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.url(server.create())
    Catalogue.open(url).close()
    engine = create_engine(parse(url))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _ours(name: str | None, kind: str) -> bool:
    # The trigram indexes are made by hand, where the database has them.
    return not (name or "").startswith(("phone_number_trigram", "recording_text_trigram"))


def test_the_migrations_make_what_the_tables_say(connection: Any) -> None:
    def include(_object: object, name: str | None, kind: str, _reflected: bool, _compare: object) -> bool:
        return _ours(name, kind)

    context = MigrationContext.configure(connection, opts={"include_object": include, "compare_type": True})
    assert compare_metadata(context, metadata) == []


def test_indexes_and_keys_are_the_same_column_by_column(connection: Any) -> None:
    found = inspect(connection)
    for table in metadata.sorted_tables:
        wanted = {
            (index.name, tuple(column.name for column in index.columns), bool(index.unique)) for index in table.indexes
        }
        made = {
            (index["name"], tuple(index["column_names"]), bool(index["unique"]))
            for index in found.get_indexes(table.name)
            if _ours(index["name"], "index") and "duplicates_constraint" not in index
        }
        assert made == wanted, table.name
        assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]


def test_the_order_of_text_is_that_of_its_code_points(connection: Any) -> None:
    if connection.dialect.name == "postgresql":
        collations = connection.execute(
            text(
                "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'public' AND "
                "data_type LIKE 'character%' AND table_name <> 'alembic_version' AND column_name NOT IN "
                "('detail', 'old', 'new', 'audio', 'flags', 'scopes', 'actions', 'contact', 'notifications', "
                "'recovery_hashes', 'allowed_networks', 'envelope_fingerprints', 'summary', 'counts', 'tags', "
                "'acr_values', 'recordings')"
            )
        )
        assert collations.scalars().all() == ["C"]
    assert list(connection.execute(text("SELECT 'a' < 'ä', 'Z' < 'a'")).one()) == [1, 1]


def insert_as_then(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row of today into an older schema: columns that came later are left out."""
    there = {column["name"] for column in inspect(connection).get_columns(table.name)}
    connection.execute(insert(table).values({name: value for name, value in row.items() if name in there}))


def test_a_catalogue_of_the_first_schema_is_brought_up_to_date_with_what_it_holds(empty_url: str) -> None:
    url = parse(empty_url)
    if url.get_backend_name() == "sqlite":
        create_file(url)
    engine = create_engine(url)
    tenant = a_tenant()
    one = a_recording(tenant, caller="030111111", facts={"callee_name": "Müller Überland", "extension": "201"})
    bare, uuid = "1743042317.4", "9f5b7e0c-1c2d-4e3f-8a9b-0c1d2e3f4a5b"
    linked = [
        (bare, "x"),
        ("", bare),
        ("", uuid),
        (uuid, ""),
        (f"pbx.1-{bare}", ""),
        ("", f"pbx.1-{bare}"),
        ("Ü ö", ""),
    ]
    linked += [("", "123"), ("", "123"), ("", f"{bare}\n")]
    legs = [
        replace(a_recording(tenant, minutes=n, facts={"linked_id": id_, "call_id": call}), spool=spool)
        for spool in ("berlin", "london")
        for n, (id_, call) in enumerate(linked)
    ]
    number = {"digits_reversed": "", "international_reversed": "", "international": ""}
    with engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        insert_as_then(connection, tables.tenant, row_of(tables.tenant, tenant))
        for made in (one, *legs):
            insert_as_then(connection, tables.recording, values_of(made))
        for id_, written in ((1, "030111111"), (2, "99")):
            kept = {"id": id_, "tenant_id": tenant.id, "digits": written, "written": f"{written} ", **number}
            insert_as_then(connection, tables.phone_number, kept)
        link = {"tenant_id": tenant.id, "number_id": 1, "started_at": one.started_at, "recording_id": one.id}
        insert_as_then(connection, tables.recording_number, link)
    engine.dispose()

    catalogue = Catalogue.open(empty_url)
    with catalogue.read() as work:
        recordings = work.of(tenant.id).recordings
        assert recordings.search(RecordingQuery(text="müller ÜBER")).items == (one,)
        assert recordings.search(RecordingQuery(number="030111111", direction=one.facts.direction)).items == (one,)
        kept = work._connection.execute(select(tables.phone_number.c.digits)).scalars().all()
        assert "99" not in kept and "030111111" in kept
        for query in (RecordingQuery(number="030111111"), RecordingQuery(extension="201")):
            assert [call.legs for call in work.calls([tenant.id], query).items] == [(one,)]
        calls = work.calls([tenant.id], RecordingQuery(oldest_first=True)).items
        assert {call.id: call for call in calls} == {call.id: call for call in grouped([one, *legs])}
        assert [call.started_at for call in calls] == sorted(call.started_at for call in calls)
        assert sorted(call.leg_count for call in calls) == [1] * 7 + [2] * 3 + [4] * 2
        assert work.figures([tenant.id]).uncounted_tenants() == [tenant.id]
    assert fill(catalogue, lambda: None) == 1
    assert disagreeing(catalogue, tenant) == []
    catalogue.close()


def test_a_password_of_who_registered_before_is_forgotten_by_a_migration(empty_url: str) -> None:
    url = parse(empty_url)
    if url.get_backend_name() == "sqlite":
        create_file(url)
    engine = create_engine(url)
    now = datetime(2026, 3, 14, tzinfo=UTC)
    users = [
        User(new_id(), name, Role.CLIENT, UserStatus(status), now, password_hash=kept)
        for name, status, kept in (
            ("hopeful", "pending", "typed"),
            ("invited", "pending", None),
            ("bea", "active", "h"),
        )
    ]
    with engine.begin() as connection:
        command.upgrade(config(connection), "0004")
        for user in users:
            row = {**row_of(tables.portal_user, user), "username_key": user.username}
            insert_as_then(connection, tables.portal_user, row)
    engine.dispose()
    catalogue = Catalogue.open(empty_url)
    with catalogue.read() as work:
        found = {user.username: (user.status.value, user.password_hash) for user in work.users.list()}
    catalogue.close()
    assert found == {"hopeful": ("registered", None), "invited": ("pending", None), "bea": ("active", "h")}


def test_tokens_and_people_of_before_have_no_addresses_of_either_kind(empty_url: str) -> None:
    url = parse(empty_url)
    if url.get_backend_name() == "sqlite":
        create_file(url)
    engine = create_engine(url)
    now = datetime(2026, 3, 14, tzinfo=UTC)
    ann = User(new_id(), "ann", Role.CLIENT, UserStatus.ACTIVE, now, email="ann@example.com")
    token = Token(new_id(), ann.id, "nightly", "rp_12345", "ab" * 32, ("search",), now)
    with engine.begin() as connection:
        command.upgrade(config(connection), "0006")
        insert_as_then(connection, tables.portal_user, {**row_of(tables.portal_user, ann), "username_key": "ann"})
        insert_as_then(connection, tables.token, row_of(tables.token, token))
    engine.dispose()
    catalogue = Catalogue.open(empty_url)
    with catalogue.read() as work:
        assert work.users.get(ann.id) == ann and work.tokens.list(ann.id) == [token]
    catalogue.close()


# What opening imports is imported once: that takes longer than what the processes are for.
_OPEN_AT_ONCE = """
import os, sys
import psycopg, recpipe.catalogue.migrate
from recpipe.catalogue import Catalogue
wait, go = os.pipe()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(wait, 1)
        catalogue = Catalogue.open(sys.argv[1])
        catalogue.ready()
        catalogue.close()
        sys.exit()
    children.append(child)
os.close(go)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_a_call_between_two_extensions_is_found_by_both_after_a_migration(empty_url: str) -> None:
    url = parse(empty_url)
    if url.get_backend_name() == "sqlite":
        create_file(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        command.upgrade(config(connection), "0002")
        tenant = a_tenant()
        parties = [("202", "internal"), ("600", "queue 600"), ("020 7", "internal")]
        calls = []
        for callee, route in parties:
            call = a_recording(tenant, caller="201", callee=callee, facts={"extension": "201", "route": route})
            calls.append(replace(call, facts=replace(call.facts, direction=Direction.INTERNAL)))
        insert_as_then(connection, tables.tenant, row_of(tables.tenant, tenant))
        for call in calls:
            insert_as_then(connection, tables.recording, values_of(call))
    engine.dispose()
    catalogue = Catalogue.open(empty_url)
    with catalogue.read() as work:
        search = work.of(tenant.id).recordings.search
        assert [len(search(RecordingQuery(extension=one)).items) for one in ("201", "202", "600")] == [3, 1, 0]
        [both] = search(RecordingQuery(extension="202")).items
        assert (both.facts.extension, both.facts.more_extensions) == ("201", ("202",))
    catalogue.close()


def test_several_processes_open_an_empty_database_at_once(empty_url: str) -> None:
    command = [sys.executable, "-c", _OPEN_AT_ONCE, empty_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[0, 0, 0]\n", done.stderr


def test_who_finds_a_migration_under_way_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A big database takes longer to migrate than a lock is waited for."""
    monkeypatch.setattr("recpipe.catalogue.engine.BUSY_SECONDS", 0.1)
    path = tmp_path / "recpipe.sqlite3"
    create_file(parse(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        opening = pool.submit(Catalogue.open, f"sqlite:///{path}")
        with pytest.raises(TimeoutError):
            opening.result(1)
        monkeypatch.setattr("recpipe.catalogue.migrate.PATIENCE_SECONDS", 0.0)
        with pytest.raises(CatalogueUnavailable, match="locked"):
            Catalogue.open(f"sqlite:///{path}")
        other.execute("ROLLBACK")
        opening.result(60).close()


def test_opening_again_changes_nothing(empty_url: str) -> None:
    catalogue = Catalogue.open(empty_url)
    tenant = kept_tenant(catalogue)
    catalogue.close()
    catalogue = Catalogue.open(empty_url)
    with catalogue.read() as work:
        assert work.tenants.get(tenant.id) == tenant
    catalogue.close()


def test_opening_without_creating_checks_and_tells_what_to_run(empty_url: str) -> None:
    with pytest.raises(CatalogueError, match="recpipe migrate"):
        Catalogue.open(empty_url, create=False)
    if empty_url.startswith("sqlite"):
        assert not Path(str(parse(empty_url).database)).exists()
    Catalogue.open(empty_url).close()
    Catalogue.open(empty_url, create=False).close()


def test_a_database_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    Catalogue.open(empty_url).close()
    engine = create_engine(parse(empty_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (True, False):
        with pytest.raises(CatalogueError, match="newer"):
            Catalogue.open(empty_url, create=create)
    with engine.connect() as connection:
        assert current(connection) == "9999" != HEAD
    engine.dispose()


def test_the_sqlite_file_is_for_its_owner_alone_and_keeps_every_commit(tmp_path: Path) -> None:
    path = tmp_path / "odd % name" / "recpipe.sqlite3"
    catalogue = Catalogue.open(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with catalogue.begin() as work:
        pragma = {
            name: work._connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    catalogue.close()


def test_without_pg_trgm_numbers_are_found_all_the_same(
    postgres_server: Any, postgres_empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a database whose owner may not create the extension
    database = str(parse(postgres_empty_url).database)
    with postgres_server.connect() as admin:
        admin.execute(f"CREATE ROLE {database} LOGIN PASSWORD 'p'")
    with postgres_server.connect(database) as admin:
        admin.execute(f"GRANT ALL ON SCHEMA public TO {database}")
    limited = str(parse(postgres_empty_url).set(username=database, password="p").render_as_string(hide_password=False))
    # When it is opened
    catalogue = Catalogue.open(limited)
    # Then it says what is missing, and searches without
    assert "CREATE EXTENSION pg_trgm" in caplog.text
    tenant = kept_tenant(catalogue)
    [kept] = keep(catalogue, a_recording(tenant, caller="030901820"))
    query = RecordingQuery(number="0901", number_match=NumberMatch.CONTAINING)
    with catalogue.read() as work:
        assert work.of(tenant.id).recordings.search(query).items == (kept,)
    catalogue.close()


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://", "nonsense", "postgresql+asyncpg://u:secret@h/d"])
def test_a_url_that_is_not_understood_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(CatalogueError, match="postgresql\\+psycopg://") as refused:
        Catalogue.open(url)
    assert "secret" not in str(refused.value)


def test_a_database_that_does_not_answer_is_unavailable_without_telling_the_password() -> None:
    with pytest.raises(CatalogueUnavailable) as refused:
        Catalogue.open("postgresql+psycopg://user:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(refused.value)
