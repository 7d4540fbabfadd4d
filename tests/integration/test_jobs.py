"""Background jobs on real databases: each tick once, whatever happens to the process that has it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recpipe import metrics
from recpipe.catalogue import Catalogue
from recpipe.errors import RecpipeError
from recpipe.jobs.engine import Engine
from recpipe.jobs.job import Job, Summary, Tick
from recpipe.model import JobRun, RunState
from tests.services.logs import captured
from tests.services.postgres import PostgresServer
from tests.services.sqlite import new_catalogue

MOMENT, YEAR = timedelta(milliseconds=100), timedelta(days=366)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return new_catalogue(tmp_path / "recpipe.sqlite3")
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    opened = Catalogue.open(url)
    yield opened
    opened.close()


@contextmanager
def engine(catalogue: Catalogue, *jobs: Job, **options: Any) -> Iterator[Engine]:
    made = Engine(catalogue, jobs, **{"look_every": MOMENT, **options})
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def nodes(url: str, *jobs: Job, **options: Any) -> Iterator[tuple[Engine, Engine]]:
    """Two that share nothing but the database."""
    one, two = Catalogue.open(url), Catalogue.open(url)
    with engine(one, *jobs, **options) as first, engine(two, *jobs, **options) as second:
        yield first, second
    one.close()
    two.close()


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def latest(catalogue: Catalogue, job: str) -> JobRun | None:
    with catalogue.read() as work:
        return next((run for run in work.job_runs.latest() if run.job == job), None)


def state(catalogue: Catalogue, job: str) -> RunState | None:
    run = latest(catalogue, job)
    return run and run.state


class Held:
    """A job due once, at the first start of all, that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun: list[datetime] = []
        self.ended: list[datetime] = []
        self.interrupted = 0
        self.let_go = threading.Event()
        self.job = Job("held", YEAR, timedelta(0), self._run)

    def _run(self, tick: Tick) -> Summary:
        self.begun.append(tick.due)
        try:
            while not self.let_go.wait(0.02):
                tick.go_on()
        except BaseException:
            self.interrupted += 1
            raise
        self.ended.append(tick.due)
        return {"done": 1}


# --- one of many ----------------------------------------------------------------------------------------------


def test_two_nodes_share_the_ticks_and_each_is_had_by_one(url: str) -> None:
    ticks: list[datetime] = []

    def run(tick: Tick) -> Summary:
        ticks.append(tick.due)
        return {}

    with nodes(url, *(Job(f"often-{number}", MOMENT, number * MOMENT / 2, run) for number in range(2))):
        wait_until(lambda: len(ticks) >= 12)
    assert len(ticks) == len(set(ticks))


def test_a_run_that_takes_longer_than_the_time_between_two_ticks_is_alone(url: str) -> None:
    ends = []
    running = threading.Semaphore()

    def run(_: Tick) -> Summary:
        assert running.acquire(blocking=False)
        time.sleep(2.5 * MOMENT.total_seconds())
        running.release()
        ends.append(1)
        return {}

    with captured() as logs, nodes(url, Job("slow", MOMENT, timedelta(0), run)):
        wait_until(lambda: len(ends) >= 2)
    assert not [each for each in logs if "failed" in each["event"]]


def test_the_system_page_is_told_that_a_node_lives(catalogue: Catalogue) -> None:
    def seen() -> list[datetime]:
        with catalogue.read() as work:
            return [node.seen_at for node in work.nodes.list() if node.role == "jobs"]

    with engine(catalogue):
        wait_until(seen)
        [first] = seen()
        wait_until(lambda: seen()[0] > first)


# --- interrupted ----------------------------------------------------------------------------------------------

_DIES = """
import sys, time
from datetime import timedelta
from recpipe.catalogue import Catalogue
from recpipe.jobs.engine import Engine
from recpipe.jobs.job import Job

def run(tick):
    print("begun", flush=True)
    while True:
        time.sleep(1)

job = Job("held", timedelta(days=366), timedelta(0), run)
Engine(Catalogue.open(sys.argv[1]), [job], lease=timedelta(seconds=3), look_every=timedelta(seconds=0.2)).start()
time.sleep(300)
"""


def test_a_job_is_left_to_its_node_while_that_one_lives_and_run_to_its_end_by_another_after_sigkill(
    postgres_url: str,
) -> None:
    held, catalogue = Held(), Catalogue.open(postgres_url)
    held.let_go.set()
    with subprocess.Popen([sys.executable, "-c", _DIES, postgres_url], stdout=subprocess.PIPE) as node:
        assert node.stdout and node.stdout.readline() == b"begun\n"
        with captured() as logs, engine(catalogue, held.job):
            time.sleep(3.5)  # longer than its lease
            assert not held.begun
            node.send_signal(signal.SIGKILL)
            wait_until(lambda: state(catalogue, "held") is RunState.DONE)
    assert held.begun == held.ended and len(held.ended) == 1
    assert [each["job"] for each in logs if "lost process" in each["event"]] == ["held"]
    run = latest(catalogue, "held")
    assert run and (run.attempts, run.summary) == (2, {"done": 1})
    catalogue.close()


def test_stopping_is_quick_leaves_no_thread_and_the_job_goes_on_at_the_next_start(catalogue: Catalogue) -> None:
    held, before = Held(), set(threading.enumerate())
    with engine(catalogue, held.job):
        wait_until(lambda: held.begun)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert set(threading.enumerate()) <= before
    assert (held.interrupted, latest(catalogue, "held")) == (1, None)
    held.let_go.set()
    with engine(catalogue, held.job):
        wait_until(lambda: held.ended)
    assert held.ended == held.begun[:1]


def test_a_job_that_does_not_heed_the_stop_keeps_nobody_waiting(catalogue: Catalogue) -> None:
    heedless = threading.Event()

    def run(_: Tick) -> Summary:
        heedless.wait(60)
        return {}

    with engine(catalogue, Job("heedless", YEAR, timedelta(0), run)):
        wait_until(lambda: state(catalogue, "heedless"))
        started = time.monotonic()
    assert time.monotonic() - started < 10
    heedless.set()
    wait_until(lambda: state(catalogue, "heedless") is RunState.DONE)
    wait_until(lambda: "job-heedless" not in {thread.name for thread in threading.enumerate()})


def test_who_has_lost_its_lease_lets_the_run_go_to_the_one_who_has_it(catalogue: Catalogue) -> None:
    held = Held()
    with engine(catalogue, held.job):
        wait_until(lambda: held.begun)
        # As after a pause longer than the lease, such as that of a virtual machine
        with catalogue.begin() as work:
            lease = timedelta(minutes=3)
            assert work.job_runs.claim("held", held.begun[0], "other", work.job_runs.now() + 2 * lease, lease)
        wait_until(lambda: held.interrupted)
        time.sleep(2 * MOMENT.total_seconds())
        run = latest(catalogue, "held")
        assert run and (run.state, run.owner) == (RunState.RUNNING, "other")
        assert len(held.begun) == 1


# --- failures -------------------------------------------------------------------------------------------------


def test_a_job_that_fails_is_tried_again_and_then_given_up_until_its_next_tick(catalogue: Catalogue) -> None:
    attempts: list[datetime] = []

    def fails(tick: Tick) -> Summary:
        attempts.append(tick.due)
        raise RecpipeError("The mail server said no.")

    failed = metrics.JOB_RUNS.labels("fails", "failed")
    before = failed._value.get()
    with engine(catalogue, Job("fails", YEAR, timedelta(0), fails, pauses=(0.01, 0.01))):
        wait_until(lambda: state(catalogue, "fails") is RunState.FAILED)
        time.sleep(2 * MOMENT.total_seconds())
    assert len(attempts) == 3 and len(set(attempts)) == 1
    run = latest(catalogue, "fails")
    assert run and run.error == "The mail server said no." and run.took_ms is not None
    assert failed._value.get() == before + 1


def test_what_an_unexpected_error_says_is_not_shown_to_people(catalogue: Catalogue) -> None:
    def fails(_: Tick) -> Summary:
        raise ValueError("+44 20 7946 0000")

    with captured() as logs, engine(catalogue, Job("fails", YEAR, timedelta(0), fails, pauses=())):
        wait_until(lambda: state(catalogue, "fails") is RunState.FAILED)
    run = latest(catalogue, "fails")
    assert run and run.error == "ValueError"
    [told] = [each for each in logs if each["event"] == "job failed, is left to its next time"]
    assert (told["job"], told["reason"]) == ("fails", "ValueError")


def test_the_end_of_a_run_is_kept_when_the_database_was_away_meanwhile(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    held, catalogue = Held(), Catalogue.open(postgres_url)
    with engine(catalogue, held.job):
        wait_until(lambda: held.begun)
        with captured() as logs, postgres_server.away(postgres_url.rpartition("/")[2]):
            held.let_go.set()
            wait_until(lambda: {"end of a job not kept, tried again"} <= {each["event"] for each in logs})
        wait_until(lambda: state(catalogue, "held") is RunState.DONE)
    catalogue.close()
    assert len(held.begun) == 1


def test_a_node_that_cannot_renew_its_lease_stops_its_run_before_another_has_it(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    held, catalogue = Held(), Catalogue.open(postgres_url)
    with engine(catalogue, held.job, lease=timedelta(seconds=1)):
        wait_until(lambda: held.begun)
        with postgres_server.away(postgres_url.rpartition("/")[2]):
            wait_until(lambda: held.interrupted)
        held.let_go.set()
        wait_until(lambda: state(catalogue, "held") is RunState.DONE)
    catalogue.close()
    assert held.begun == [held.begun[0]] * 2


# --- history --------------------------------------------------------------------------------------------------


def test_old_history_is_deleted_and_younger_is_kept(catalogue: Catalogue) -> None:
    with catalogue.begin() as work:
        now = work.job_runs.now()
        for job, days in (("old", 31), ("young", 29)):
            run = work.job_runs.claim(job, now, "gone", now - timedelta(days=days), timedelta(minutes=3))
            assert run and work.job_runs.end(run, RunState.DONE, {})
    with engine(catalogue):
        wait_until(lambda: state(catalogue, "job-history") is RunState.DONE)
    run = latest(catalogue, "job-history")
    assert run and run.summary == {"deleted": 1}
    assert latest(catalogue, "old") is None and latest(catalogue, "young")
