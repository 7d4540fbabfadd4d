"""Connections: how each database is opened, how a transaction begins, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recpipe.errors import CatalogueError, CatalogueUnavailable, Conflict

BUSY_SECONDS = 10
_READS = "recpipe_reads"


def parse(url: str) -> URL:
    """The database a URL means.

    Raises:
        CatalogueError: it is none that the catalogue runs on.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is not None and parsed.drivername in ("sqlite", "sqlite+pysqlite") and parsed.database:
        return parsed
    if parsed is not None and parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise CatalogueError(
        "The database URL is not understood. Write sqlite:////absolute/path.sqlite3 or "
        "postgresql+psycopg://user:password@host/name."
    )


def build(url: URL) -> Engine:
    """An engine whose transactions are durable once committed; nothing is connected yet."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    try:
        engine = create_engine(
            url,
            hide_parameters=True,  # error texts must not carry phone numbers
            pool_size=10,
            max_overflow=20,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={"connect_timeout": 5, "application_name": "recpipe"},
        )
    except ModuleNotFoundError as error:
        raise CatalogueError("PostgreSQL needs its driver: install recpipe[postgresql].") from error
    return engine


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=8,
        max_overflow=56,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late to keep writers apart
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "cache_size=-16000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _begin_sqlite(connection: Connection, *, reads: bool) -> None:
    """Begin for real: the driver does not by itself, see `_connected`."""
    # Not as an event of SQLAlchemy: one listener slows down every statement. And past its execution, which takes ten
    # times as long as these words.
    driver: Any = connection.connection.driver_connection
    if connection.info.get(_READS) is not reads:
        driver.execute(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        connection.info[_READS] = reads
    try:
        driver.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        raise OperationalError("BEGIN", None, error, hide_parameters=True) from error


def create_file(url: URL) -> None:
    """Make the SQLite file, readable by its owner alone, before anything is in it; one that is there is left as it is.

    Raises:
        CatalogueError: the folder or file cannot be made.
    """
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise CatalogueError(f"The database file {path} cannot be made: {error.strerror}. Check data_dir.") from error


@contextlib.contextmanager
def transaction(engine: Engine, lock: WriterLock | None, *, reads: bool) -> Iterator[Connection]:
    """One transaction, committed at the end of the block and rolled back by any exception in it.

    Raises:
        CatalogueUnavailable: no connection, a lock held too long, a deadlock: the whole block may be repeated.
        Conflict: a rule of the schema was broken.
    """
    with mapped_errors(), lock if lock and not reads else contextlib.nullcontext(), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            with connection.begin():
                _begin_sqlite(connection, reads=reads)
                yield connection
        else:
            with connection.execution_options(postgresql_readonly=reads).begin():
                yield connection


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn what the database layer raises into errors of `recpipe.errors`."""
    try:
        yield
    except PoolTimeout as error:
        raise CatalogueUnavailable("All connections to the database are in use. Try again in a moment.") from error
    except (OperationalError, InterfaceError) as error:
        raise CatalogueUnavailable(_says(error)) from error
    except IntegrityError as error:
        raise Conflict("integrity", "The change contradicts what the catalogue holds; nothing was changed.") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise CatalogueUnavailable(_says(error)) from error
        raise CatalogueError(f"The database refused a statement: {_first_line(error)}") from error
    except sqlite3.OperationalError as error:  # while a new connection is prepared
        raise CatalogueUnavailable(f"The database file cannot be used now ({error}).") from error
    except sqlite3.Error as error:
        raise CatalogueError(f"The database file cannot be read: {error}. Is it the right file?") from error
    except SQLAlchemyError as error:
        raise CatalogueError(f"The database layer failed: {type(error).__name__}.") from error


def _says(error: DBAPIError) -> str:
    return f"The database cannot be used now ({_first_line(error)}). Try again; if it goes on, check the database."


def _first_line(error: DBAPIError) -> str:
    return (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]


class WriterLock:
    """Writers of one process queue here instead of polling SQLite's file lock; other processes poll it still."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner == me:
            raise RuntimeError("this thread is already inside a catalogue transaction that writes")
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise CatalogueUnavailable("The database is busy with other writes. Try again in a moment.")
        self._owner = me

    def __exit__(self, *_: object) -> None:
        self._owner = None
        self._lock.release()
