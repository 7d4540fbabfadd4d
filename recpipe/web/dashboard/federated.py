"""Signing in at an identity provider: the way there, the way back, invitations, and what is linked to oneself."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request, Response

from recpipe.access.federation import FLOW_TIME, PATH, Begun
from recpipe.access.principal import Principal
from recpipe.errors import CredentialsRejected, IssuerUnavailable, LockedOut, NotFound, RecpipeError, SignInRefused
from recpipe.messages import message
from recpipe.web.dashboard.account import account_page
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import SignedIn, ThePortal, redirect, set_cookie, viewer_of
from recpipe.web.dashboard.proving import proof_of
from recpipe.web.dashboard.signing_in import let_on, ours, sign_in_form
from recpipe.web.deps import PasswordPlace, cookie_name
from recpipe.web.errors import Problem, problem_of
from recpipe.web.routes import page_router
from recpipe.web.security import address_of

FLOW_COOKIE = "recpipe_oidc"
_ANSWERS = ("code", "state", "iss", "error")
_LONGEST_WAY_BACK = 1000  # bytes; it travels in a cookie
ACCEPTANCE = "/welcome/oidc"

router = page_router()


@router.get(PATH)
def which(request: Request, portal: ThePortal, service: str = "", next: str = "") -> Response:
    """Which provider: that of a service, by its name."""
    name = service.strip()[:100]
    offer = portal.parts.identity_providers.offered(name) if name else None
    problem = None
    if name and offer is None:
        problem = Problem(
            404, "not-found", message("Not found"), message("No service of this name has a sign-in of its own.")
        )
    return portal.page(
        request, "sign-in-elsewhere.html", problem=problem, service=name, next=ours(next, ""), offer=offer
    )


@router.get(PATH + "/{provider_id}")
def go(request: Request, portal: ThePortal, provider_id: str, next: str = "") -> Response:
    """To the provider. By a link, since no form of ours may lead elsewhere."""
    wanted = ours(next)
    wanted = wanted if len(wanted.encode()) <= _LONGEST_WAY_BACK else "/"
    try:
        begun = portal.parts.federation.begin(provider_id, wanted)
    except (NotFound, IssuerUnavailable) as refused:
        return sign_in_form(request, portal, wanted, problem=_told(refused))
    return _with_flow(request, redirect(begun.url), begun)


@router.get(PATH + "/{provider_id}/callback")
def back(request: Request, portal: ThePortal, provider_id: str) -> Response:
    """From the provider, with a code that is worth nothing without the cookie of this browser."""
    answer = {name: request.query_params.get(name, "")[:4096] for name in _ANSWERS}
    cookie = request.cookies.get(cookie_name(request, FLOW_COOKIE), "")
    try:
        done = portal.parts.federation.finish(
            provider_id, answer, cookie, address_of(request.scope), _signed_in(request)
        )
    except (SignInRefused, IssuerUnavailable, LockedOut) as refused:
        response = sign_in_form(request, portal, "", problem=_told(refused))
    else:
        if done.login is None:
            response = redirect(done.wanted)
        else:
            response = let_on(portal, request, done.login, done.wanted, devices=False)
    return set_cookie(request, response, FLOW_COOKIE, "", samesite="lax", seconds=0)


@router.get(ACCEPTANCE)
def acceptance_page(request: Request, portal: ThePortal) -> Response:
    """Where an invitation leads that names a provider."""
    return portal.page(request, "link-elsewhere.html", code="")


@router.post(ACCEPTANCE)
def acceptance(request: Request, portal: ThePortal, form: Form) -> Response:
    """The invitation is used up on the way back."""
    code = form.text("code").strip()
    try:
        begun = portal.parts.federation.begin_acceptance(code)
    except (CredentialsRejected, NotFound, IssuerUnavailable) as refused:
        problem = _told(refused)
        if isinstance(refused, CredentialsRejected):
            words = message("This link was used before or is too old. Ask for a new one.")
            problem = Problem(403, "credentials-rejected", message("Not signed in"), words)
        answer = portal.page(request, "link-elsewhere.html", problem=problem, code=code)
        answer.headers.update(problem.headers)
        return answer
    return _with_flow(request, portal.page(request, "go-on.html", url=begun.url, offer=begun.offer), begun)


@router.post("/account/identities")
def link(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Link who one is at a provider; the password first."""
    try:
        begun = portal.parts.federation.begin_link(viewer.principal, form.text("provider"), proof_of(form))
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    page = portal.page(request, "go-on.html", viewer, url=begun.url, offer=begun.offer)
    return _with_flow(request, page, begun)


@router.post("/account/identities/{identity_id}/remove")
def unlink(
    request: Request, portal: ThePortal, viewer: SignedIn, identity_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """Unlink one of one's own."""
    try:
        portal.parts.federation.unlink(viewer.principal, identity_id, proof_of(form))
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    return redirect("/account?done=identity-unlinked")


def _with_flow(request: Request, response: Response, begun: Begun) -> Response:
    # Lax: the way back is a link from another site.
    seconds = int(FLOW_TIME.total_seconds())
    return set_cookie(request, response, FLOW_COOKIE, begun.cookie, samesite="lax", seconds=seconds)


def _signed_in(request: Request) -> Principal | None:
    try:
        return viewer_of(request).principal
    except RecpipeError:
        return None


def _told(refused: RecpipeError) -> Problem:
    problem = problem_of(refused)
    if isinstance(refused, NotFound):
        return replace(problem, detail=message("This sign-in is not there any more. Choose another way."))
    return problem
