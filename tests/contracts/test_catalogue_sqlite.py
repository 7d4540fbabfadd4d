from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.catalogue import Catalogue
from tests.contracts.catalogue import CatalogueContract
from tests.services.sqlite import new_catalogue


class TestSqlite(CatalogueContract):
    @pytest.fixture
    def catalogue(self, tmp_path: Path) -> Iterator[Catalogue]:
        catalogue = Catalogue.open(new_catalogue(tmp_path / "recpipe.sqlite3"))
        yield catalogue
        catalogue.close()
