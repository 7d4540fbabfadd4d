"""Operation > Identity Providers: where the people of a service, or of the installation, sign in elsewhere."""

from __future__ import annotations

from fastapi import Request, Response

from recpipe.errors import InputInvalid, RecpipeError
from recpipe.model import FactorsAtProvider, Tenant
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.dashboard.proving import proof_of
from recpipe.web.deps import PasswordPlace
from recpipe.web.routes import page_router

PATH = "/identity-providers"
INSTALLATION = "-"  # as on the command line
_FIELDS = ("issuer", "client_id", "label", "factors", "acr_values", "enabled")

router = page_router()


@router.get(PATH)
def providers(request: Request, portal: ThePortal, viewer: SignedIn, service: str = INSTALLATION) -> Response:
    """All of them, and the form for that of one service, or of the installation."""
    return _page(request, portal, viewer, service)


@router.post(PATH)
def save(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Set it up, or change it; the provider is asked whether it is there."""
    service = form.text("service", INSTALLATION)
    try:
        tenant = _tenant(portal, viewer, service)
        portal.parts.identity_providers.set(
            viewer.principal,
            tenant.id if tenant else None,
            form.text("issuer").strip(),
            form.text("client_id").strip(),
            client_secret=form.text("client_secret") or None,
            label=form.text("label"),
            factors=_factors(form),
            acr_values=form.lines("acr_values"),
            enabled=form.on("enabled"),
            proof=proof_of(form),
        )
    except RecpipeError as refused:
        return _page(request, portal, viewer, service, refused, form)
    return redirect(f"{PATH}?service={tenant.name if tenant else INSTALLATION}&done=saved")


@router.post(f"{PATH}/remove")
def remove(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Forget it; the sessions that it opened end."""
    service = form.text("service", INSTALLATION)
    try:
        tenant = _tenant(portal, viewer, service)
        portal.parts.identity_providers.remove(viewer.principal, tenant.id if tenant else None, proof_of(form))
    except RecpipeError as refused:
        return _page(request, portal, viewer, service, refused)
    return redirect(f"{PATH}?done=saved")


def _page(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    service: str,
    refused: RecpipeError | None = None,
    typed: Fields | None = None,
) -> Response:
    offers = portal.parts.identity_providers.list(viewer.principal)
    tenant = _tenant(portal, viewer, service)
    chosen = next((o.provider for o in offers if o.provider.tenant_id == (tenant.id if tenant else None)), None)
    values = {
        "issuer": chosen.issuer if chosen else "",
        "client_id": chosen.client_id if chosen else "",
        "label": chosen.label if chosen else "",
        "factors": chosen.factors.value if chosen else FactorsAtProvider.ONE.value,
        "acr_values": ", ".join(chosen.acr_values) if chosen else "",
        "enabled": "yes" if chosen is None or chosen.enabled else "",
    }
    if typed is not None:
        values = {name: typed.text(name) for name in _FIELDS}
    return portal.page(
        request,
        "identity-providers.html",
        viewer,
        refused=refused,
        offers=offers,
        tenant=tenant,
        chosen=chosen,
        redirect_uri=portal.parts.federation.redirect_uri(chosen) if chosen else "",
        values=values,
    )


def _tenant(portal: Portal, viewer: Viewer, service: str) -> Tenant | None:
    return None if service == INSTALLATION else portal.parts.reader.tenant_named(viewer.principal, service)


def _factors(form: Fields) -> FactorsAtProvider:
    try:
        return FactorsAtProvider(form.text("factors"))
    except ValueError:
        raise InputInvalid("factors", "Choose what a sign-in there counts for.") from None
