"""The pages before one is signed in: sign in, register, get back in, accept an invitation."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial

from fastapi import Request, Response

from recpipe import languages
from recpipe.access.lockout import KNOWN_FOR, devices_of
from recpipe.access.login import Door, LoginResult
from recpipe.access.notices import CONFIRM_PATH
from recpipe.access.principal import Principal
from recpipe.errors import Conflict, CredentialsRejected, InputInvalid, LockedOut, RecpipeError, SecretUnreadable
from recpipe.messages import message
from recpipe.model import LinkPurpose
from recpipe.web.dashboard import letters
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import (
    SIGN_IN,
    Portal,
    SignedIn,
    ThePortal,
    keep_session,
    redirect,
    set_cookie,
    viewer_of,
)
from recpipe.web.dashboard.proving import ends
from recpipe.web.deps import SESSION_COOKIE, PasswordPlace, cookie_name
from recpipe.web.errors import Problem, problem_of
from recpipe.web.routes import page_router
from recpipe.web.security import address_of

TICKET = "recpipe_ticket"  # the password was right, the code is owed
_TICKET_SECONDS = 300
DEVICE_COOKIE = "recpipe_device"  # a browser that signed in before; opens nothing, see recpipe.access.lockout
HOME = "/services"

# One answer whatever is wrong, and true of each: a right password is not called wrong.
_NOBODY = message(
    "This user name and password do not sign in. Check both, then try again. An account that was invited or waits for "
    "approval has no password yet: its letter has the link to go on with. One that signs in with its company may have "
    "none. One that was switched off stays shut."
)

router = page_router()


@router.get("/")
def home(request: Request) -> Response:
    """Wherever a person starts."""
    viewer = viewer_of(request)
    return redirect("/statistics" if viewer.may("search") else HOME)


@router.get(SIGN_IN)
def sign_in_page(request: Request, portal: ThePortal, next: str = "") -> Response:
    """The form; who is signed in already goes on."""
    if request.cookies.get(cookie_name(request, SESSION_COOKIE)) and "done" not in request.query_params:
        try:
            viewer_of(request)
            return redirect(ours(next))
        except CredentialsRejected:
            pass
    return sign_in_form(request, portal, ours(next, ""))


@router.post(SIGN_IN)
def sign_in(request: Request, portal: ThePortal, form: Form, _place: PasswordPlace) -> Response:
    """Password first; then the code, where there is a second factor."""
    username, wanted = form.text("username"), ours(form.text("next"), "")
    address = address_of(request.scope)
    try:
        result = portal.parts.access.password(username, form.text("password"), address, Door.HTTP, _devices(request))
    except (CredentialsRejected, LockedOut) as refused:
        problem = _refused(refused, _NOBODY)
        return sign_in_form(request, portal, wanted, username, problem)
    return let_on(portal, request, result, wanted)


@router.post(f"{SIGN_IN}/code")
def second_factor(request: Request, portal: ThePortal, form: Form) -> Response:
    """The code of the authenticator app, or a recovery code."""
    wanted = ours(form.text("next"), "")
    ticket = request.cookies.get(cookie_name(request, TICKET), "")
    try:
        principal = portal.parts.access.second_factor(
            ticket, form.text("code"), address_of(request.scope), _devices(request)
        )
    except (CredentialsRejected, LockedOut, SecretUnreadable) as refused:
        words = message(
            "The code is not right, or was used before. Wait for the next one; after five minutes start again."
        )
        problem = _refused(refused, words)
        answer = portal.page(request, "second-factor.html", problem=problem, next=wanted, passkeys=False)
        answer.headers.update(problem.headers)
        return answer
    response = let_in(portal, request, principal, wanted)
    return set_cookie(request, response, TICKET, "", samesite="strict", seconds=0)


@router.post("/sign-out")
def sign_out(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """End this session, here and in the browser."""
    portal.parts.access.sessions.end(viewer.principal)
    return set_cookie(request, redirect(f"{SIGN_IN}?done=signed-out"), SESSION_COOKIE, "", samesite="lax", seconds=0)


# --- registering ----------------------------------------------------------------------------------------------


@router.get("/register")
def register_page(request: Request, portal: ThePortal) -> Response:
    """Ask for an account."""
    return _register(request, portal)


@router.post("/register")
def register(request: Request, portal: ThePortal, form: Form) -> Response:
    """Send a link to the address; the same answer and the same work whether it has an account or not."""
    email = form.text("username").strip()
    try:
        if not portal.parts.mailer.able:
            raise Conflict("no-mail", "This portal sends no mail, so nobody can register. Ask for an invitation.")
        secret = portal.parts.registration.ask(email, address_of(request.scope), display_name=form.text("display_name"))
    except RecpipeError as refused:
        return _register(request, portal, refused, email, form.text("display_name"))
    portal.parts.outbox.put(partial(letters.prove_address, portal, email, secret, languages.current()))
    return redirect(f"{SIGN_IN}?done=registered")


@router.get("/register/link")
def confirm_page(request: Request, portal: ThePortal) -> Response:
    """Where the letter leads. Opening it does nothing: scanners of mail do that."""
    return portal.page(request, "register-link.html", code="")


@router.post("/register/link")
def confirm(request: Request, portal: ThePortal, form: Form) -> Response:
    """The address is proven; an administrator can approve it from now on."""
    code = form.text("code").strip()
    try:
        user = portal.parts.registration.confirm(code, address_of(request.scope))
    except RecpipeError as refused:
        problem = _refused(refused, message("This link is too old. Register again."))
        return portal.page(request, "register-link.html", problem=problem, code=code)
    if user is not None:
        portal.parts.outbox.put(partial(letters.registration, portal, user.username))
    return redirect(f"{SIGN_IN}?done=confirmed")


def _register(
    request: Request, portal: Portal, refused: RecpipeError | None = None, username: str = "", display_name: str = ""
) -> Response:
    return portal.page(
        request,
        "register.html",
        refused=refused,
        able=portal.parts.mailer.able,
        username=username,
        display_name=display_name,
    )


# --- getting back in ------------------------------------------------------------------------------------------


@router.get("/recover")
def recover_page(request: Request, portal: ThePortal) -> Response:
    """Having trouble signing in?"""
    return portal.page(request, "recover.html", able=portal.parts.mailer.able)


@router.post("/recover")
def recover(request: Request, portal: ThePortal, form: Form) -> Response:
    """The same answer and the same work for every name; who it means is found out elsewhere."""
    name, address = form.text("name"), address_of(request.scope)
    try:
        portal.parts.links.ask(name, address)
    except LockedOut as locked:
        problem = problem_of(locked)
        return portal.page(request, "recover.html", problem=problem, able=portal.parts.mailer.able)
    if portal.parts.mailer.able:
        portal.parts.outbox.put(partial(letters.recoveries, portal, name, address, languages.current()))
    return redirect(f"{SIGN_IN}?done=recovery-sent")


@router.get("/recover/link")
def reset_page(request: Request, portal: ThePortal) -> Response:
    """Where the letter leads. The secret is behind the #, so it is in no log; the page moves it into its form."""
    return portal.page(request, "link.html", purpose="recovery", code="")


@router.post("/recover/link")
def reset(request: Request, portal: ThePortal, form: Form, _place: PasswordPlace) -> Response:
    """A new password for whoever has the link."""
    return _use_link(request, portal, form, LinkPurpose.RECOVERY)


@router.get("/welcome")
def welcome_page(request: Request, portal: ThePortal) -> Response:
    """Where an invitation leads."""
    return portal.page(request, "link.html", purpose="invitation", code="")


@router.post("/welcome")
def welcome(request: Request, portal: ThePortal, form: Form, _place: PasswordPlace) -> Response:
    """The invited person chooses a password."""
    return _use_link(request, portal, form, LinkPurpose.INVITATION)


@router.get(CONFIRM_PATH)
def confirm_email_page(request: Request, portal: ThePortal) -> Response:
    """Where a letter to a new address leads."""
    return portal.page(request, "confirm-email.html", code="")


@router.post(CONFIRM_PATH)
def confirm_email(request: Request, portal: ThePortal, form: Form) -> Response:
    """Whoever reads letters there confirms it; the address counts from now on."""
    code = form.text("code").strip()
    try:
        portal.parts.links.confirm_email(code, address_of(request.scope))
    except CredentialsRejected as refused:
        problem = _refused(
            refused, message("This link was used before, is too old, or another address was asked for since.")
        )
        problem = replace(problem, title=message("Nothing was changed"))
        return portal.page(request, "confirm-email.html", problem=problem, code=code)
    return redirect(f"{SIGN_IN}?done=email-confirmed")


def _use_link(request: Request, portal: Portal, form: Form, purpose: LinkPurpose) -> Response:
    code, address = form.text("code").strip(), address_of(request.scope)
    try:
        _same_twice(form.text("password"), form.text("again"))
        if purpose is LinkPurpose.INVITATION:
            portal.parts.links.accept(code, form.text("password"), address)
        else:
            portal.parts.links.reset(code, form.text("password"), address, end_tokens=ends(form)["end_tokens"])
    except RecpipeError as refused:
        words = message("This link was used before or is too old. Ask for a new one.")
        problem = _refused(refused, words) if isinstance(refused, CredentialsRejected) else problem_of(refused)
        return portal.page(request, "link.html", problem=problem, purpose=purpose.value, code=code)
    return redirect(f"{SIGN_IN}?done={'welcome' if purpose is LinkPurpose.INVITATION else 'password-reset'}")


# --- what they share ------------------------------------------------------------------------------------------


def ours(path: str, otherwise: str = "/") -> str:
    """A path of this site, for after the sign-in; never another site's address, whatever browsers make of it."""
    good = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if good and len(path) < 2000 else otherwise


def _same_twice(password: str, again: str) -> None:
    if password != again:
        raise InputInvalid("again", "The two passwords differ. Type the same one twice.")


def sign_in_form(
    request: Request, portal: Portal, wanted: str, username: str = "", problem: Problem | None = None
) -> Response:
    """The page to sign in on, with what went wrong."""
    providers = portal.parts.identity_providers
    own = providers.offered(None)
    answer = portal.page(
        request,
        "sign-in.html",
        problem=problem,
        next=wanted,
        username=username,
        own=own,
        passkeys=portal.parts.passkeys.able,
        elsewhere=own is not None or providers.offers(),
    )
    answer.headers.update(problem.headers if problem else {})
    return answer


def let_on(portal: Portal, request: Request, result: LoginResult, wanted: str, *, devices: bool = True) -> Response:
    """In, or to the second factor that is owed."""
    if result.principal is not None:
        return let_in(portal, request, result.principal, wanted, devices=devices)
    response = portal.page(request, "second-factor.html", next=wanted, passkeys=result.passkeys)
    return set_cookie(request, response, TICKET, result.ticket or "", samesite="strict", seconds=_TICKET_SECONDS)


def let_in(portal: Portal, request: Request, principal: Principal, wanted: str, *, devices: bool = True) -> Response:
    """A session of its own for every sign-in: one that somebody planted before is worth nothing.

    Args:
        devices: know this browser from now on. One that comes from another site has not sent the cookie that says
            whose it was before.
    """
    if old := request.cookies.get(cookie_name(request, SESSION_COOKIE)):
        with contextlib.suppress(CredentialsRejected):
            portal.parts.access.sessions.end(portal.parts.access.sessions.open(old, principal.address, enrolling=True))
    agent = request.headers.get("user-agent", "")
    secret = portal.parts.access.sessions.start(principal, principal.address, agent)
    answer: Response = redirect(wanted or "/")
    if devices:
        known = ".".join(portal.parts.access.trust(principal, _devices(request)))
        seconds = int(KNOWN_FOR.total_seconds())
        answer = set_cookie(request, answer, DEVICE_COOKIE, known, samesite="strict", seconds=seconds)
    return keep_session(request, answer, secret)


def _devices(request: Request) -> tuple[str, ...]:
    return devices_of(request.cookies.get(cookie_name(request, DEVICE_COOKIE), ""))


def _refused(error: RecpipeError, words: str) -> Problem:
    if not isinstance(error, CredentialsRejected):
        return problem_of(error)
    return Problem(403, "credentials-rejected", message("Not signed in"), words)
