"""Links to calls for people outside, as those see them who make, list and end them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import Call, Tenant
from recpipe.recordings.sharing import DEFAULT_OPENINGS, LONGEST_LABEL, MOST_LEGS, MOST_OPENINGS, saved_only
from recpipe.web.dashboard.call_list import rows_of
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.dashboard.search_form import as_typed
from recpipe.web.routes import page_router

_DAYS = (1, 7, 30)

router = page_router()


@router.get("/recordings/share")
def form(request: Request, portal: ThePortal, viewer: SignedIn, of: str = "") -> Response:
    """What a link to a call is to open, and for how long. The address says whereto one comes back: the search."""
    return _form(request, portal, viewer, portal.parts.reader.call(viewer.principal, of, Action.SHARE), Fields())


@router.post("/recordings/share")
def share(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, of: str = "") -> Response:
    """Make it; the address is shown once."""
    call = portal.parts.reader.call(viewer.principal, of, Action.SHARE)
    try:
        made = portal.parts.sharing.share(
            viewer.principal,
            call.id,
            recordings=form.all("leg"),
            expires_at=portal.parts.clock() + timedelta(days=_whole("days", form.text("days"))),
            openings=_whole("openings", form.text("openings")),
            passphrase=form.text("passphrase"),
            download=form.on("download"),
            label=form.text("label"),
        )
    except InputInvalid as refused:
        return _form(request, portal, viewer, call, form, refused)
    return portal.page(
        request,
        "share-made.html",
        viewer,
        link=made.link,
        address=made.address,
        tenant=_tenant_of(viewer, call.tenant_id),
        wanted=as_typed(request, portal, viewer),
    )


@router.get("/links")
def links(request: Request, portal: ThePortal, viewer: SignedIn, service: str = "") -> Response:
    """The links of a service that are open."""
    choices = viewer.with_right(Action.SHARE)
    if not choices:
        viewer.principal.require(Action.SHARE, viewer.tenants[0].id if viewer.tenants else None)
    tenant = next((t for t in choices if t.name == service), None) if service else next(iter(choices), None)
    if tenant is None:
        raise NotFound("service")
    found = portal.parts.sharing.links(viewer.principal, tenant.id)
    return portal.page(request, "links.html", viewer, tenant=tenant, choices=choices, links=found)


@router.post("/links/{link_id}/revoke")
def revoke(portal: ThePortal, viewer: SignedIn, link_id: str) -> Response:
    """End one."""
    link = portal.parts.sharing.revoke(viewer.principal, link_id)
    return redirect(f"/links?service={_tenant_of(viewer, link.tenant_id).name}&done=link-revoked")


def _form(
    request: Request, portal: Portal, viewer: Viewer, call: Call, typed: Fields, refused: InputInvalid | None = None
) -> Response:
    tenant = _tenant_of(viewer, call.tenant_id)
    legs = portal.parts.reader.legs(viewer.principal, call, Action.SHARE, most=MOST_LEGS)
    longest = portal.parts.sharing.longest_days
    values: dict[str, Any] = {
        "days": typed.text("days", "7"),
        "openings": typed.text("openings", str(DEFAULT_OPENINGS)),
        "label": typed.text("label"),
        "download": typed.on("download"),
        "legs": typed.all("leg") if refused else [leg.id for leg in legs],
    }
    return portal.page(
        request,
        "share.html",
        viewer,
        refused=refused,
        wrong=refused.field if refused else "",
        wanted=as_typed(request, portal, viewer),
        call=call,
        tenant=tenant,
        rows=list(rows_of(legs, viewer)),
        typed=values,
        days=[*(days for days in _DAYS if days < longest), longest] if longest else [],
        most_openings=MOST_OPENINGS,
        longest_label=LONGEST_LABEL,
        may_play=viewer.principal.may(Action.PLAY, call.tenant_id),
        may_download=viewer.principal.may(Action.DOWNLOAD, call.tenant_id),
        saved_only=[leg.id for leg in legs if saved_only(leg)],
    )


def _tenant_of(viewer: Viewer, tenant_id: str) -> Tenant:
    return next(tenant for tenant in viewer.tenants if tenant.id == tenant_id)


def _whole(field: str, typed: str) -> int:
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 6):
        raise InputInvalid(field, "Type a whole number.")
    return int(typed)
