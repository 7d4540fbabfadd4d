"""Bringing a schema up to date, by one process at a time."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from recpipe.catalogue.engine import BUSY_SECONDS, create_file, mapped_errors
from recpipe.errors import CatalogueError, CatalogueUnavailable

# Any number will do, as long as every process of every version uses the same.
_ADVISORY_LOCK = 0x72656370697065


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; there is no alembic.ini."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def head() -> str:
    """The schema version of this program."""
    version = ScriptDirectory.from_config(config()).get_current_head()
    assert version is not None
    return version


def current(connection: Connection) -> str | None:
    """The schema version of the database; None where it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Migrate to `head`, in one transaction, under a lock. Nothing is written where it is there already.

    Raises:
        CatalogueError: the database was made by a newer version of recpipe.
        CatalogueUnavailable: the database does not answer, or another process holds the lock too long.
    """
    with mapped_errors():
        if engine.dialect.name == "sqlite":
            create_file(engine.url)
            _use_wal(engine)
        with engine.connect() as connection:
            if current(connection) == head():
                return
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            _refuse_newer(current(connection))
            command.upgrade(config(connection), "head")


def check(engine: Engine) -> None:
    """Return when the schema is this version's.

    Raises:
        CatalogueError: it is not; the message says what to run.
        CatalogueUnavailable: the database does not answer.
    """
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        raise CatalogueError(f"There is no database {engine.url.database}. Run recpipe migrate to make it.")
    with mapped_errors(), engine.connect() as connection:
        found = current(connection)
    _refuse_newer(found)
    if found != head():
        raise CatalogueError(
            f"The database has schema {found or '(none)'}, this version needs {head()}. Run recpipe migrate."
        )


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if found is not None and found not in known:
        raise CatalogueError(
            f"The database has schema {found}, which this version of recpipe does not know: a newer one made it. "
            "Run that version, or restore the backup made before the upgrade."
        )


def _use_wal(engine: Engine) -> None:
    # SQLite does not wait for others here, whatever the busy timeout says.
    deadline = time.monotonic() + BUSY_SECONDS
    connection = engine.raw_connection()
    try:
        while True:
            try:
                mode = connection.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
            except engine.dialect.loaded_dbapi.OperationalError as error:
                if time.monotonic() > deadline:
                    raise CatalogueUnavailable(f"The database file cannot be used now ({error}).") from error
                time.sleep(0.02)
                continue
            if mode != "wal":
                raise CatalogueError(
                    f"{engine.url.database} lies on a file system without SQLite's write-ahead log. "
                    "Put data_dir on a local disk, or use PostgreSQL."
                )
            return
    finally:
        connection.close()
