"""Opening the catalogue, and its transactions."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sqlalchemy import Engine, text

from recpipe.catalogue import engine as engines
from recpipe.catalogue import migrate
from recpipe.catalogue.work import Work


class Catalogue:
    """The database. Safe to share between threads; not between processes: open one in each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = engines.WriterLock() if engine.dialect.name == "sqlite" else None

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Catalogue:
        """Connect, and bring the schema up to date.

        Several processes may do this at the same time: one migrates, the others wait.

        Args:
            url: `sqlite:////path/to/file` or `postgresql+psycopg://user:password@host/name`.
            create: False changes nothing and only checks that the schema is this version's.

        Raises:
            CatalogueError: the URL is not understood, or the schema is not this version's.
            CatalogueUnavailable: the database does not answer.
        """
        parsed = engines.parse(url)
        engine = engines.build(parsed)
        try:
            if create:
                migrate.upgrade(engine)
            else:
                migrate.check(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def ready(self) -> None:
        """Return when the database answers.

        Raises:
            CatalogueUnavailable: it does not.
        """
        with engines.transaction(self._engine, self._lock, reads=True) as connection:
            connection.execute(text("SELECT 1"))

    def begin(self) -> AbstractContextManager[Work, None]:
        """A transaction that may write: durable when the block ends, undone by any exception in it. Keep it short:
        SQLite has one writer at a time.

        Raises:
            CatalogueUnavailable: the database does not answer or is busy; nothing was changed, the block may be
                repeated. (Only when the connection broke in the very commit may it have been kept.)
        """
        return engines.Transaction(self._engine, self._lock, Work, reads=False)

    def read(self) -> AbstractContextManager[Work, None]:
        """A transaction that only reads, and waits for no writer.

        Raises:
            CatalogueUnavailable: the database does not answer; the block may be repeated.
        """
        return engines.Transaction(self._engine, self._lock, Work, reads=True)
