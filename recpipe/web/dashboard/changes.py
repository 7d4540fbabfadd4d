"""View PBX Changes, Apply, and the Change History."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from recpipe.access.principal import Action
from recpipe.errors import Forbidden, RecpipeError
from recpipe.web.dashboard.addons import chosen
from recpipe.web.dashboard.desk import Desk, Looking, TheDesk, Viewer, redirect
from recpipe.web.dashboard.forms import Form
from recpipe.web.errors import problem_of

LABELS = {
    "call-recording": "Call recording",
    "encryption": "Call recording encryption",
}
FIELDS = {"recording": "Call recording", "encryption": "Encryption"}

router = APIRouter(include_in_schema=False)


@router.get("/changes")
def changes(request: Request, desk: TheDesk, viewer: Looking) -> Response:
    """What waits, service by service, old beside new."""
    return _page(request, desk, viewer)


@router.post("/changes/apply")
def apply(request: Request, desk: TheDesk, viewer: Looking, form: Form) -> Response:
    """Make the changes of one service effective, all or none."""
    tenant = chosen(desk, viewer, form.text("service"), Action.KEYS)
    try:
        desk.changes.apply(viewer.principal, tenant.id, form.all("change"))
    except RecpipeError as refused:
        return _page(request, desk, viewer, refused)
    return redirect("/changes?done=applied")


@router.post("/changes/discard")
def discard(request: Request, desk: TheDesk, viewer: Looking, form: Form) -> Response:
    """Forget one of them."""
    tenant = chosen(desk, viewer, form.text("service"), Action.KEYS)
    try:
        desk.changes.discard(viewer.principal, tenant.id, form.text("change"))
    except RecpipeError as refused:
        return _page(request, desk, viewer, refused)
    return redirect("/changes?done=discarded")


@router.get("/history")
def history(request: Request, desk: TheDesk, viewer: Looking, service: str = "", cursor: str = "") -> Response:
    """Who applied what, and when."""
    tenant = chosen(desk, viewer, service, Action.KEYS)
    found = desk.changes.history(viewer.principal, tenant.id, cursor or None)
    return desk.page(
        request,
        "history.html",
        viewer,
        tenant=tenant,
        choices=viewer.with_right(Action.KEYS),
        found=found,
        labels=LABELS,
        fields=FIELDS,
    )


def _page(request: Request, desk: Desk, viewer: Viewer, refused: RecpipeError | None = None) -> Response:
    usable = viewer.with_right(Action.KEYS)
    if not usable:
        raise Forbidden("view pending changes")
    waiting = [(t, found) for t in usable if (found := desk.changes.pending(viewer.principal, t.id))]
    problem = problem_of(refused) if refused else None
    return desk.page(
        request,
        "changes.html",
        viewer,
        status=problem.status if problem else 200,
        problem=problem,
        waiting=waiting,
        labels=LABELS,
        fields=FIELDS,
    )
