"""Passkeys: signing in with one, and one's own under My Account."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request, Response
from starlette.responses import JSONResponse

from recpipe.access.passkeys import QUESTION_TIME, Question
from recpipe.errors import Conflict, CredentialsRejected, LockedOut, RecpipeError
from recpipe.languages import said
from recpipe.messages import message
from recpipe.web.dashboard.account import account_page
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import SignedIn, ThePortal, keep_session, redirect, set_cookie, told
from recpipe.web.dashboard.proving import proof_of
from recpipe.web.dashboard.signing_in import TICKET, let_in, ours, sign_in_form
from recpipe.web.deps import PasswordPlace, cookie_name
from recpipe.web.errors import Problem, problem_of
from recpipe.web.routes import page_router
from recpipe.web.security import address_of

COOKIE = "recpipe_passkey"
SIGN_IN_PATH = "/sign-in/passkey"

router = page_router()


@router.post(f"{SIGN_IN_PATH}/options")
def options(request: Request, portal: ThePortal, form: Form) -> Response:
    """What to ask the browser for: of anybody, or behind a password that was right."""
    ticket = _ticket(request) if form.on("second") else ""
    try:
        return _asking(request, portal.parts.passkeys.begin(ticket))
    except (CredentialsRejected, Conflict) as refused:
        problem = problem_of(refused)
        if isinstance(refused, CredentialsRejected):
            problem = replace(problem, status=403, detail=message("This took longer than five minutes. Start again."))
        return JSONResponse({"error": said(problem.detail)}, problem.status)


@router.post(SIGN_IN_PATH)
def sign_in(request: Request, portal: ThePortal, form: Form) -> Response:
    """In, where the answer is right."""
    wanted = ours(form.text("next"), "")
    ticket = _ticket(request) if form.on("second") else ""
    cookie = request.cookies.get(cookie_name(request, COOKIE), "")
    try:
        principal = portal.parts.passkeys.sign_in(cookie, form.text("credential"), ticket, address_of(request.scope))
    except (CredentialsRejected, LockedOut) as refused:
        problem = problem_of(refused)
        if isinstance(refused, CredentialsRejected):
            words = message("This passkey opens no account here, or it took too long. Try again, or use your password.")
            problem = Problem(403, "credentials-rejected", message("Not signed in"), words)
        return _done(request, sign_in_form(request, portal, wanted, problem=problem))
    response = set_cookie(request, let_in(portal, request, principal, wanted), TICKET, "", samesite="strict", seconds=0)
    return _done(request, response)


@router.post("/account/passkeys/options")
def registration(portal: ThePortal, request: Request, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """What to have the browser make; the password first."""
    try:
        return _asking(request, portal.parts.passkeys.begin_registration(viewer.principal, proof_of(form)))
    except RecpipeError as refused:
        problem = told(refused)
        return JSONResponse({"error": said(problem.detail)}, problem.status)


@router.post("/account/passkeys")
def register(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Keep what it made; the first second factor comes with recovery codes."""
    cookie = request.cookies.get(cookie_name(request, COOKIE), "")
    try:
        codes = portal.parts.passkeys.register(viewer.principal, cookie, form.text("credential"), form.text("label"))
    except RecpipeError as refused:
        return _done(request, account_page(request, portal, viewer, refused))
    if codes:
        page = portal.page(request, "recovery-codes.html", viewer, codes=codes)
    else:
        page = redirect("/account?done=passkey-added")
    return _done(request, keep_session(request, page, portal.parts.access.sessions.rotate(viewer.principal)))


@router.post("/account/passkeys/{passkey_id}/remove")
def remove(
    request: Request, portal: ThePortal, viewer: SignedIn, passkey_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """Forget one of one's own."""
    try:
        portal.parts.passkeys.remove(viewer.principal, passkey_id, proof_of(form))
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    page = redirect("/account?done=passkey-removed")
    return keep_session(request, page, portal.parts.access.sessions.rotate(viewer.principal))


def _asking(request: Request, question: Question) -> Response:
    response = Response(question.options, media_type="application/json")
    seconds = int(QUESTION_TIME.total_seconds())
    return set_cookie(request, response, COOKIE, question.cookie, samesite="strict", seconds=seconds)


def _done(request: Request, response: Response) -> Response:
    return set_cookie(request, response, COOKIE, "", samesite="strict", seconds=0)


def _ticket(request: Request) -> str:
    return request.cookies.get(cookie_name(request, TICKET), "")
