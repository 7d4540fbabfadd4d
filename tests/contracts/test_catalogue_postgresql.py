from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from recpipe.catalogue import Catalogue, engine
from recpipe.errors import CatalogueUnavailable
from tests.contracts.catalogue import CatalogueContract


class TestPostgresql(CatalogueContract):
    @pytest.fixture
    def catalogue(self, postgres_url: str) -> Iterator[Catalogue]:
        catalogue = Catalogue.open(postgres_url)
        yield catalogue
        catalogue.close()

    def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(
        self, catalogue: Catalogue, postgres_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cut() -> None:
            database = catalogue._engine.url.database
            with postgres_server.connect() as admin:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])

        catalogue.ready()
        cut()
        with pytest.raises(CatalogueUnavailable):  # used within the last second, so it was not asked
            catalogue.ready()
        catalogue.ready()
        monkeypatch.setattr(engine, "_FRESH_SECONDS", 0)
        cut()
        catalogue.ready()

    def test_a_connection_that_the_server_closed_is_made_anew_for_a_writer_too(
        self, catalogue: Catalogue, postgres_server: Any
    ) -> None:
        with catalogue.begin() as work:
            work.nodes.list()
        with postgres_server.connect() as admin:
            database = catalogue._engine.url.database
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        with pytest.raises(CatalogueUnavailable), catalogue.begin():
            pass
        with catalogue.begin() as work:
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
