"""Bringing a schema up to date, by one process at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from recpipe.catalogue.engine import BUSY_SECONDS, create_file, mapped_errors, transaction
from recpipe.errors import CatalogueError, CatalogueUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

# The last script in `migrations/versions`; a test compares. Alembic itself is loaded only where there is something to
# migrate: it takes 10 MB, which every ingest process of every media server would carry for good.
HEAD = "0024"
# How long another process may take that migrates the same database.
PATIENCE_SECONDS = 60.0

# Any number will do, as long as every process of every version uses the same.
_ADVISORY_LOCK = 0x72656370697065


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; there is no alembic.ini."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def current(connection: Connection) -> str | None:
    """The schema version of the database; None where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def upgrade(engine: Engine) -> None:
    """Migrate to `HEAD`, in one transaction, under a lock. Nothing is written where it is there already.

    Raises:
        CatalogueError: the database was made by a newer version of recpipe.
        CatalogueUnavailable: the database does not answer, or another process holds the lock too long.
    """
    with mapped_errors():
        if engine.dialect.name == "sqlite":
            create_file(engine.url)
            _use_wal(engine)
        until = time.monotonic() + PATIENCE_SECONDS
        while not _is_current(engine):
            try:
                _upgrade(engine)
            except CatalogueUnavailable:  # perhaps another process is at it, for longer than a lock is waited for
                if time.monotonic() > until:
                    raise


def _is_current(engine: Engine) -> bool:
    with engine.connect() as connection:
        return current(connection) == HEAD


def _upgrade(engine: Engine) -> None:
    with transaction(engine, None, reads=False) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _refuse_newer(current(connection))
        from alembic import command

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
    if found != HEAD:
        raise CatalogueError(
            f"The database has schema {found or '(none)'}, this version needs {HEAD}. Run recpipe migrate."
        )


def _refuse_newer(found: str | None) -> None:
    if found is None or found == HEAD:
        return
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if found not in known:
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
