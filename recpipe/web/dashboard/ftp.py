"""Add-ons > Call Recordings: FTP accounts, their credentials, and what to type into a client."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request, Response

from recpipe.access.ftp_accounts import NewFtpPassword
from recpipe.access.principal import Action
from recpipe.errors import Conflict, InputInvalid, LockedOut, ReauthenticationRequired, RecpipeError
from recpipe.model import Direction, Tenant
from recpipe.settings import split_listen
from recpipe.web.dashboard.addons import chosen
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.dashboard.proving import proof_of
from recpipe.web.deps import PasswordPlace
from recpipe.web.routes import page_router

router = page_router()


@router.get("/ftp")
def accounts(request: Request, portal: ThePortal, viewer: SignedIn, service: str = "") -> Response:
    """The accounts of one service, and how to reach them."""
    return _page(request, portal, viewer, chosen(portal, viewer, service, Action.FTP))


@router.post("/ftp")
def create(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Make an account; a generated password is in this answer and nowhere else."""
    tenant = chosen(portal, viewer, form.text("service"), Action.FTP)
    try:
        made = portal.parts.ftp_accounts.create(
            viewer.principal,
            tenant.id,
            form.text("username"),
            password=form.text("password") or None,
            allowed_networks=form.lines("networks"),
            extension=form.text("extension"),
            direction=_direction(form),
            proof=proof_of(form),
        )
    except RecpipeError as refused:
        return _page(request, portal, viewer, tenant, refused=refused, typed=form)
    return _page(request, portal, viewer, tenant, made=made)


@router.get("/ftp/{account_id}")
def edit(request: Request, portal: ThePortal, viewer: SignedIn, account_id: str, service: str = "") -> Response:
    """One account: what it sees, where it may come from, and what is done with it now and then."""
    return _edit(request, portal, viewer, chosen(portal, viewer, service, Action.FTP), account_id)


@router.post("/ftp/{account_id}")
def change(
    request: Request, portal: ThePortal, viewer: SignedIn, account_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """Other limits; live sessions end."""
    tenant = chosen(portal, viewer, form.text("service"), Action.FTP)
    try:
        portal.parts.ftp_accounts.change(
            viewer.principal,
            tenant.id,
            account_id,
            allowed_networks=form.lines("networks"),
            extension=form.text("extension"),
            direction=_direction(form),
            any_direction=_direction(form) is None,
            proof=proof_of(form),
        )
    except (InputInvalid, Conflict, ReauthenticationRequired, LockedOut) as refused:
        return _edit(request, portal, viewer, tenant, account_id, refused=refused, typed=form)
    return redirect(f"/ftp?service={tenant.name}&done=saved")


@router.post("/ftp/{account_id}/password")
def password(
    request: Request, portal: ThePortal, viewer: SignedIn, account_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """A fresh password; live sessions end."""
    tenant = chosen(portal, viewer, form.text("service"), Action.FTP)
    try:
        made = portal.parts.ftp_accounts.set_password(viewer.principal, tenant.id, account_id, proof=proof_of(form))
    except ReauthenticationRequired as refused:
        return _edit(request, portal, viewer, tenant, account_id, refused=refused)
    return _page(request, portal, viewer, tenant, made=made)


@router.post("/ftp/{account_id}/switch")
def switch(
    request: Request, portal: ThePortal, viewer: SignedIn, account_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """On, with one's own password, or off."""
    tenant = chosen(portal, viewer, form.text("service"), Action.FTP)
    try:
        portal.parts.ftp_accounts.change(
            viewer.principal, tenant.id, account_id, enabled=form.on("on"), proof=proof_of(form)
        )
    except (ReauthenticationRequired, LockedOut) as refused:
        return _edit(request, portal, viewer, tenant, account_id, refused=refused)
    return redirect(f"/ftp?service={tenant.name}&done=saved")


@router.post("/ftp/{account_id}/remove")
def remove(request: Request, portal: ThePortal, viewer: SignedIn, account_id: str, form: Form) -> Response:
    """Delete it."""
    tenant = chosen(portal, viewer, form.text("service"), Action.FTP)
    portal.parts.ftp_accounts.remove(viewer.principal, tenant.id, account_id)
    return redirect(f"/ftp?service={tenant.name}&done=ftp-removed")


def _edit(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    tenant: Tenant,
    account_id: str,
    *,
    refused: RecpipeError | None = None,
    typed: Fields | None = None,
) -> Response:
    account = portal.parts.ftp_accounts.get(viewer.principal, tenant.id, account_id)
    values = {
        "networks": "\n".join(account.allowed_networks),
        "extension": account.extension,
        "direction": account.direction or "",
    }
    if typed is not None:
        values = {name: typed.text(name) for name in values}
    return portal.page(request, "ftp-edit.html", viewer, refused=refused, tenant=tenant, account=account, typed=values)


def _direction(form: Fields) -> Direction | None:
    word = form.text("direction")
    return Direction(word) if word in {"inbound", "outbound", "internal"} else None


def _page(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    tenant: Tenant,
    *,
    refused: RecpipeError | None = None,
    typed: Fields | None = None,
    made: NewFtpPassword | None = None,
) -> Response:
    settings = portal.parts.settings
    listening, port = split_listen(settings.ftp_listen)
    host = settings.ftp_masquerade_address or urlsplit(settings.http_url).hostname or listening
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = request.url.hostname or "127.0.0.1"  # listens everywhere: where this page was reached is right as well
    return portal.page(
        request,
        "ftp.html",
        viewer,
        refused=refused,
        tenant=tenant,
        choices=viewer.with_right(Action.FTP),
        accounts=portal.parts.ftp_accounts.list(viewer.principal, tenant.id),
        made=made,
        typed={name: typed.text(name) if typed else "" for name in ("username", "networks", "extension", "direction")},
        host=host,
        port=port,
        tls_only=settings.ftp_require_tls,
        implicit=split_listen(settings.ftps_listen)[1] if settings.ftps_listen else None,
    )
