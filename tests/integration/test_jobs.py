"""Background jobs on real databases: each tick once, whatever happens to the process that has it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiosmtpd.controller import Controller
from dbos import DBOS
from psycopg import sql
from pydantic import SecretStr

from recpipe import wiring
from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import RecpipeError
from recpipe.jobs.engine import SCHEMA, SQLITE_FILE, Engine
from recpipe.jobs.job import Job, Summary, Tick
from recpipe.jobs.node import JobsLocked, NodeLock
from recpipe.model import CertificateState, Role, StoreFormat, Tenant, TenantCertificate, User, UserStatus
from recpipe.settings import Settings
from tests.integration.jobs_node import YEAR, Diary, process, yearly
from tests.services.postgres import PostgresServer

Answer = TypeVar("Answer")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    return Settings(data_dir=tmp_path / "node", database_url=SecretStr(url))


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "node")


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    made = tmp_path / "hold"
    made.touch()
    return made


@contextmanager
def engine(settings: Settings, *jobs: Job, **options: Any) -> Iterator[Engine]:
    with wiring.open_catalogue(settings) as catalogue:
        made = Engine(settings, catalogue, jobs, **options)
        made.start()
        try:
            yield made
        finally:
            made.stop()


# --- one of many ----------------------------------------------------------------------------------------------


class Mailbox:
    def __init__(self) -> None:
        self.letters: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.letters.append(message_from_bytes(envelope.content))
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[tuple[str, Mailbox]]:
    with socket.socket() as probe:  # the controller knows no "any port"
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}", mailbox
    finally:
        controller.stop()


def a_certificate_expires(url: str) -> None:
    """A sealed tenant whose certificate has 20 days left, and an administrator with an address."""
    catalogue = Catalogue.open(url)
    tenant = Tenant(new_id(), "acme", "Acme", "UTC", "", True, StoreFormat.SOURCE, now())
    certificate = TenantCertificate(
        id=new_id(),
        tenant_id=tenant.id,
        label="office",
        der=b"der",
        fingerprint=new_id() * 2,
        subject="CN=acme",
        serial="01",
        key_bits=2048,
        not_before=now() - timedelta(days=300),
        not_after=now() + timedelta(days=20, hours=1),
        synthesised=False,
        state=CertificateState.PROVEN,
        added_at=now(),
    )
    with catalogue.begin() as work:
        work.tenants.add(tenant)
        work.of(tenant.id).certificates.add(certificate)
        work.users.add(User(new_id(), "ann", Role.ADMINISTRATOR, UserStatus.ACTIVE, now(), email="ann@example.com"))
    catalogue.close()


def test_two_nodes_share_the_ticks_and_mail_a_due_reminder_once(
    postgres_url: str, tmp_path: Path, diary: Diary
) -> None:
    # Given two nodes on one database, and a certificate that expires
    a_certificate_expires(postgres_url)
    with mail_server() as (smtp, mailbox):
        nodes = [
            Settings(
                data_dir=tmp_path / name,
                database_url=SecretStr(postgres_url),
                smtp_url=SecretStr(smtp),
                mail_from="portal@example.com",
            )
            for name in ("one", "two")
        ]
        here, there = (process(node, diary, tmp_path / "none", everything=True) for node in nodes)
        with here, there:
            # When both run for some ticks
            diary.wait_for("started", 2)
            diary.wait_for("ended")
            diary.wait_for("tick", 5)
    # Then each tick was had by one, and the letter went out once
    ticks = [tick for _, tick, _ in diary.lines("tick")]
    assert len(ticks) == len(set(ticks))
    assert len({node for _, node, _ in diary.lines("started")}) == 2
    assert len(diary.lines("begun")) == 1
    assert [letter["Subject"] for letter in mailbox.letters] == ["The recording certificate of Acme expires in 20 days"]


def test_a_second_process_on_the_same_data_dir_is_refused(embedded: Settings) -> None:
    wiring.make_data_dir(embedded)
    lock = NodeLock(embedded.data_dir)
    name = lock.acquire()
    with pytest.raises(JobsLocked, match="already"), engine(embedded):
        pass
    lock.release()
    with engine(embedded) as started:
        assert started.node == name


def test_a_lock_that_cannot_be_had_is_not_blamed_on_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RecpipeError, match="cannot be locked: No locks available"):
        NodeLock(tmp_path).acquire()


# --- interrupted ----------------------------------------------------------------------------------------------


def test_a_job_cut_short_by_sigkill_runs_to_its_end_after_a_restart(
    settings: Settings, diary: Diary, hold: Path
) -> None:
    with process(settings, diary, hold) as node:
        [[_, tick, _]] = diary.wait_for("begun")
        node.send_signal(signal.SIGKILL)
        node.wait()
    hold.unlink()
    assert diary.lines("ended") == []
    with engine(settings, yearly(diary, hold)):
        assert [when for _, when, _ in diary.wait_for("ended")] == [tick]


def test_stopping_is_quick_leaves_no_thread_and_the_job_goes_on_at_the_next_start(
    settings: Settings, diary: Diary, hold: Path
) -> None:
    before = set(threading.enumerate())
    with wiring.open_catalogue(settings) as catalogue:
        first = Engine(settings, catalogue, [yearly(diary, hold)])
        first.start()
        [[_, tick, _]] = diary.wait_for("begun")
        started = time.monotonic()
        first.stop()
        assert time.monotonic() - started < 5
    assert set(threading.enumerate()) <= before
    hold.unlink()
    with engine(settings, yearly(diary, hold)):
        assert [when for _, when, _ in diary.wait_for("ended")] == [tick]


def test_what_a_node_has_begun_is_left_to_it_while_it_lives_and_taken_over_when_it_is_lost(
    postgres_url: str, tmp_path: Path, diary: Diary, hold: Path
) -> None:
    busy = Settings(data_dir=tmp_path / "busy", database_url=SecretStr(postgres_url))
    other = Settings(data_dir=tmp_path / "other", database_url=SecretStr(postgres_url))
    with process(busy, diary, hold) as node:
        # Given a node in the middle of a job
        diary.wait_for("begun")
        # When another one looks around, then nothing happens to the job
        with engine(other, yearly(diary, hold)):
            time.sleep(3.5)  # the first look comes after 1.5 seconds, and a job starts within one more
        assert len(diary.lines("begun")) == 1
        # When the first is killed and not heard of for ten minutes, then the other does the job
        node.send_signal(signal.SIGKILL)
        node.wait()
    hold.unlink()
    with engine(other, yearly(diary, hold), clock=lambda: now() + timedelta(minutes=10)):
        diary.wait_for("ended")


def test_a_job_that_fails_is_tried_again_and_then_given_up_until_its_next_tick(embedded: Settings) -> None:
    attempts = []

    def fails(tick: Tick) -> Summary:
        attempts.append(tick.due)
        raise RecpipeError("not today")

    with engine(embedded, Job("fails", "0 0 1 1 *", YEAR, fails, pauses=(0.01, 0.01))):
        wait_until(lambda: statuses("fails") == ["ERROR"])
    assert len(attempts) == 3
    assert len(set(attempts)) == 1


# --- history, database ----------------------------------------------------------------------------------------


def asked(question: Callable[[], Answer]) -> Answer:
    """Ask DBOS in a thread: it refuses where an event loop runs, as that of a browser of an earlier test does."""
    thread = ThreadPoolExecutor(1)
    try:
        return thread.submit(question).result(60)
    finally:
        thread.shutdown(wait=False)  # an answer that never comes must not be waited for here


def statuses(name: str) -> list[str]:
    return [workflow.status for workflow in asked(lambda: DBOS.list_workflows(name=name))]


def wait_until(true: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_old_history_is_deleted_and_younger_is_kept(settings: Settings, diary: Diary, tmp_path: Path) -> None:
    job = yearly(diary, tmp_path / "none")
    with engine(settings, job):
        wait_until(lambda: statuses("yearly") == ["SUCCESS"])
        run = asked(lambda: DBOS.trigger_schedule("job-history"))
        wait_until(lambda: asked(run.get_status).status == "SUCCESS")
        assert statuses("yearly") == ["SUCCESS"]
    # Without the job: one whose history is forgotten is due again
    with engine(settings, clock=lambda: now() + timedelta(days=31)):
        # Its result is not waited for: it is history itself by then, and the run that was due may have deleted it.
        asked(lambda: DBOS.trigger_schedule("job-history"))
        wait_until(lambda: statuses("yearly") == [])


def test_a_job_of_another_release_is_not_due_any_more(embedded: Settings, diary: Diary, tmp_path: Path) -> None:
    with engine(embedded, yearly(diary, tmp_path / "none")):
        assert {each["schedule_name"] for each in asked(DBOS.list_schedules)} == {"job-history", "yearly"}
    with engine(embedded):
        assert {each["schedule_name"] for each in asked(DBOS.list_schedules)} == {"job-history"}


def test_nothing_in_the_database_is_pickled(embedded: Settings, diary: Diary, tmp_path: Path) -> None:
    with engine(embedded, yearly(diary, tmp_path / "none")):
        wait_until(lambda: statuses("yearly") == ["SUCCESS"])
        [workflow] = asked(lambda: DBOS.list_workflows(name="yearly"))
        [step] = asked(lambda: DBOS.list_workflow_steps(workflow.workflow_id))
    assert step["output"] == {"done": 1}
    assert workflow.input is not None
    assert all(isinstance(each, str | None) for each in workflow.input["args"])


def test_the_files_are_for_their_owner_alone(embedded: Settings) -> None:
    with engine(embedded):
        modes = {path.name: path.stat().st_mode & 0o777 for path in embedded.data_dir.glob("jobs*")}
    assert {SQLITE_FILE, "jobs.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}


def limited(server: PostgresServer, database: str, *rights: str) -> str:
    """URL of a user who may not make databases, and has these rights to this one."""
    name = f"u{new_id()[:12]}"
    with server.connect(database) as connection:
        user = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'test'").format(user))
        connection.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(user))
        connection.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(user))
        for right in rights:
            grant = sql.SQL("GRANT {} ON DATABASE {} TO {}")
            connection.execute(grant.format(sql.SQL(right), sql.Identifier(database), user))  # type: ignore[arg-type]
    return f"postgresql+psycopg://{name}:test@127.0.0.1:{server.port}/{database}"


def test_a_user_who_may_not_make_databases_is_enough(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path, diary: Diary
) -> None:
    database = postgres_url.rpartition("/")[2]
    url = limited(postgres_server, database, "CREATE")
    settings = Settings(data_dir=tmp_path / "node", database_url=SecretStr(url))
    with engine(settings, yearly(diary, tmp_path / "none")):
        diary.wait_for("ended")
    with postgres_server.connect(database) as connection:
        found = connection.execute(
            "SELECT DISTINCT table_schema::text FROM information_schema.tables WHERE table_name = 'workflow_status'"
        )
        assert found.fetchall() == [(SCHEMA,)]


def test_a_user_without_the_right_to_make_a_schema_is_told_so(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    url = limited(postgres_server, postgres_url.rpartition("/")[2])
    settings = Settings(data_dir=tmp_path / "node", database_url=SecretStr(url))
    with pytest.raises(RecpipeError, match="GRANT CREATE ON DATABASE") as refused, engine(settings):
        pass
    assert ":test@" not in str(refused.value)
    NodeLock(settings.data_dir).acquire()  # nothing is left behind that holds it


def test_a_process_without_the_role_does_not_load_the_engine() -> None:
    code = "import sys, recpipe.cli.serve; sys.exit('dbos' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
