"""Comparing the calls of the last days with what arrived, and raising an alarm where recordings are missing."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from recpipe import log, metrics
from recpipe.catalogue import Catalogue
from recpipe.completeness.assess import LOOK_BACK_DAYS, Assessed, assess
from recpipe.jobs.job import HOUR, Summary, Tick
from recpipe.jobs.letters import ACTOR
from recpipe.model import FINDINGS, KEEP_CALL_RECORDS, AuditEvent, CallState, Outcome, Tenant
from recpipe.times import Clock

_log = log.get(__name__)

EVERY = 4 * HOUR
EVENT = "completeness.found"
KEEP_FINDINGS_DAYS = 400
_MOST_PRUNED = 20_000


def look(catalogue: Catalogue, clock: Clock, grace: timedelta, tick: Tick) -> Summary:
    """Judge the last days of every tenant, and forget what is too old.

    Raises:
        Interrupted: the process stops.
        CatalogueUnavailable: the database does not answer; the next run does what this one did not.
    """
    now = clock()
    with catalogue.read() as work:
        tenants = work.tenants.list()
    standing: Counter[CallState] = Counter()
    opened = closed = 0
    for tenant in tenants:
        tick.go_on()
        today = now.astimezone(ZoneInfo(tenant.timezone)).date()
        found = assess(catalogue, tenant, today - timedelta(days=LOOK_BACK_DAYS - 1), today, now, grace)
        opened, closed = opened + len(found.opened), closed + len(found.closed)
        if found.opened or found.closed:
            _tell(catalogue, tenant, found, now)
        with catalogue.read() as work:
            standing.update(work.of(tenant.id).completeness.open_findings())
    for kind in FINDINGS:
        metrics.COMPLETENESS.labels(kind.value).set(standing[kind])
    return {"opened": opened, "closed": closed, "open": standing.total(), "forgotten": _prune(catalogue, now, tick)}


def _tell(catalogue: Catalogue, tenant: Tenant, found: Assessed, now: datetime) -> None:
    """In the log and on the audit log: how many of each kind, never which numbers."""
    kinds = Counter(one.kind.value for one in found.opened)
    if lost := kinds[CallState.MISSING.value] + kinds[CallState.IN_ERROR.value]:
        _log.error(
            "calls were not recorded as they should be: see Reports > Completeness", tenant=tenant.name, calls=lost
        )
    detail = {**dict(sorted(kinds.items())), "closed": len(found.closed)}
    with catalogue.begin() as work:
        work.audit.add(AuditEvent(now, ACTOR, EVENT, Outcome.OK, tenant_id=tenant.id, detail=detail))


def _prune(catalogue: Catalogue, now: datetime, tick: Tick) -> int:
    forgotten = 0
    while True:
        tick.go_on()
        with catalogue.begin() as work:
            gone = work.call_records.prune(now - KEEP_CALL_RECORDS, _MOST_PRUNED)
        forgotten += gone
        if gone < _MOST_PRUNED:
            break
    with catalogue.begin() as work:
        work.call_events.prune(now - KEEP_CALL_RECORDS)
        work.call_records.prune_findings(str((now - timedelta(days=KEEP_FINDINGS_DAYS)).date()))
    return forgotten
