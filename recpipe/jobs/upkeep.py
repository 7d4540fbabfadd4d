"""The jobs of recpipe: letters, tidying, and a look at what is stored. Each may be done twice without harm."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from recpipe import log, metrics
from recpipe.access.audit import AuditTrail
from recpipe.access.lockout import KNOWN_FOR
from recpipe.access.principal import Kind, Principal
from recpipe.catalogue import Catalogue
from recpipe.jobs import completeness, completeness_letters, monthly, quarantine, reminders
from recpipe.jobs.job import DAY, HOUR, Job, Summary, Tick
from recpipe.jobs.letters import ACTOR
from recpipe.mail import portal_address
from recpipe.recordings.counting import fill
from recpipe.recordings.looks import ProblemKind
from recpipe.recordings.repair import Mended, repair
from recpipe.recordings.verify import verify
from recpipe.store.base import Store
from recpipe.times import Clock
from recpipe.wiring import Parts

_log = log.get(__name__)

SAMPLE = 1000  # recordings whose bytes are read each night
KEEP_LOGINS = timedelta(days=7)  # sessions and links, once they expired
KEEP_FAILURES = timedelta(days=1)  # failed logins; a lock-out lasts minutes
KEEP_RETRIES = timedelta(days=7)  # of quarantined files: a store or a database may be away for days
KEEP_DECISIONS = timedelta(days=90)  # what PBXs were told, for the comparison with what arrived
_MOST_LOGGED = 20
_MENDED = (ProblemKind.OBJECT_OF_DELETED, ProblemKind.WAVEFORM_MISSING, ProblemKind.FIGURES_DIFFER)


def jobs(parts: Parts) -> tuple[Job, ...]:
    """Everything that is due by the clock."""
    catalogue, clock, mailer = parts.catalogue, parts.clock, parts.mailer
    address, grace = portal_address(parts.settings), timedelta(hours=parts.settings.completeness_grace_hours)

    def remind(_tick: Tick) -> Summary:
        return {"reminders": reminders.send_due(catalogue, mailer, address, clock())}

    def tell_of_quarantine(_tick: Tick) -> Summary:
        return {"letters": quarantine.send_due(catalogue, mailer, address, clock())}

    def tell_of_completeness(_tick: Tick) -> Summary:
        return {"letters": completeness_letters.send_due(catalogue, mailer, address, clock())}

    def tell_of_the_month(_tick: Tick) -> Summary:
        return {"letters": monthly.send_due(catalogue, mailer, address, clock())}

    return (
        Job("monthly-letters", DAY, timedelta(hours=5, minutes=29), tell_of_the_month),
        Job("certificate-reminders", HOUR, timedelta(minutes=17), remind),
        Job("quarantine-letters", HOUR, timedelta(minutes=37), tell_of_quarantine),
        Job(
            "completeness",
            completeness.EVERY,
            timedelta(minutes=7),
            lambda tick: completeness.look(catalogue, clock, grace, tick),
        ),
        Job("completeness-letters", HOUR, timedelta(minutes=47), tell_of_completeness),
        Job("figures", HOUR, timedelta(minutes=3), lambda tick: {"days": fill(catalogue, tick.go_on)}),
        Job("expired-logins", DAY, timedelta(hours=2, minutes=41), lambda _: prune(catalogue, clock)),
        Job(
            "old-decisions", DAY, timedelta(hours=2, minutes=53), lambda tick: forget_decisions(catalogue, clock, tick)
        ),
        Job(
            "integrity-sample",
            DAY,
            timedelta(hours=3, minutes=23),
            lambda tick: look(catalogue, parts.store, parts.trail, clock, tick),
        ),
    )


def prune(catalogue: Catalogue, clock: Clock) -> Summary:
    """Delete sessions, links, failed logins and what is remembered of retries that nobody can use any more."""
    now = clock()
    with catalogue.begin() as work:
        return {
            "sessions": work.sessions.prune(now - KEEP_LOGINS),
            "links": work.links.prune(now - KEEP_LOGINS),
            "shared_links": work.shared_links.prune(now - KEEP_LOGINS),
            "failures": work.failures.prune(now - KEEP_FAILURES),
            "networks": work.known_networks.prune(now - KNOWN_FOR),
            "retries": work.quarantine.prune(now - KEEP_RETRIES),
        }


def forget_decisions(catalogue: Catalogue, clock: Clock, tick: Tick) -> Summary:
    """Delete what PBXs were told long ago, some thousands at a time.

    Raises:
        Interrupted: the process stops.
    """
    before, forgotten = clock() - KEEP_DECISIONS, 0
    while True:
        tick.go_on()
        with catalogue.begin() as work:
            some = work.decisions.prune(before)
        forgotten += some
        if not some:
            return {"decisions": forgotten}


def look(
    catalogue: Catalogue, store: Store, trail: AuditTrail, clock: Clock, tick: Tick, sample: int = SAMPLE
) -> dict[str, int | str]:
    """Compare catalogue and store as `recpipe verify --sample` does, and raise an alarm where they disagree.

    What the store still has of deleted recordings is removed, a waveform that is missing is drawn, and figures that
    are not what the recordings come to are counted again.

    Raises:
        Interrupted: the process stops.
        StoreUnavailable, StoreRejected, CatalogueUnavailable: nothing can be said.
    """
    by = Principal(kind=Kind.OPERATOR, id="", name=ACTOR, everything=True)
    report = verify(
        catalogue,
        store,
        by,
        sample=sample,
        clock=clock,
        trail=trail,
        on_recording=tick.go_on,
        on_object=tick.go_on,
        on_read=lambda _size_bytes: tick.go_on(),
        on_checkpoint=lambda _checkpoint: tick.go_on(),
    )
    mendable = [one for one in report.problems if one.kind in _MENDED]
    outcome = repair(catalogue, store, (), by, mendable, clock=clock, trail=trail, on_problem=tick.go_on)
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
        "counted": mended[Mended.COUNTED],
    }
