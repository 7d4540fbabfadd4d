"""Add-ons > Configure Add-ons: call recording with its disclaimer, encryption with its certificates and their proof."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from keys.certificate import vet
from keys.errors import CertificateRejected, KeysError
from recpipe.access.principal import Action
from recpipe.errors import Forbidden, NotFound, RecpipeError
from recpipe.messages import message
from recpipe.model import CertificateState, Tenant, TenantCertificate
from recpipe.tenants import switches
from recpipe.tenants.changes import Kind
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.delivery import disposition
from recpipe.web.routes import page_router

router = page_router()


@router.get("/addons")
def addons(request: Request, portal: ThePortal, viewer: SignedIn, service: str = "") -> Response:
    """Both add-ons of one service."""
    return _page(request, portal, viewer, chosen(portal, viewer, service, Action.KEYS))


@router.post("/addons/recording")
def recording(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Save the switch of call recording; who agrees to the disclaimer is kept at once."""
    tenant = chosen(portal, viewer, form.text("service"), Action.KEYS)
    try:
        if form.on("agreed"):
            portal.parts.changes.agree(viewer.principal, tenant.id)
        change = portal.parts.changes.save(viewer.principal, tenant.id, Kind.RECORDING, {"recording": form.on("on")})
    except RecpipeError as refused:
        return _page(request, portal, viewer, tenant, refused)
    return redirect(f"/addons?service={tenant.name}&done={'saved-pending' if change else 'nothing-to-change'}")


@router.post("/addons/encryption")
def encryption(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Save the switch of encryption."""
    tenant = chosen(portal, viewer, form.text("service"), Action.KEYS)
    try:
        change = portal.parts.changes.save(viewer.principal, tenant.id, Kind.ENCRYPTION, {"encryption": form.on("on")})
    except RecpipeError as refused:
        return _page(request, portal, viewer, tenant, refused)
    return redirect(f"/addons?service={tenant.name}&done={'saved-pending' if change else 'nothing-to-change'}")


@router.post("/addons/check")
def check(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Say what was pasted or chosen, or why it cannot serve; nothing of it is kept."""
    chosen(portal, viewer, form.text("service"), Action.KEYS)
    try:
        vetted = vet(_given(form), now=portal.parts.clock())
    except CertificateRejected as refused:
        return portal.page(request, "part-checked.html", vetted=None, rejected=refused)
    return portal.page(request, "part-checked.html", vetted=vetted, rejected=None)


@router.post("/addons/certificates")
def add(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Keep a certificate; it seals nothing before its proof."""
    tenant = chosen(portal, viewer, form.text("service"), Action.KEYS)
    try:
        added = portal.parts.keyring.add(
            viewer.principal, tenant.id, _given(form), vouch=form.on("vouch"), label=form.text("label")
        )
    except (RecpipeError, KeysError) as refused:
        # What was pasted does not come back in the page: it may be a private key.
        return _page(request, portal, viewer, tenant, refused)
    if added.challenge is None:
        return redirect(f"/addons?service={tenant.name}&done=saved")
    return redirect(f"/addons/certificates/{added.certificate.id}?service={tenant.name}")


@router.get("/addons/certificates/{certificate_id}")
def certificate(
    request: Request, portal: ThePortal, viewer: SignedIn, certificate_id: str, service: str = ""
) -> Response:
    """One certificate, and the proof that it owes."""
    tenant = chosen(portal, viewer, service, Action.KEYS)
    return _certificate_page(request, portal, viewer, tenant, _held(portal, viewer, tenant, certificate_id))


@router.post("/addons/certificates/{certificate_id}/challenge")
def challenge(portal: ThePortal, viewer: SignedIn, certificate_id: str, form: Form) -> Response:
    """A fresh challenge.enc to decrypt."""
    tenant = chosen(portal, viewer, form.text("service"), Action.KEYS)
    envelope = portal.parts.keyring.challenge(viewer.principal, tenant.id, certificate_id)
    headers = {"content-disposition": disposition("attachment", "challenge.enc"), "cache-control": "no-store"}
    return Response(envelope, media_type="application/octet-stream", headers=headers)


@router.post("/addons/certificates/{certificate_id}/prove")
def prove(request: Request, portal: ThePortal, viewer: SignedIn, certificate_id: str, form: Form) -> Response:
    """The code that was inside."""
    tenant = chosen(portal, viewer, form.text("service"), Action.KEYS)
    held = _held(portal, viewer, tenant, certificate_id)
    try:
        portal.parts.keyring.verify(viewer.principal, tenant.id, certificate_id, form.text("answer"))
    except (RecpipeError, KeysError) as refused:
        return _certificate_page(request, portal, viewer, tenant, held, refused)
    return redirect(f"/addons?service={tenant.name}&done=proven")


@router.post("/addons/certificates/{certificate_id}/retire")
def retire(request: Request, portal: ThePortal, viewer: SignedIn, certificate_id: str, form: Form) -> Response:
    """Seal for it no more."""
    tenant = chosen(portal, viewer, form.text("service"), Action.KEYS)
    try:
        portal.parts.keyring.retire(viewer.principal, tenant.id, certificate_id)
    except (RecpipeError, KeysError) as refused:
        return _page(request, portal, viewer, tenant, refused)
    return redirect(f"/addons?service={tenant.name}&done=retired")


def chosen(portal: Portal, viewer: Viewer, name: str, *actions: Action) -> Tenant:
    """The service a page is about: the one that is named, or the first where the person has one of the rights.

    Raises:
        NotFound: there is none of this name, or the person has no access to it.
        Forbidden: the rights are missing there, or everywhere.
    """
    allowed = viewer.with_right(*actions)
    if not name:
        if not allowed:
            raise Forbidden("open this page")
        return allowed[0]
    found = next((t for t in viewer.tenants if t.name == name), None) or _meant(viewer, name)
    if found is None:
        raise NotFound("service", name)
    if not any(viewer.principal.may(action, found.id) for action in actions):
        portal.parts.trail.require(viewer.principal, actions[0], found.id)
    return found


def _meant(viewer: Viewer, typed: str) -> Tenant | None:
    """The one service whose name or title is, or else has in it, what somebody typed; None where that is not one."""
    wanted = typed.strip().casefold()
    for fits in (wanted.__eq__, lambda text: bool(wanted) and wanted in text):
        found = [t for t in viewer.tenants if fits(t.title.casefold()) or fits(t.name.casefold())]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _given(form: Form) -> bytes | str:
    """The certificate: a file, or else pasted text.

    Raises:
        CertificateRejected: both were given.
    """
    chosen_file, pasted = form.file("file"), form.text("pasted")
    if chosen_file and pasted.strip():
        raise CertificateRejected(
            "several-certificates",
            message("A file was chosen, and text was pasted too."),
            message("Give one of the two."),
        )
    return chosen_file or pasted


def _held(portal: Portal, viewer: Viewer, tenant: Tenant, certificate_id: str) -> TenantCertificate:
    found = next((c for c in portal.parts.keyring.list(viewer.principal, tenant.id) if c.id == certificate_id), None)
    if found is None:
        raise NotFound("certificate", certificate_id)
    return found


def _page(
    request: Request, portal: Portal, viewer: Viewer, tenant: Tenant, refused: Exception | None = None
) -> Response:
    held = portal.parts.keyring.list(viewer.principal, tenant.id)
    tenant = portal.parts.reader.tenant(viewer.principal, tenant.id)
    pending: dict[str, Any] = {
        change.kind: change for change in portal.parts.changes.pending(viewer.principal, tenant.id)
    }
    return portal.page(
        request,
        "addons.html",
        viewer,
        refused=refused,
        tenant=tenant,
        choices=viewer.with_right(Action.KEYS),
        active=[c for c in held if c.state is not CertificateState.RETIRED],
        retired=[c for c in held if c.state is CertificateState.RETIRED],
        may_encrypt=switches.may_encrypt(held, portal.parts.clock()),
        pending=pending,
        may_vouch=viewer.may("tenants", tenant),
    )


def _certificate_page(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    tenant: Tenant,
    held: TenantCertificate,
    refused: Exception | None = None,
) -> Response:
    return portal.page(request, "certificate.html", viewer, refused=refused, tenant=tenant, held=held)
