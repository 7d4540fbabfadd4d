from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from recpipe.catalogue import Catalogue, engine
from recpipe.errors import CatalogueUnavailable
from tests.contracts.catalogue import CatalogueContract
from tests.services.postgres import Databases


@pytest.fixture(scope="module")
def opened(postgres_databases: Databases) -> Iterator[Engine]:
    """One for all of them: to open a database takes longer than most tests."""
    with postgres_databases.lent() as name:
        catalogue = Catalogue.open(postgres_databases.server.url(name))
        yield catalogue._engine
        catalogue.close()


class TestPostgresql(CatalogueContract):
    @pytest.fixture
    def catalogue(self, opened: Engine, postgres_databases: Databases) -> Iterator[Catalogue]:
        """Nothing is in it."""
        yield Catalogue(opened)
        assert opened.url.database is not None
        postgres_databases.empty(opened.url.database)

    @pytest.fixture
    def alone(self, postgres_url: str) -> Iterator[Catalogue]:
        """One with connections and a database of its own."""
        catalogue = Catalogue.open(postgres_url)
        yield catalogue
        catalogue.close()

    def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(
        self, alone: Catalogue, postgres_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cut() -> None:
            postgres_server.end_sessions(alone._engine.url.database)

        alone.ready()
        cut()
        with pytest.raises(CatalogueUnavailable):  # used within the last second, so it was not asked
            alone.ready()
        alone.ready()
        monkeypatch.setattr(engine, "_FRESH_SECONDS", 0)
        cut()
        alone.ready()

    def test_a_connection_that_the_server_closed_is_made_anew_for_a_writer_too(
        self, alone: Catalogue, postgres_server: Any
    ) -> None:
        with alone.begin() as work:
            work.nodes.list()
        postgres_server.end_sessions(alone._engine.url.database)
        with pytest.raises(CatalogueUnavailable), alone.begin():
            pass
        with alone.begin() as work:
            work.nodes.list()

    @pytest.mark.parametrize(
        ("configured", "used"),
        [("off", "on"), ("on", "on"), ("local", "local"), ("remote_write", "remote_write"), ("remote_apply",) * 2],
    )
    def test_a_commit_is_on_disk_before_it_is_believed(
        self, catalogue: Catalogue, postgres_server: Any, configured: str, used: str
    ) -> None:
        # Given a database whose operator chose how commits are acknowledged
        database = catalogue._engine.url.database
        with postgres_server.connect() as admin:
            admin.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = {configured}')
        try:
            fresh = Catalogue(engine.build(catalogue._engine.url))
            # Then every transaction that writes waits for the disk, whoever had its connection before,
            for _ in range(2):
                with fresh.begin() as work:
                    assert work._connection.execute(text("SHOW synchronous_commit")).scalar_one() == used
                # and what was set does not outlive it.
                with fresh.read() as work:
                    assert work._connection.execute(text("SHOW synchronous_commit")).scalar_one() == configured
            fresh.close()
        finally:
            with postgres_server.connect() as admin:
                admin.execute(f'ALTER DATABASE "{database}" RESET synchronous_commit')
