"""Runs of background jobs: a row for each time at which a job was due, claimed by one process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, PrimaryKeyConstraint, Table, delete, func, select, tuple_, update

from recpipe.catalogue.columns import at_column, json_column, metadata, number_column, partial_index, text_column
from recpipe.catalogue.repository import Repository, inserted, row_of
from recpipe.catalogue.types import Utc
from recpipe.model import JobRun, RunState

MOST_ATTEMPTS = 3  # processes that may die of one run
LONGEST_LEASE = timedelta(hours=1)

job_run = Table(
    "job_run",
    metadata,
    text_column("job", 200),
    at_column("due_at"),
    text_column("state"),
    text_column("owner", 200),
    number_column("attempts"),
    at_column("started_at"),
    at_column("leased_until"),
    at_column("ended_at", nullable=True),
    json_column("summary"),
    text_column("error"),
    PrimaryKeyConstraint("job", "due_at"),
    # One run of a job at a time, whatever the times at which it was due.
    partial_index("uq_job_run_running", "job", unique=True, where="state = 'running'"),
)


class JobRuns(Repository):
    """Who runs which job. All times are the database's: two machines need not agree on theirs."""

    __slots__ = ()

    def now(self) -> datetime:
        """The time of PostgreSQL's machine. All processes of a SQLite database are on this one."""
        if self._connection.dialect.name == "postgresql":
            return self._connection.execute(select(func.clock_timestamp(type_=Utc()))).scalar_one()
        return datetime.now(UTC)

    def claim(self, job: str, due_at: datetime, owner: str, now: datetime, lease: timedelta) -> JobRun | None:
        """Begin the run of `due_at`, or take it over from a process that let its lease expire; None: it is not ours.

        It is not while another run of the job goes on, when it has ended already, and when three processes have ended
        in the middle of it. A lost run of another time is closed: the run of `due_at` does its work.

        Args:
            lease: how long nobody else may have it, unless `renew` is called; at most an hour.
        """
        c = job_run.c
        begun = JobRun(job, due_at, RunState.RUNNING, owner, 1, now, now + lease)
        is_lost = (c.job == job) & (c.state == RunState.RUNNING) & _is_lost(now)
        given_up = is_lost & ((c.due_at != due_at) | (c.attempts >= MOST_ATTEMPTS))
        self._connection.execute(update(job_run).where(given_up).values(state=RunState.LOST, ended_at=now))
        if inserted(self._connection, job_run, row_of(job_run, begun)):
            return begun
        taken = update(job_run).where(is_lost, c.due_at == due_at).returning(c.attempts)
        renewed = {"owner": owner, "started_at": now, "leased_until": now + lease, "attempts": c.attempts + 1}
        attempts = self._connection.execute(taken.values(renewed)).scalar()
        return None if attempts is None else replace(begun, attempts=attempts)

    def renew(self, owner: str, jobs: Collection[str], now: datetime, lease: timedelta) -> set[str]:
        """Keep what a process runs from being taken over; the names of the jobs that are still its own."""
        c = job_run.c
        own = update(job_run).where(c.owner == owner, c.job.in_(jobs), c.state == RunState.RUNNING).returning(c.job)
        return set(self._connection.execute(own.values(leased_until=now + lease)).scalars())

    def end(self, run: JobRun, state: RunState, summary: Mapping[str, int | str], error: str = "") -> bool:
        """Keep how a run ended; False, and nothing done, where another process has taken it over."""
        ended = {"state": state, "ended_at": self.now(), "summary": dict(summary), "error": error}
        return self._connection.execute(update(job_run).where(_is_own(run)).values(ended)).rowcount == 1

    def give_back(self, run: JobRun) -> None:
        """Undo a claim: the run is due again, for whoever claims it first. Nothing where another has taken it over."""
        self._connection.execute(delete(job_run).where(_is_own(run)))

    def latest(self) -> Sequence[JobRun]:
        """The latest run of each job, by name."""
        c = job_run.c
        latest = select(c.job, func.max(c.due_at)).group_by(c.job)
        rows = self._connection.execute(select(job_run).where(tuple_(c.job, c.due_at).in_(latest)).order_by(c.job))
        return [JobRun(**row._asdict() | {"state": RunState(row.state)}) for row in rows]

    def forget(self, before: datetime, now: datetime) -> int:
        """Delete what ended before a time, and what a clock that was wrong has put into the future; how many."""
        leased_until = job_run.c.leased_until
        old = (leased_until < before) | (leased_until > now + timedelta(days=1))
        return self._connection.execute(delete(job_run).where(old)).rowcount


def _is_lost(now: datetime) -> ColumnElement[bool]:
    # No lease is longer than an hour: one that is was given by a clock that was wrong, and would hold for years.
    leased_until = job_run.c.leased_until
    return (leased_until < now) | (leased_until > now + LONGEST_LEASE)


def _is_own(run: JobRun) -> ColumnElement[bool]:
    c = job_run.c
    own = (c.owner == run.owner) & (c.started_at == run.started_at) & (c.state == RunState.RUNNING)
    return (c.job == run.job) & (c.due_at == run.due_at) & own
