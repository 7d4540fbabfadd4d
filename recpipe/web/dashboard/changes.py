"""View PBX Changes, Apply, and the Change History."""

from __future__ import annotations

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.errors import Forbidden, RecpipeError
from recpipe.messages import message
from recpipe.web.dashboard.addons import chosen
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.routes import page_router

LABELS = {
    "call-recording": message("Call recording"),
    "encryption": message("Call recording encryption"),
    "service-policy": message("Which calls are recorded"),
    "inbound-route": message("Call route"),
    "extension": message("Extension"),
}
FIELDS = {
    "recording": message("Call recording"),
    "encryption": message("Encryption"),
    "name": message("Name"),
    "office": message("Office"),
    "timezone": message("Time zone"),
    "outbound": message("Outbound"),
    "inbound": message("Inbound"),
    "internal": message("Internal"),
    "locked": message("Locked"),
    "otherwise": message("Calls without a rule"),
    "unanswered": message("Without an answer"),
    "beep_seconds": message("Tone every (seconds)"),
    "announcement": message("Announcement"),
}
MOST_SHOWN = 100  # changes of one service at once
RIGHTS = (Action.KEYS, Action.POLICY)

router = page_router()


@router.get("/changes")
def changes(request: Request, portal: ThePortal, viewer: SignedIn, show: str = "") -> Response:
    """What waits, service by service, old beside new; of very many changes the first, and all when asked for."""
    return _page(request, portal, viewer, everything=show == "all")


@router.post("/changes/apply")
def apply(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Make the changes of one service effective, all or none."""
    tenant = chosen(portal, viewer, form.text("service"), *RIGHTS)
    try:
        portal.parts.changes.apply(viewer.principal, tenant.id, form.text("changes").split())
    except RecpipeError as refused:
        return _page(request, portal, viewer, refused)
    return redirect("/changes?done=applied")


@router.post("/changes/discard")
def discard(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Forget one of them."""
    tenant = chosen(portal, viewer, form.text("service"), *RIGHTS)
    try:
        portal.parts.changes.discard(viewer.principal, tenant.id, form.text("change"))
    except RecpipeError as refused:
        return _page(request, portal, viewer, refused)
    return redirect("/changes?done=discarded")


@router.get("/history")
def history(request: Request, portal: ThePortal, viewer: SignedIn, service: str = "", cursor: str = "") -> Response:
    """Who applied what, and when."""
    tenant = chosen(portal, viewer, service, *RIGHTS)
    found = portal.parts.changes.history(viewer.principal, tenant.id, cursor or None)
    return portal.page(
        request,
        "history.html",
        viewer,
        tenant=tenant,
        choices=viewer.with_right(*RIGHTS),
        found=found,
        labels=LABELS,
        fields=FIELDS,
    )


def _page(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    refused: RecpipeError | None = None,
    *,
    everything: bool = False,
) -> Response:
    allowed = viewer.with_right(*RIGHTS)
    if not allowed:
        raise Forbidden("view pending changes")
    found = portal.parts.changes.pending_of_all(viewer.principal)
    waiting = [(t, found[t.id]) for t in allowed if t.id in found]
    return portal.page(
        request,
        "changes.html",
        viewer,
        refused=refused,
        waiting=waiting,
        most=None if everything else MOST_SHOWN,
        labels=LABELS,
        fields=FIELDS,
    )
