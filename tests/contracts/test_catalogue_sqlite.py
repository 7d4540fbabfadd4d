from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.catalogue import Catalogue
from tests.contracts.catalogue import CatalogueContract


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "template.sqlite3"
    Catalogue.open(f"sqlite:///{path}").close()
    return path


class TestSqlite(CatalogueContract):
    @pytest.fixture
    def catalogue(self, migrated_file: Path, tmp_path: Path) -> Iterator[Catalogue]:
        path = tmp_path / "recpipe.sqlite3"
        shutil.copyfile(migrated_file, path)
        catalogue = Catalogue.open(f"sqlite:///{path}")
        yield catalogue
        catalogue.close()
