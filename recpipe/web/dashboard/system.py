"""System: nodes and spools, what waits, how fast it goes, what failed; quarantine with retry and discard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response

from recpipe import languages, metrics
from recpipe.errors import Conflict, InputInvalid, RecpipeError
from recpipe.messages import message
from recpipe.model import DayTotal
from recpipe.store.base import Chooses, Store
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.routes import page_router

DAYS = 14
ALIVE_WITHIN = timedelta(minutes=2)

router = page_router()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart, in the units of its viewBox."""

    x: float
    height: float
    label: str
    value: str


@router.get("/system")
def system(request: Request, portal: ThePortal, viewer: SignedIn, cursor: str = "", reason: str = "") -> Response:
    """How it goes."""
    return _page(request, portal, viewer, cursor=cursor, reason=reason)


@router.post("/system/quarantine/retry")
def retry_all(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Put back all files that wait for one reason, or all there are."""
    done = portal.parts.quarantine.retry_all(viewer.principal, form.text("reason"))
    if done.refused:
        told = message(
            "{tried:,} are tried again; {refused:,} could not be put back. Retry one to see why.",
            tried=done.back_in_spool,
            refused=done.refused,
        )
        return _page(request, portal, viewer, Conflict("not-all", told), reason=form.text("reason"))
    return redirect("/system?done=retried-all")


@router.post("/system/quarantine/{entry_id}/retry")
def retry(request: Request, portal: ThePortal, viewer: SignedIn, entry_id: str) -> Response:
    """Put the file back, to be tried again."""
    try:
        portal.parts.quarantine.retry(viewer.principal, entry_id)
    except RecpipeError as refused:
        return _page(request, portal, viewer, refused)
    return redirect("/system?done=retried")


@router.post("/system/quarantine/{entry_id}/discard")
def discard(request: Request, portal: ThePortal, viewer: SignedIn, entry_id: str, form: Form) -> Response:
    """Delete the file, with a reason on the audit log."""
    try:
        reason = form.text("reason").strip()
        if not reason:
            raise InputInvalid("reason", "Say why the file may be deleted; the reason is kept on the audit log.")
        portal.parts.quarantine.discard(viewer.principal, entry_id, reason)
    except RecpipeError as refused:
        return _page(request, portal, viewer, refused)
    return redirect("/system?done=discarded-file")


def _page(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    refused: RecpipeError | None = None,
    cursor: str = "",
    reason: str = "",
) -> Response:
    context, who = portal.context, viewer.principal
    now = context.parts.clock()
    overview = context.parts.overview.system(who, _day(now, DAYS - 1), _day(now, 0))
    per_day = {_day(now, n): 0 for n in range(DAYS - 1, -1, -1)}
    per_day |= {total.day: total.recordings for total in overview.totals}
    queue = context.parts.quarantine
    page = queue.list(who, cursor or None, 50, reason) if viewer.may("quarantine") else None
    waiting = {entry.tenant_id for entry in page.items if entry.tenant_id} if page else set()
    return portal.page(
        request,
        "system.html",
        viewer,
        refused=refused,
        nodes=overview.nodes,
        job_runs=overview.job_runs,
        alive_since=now - ALIVE_WITHIN,
        health=request.app.state.readiness.now(),
        troubles=[*(context.ingest.troubles().values() if context.ingest else ()), *_choices(context.parts.store)],
        files_waiting=sum(node.files_waiting for node in overview.nodes if node.seen_at > now - ALIVE_WITHIN),
        daily=bars(list(per_day.items())),
        today=per_day[_day(now, 0)],
        latency=latency(),
        rate=_rate(overview.totals, now),
        failures=failures(),
        quarantined=overview.quarantined,
        page=page,
        reasons=queue.reasons(who) if page else {},
        reason=reason,
        names={t.id: t.title for t in context.parts.reader.tenants(who, among=waiting)},
    )


def _choices(store: Store) -> Sequence[str]:
    """What the store made recpipe do otherwise than set."""
    return (
        [message("Chosen for this store: {choice}", choice=choice) for choice in store.choices()]
        if isinstance(store, Chooses)
        else ()
    )


def bars(values: Sequence[tuple[str, int]], width: float = 560, height: float = 90) -> list[Bar]:
    """Bars of equal width, the highest as high as there is room."""
    highest = max((value for _, value in values), default=0) or 1
    step = width / max(1, len(values))
    return [
        Bar(
            round(n * step, 1),
            round(max(1.0 if value else 0.0, height * value / highest), 1),
            label,
            languages.number(value),
        )
        for n, (label, value) in enumerate(values)
    ]


def latency() -> list[Bar] | None:
    """From the last write to a file until it can be played; of this process, since its start."""
    counts: dict[float, float] = {}
    for family in metrics.LATENCY.collect():
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + sample.value
    ordered = sorted(counts.items())
    if not ordered or not ordered[-1][1]:
        return None
    before, each = 0.0, []
    for bound, total in ordered:
        label = message("longer") if bound == float("inf") else _span(bound)
        each.append((label, int(total - before)))
        before = total
    return bars(each)


def failures() -> dict[str, int]:
    """Of this process, since its start."""
    counters = (
        (message("Retried"), metrics.RETRIED),
        (message("Held"), metrics.HELD),
        (message("Quarantined"), metrics.QUARANTINED),
    )
    return {label: _sum(counter) for label, counter in counters}


def _sum(counter: object) -> int:
    collected = counter.collect()  # type: ignore[attr-defined]
    return int(sum(s.value for family in collected for s in family.samples if s.name.endswith("_total")))


def _rate(totals: Sequence[DayTotal], now: datetime) -> float:
    """Recordings an hour, today."""
    today = _day(now, 0)
    hours = max(1.0, now.astimezone(UTC).hour + now.minute / 60)
    return round(sum(t.recordings for t in totals if t.day == today) / hours, 1)


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def _day(now: datetime, ago: int) -> str:
    return (now.astimezone(UTC).date() - timedelta(days=ago)).isoformat()
