"""Opening the catalogue, and its transactions."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sqlalchemy import Engine, text

from recpipe.catalogue import engine as engines
from recpipe.catalogue import migrate
from recpipe.catalogue.work import Work

SEARCH_SECONDS = 5.0


class Catalogue:
    """The database. Safe to share between threads; not between processes: open one in each."""

    def __init__(self, engine: Engine, search_seconds: float = SEARCH_SECONDS) -> None:
        self._engine = engine
        self._search_seconds = search_seconds
        self._lock = engines.WriterLock() if engine.dialect.name == "sqlite" else None

    @classmethod
    def open(cls, url: str, *, create: bool = True, search_seconds: float = SEARCH_SECONDS) -> Catalogue:
        """Connect, and bring the schema up to date.

        Several processes may do this at the same time: one migrates, the others wait.

        Args:
            url: `sqlite:////path/to/file` or `postgresql+psycopg://user:password@host/name`.
            create: False changes nothing and only checks that the schema is this version's.
            search_seconds: how long one statement of a search may take.

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
        return cls(engine, search_seconds)

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

    def read(self, *, limited: bool = False) -> AbstractContextManager[Work, None]:
        """A transaction that only reads, and waits for no writer.

        Args:
            limited: for what people and programs may ask at will: a statement is stopped after `search_seconds`, so
                that no question keeps a connection for minutes, whether somebody still waits for its answer or not.

        Raises:
            SearchTooLong: with `limited`.
            CatalogueUnavailable: the database does not answer; the block may be repeated.
        """
        seconds = self._search_seconds if limited else None
        return engines.Transaction(self._engine, self._lock, Work, reads=True, seconds=seconds)
