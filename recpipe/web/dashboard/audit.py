"""Audit: who signed in, looked, played, downloaded, changed; filter and export."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request, Response

from recpipe import times
from recpipe.access.principal import Action, Principal
from recpipe.errors import NotFound, QueryInvalid
from recpipe.languages import said
from recpipe.model import AuditEvent, AuditQuery, Outcome
from recpipe.web.csv_stream import csv_stream
from recpipe.web.dashboard.deeds import DEEDS, OF_CALLS, told
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer
from recpipe.web.delivery import Generated, Streamed, disposition, still
from recpipe.web.routes import page_router

_NAMES = ("service", "from", "to", "actor", "action", "outcome", "call")
_PAGE = 100
_COLUMNS = ("at", "actor", "action", "outcome", "tenant_id", "address", "subject", "detail")

router = page_router()


@router.get("/audit")
def audit(request: Request, portal: ThePortal, viewer: SignedIn, cursor: str = "") -> Response:
    """The log, newest first."""
    values, tenant_id, query, zone = _asked(request, portal, viewer)
    found = portal.parts.trail.list(viewer.principal, tenant_id, query, cursor or None, _PAGE)
    calls = portal.parts.reader.findable(viewer.principal, {e.subject for e in found.items if e.action in OF_CALLS})
    zones = {t.id: t.timezone for t in viewer.tenants}
    users = _users(portal, viewer, found.items)
    return portal.page(
        request,
        "audit.html",
        viewer,
        values=values,
        zone=zone,
        found=found,
        events=[(one, told(one, calls, zones, users)) for one in found.items],
        deeds=_choices(values.get("action", "")),
        services=viewer.with_right(Action.AUDIT),
        names={t.id: t.title for t in viewer.tenants},
        address=lambda path, **more: f"{path}?{urlencode(values | more)}",
        outcomes=list(Outcome),
    )


def _users(portal: Portal, viewer: Viewer, events: Iterable[AuditEvent]) -> dict[str, str]:
    """Names of the users of whom the events tell, as far as the person manages them."""
    if not viewer.may("users") or not any(e.action.startswith("user.") and e.subject for e in events):
        return {}
    return {account.user.id: account.user.username for account in portal.parts.accounts.list(viewer.principal)}


def _choices(typed: str) -> list[tuple[str, str]]:
    """Every action with its words, by its words."""
    words = {action: said(could).replace(" {}", "").replace("{} ", "") for action, (_, could) in DEEDS.items()}
    if typed and typed not in words:
        words[typed] = typed
    return sorted(words.items(), key=lambda one: one[1])


@router.get("/audit/export.csv")
def export(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """Every event of the filter."""
    _, tenant_id, query, _ = _asked(request, portal, viewer)
    headers = {"content-type": "text/csv; charset=utf-8", "content-disposition": disposition("attachment", "audit.csv")}
    streams = portal.context.streams
    pieces = Generated(_csv(portal, viewer.principal, tenant_id, query))
    return Streamed(pieces, streams, streams.place(viewer.principal), 200, headers)


def _asked(request: Request, portal: Portal, viewer: Viewer) -> tuple[dict[str, str], str | None, AuditQuery, str]:
    """The filter as typed, whose log it is (None: every one the person may read), the query, and the zone of its dates.

    Raises:
        NotFound, Forbidden: the person may not read that log; before the first byte of an export.
    """
    values = {name: value[:100] for name in _NAMES if (value := request.query_params.get(name, "").strip())}
    tenant = next((t for t in viewer.tenants if t.name == values.get("service")), None)
    if "service" in values and tenant is None:
        raise NotFound("service")
    tenant_id = tenant.id if tenant else None
    portal.parts.trail.readable(viewer.principal, tenant_id)
    zones = {tenant.timezone} if tenant else {t.timezone for t in viewer.with_right(Action.AUDIT)}
    zone = zones.pop() if len(zones) == 1 else "UTC"
    outcome = values.get("outcome", "")
    query = AuditQuery(
        at_from=_moment(values.get("from"), ZoneInfo(zone)),
        at_before=_moment(values.get("to"), ZoneInfo(zone), whole_day=True),
        actor=values.get("actor", ""),
        action=values.get("action", ""),
        outcome=Outcome(outcome) if outcome in list(Outcome) else None,
        call=values.get("call", ""),
    )
    return values, tenant_id, query, zone


def _moment(typed: str | None, zone: ZoneInfo, *, whole_day: bool = False) -> datetime | None:
    try:
        return times.from_iso(typed, zone, whole_day=whole_day) if typed else None
    except ValueError:
        raise QueryInvalid("A date is written as 2025-03-27.") from None


def _csv(portal: Portal, by: Principal, tenant_id: str | None, query: AuditQuery) -> Generator[bytes, None, None]:
    return csv_stream(_COLUMNS, _rows(portal, by, tenant_id, query))


def _rows(portal: Portal, by: Principal, tenant_id: str | None, query: AuditQuery) -> Iterator[list[tuple[str, ...]]]:
    check = still(portal.context, by)
    cursor: str | None = None
    while True:
        page = portal.parts.trail.list(by, tenant_id, query, cursor, 1000)
        yield [_row(one) for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return
        check()


def _row(one: AuditEvent) -> tuple[str, ...]:
    detail = json.dumps(dict(one.detail), sort_keys=True, ensure_ascii=False)
    about = (one.at.isoformat(), one.actor, one.action, one.outcome.value, one.tenant_id or "", one.address)
    return (*about, one.subject, detail)
