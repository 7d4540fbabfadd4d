"""Runs jobs by the clock, each tick on one of all the nodes that share a database. The only home of DBOS.

DBOS keeps what is due and what is running in a database of its own: `jobs.sqlite3` in the data dir, or the schema
`recpipe_jobs` of the catalogue's PostgreSQL. Losing either loses nothing but the history of what ran.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, ScheduleInput

from recpipe import log
from recpipe.access.trail import Clock, utc_now
from recpipe.catalogue import Catalogue
from recpipe.catalogue import engine as databases
from recpipe.errors import RecpipeError
from recpipe.jobs.job import Interrupted, Job, Summary, Tick
from recpipe.jobs.node import NodeLock
from recpipe.model import Node
from recpipe.settings import Settings

_log = log.get(__name__)

SCHEMA = "recpipe_jobs"
SQLITE_FILE = "jobs.sqlite3"
ROLE = "jobs"

_APPLICATION = "recpipe"
_VERSION = "1"  # pinned: with that of the release, an update would strand what the release before had begun
_BEAT_SECONDS = 30.0
_DEAD_AFTER = timedelta(minutes=3)
_FIRST_ROUND_SECONDS = 1.5  # the schedules have their threads by then, so no tick falls between the two
_STOP_SECONDS = 3
_BUSY_SECONDS = 30
_BATCH = 500
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


class Engine:
    """The jobs role of one process; there can be one in a process at a time.

    Args:
        catalogue: keeps the heartbeats of the nodes.
        keep: how long to remember what ran.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        jobs: Sequence[Job],
        clock: Clock = utc_now,
        keep: timedelta = timedelta(days=30),
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._keep = keep
        self._jobs = (*jobs, Job("job-history", "5 4 * * *", timedelta(days=1), self._forget))
        self._lock = NodeLock(settings.data_dir)
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_watch, name="jobs-keeper", daemon=True)
        self._close_database: Callable[[], None] = lambda: None
        self._busy = 0
        self._counting = threading.Lock()
        self.node = ""  # our name, once started
        self._started_at = clock()

    # --- start and stop -------------------------------------------------------------------------------

    def start(self) -> None:
        """Run what is due from now on, what a node that is gone had begun, and each job's latest tick if nobody did.

        Raises:
            JobsLocked: another live process runs the jobs of this data dir.
            CatalogueError: the database does not answer, or may not be given a schema.
        """
        self.node = self._lock.acquire()
        try:
            self._beat()
            _route_logs()
            DBOS(config=self._config())
            try:
                workflows = [self._registered(job) for job in self._jobs]
                DBOS.launch()
                DBOS.apply_schedules(workflows)
                self._drop_foreign_schedules()
            except BaseException:
                DBOS.destroy(destroy_registry=True)
                raise
        except (RecpipeError, Interrupted):
            self._give_up()
            raise
        except Exception as error:
            self._give_up()
            raise RecpipeError(
                f"The background jobs cannot start ({type(error).__name__}: {_first_line(error)}). With PostgreSQL, "
                f"the user must be able to make the schema {SCHEMA}: GRANT CREATE ON DATABASE ... TO ...; with "
                f"SQLite, {self._settings.data_dir / SQLITE_FILE} must be writable."
            ) from error
        self._keeper.start()

    def stop(self) -> None:
        """Interrupt what is running, which goes on at the next start, and end within a few seconds."""
        self._stopping.set()
        self._keeper.join(_STOP_SECONDS)
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=_STOP_SECONDS if self._busy else 0)
        for thread in threading.enumerate():
            if thread.name.startswith("dbos-executor-"):
                thread.join(0.5)
        self._give_up()

    def _give_up(self) -> None:
        self._close_database()
        self._lock.release()

    def _config(self) -> DBOSConfig:
        config: DBOSConfig = {
            "name": _APPLICATION,
            "application_version": _VERSION,
            "executor_id": self.node,
            "serializer": DBOSPortableJSONSerializer(),  # with pickle, who writes to the database runs code here
            "log_level": "WARNING",
            "enable_otlp": False,
            "conductor_key": None,
            "use_listen_notify": False,  # nothing waits for a message, so no connection is held for one
            "notification_listener_polling_interval_sec": 0.25,
            "max_executor_threads": 8,
        }
        url = databases.parse(self._settings.database)
        if url.get_backend_name() == "sqlite":
            path = self._settings.data_dir.absolute() / SQLITE_FILE
            own = databases.parse(f"sqlite:///{path}")
            databases.create_file(own)
            config["system_database_url"] = f"sqlite:///{path}"
            config["db_engine_kwargs"] = {"creator": lambda: _connect(path), "pool_size": 4}
        else:
            engine = databases.build(url)  # with an engine of ours DBOS does not try to make a database
            self._close_database = engine.dispose
            config["system_database_engine"] = engine
            config["dbos_system_schema"] = SCHEMA
        return config

    # --- running --------------------------------------------------------------------------------------

    def _registered(self, job: Job) -> ScheduleInput:
        @DBOS.workflow(name=job.name)
        def workflow(due: datetime, _context: Any) -> None:
            # One step: it is done, or it is done again from its start.
            DBOS.run_step({"name": job.name}, self._run, job, due)

        return {"schedule_name": job.name, "workflow_fn": workflow, "schedule": job.cron, "context": None}

    def _run(self, job: Job, due: datetime) -> dict[str, int | str]:
        with self._counting:
            self._busy += 1
        try:
            return self._attempt(job, Tick(due, self._stopping))
        finally:
            with self._counting:
                self._busy -= 1

    def _attempt(self, job: Job, tick: Tick) -> dict[str, int | str]:
        for pause in job.pauses:
            tick.go_on()
            try:
                return self._done(job, job.run(tick))
            except Exception as error:
                reason = str(error) if isinstance(error, RecpipeError) else type(error).__name__
                _log.warning("job failed, is tried again", job=job.name, reason=reason, seconds=pause)
            self._stopping.wait(pause)
        tick.go_on()
        return self._done(job, job.run(tick))  # what it raises now ends this tick, and DBOS logs it

    def _done(self, job: Job, summary: Summary) -> dict[str, int | str]:
        _log.info("job done", job=job.name, **summary)
        return dict(summary)

    def _forget(self, tick: Tick) -> Summary:
        before = (self._clock() - self._keep).isoformat()
        deleted = 0
        while True:
            tick.go_on()
            old = DBOS.list_workflows(status=_ENDED, end_time=before, limit=_BATCH, load_input=False, load_output=False)
            if not old:
                return {"deleted": deleted}
            DBOS.delete_workflows([workflow.workflow_id for workflow in old])
            deleted += len(old)

    # --- keeping watch --------------------------------------------------------------------------------

    def _keep_watch(self) -> None:
        pause, caught_up = _FIRST_ROUND_SECONDS, False
        while not self._stopping.wait(pause):
            try:
                self._beat()
                if not caught_up:
                    self._catch_up()
                    caught_up = True
                self._take_over()
            except Exception as error:  # the database is away for a while
                _log.warning("jobs not looked after, tried again", reason=type(error).__name__, seconds=_BEAT_SECONDS)
            pause = _BEAT_SECONDS

    def _beat(self) -> None:
        node = Node(self.node, ROLE, "", started_at=self._started_at, seen_at=self._clock())
        with self._catalogue.begin() as work:
            work.nodes.beat(node)

    def _catch_up(self) -> None:
        """Make up for each job's latest tick, where no node was there to see it."""
        now = utc_now()
        for job in self._jobs:
            DBOS.backfill_schedule(job.name, now - job.period, now)

    def _take_over(self) -> None:
        """Run again what nodes had begun that are not heard of any more; DBOS itself does not notice them."""
        running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        if all(workflow.executor_id == self.node for workflow in running):
            return
        since = self._clock() - _DEAD_AFTER
        with self._catalogue.read() as work:
            alive = {node.name for node in work.nodes.list() if node.role == ROLE and node.seen_at >= since}
        lost = [each.workflow_id for each in running if each.executor_id not in alive | {self.node}]
        if lost:
            _log.warning("jobs of a lost node are taken over", jobs=lost)
            DBOS.resume_workflows(lost)

    def _drop_foreign_schedules(self) -> None:
        """A job that a release no longer has must not stay due for ever."""
        ours = {job.name for job in self._jobs}
        for schedule in DBOS.list_schedules():
            if schedule["schedule_name"] not in ours:
                DBOS.delete_schedule(schedule["schedule_name"])


def _connect(path: Path) -> sqlite3.Connection:
    # NORMAL: after a power cut the last runs may be forgotten and are done again, which is harmless.
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level="IMMEDIATE", check_same_thread=False)
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={_BUSY_SECONDS * 1000}")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _route_logs() -> None:
    """Warnings of DBOS go where our logs go; with a handler there it does not write to the console itself."""
    theirs = logging.getLogger("dbos")
    if not theirs.handlers:
        theirs.addHandler(logging.NullHandler())
    theirs.propagate = True


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
