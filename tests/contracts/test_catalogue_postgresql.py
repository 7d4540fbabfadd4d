from __future__ import annotations

from collections.abc import Iterator

import pytest

from recpipe.catalogue import Catalogue
from tests.contracts.catalogue import CatalogueContract


class TestPostgresql(CatalogueContract):
    @pytest.fixture
    def catalogue(self, postgres_url: str) -> Iterator[Catalogue]:
        catalogue = Catalogue.open(postgres_url)
        yield catalogue
        catalogue.close()
