"""A day whose calls were compared with their recordings, for pages that show it."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from recpipe.model import CallState, DayCompleteness, Direction, Tenant
from tests.acceptance.portal import Portal
from tests.contracts.catalogue_completeness import a_finding


def a_judged_day(running: Portal, tenant: Tenant, recording_id: str, extension: str = "204") -> None:
    """Today and yesterday of a tenant, with a finding of each kind."""
    now = running.parts.clock()
    zone = ZoneInfo(tenant.timezone)
    today, yesterday = (str((now - timedelta(days=days)).astimezone(zone).date()) for days in (0, 1))
    route, clerk = "route:+442079460100", "extension:203:outbound"
    days = [
        (today, route, {"arrived": 214, "unanswered": 31, "grace": 6}),
        (today, clerk, {"arrived": 48, "too-short": 2}),
        (yesterday, route, {"arrived": 1163, "duration-differs": 1, "unanswered": 148, "missing": 2}),
        (yesterday, clerk, {"arrived": 301, "missing": 1, "waiting": 1}),
        (yesterday, "extension:205:internal", {"skipped": 18, "recorded-in-error": 1}),
        (yesterday, "", {"no-call-record": 1}),
    ]
    began = now - timedelta(days=1)
    finding = a_finding(tenant, day=yesterday, rule=route, opened_at=now - timedelta(hours=3), spool="northwind")
    about = {"tenant": tenant, "day": yesterday, "spool": "northwind"}
    ids = [f"17900{number:05}.{number}" for number in range(7)]
    made = [
        a_finding(**about, rule=route, call_id=ids[0], started_at=began, opened_at=finding.opened_at),
        a_finding(
            **about,
            rule=route,
            call_id=ids[1],
            extension=extension,
            started_at=began + timedelta(minutes=4),
            opened_at=finding.opened_at,
        ),
        a_finding(
            **about,
            kind=CallState.IN_ERROR,
            rule="extension:205:internal",
            direction=Direction.INTERNAL,
            call_id=ids[2],
            extension="205",
            recording_id=recording_id,
            started_at=began + timedelta(minutes=11),
            opened_at=finding.opened_at,
        ),
        a_finding(
            **about,
            kind=CallState.DIFFERS,
            rule=route,
            call_id=ids[3],
            recording_id=recording_id,
            expected_ms=431_000,
            actual_ms=187_000,
            started_at=began + timedelta(minutes=17),
            opened_at=finding.opened_at,
        ),
        a_finding(
            **about,
            rule=clerk,
            direction=Direction.OUTBOUND,
            call_id=ids[4],
            extension="203",
            recording_id=recording_id,
            started_at=began + timedelta(minutes=29),
            opened_at=finding.opened_at,
            closed_at=now - timedelta(minutes=20),
        ),
    ]
    with running.parts.catalogue.begin() as work:
        kept = work.of(tenant.id).completeness
        kept.set_findings(made)
        kept.set_days(yesterday, today, [DayCompleteness(day, rule, counts, now) for day, rule, counts in days])
