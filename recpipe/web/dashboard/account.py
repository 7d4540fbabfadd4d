"""My Account: contact details, password, notification choices, two-factor sign-in, sessions."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from recpipe.access import totp
from recpipe.access.second_factor import ISSUER, Enrolment
from recpipe.errors import CredentialsRejected, InputInvalid, RecpipeError
from recpipe.web.dashboard import qr
from recpipe.web.dashboard.desk import Desk, Looking, TheDesk, Viewer, keep_session, redirect
from recpipe.web.dashboard.forms import Form
from recpipe.web.deps import PasswordPlace
from recpipe.web.errors import Problem, problem_of

CONTACT = (("phone", "Telephone"), ("company", "Company"), ("address", "Address"))
NOTIFICATIONS = (
    ("certificates", "A certificate of my services expires (90, 30 and 7 days before)"),
    ("registrations", "Somebody registers (administrators)"),
    ("quarantine", "Files wait in quarantine (once a day at most)"),
)

router = APIRouter(include_in_schema=False)


@router.get("/account")
def account(request: Request, desk: TheDesk, viewer: Looking) -> Response:
    """Everything about oneself."""
    return _page(request, desk, viewer)


@router.post("/account/details")
def details(request: Request, desk: TheDesk, viewer: Looking, form: Form) -> Response:
    """Name, address to write to, contact details."""
    try:
        desk.context.accounts.change(
            viewer.principal,
            viewer.user.id,
            email=form.text("email"),
            display_name=form.text("display_name"),
            contact={name: form.text(name) for name, _ in CONTACT if form.text(name).strip()},
        )
    except RecpipeError as refused:
        return _page(request, desk, viewer, refused)
    return redirect("/account?done=saved")


@router.post("/account/notifications")
def notifications(request: Request, desk: TheDesk, viewer: Looking, form: Form) -> Response:
    """Which letters one wants."""
    wanted = {name: form.on(name) for name, _ in NOTIFICATIONS}
    desk.context.accounts.change(viewer.principal, viewer.user.id, notifications=wanted)
    return redirect("/account?done=saved")


@router.post("/account/password")
def password(request: Request, desk: TheDesk, viewer: Looking, form: Form, _place: PasswordPlace) -> Response:
    """A new password; all other sessions end, and this one gets another secret."""
    try:
        if form.text("password") != form.text("again"):
            raise InputInvalid("again", "The two new passwords differ. Type the same one twice.")
        desk.context.accounts.change_own_password(viewer.principal, form.text("old"), form.text("password"))
    except RecpipeError as refused:
        return _page(request, desk, viewer, refused)
    return _rotated(desk, request, viewer, redirect("/account?done=password-changed"))


# --- two-factor sign-in ---------------------------------------------------------------------------------------


@router.post("/account/second-factor")
def begin(request: Request, desk: TheDesk, viewer: Looking) -> Response:
    """A fresh secret to put into an authenticator app; nothing is kept yet."""
    return _enrol(request, desk, viewer, desk.second_factor.begin(viewer.principal))


@router.post("/account/second-factor/confirm")
def confirm(request: Request, desk: TheDesk, viewer: Looking, form: Form, _place: PasswordPlace) -> Response:
    """On, once the app makes right codes; the recovery codes are in this answer and nowhere else."""
    secret = form.text("secret")
    try:
        codes = desk.second_factor.confirm(viewer.principal, form.text("password"), secret, form.text("code"))
    except RecpipeError as refused:
        if isinstance(refused, InputInvalid) and refused.field == "secret":
            return _page(request, desk, viewer, refused)
        again = Enrolment(secret, totp.uri(secret, viewer.principal.name, ISSUER))
        return _enrol(request, desk, viewer, again, refused)
    return _rotated(desk, request, viewer, _codes(request, desk, viewer, codes))


@router.post("/account/second-factor/codes")
def new_codes(request: Request, desk: TheDesk, viewer: Looking, form: Form, _place: PasswordPlace) -> Response:
    """Fresh recovery codes."""
    try:
        codes = desk.second_factor.new_recovery_codes(viewer.principal, form.text("password"))
    except RecpipeError as refused:
        return _page(request, desk, viewer, refused)
    return _codes(request, desk, viewer, codes)


@router.post("/account/second-factor/off")
def off(request: Request, desk: TheDesk, viewer: Looking, form: Form, _place: PasswordPlace) -> Response:
    """Off, with the password."""
    try:
        desk.second_factor.switch_off(viewer.principal, form.text("password"))
    except RecpipeError as refused:
        return _page(request, desk, viewer, refused)
    return _rotated(desk, request, viewer, redirect("/account?done=second-factor-off"))


# --- sessions -------------------------------------------------------------------------------------------------


@router.post("/account/sessions/{session_id}/end")
def end(request: Request, desk: TheDesk, viewer: Looking, session_id: str) -> Response:
    """End one of one's own sessions."""
    desk.context.access.sessions.end(viewer.principal, session_id)
    return redirect("/account?done=session-ended")


@router.post("/account/sessions/end-others")
def end_others(request: Request, desk: TheDesk, viewer: Looking) -> Response:
    """End all but this one."""
    desk.context.access.sessions.end_others(viewer.principal)
    return redirect("/account?done=sessions-ended")


# --- what they share ------------------------------------------------------------------------------------------


def _rotated(desk: Desk, request: Request, viewer: Viewer, response: Response) -> Response:
    """Rights changed, so the cookie does too."""
    return keep_session(request, response, desk.context.access.sessions.rotate(viewer.principal))


def _problem(refused: RecpipeError) -> Problem:
    if isinstance(refused, CredentialsRejected):
        return Problem(403, "credentials-rejected", "Nothing was changed", "The password you typed is not yours.")
    return problem_of(refused)


def _enrol(
    request: Request, desk: Desk, viewer: Viewer, enrolment: Enrolment, refused: RecpipeError | None = None
) -> Response:
    problem = _problem(refused) if refused else None
    secret = enrolment.secret
    return desk.page(
        request,
        "second-factor-on.html",
        viewer,
        status=problem.status if problem else 200,
        problem=problem,
        secret=secret,
        spaced=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        uri=enrolment.uri,
        code=qr.path(enrolment.uri),
    )


def _codes(request: Request, desk: Desk, viewer: Viewer, codes: Sequence[str]) -> Response:
    return desk.page(request, "recovery-codes.html", viewer, codes=codes)


def _page(request: Request, desk: Desk, viewer: Viewer, refused: RecpipeError | None = None) -> Response:
    problem = _problem(refused) if refused else None
    return desk.page(
        request,
        "account.html",
        viewer,
        status=problem.status if problem else 200,
        problem=problem,
        sessions=desk.context.access.sessions.list(viewer.principal),
        contact=CONTACT,
        choices=NOTIFICATIONS,
        has_mail=desk.mail.able,
    )
