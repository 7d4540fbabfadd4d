"""Judging days: what is known of their calls is read, judged, and what was found is kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from recpipe import log
from recpipe.catalogue import Catalogue
from recpipe.catalogue.completeness import Completeness
from recpipe.catalogue.work import TenantScope, Work
from recpipe.completeness.judge import GRACE, Known, Stop, judge
from recpipe.model import (
    FINDINGS,
    KEEP_CALL_RECORDS,
    CallEvent,
    CallEventKind,
    CallRecording,
    CallState,
    DayCompleteness,
    Decision,
    Finding,
    Judged,
    Tenant,
)

_log = log.get(__name__)

LOOK_BACK_DAYS = 3  # the days that are judged anew each time, today among them
CLOSE_WITHIN_DAYS = 60  # findings that are older stay as they are
_AROUND = timedelta(hours=12)  # of a day: legs of its calls that began before or ended after it
_SILENT = timedelta(minutes=10)  # after which a spool's process counts as away
_MOST_WAITING = 10_000  # files in quarantine that are looked through
_NOTHING_LOST = (CallState.ARRIVED, CallState.DIFFERS, CallState.IN_ERROR, CallState.UNASKED)


@dataclass(frozen=True, slots=True)
class Assessed:
    """What one look found out.

    Attributes:
        opened, closed: findings that are new, and that are put right.
    """

    opened: Sequence[Finding]
    closed: Sequence[Finding]


def first_day_kept(now: datetime, zone: str) -> date:
    """The first day whose calls are all known still, and that can be judged."""
    return (now - KEEP_CALL_RECORDS + _AROUND).astimezone(ZoneInfo(zone)).date() + timedelta(days=1)


def assess(
    catalogue: Catalogue, tenant: Tenant, first: date, last: date, now: datetime, grace: timedelta = GRACE
) -> Assessed:
    """Judge some days of a tenant, both included, as far as their calls are known still; and older open findings.

    Args:
        first, last: days in the tenant's zone.

    Raises:
        CatalogueUnavailable: the database does not answer; nothing was changed.
    """
    zone = ZoneInfo(tenant.timezone)
    first = max(first, first_day_kept(now, tenant.timezone))
    last = min(last, now.astimezone(zone).date())
    if first > last:
        return Assessed((), ())
    with catalogue.read() as work:
        judged = _judged(work, tenant, first, last, now, grace)
    by_day: dict[tuple[str, str], Counter[str]] = {}
    found: dict[str, Finding] = {}
    for one, day in judged:
        by_day.setdefault((day, one.rule), Counter())[one.state.value] += 1
        if one.state in FINDINGS:
            finding = _finding(tenant.id, one, day, now)
            found[finding.id] = finding
    days = [DayCompleteness(day, rule, dict(counts), now) for (day, rule), counts in sorted(by_day.items())]
    there = {record: one for one, _ in judged if one.state in _NOTHING_LOST for record in one.records}
    with catalogue.begin() as work:
        kept = work.of(tenant.id).completeness
        opened, closed = _compare(kept.findings_of_days(str(first), str(last)), found, judged, now)
        older = _closed_late(kept, first, now)
        kept.mark_arrived(there, now)
        kept.set_days(str(first), str(last), days)
        kept.set_findings([*opened, *closed, *older])
    return Assessed(opened, [*closed, *older])


def _judged(
    work: Work, tenant: Tenant, first: date, last: date, now: datetime, grace: timedelta
) -> list[tuple[Judged, str]]:
    """Everything of these days, each with its day."""
    zone, scope = ZoneInfo(tenant.timezone), work.of(tenant.id)
    at_from = datetime.combine(first, time(), zone) - _AROUND
    at_before = datetime.combine(last + timedelta(days=1), time(), zone) + _AROUND
    kept = scope.completeness
    known = Known(
        records=kept.records(at_from, at_before),
        decisions=_decisions(scope, at_from, at_before),
        recordings=kept.recordings(at_from, at_before),
        waiting=_waiting(work, tenant.id),
        away=_away(work, now),
        stopped=_stopped(
            scope.call_events.of_kinds([CallEventKind.STARTED, CallEventKind.STOPPED], at_from, at_before)
        ),
        paused=scope.call_events.calls_with([CallEventKind.PAUSED], at_from, at_before),
    )
    judged = judge(known, now, grace)
    # The start of a recording may have been guessed, on another day.
    lacking = {
        one_id
        for one in judged
        if one.state in (CallState.MISSING, CallState.UNCONFIRMED)
        for one_id in (one.call_id, one.linked_id)
    }
    if lacking:
        recordings: dict[str, CallRecording] = {one.id: one for one in known.recordings}
        more = {one.id: one for one in kept.recordings_of(lacking)}
        if more.keys() - recordings.keys():
            judged = judge(replace(known, recordings=list((recordings | more).values())), now, grace)
    named = ((one, str(one.started_at.astimezone(zone).date())) for one in judged)
    return [(one, day) for one, day in named if str(first) <= day <= str(last)]


def _compare(
    before: Iterable[Finding], found: dict[str, Finding], judged: Sequence[tuple[Judged, str]], now: datetime
) -> tuple[list[Finding], list[Finding]]:
    """Findings that are new or open again, and those that are put right."""
    opened, closed = dict(found), []
    came = {
        one_id: one.recording_id
        for one, _ in judged
        if one.recording_id and one.state in _NOTHING_LOST
        for one_id in (one.linked_id, one.call_id)
        if one_id
    }
    for finding in before:
        again = found.get(finding.id)
        if again is not None:
            if finding.closed_at is None:
                del opened[finding.id]
        elif finding.closed_at is None:
            recording = finding.recording_id or came.get(finding.call_id) or came.get(finding.linked_id) or ""
            closed.append(replace(finding, closed_at=now, recording_id=recording))
    return list(opened.values()), closed


def _closed_late(kept: Completeness, before: date, now: datetime) -> list[Finding]:
    """Findings of days that are not judged any more whose recordings came; their counts follow."""
    since = before - timedelta(days=CLOSE_WITHIN_DAYS)
    lost = (CallState.MISSING, CallState.UNCONFIRMED)
    open_ones = kept.findings_of_days(str(since), str(before - timedelta(days=1)), only_open=True)
    waiting = [one for one in open_ones if one.kind in lost and one.call_id]
    if not waiting:
        return []
    came = {one.call_id: one for one in kept.recordings_of({one.call_id for one in waiting})}
    closed = [replace(one, closed_at=now, recording_id=came[one.call_id].id) for one in waiting if one.call_id in came]
    for finding in closed:
        for day in kept.days(finding.day, finding.day):
            if day.rule == finding.rule:
                counts = Counter(day.counts)
                counts[finding.kind.value] -= 1
                counts[CallState.ARRIVED.value] += 1
                kept.recount(replace(day, counts=dict(+counts)))
    return closed


def _finding(tenant_id: str, one: Judged, day: str, now: datetime) -> Finding:
    # What is lost is known by its call, what is there too much or too short by its recording.
    which = one.recording_id or f"{one.call_id}\0{one.linked_id}"
    said = "\0".join((tenant_id, one.state.value, which)).encode("utf-8", "replace")
    return Finding(
        id=hashlib.sha256(said).hexdigest()[:32],
        tenant_id=tenant_id,
        kind=one.state,
        day=day,
        rule=one.rule,
        call_id=one.call_id,
        linked_id=one.linked_id,
        started_at=one.started_at,
        direction=one.direction,
        extension=one.extension,
        spool=one.spool,
        recording_id=one.recording_id,
        expected_ms=one.expected_ms,
        actual_ms=one.actual_ms,
        opened_at=now,
    )


def _decisions(scope: TenantScope, at_from: datetime, at_before: datetime) -> list[Decision]:
    decisions: list[Decision] = []
    cursor: str | None = None
    while True:
        page = scope.decisions.list(at_from, at_before, cursor)
        decisions += page.items
        cursor = page.next_cursor
        if cursor is None:
            return decisions


def _stopped(events: Iterable[CallEvent]) -> dict[str, Stop]:
    """By call id, when its recording was first stopped, and when it had begun before that."""
    began: dict[str, datetime] = {}
    stops: dict[str, Stop] = {}
    for one in events:
        if one.kind is CallEventKind.STARTED:
            began.setdefault(one.call_id, one.at)
        else:
            stops.setdefault(one.call_id, Stop(one.at, began.get(one.call_id)))
    return stops


def _waiting(work: Work, tenant_id: str) -> list[str]:
    """Paths of files that wait for a person and are this tenant's, or nobody's yet."""
    paths: list[str] = []
    cursor: str | None = None
    while True:
        page = work.quarantine.list(cursor, 1000)
        paths += [one.relative for one in page.items if one.tenant_id in (None, tenant_id)]
        cursor = page.next_cursor
        if cursor is None or len(paths) >= _MOST_WAITING:
            return paths


def _away(work: Work, now: datetime) -> set[str]:
    """Spools whose process was not heard of lately."""
    heard: dict[str, datetime] = {}
    for node in work.nodes.list():
        if node.role == "ingest" and node.spool:
            heard[node.spool] = max(node.seen_at, heard.get(node.spool, node.seen_at))
    return {spool for spool, at in heard.items() if now - at > _SILENT}
