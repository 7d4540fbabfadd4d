"""Connections: how each database is opened, how a transaction begins, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InvalidatePoolError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recpipe.catalogue.types import moment
from recpipe.errors import CatalogueError, CatalogueUnavailable, Conflict, SearchTooLong
from recpipe.times import hour_of_week

T = TypeVar("T")

BUSY_SECONDS = 10
_OF_THE_DATABASE = (SQLAlchemyError, sqlite3.Error)
_READS = "recpipe_reads"
_USED_AT = "recpipe_used_at"
# A server whose machine or network is gone says nothing: after a minute the connection is taken to be broken, where the
# kernel would try for a quarter of an hour. Source: PostgreSQL, "Database Connection Control Functions".
_NOTICED_GONE = {
    "tcp_user_timeout": 60_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_FRESH_SECONDS = 1.0  # a connection that was used so lately is taken to be alive
_STEPS = 10_000  # of SQLite's machine between two looks at the clock: about a millisecond
_QUERY_CANCELED = "57014"  # PostgreSQL, appendix A
# Several statements at once are one round trip, as BEGIN alone is, and what is set ends with the transaction, also
# behind a pooler. Only `off` acknowledges a commit that a crash of the server may take back; recpipe removes the file
# on that word. The other values say which standbys to wait for, which is the operator's choice.
_BEGIN_DURABLE = (
    "BEGIN; SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)


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
            pool_recycle=1800,
            connect_args={"connect_timeout": 5, "application_name": "recpipe", **_NOTICED_GONE},
        )
    except ModuleNotFoundError as error:
        raise CatalogueError("PostgreSQL needs its driver: install recpipe[postgresql].") from error
    _ping_idle_ones(engine)
    return engine


def _ping_idle_ones(engine: Engine) -> None:
    """Ask a connection whether it is alive before it is used, as `pool_pre_ping` does, unless it was used just now:
    that would be a round trip more for every search.
    """

    @event.listens_for(engine, "checkin")
    def _used(_connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _taken(connection: Any, record: Any, _proxy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < _FRESH_SECONDS:
            return
        try:
            alive = engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            if not engine.dialect.is_disconnect(error, connection, None):
                raise
            alive = False
        if not alive:
            raise InvalidatePoolError  # the pool then makes new connections, for this one and all the others


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
        connection.create_function("hour_of_week", 2, _hour_of_week, deterministic=True)
        connection.isolation_level = None  # the driver's own BEGIN comes too late to keep writers apart
        # What is deleted, a telephone number or a name, is overwritten: it does not stay in free pages of the file.
        for pragma in (
            "foreign_keys=ON",
            "secure_delete=ON",
            "synchronous=FULL",
            "cache_size=-16000",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _hour_of_week(microseconds: int, zone: str) -> int:
    return hour_of_week(moment(microseconds), zone)


def _begin_sqlite(connection: Connection, *, reads: bool, seconds: float | None) -> None:
    """Begin for real: the driver does not by itself, see `_connected`."""
    # Not as an event of SQLAlchemy: one listener slows down every statement. And past its execution, which takes ten
    # times as long as these words.
    pooled = connection.connection
    driver: Any = pooled.driver_connection
    if pooled.info.get(_READS) is not reads:
        driver.execute(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        pooled.info[_READS] = reads
    try:
        driver.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        raise OperationalError("BEGIN", None, error, hide_parameters=True) from error
    if seconds is not None:
        until = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > until, _STEPS)


def _begin_postgresql(connection: Connection, statements: str) -> RootTransaction:
    """Begin by these statements in place of the driver's own BEGIN."""
    begun = connection.execution_options(isolation_level="AUTOCOMMIT").begin().__enter__()
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(statements, prepare=False)  # several at once cannot be prepared
    except connection.dialect.loaded_dbapi.Error as error:
        raise OperationalError("BEGIN", None, error, hide_parameters=True) from error
    return begun


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


class Transaction(Generic[T]):
    """One transaction, committed at the end of the block and rolled back by any exception in it.

    Args:
        lock: of the writers of this process, where they have one.
        made: what the block gets of the connection.
        seconds: of a transaction that only reads: how long one of its statements (SQLite: all of them) may take.

    Raises:
        SearchTooLong: a statement was stopped after `seconds`.
        CatalogueUnavailable: no connection, a lock held too long, a deadlock: the whole block may be repeated.
        Conflict: a rule of the schema was broken.
    """

    # A class, where nested generators would read better: those are a quarter of the time of an empty transaction.
    __slots__ = ("_begun", "_connection", "_engine", "_lock", "_made", "_reads", "_seconds")

    def __init__(
        self,
        engine: Engine,
        lock: WriterLock | None,
        made: Callable[[Connection], T],
        *,
        reads: bool,
        seconds: float | None = None,
    ) -> None:
        self._engine = engine
        self._lock = None if reads else lock
        self._made = made
        self._reads = reads
        self._seconds = seconds

    def __enter__(self) -> T:
        if self._lock is not None:
            self._lock.__enter__()
        try:
            self._connection = connection = self._engine.connect()
            try:
                self._begun = self._begin(connection)
                return self._made(connection)
            except BaseException:
                connection.close()  # rolls back what was begun
                raise
        except BaseException as error:
            if self._lock is not None:
                self._lock.__exit__()
            if isinstance(error, _OF_THE_DATABASE):
                raise _meaning(error) from error
            raise

    def _begin(self, connection: Connection) -> RootTransaction:
        if self._engine.dialect.name == "sqlite":
            begun = connection.begin().__enter__()
            _begin_sqlite(connection, reads=self._reads, seconds=self._seconds)
            return begun
        if not self._reads:
            return _begin_postgresql(connection, _BEGIN_DURABLE)
        if self._seconds is None:
            return connection.execution_options(postgresql_readonly=True).begin().__enter__()
        timeout_ms = round(self._seconds * 1000)
        return _begin_postgresql(connection, f"BEGIN READ ONLY; SET LOCAL statement_timeout = {timeout_ms}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                if self._seconds is not None and self._engine.dialect.name == "sqlite":
                    driver: Any = self._connection.connection.driver_connection
                    driver.set_progress_handler(None, 0)
                self._begun.__exit__(kind, error, trace)
            finally:
                self._connection.close()
        except _OF_THE_DATABASE as failed:
            raise _meaning(failed) from failed
        finally:
            if self._lock is not None:
                self._lock.__exit__()
        if isinstance(error, _OF_THE_DATABASE):
            if self._seconds is not None and _was_stopped(error):
                raise SearchTooLong(self._seconds) from error
            raise _meaning(error) from error


def _was_stopped(error: Exception) -> bool:
    """Whether a statement was ended because its time was over."""
    if not isinstance(error, OperationalError):
        return False
    return getattr(error.orig, "sqlstate", "") == _QUERY_CANCELED or str(error.orig) == "interrupted"


def transaction(engine: Engine, lock: WriterLock | None, *, reads: bool) -> Transaction[Connection]:
    """A `Transaction` whose block gets the connection itself."""
    return Transaction(engine, lock, _itself, reads=reads)


def _itself(connection: Connection) -> Connection:
    return connection


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn what the database layer raises into errors of `recpipe.errors`."""
    try:
        yield
    except _OF_THE_DATABASE as error:
        raise _meaning(error) from error


def _meaning(error: Exception) -> CatalogueError:
    match error:
        case PoolTimeout():
            return CatalogueUnavailable("All connections to the database are in use. Try again in a moment.")
        case OperationalError() | InterfaceError():
            return CatalogueUnavailable(_says(error))
        case IntegrityError():
            return Conflict("integrity", "The change contradicts what the catalogue holds; nothing was changed.")
        case DBAPIError(connection_invalidated=True):
            return CatalogueUnavailable(_says(error))
        case DBAPIError():
            return CatalogueError(f"The database refused a statement: {_first_line(error)}")
        case sqlite3.OperationalError():  # while a new connection is prepared
            return CatalogueUnavailable(f"The database file cannot be used now ({error}).")
        case sqlite3.Error():
            return CatalogueError(f"The database file cannot be read: {error}. Is it the right file?")
    return CatalogueError(f"The database layer failed: {type(error).__name__}.")


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
