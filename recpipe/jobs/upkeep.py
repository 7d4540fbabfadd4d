"""The jobs of recpipe: letters, tidying, and a look at what is stored. Each may be done twice without harm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

from recpipe import log, metrics
from recpipe.access.audit import AuditTrail
from recpipe.access.lockout import KNOWN_FOR
from recpipe.access.principal import Kind, Principal
from recpipe.catalogue import Catalogue
from recpipe.jobs import quarantine, reminders
from recpipe.jobs.job import DAY, HOUR, Job, Summary, Tick
from recpipe.mail import Mailer, portal_address
from recpipe.model import Readable, StoredObject
from recpipe.recordings.looks import ProblemKind
from recpipe.recordings.repair import Mended, repair
from recpipe.recordings.verify import verify
from recpipe.settings import Settings
from recpipe.store.base import Note, Store
from recpipe.times import Clock

_log = log.get(__name__)

SAMPLE = 1000  # recordings whose bytes are read each night
KEEP_LOGINS = timedelta(days=7)  # sessions and links, once they expired
KEEP_FAILURES = timedelta(days=1)  # failed logins; a lock-out lasts minutes
_MOST_LOGGED = 20
_MENDED = (ProblemKind.OBJECT_OF_DELETED, ProblemKind.WAVEFORM_MISSING)


def jobs(settings: Settings, catalogue: Catalogue, store: Store, trail: AuditTrail, clock: Clock) -> tuple[Job, ...]:
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
    catalogue: Catalogue, store: Store, trail: AuditTrail, clock: Clock, tick: Tick, sample: int = SAMPLE
) -> dict[str, int | str]:
    """Compare catalogue and store as `recpipe verify --sample` does, and raise an alarm where they disagree.

    What the store still has of deleted recordings is removed, and a waveform that is missing is drawn.

    Raises:
        Interrupted: the process stops.
        StoreUnavailable, StoreRejected, CatalogueUnavailable: nothing can be said.
    """
    by = Principal(kind=Kind.OPERATOR, id="", name=reminders.ACTOR, everything=True)
    read = _Stoppable(store, tick)
    report = verify(catalogue, read, by, sample=sample, clock=clock, trail=trail)
    mendable = [one for one in report.problems if one.kind in _MENDED]
    outcome = repair(catalogue, read, (), by, mendable, clock=clock, trail=trail)
    left = [one for one in report.problems if one.kind not in _MENDED] + outcome.left
    problems = [one for one in left if one.kind is not ProblemKind.WAVEFORM_MISSING]
    mended = Counter(one.kind for one in outcome.mended)
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
    for one in outcome.mended:
        _log.info("stored recording mended", what=one.kind.value, tenant=one.tenant, recording=one.recording_id)
    return {
        "recordings": report.recordings,
        "objects": report.objects,
        "read": report.read,
        "problems": len(problems),
        "removed": mended[Mended.REMOVED],
        "drawn": mended[Mended.DRAWN],
    }


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
