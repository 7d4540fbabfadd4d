from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

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
