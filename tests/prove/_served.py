"""PostgreSQL and SeaweedFS for the installations of a proof: a database and a prefix each."""

from __future__ import annotations

import atexit
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.prove._world import SEALED_WORDS
from tests.prove.table import Row
from tests.services import postgres, s3


@dataclass(slots=True)
class Served:
    """A `Backend`: the variables name the servers."""

    database: postgres.PostgresServer
    store: s3.S3Server
    endpoint: str = ""  # of a proxy before the store
    _names: dict[Path, str] = field(default_factory=dict)

    def variables(self, folder: Path) -> dict[str, str]:
        if folder not in self._names:
            self._names[folder] = self.database.create()
        return {
            "RECPIPE_DATABASE_URL": self.database.url(self._names[folder]),
            "RECPIPE_STORE_URL": f"s3://{self.store.bucket}/{folder.parent.name}-{folder.name}",
            "RECPIPE_S3_ENDPOINT": self.endpoint or self.store.endpoint,
            "RECPIPE_S3_ACCESS_KEY": self.store.access_key,
            "RECPIPE_S3_SECRET_KEY": self.store.secret_key,
            "RECPIPE_S3_ADDRESSING": "path",
        }

    def name(self, folder: Path) -> str:
        """Of its database."""
        return self._names[folder]

    def copy(self, template: Path, folder: Path) -> None:
        self._names[folder] = self.database.create(self._names[template])

    def drop(self, folder: Path) -> None:
        self.database.drop(self._names.pop(folder))

    def holds(self, folder: Path, text: str) -> list[str]:
        """Tables with a row in which this text is."""
        found = []
        with self.database.connect(self._names[folder]) as connection:
            for table in sorted(postgres.tables_of(connection)):
                query = f'SELECT count(*) FROM "{table.replace(".", chr(34) + "." + chr(34))}" t WHERE t::text LIKE %s'
                if connection.execute(query, [f"%{text}%"]).fetchone() != (0,):  # type: ignore[arg-type]
                    found.append(table)
        return found


_kept = contextlib.ExitStack()
atexit.register(_kept.close)


@cache
def servers() -> tuple[postgres.PostgresServer, s3.S3Server, Path]:
    """One of each for all rows of a run, and where the store keeps its files."""
    root = Path(mkdtemp(prefix="prove-weed-"))
    _kept.callback(shutil.rmtree, root, ignore_errors=True)
    return _kept.enter_context(postgres.running(durable=True)), _kept.enter_context(s3.seaweedfs(root)), root


@contextlib.contextmanager
def served(row: Row) -> Iterator[Served]:
    """A backend; at the end no file of the store may hold words of a sealed call."""
    database, store, root = servers()
    yield Served(database, store)
    for path in root.rglob("*"):
        if path.is_file() and SEALED_WORDS in path.read_bytes():
            row.add(f"words of a sealed call in the store's {path.name}", leaked=1)
