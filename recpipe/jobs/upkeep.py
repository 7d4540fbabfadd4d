"""The jobs of recpipe: letters, tidying, and a look at what is stored. Each may be done twice without harm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

from recpipe import log, metrics
from recpipe.access.lockout import KNOWN_FOR
from recpipe.access.principal import Kind, Principal
from recpipe.access.trail import Clock, Trail
from recpipe.catalogue import Catalogue
from recpipe.errors import StoreError
from recpipe.jobs import quarantine, reminders
from recpipe.jobs.job import DAY, HOUR, Job, Summary, Tick
from recpipe.mail import Mailer, portal_address
from recpipe.model import Readable, StoredObject
from recpipe.settings import Settings
from recpipe.store.base import Note, Store
from recpipe.verify import Problem, ProblemKind, verify

_log = log.get(__name__)

SAMPLE = 1000  # recordings whose bytes are read each night
KEEP_LOGINS = timedelta(days=7)  # sessions and links, once they expired
KEEP_FAILURES = timedelta(days=1)  # failed logins; a lock-out lasts minutes
_MOST_LOGGED = 20


def jobs(settings: Settings, catalogue: Catalogue, store: Store, trail: Trail, clock: Clock) -> tuple[Job, ...]:
    """Everything that is due by the clock."""

    def remind(_tick: Tick) -> Summary:
        mailer, address = Mailer.of(settings), portal_address(settings)
        return {"reminders": reminders.send_due(catalogue, mailer, address, clock())}

    def tell_of_quarantine(_tick: Tick) -> Summary:
        mailer, address = Mailer.of(settings), portal_address(settings)
        return {"letters": quarantine.send_due(catalogue, mailer, address, clock())}

    return (
        Job("certificate-reminders", HOUR, timedelta(minutes=17), remind),
        Job("quarantine-letters", HOUR, timedelta(minutes=37), tell_of_quarantine),
        Job("expired-logins", DAY, timedelta(hours=2, minutes=41), lambda _: prune(catalogue, clock)),
        Job(
            "integrity-sample",
            DAY,
            timedelta(hours=3, minutes=23),
            lambda tick: look(catalogue, store, trail, clock, tick),
        ),
    )


def prune(catalogue: Catalogue, clock: Clock) -> Summary:
    """Delete sessions, links and failed logins that nobody can use any more."""
    now = clock()
    with catalogue.begin() as work:
        return {
            "sessions": work.sessions.prune(now - KEEP_LOGINS),
            "links": work.links.prune(now - KEEP_LOGINS),
            "failures": work.failures.prune(now - KEEP_FAILURES),
            "networks": work.known_networks.prune(now - KNOWN_FOR),
        }


def look(
    catalogue: Catalogue, store: Store, trail: Trail, clock: Clock, tick: Tick, sample: int = SAMPLE
) -> dict[str, int | str]:
    """Compare catalogue and store as `recpipe verify --sample` does, and raise an alarm where they disagree.

    What the store still has of deleted recordings is removed.

    Raises:
        Interrupted: the process stops.
        StoreUnavailable, StoreRejected, CatalogueUnavailable: nothing can be said.
    """
    by = Principal(kind=Kind.OPERATOR, id="", name=reminders.ACTOR, everything=True)
    report = verify(catalogue, _Stoppable(store, tick), by, sample=sample, clock=clock, trail=trail)
    problems = [problem for problem in report.problems if not _removed(store, problem, tick)]
    metrics.PROBLEMS.set(len(problems))
    for problem in problems[:_MOST_LOGGED]:
        # The message holds the recording's file name, and so perhaps a phone number.
        _log.error(
            "stored recording is not as it should be",
            kind=problem.kind.value,
            tenant=problem.tenant,
            recording=problem.recording_id,
        )
    if problems:
        _log.error("catalogue and store disagree: run recpipe verify", problems=len(problems))
    return {
        "recordings": report.recordings,
        "objects": report.objects,
        "read": report.read,
        "problems": len(problems),
        "removed": len(report.problems) - len(problems),
    }


def _removed(store: Store, problem: Problem, tick: Tick) -> bool:
    """Remove the object of a deleted recording; whether that was the problem, and is one no more."""
    if problem.kind is not ProblemKind.OBJECT_OF_DELETED:
        return False
    tick.go_on()
    try:
        store.delete(problem.object_key)
    except StoreError:
        return False
    _log.info("object of a deleted recording removed", tenant=problem.tenant, recording=problem.recording_id)
    return True


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A store to read from until the process stops; a look at millions of objects takes hours."""

    store: Store
    tick: Tick

    @property
    def is_local(self) -> bool:
        return self.store.is_local

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        self.tick.go_on()
        return self.store.put(key, body, size_bytes, note)

    def read(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        self.tick.go_on()
        return self.store.read(key, start, length)

    def head(self, key: str) -> StoredObject:
        self.tick.go_on()
        return self.store.head(key)

    def delete(self, key: str) -> None:
        self.tick.go_on()
        self.store.delete(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for found in self.store.list(prefix):
            self.tick.go_on()
            yield found

    def presign(self, key: str, *, seconds: int, download_name: str, media_type: str) -> str | None:
        return self.store.presign(key, seconds=seconds, download_name=download_name, media_type=media_type)
