"""My Account: contact details, password, notification choices, two-factor sign-in, sessions."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, Response
from markupsafe import Markup

from recpipe import languages
from recpipe.access.identity import token_lives
from recpipe.access.principal import GRANTABLE_ACTIONS, Action
from recpipe.access.reauthentication import Proof
from recpipe.access.second_factor import Enrolment
from recpipe.errors import InputInvalid, NotFound, RecpipeError
from recpipe.messages import message
from recpipe.model import Token
from recpipe.times import check_timezone
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import ZONE, Portal, SignedIn, ThePortal, Viewer, keep_session, redirect
from recpipe.web.dashboard.proving import ends, proof_of
from recpipe.web.deps import PasswordPlace
from recpipe.web.routes import page_router

CONTACT = (("phone", message("Telephone")), ("company", message("Company")), ("address", message("Address")))
NOTIFICATIONS = (
    ("certificates", message("A certificate of my services expires (90, 30 and 7 days before)")),
    ("registrations", message("Somebody registers (administrators)")),
    ("quarantine", message("Files wait in quarantine (once a day at most)")),
    ("completeness", message("Calls were not recorded as they should be (once a day at most)")),
    ("completeness-month", message("How many calls of a month were recorded (monthly)")),
    ("statistics", message("What the calls of my services came to (once a month)")),
)

router = page_router()


@router.get("/account")
def account(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """Everything about oneself."""
    return account_page(request, portal, viewer)


@router.post("/account/details")
def details(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Name, contact details, and with the password the address to write to."""
    try:
        changed = portal.parts.accounts.change(
            viewer.principal,
            viewer.user.id,
            email=form.text("email", viewer.user.email),
            display_name=form.text("display_name"),
            contact=_contact(form),
            proof=proof_of(form),
        )
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    waits = changed.user.email_pending not in ("", viewer.user.email_pending)
    return redirect(f"/account?done={'email-asked' if waits else 'saved'}")


def _contact(form: Fields) -> dict[str, str]:
    """The contact details that were filled in.

    Raises:
        InputInvalid: the time zone is none.
    """
    given = {name: form.text(name) for name in (*dict(CONTACT), ZONE, languages.CHOICE) if form.text(name).strip()}
    if given.get(languages.CHOICE, languages.ENGLISH) not in languages.known():
        raise InputInvalid(languages.CHOICE, "There is no such language. Choose one of the list.")
    try:
        return given | ({ZONE: check_timezone(given[ZONE].strip())} if ZONE in given else {})
    except ValueError as error:
        raise InputInvalid(ZONE, error.args[0]) from None


@router.post("/account/email/keep")
def keep_email(portal: ThePortal, viewer: SignedIn) -> Response:
    """Forget the address that waits to be confirmed."""
    portal.parts.accounts.keep_email(viewer.principal, viewer.user.id)
    return redirect("/account?done=email-kept")


@router.post("/account/notifications")
def notifications(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Which letters one wants."""
    wanted = {name: form.on(name) for name, _ in NOTIFICATIONS}
    portal.parts.accounts.change(viewer.principal, viewer.user.id, notifications=wanted)
    return redirect("/account?done=saved")


@router.post("/account/password")
def password(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """A new password; sessions and tokens end unless they were unticked, and this session gets another secret."""
    try:
        if form.text("password") != form.text("again"):
            raise InputInvalid("again", "The two new passwords differ. Type the same one twice.")
        portal.parts.accounts.change_own_password(
            viewer.principal, form.text("old"), form.text("password"), **ends(form)
        )
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    return _rotated(portal, request, viewer, redirect("/account?done=password-changed"))


# --- two-factor sign-in ---------------------------------------------------------------------------------------


@router.post("/account/second-factor")
def begin(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """A fresh secret to put into an authenticator app; nothing is kept yet."""
    return _enrol(request, portal, viewer, portal.parts.second_factor.begin(viewer.principal))


@router.post("/account/second-factor/confirm")
def confirm(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """On, once the app makes right codes; the recovery codes are in this answer and nowhere else."""
    secret = form.text("secret")
    try:
        codes = portal.parts.second_factor.confirm(
            viewer.principal, Proof(form.text("password")), secret, form.text("code")
        )
    except RecpipeError as refused:
        if isinstance(refused, InputInvalid) and refused.field == "secret":
            return account_page(request, portal, viewer, refused)
        again = portal.parts.second_factor.shown(viewer.principal, secret)
        return _enrol(request, portal, viewer, again, refused)
    return _rotated(portal, request, viewer, _codes(request, portal, viewer, codes))


@router.post("/account/second-factor/codes")
def new_codes(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Fresh recovery codes."""
    try:
        codes = portal.parts.second_factor.new_recovery_codes(viewer.principal, proof_of(form, "password"))
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    return _codes(request, portal, viewer, codes)


@router.post("/account/second-factor/off")
def off(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """Off, with the password or a code."""
    try:
        portal.parts.second_factor.switch_off(viewer.principal, proof_of(form, "password"))
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    return _rotated(portal, request, viewer, redirect("/account?done=second-factor-off"))


# --- tokens ---------------------------------------------------------------------------------------------------


@router.post("/account/tokens")
def make_token(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, _place: PasswordPlace) -> Response:
    """A token of one's own, shown once."""
    try:
        made = portal.parts.tokens.create(
            viewer.principal, viewer.user.id, form.text("label"), form.all("scope"), proof=proof_of(form)
        )
    except RecpipeError as refused:
        return account_page(request, portal, viewer, refused)
    return account_page(request, portal, viewer, secret=made.secret)


@router.post("/account/tokens/{token_id}/end")
def end_token(portal: ThePortal, viewer: SignedIn, token_id: str) -> Response:
    """End one of one's own tokens, within a second everywhere."""
    if all(token.id != token_id for token in _tokens(portal, viewer)):
        raise NotFound("token", token_id)
    portal.parts.tokens.revoke(viewer.principal, token_id)
    return redirect("/account?done=token-ended")


# --- sessions -------------------------------------------------------------------------------------------------


@router.post("/account/sessions/{session_id}/end")
def end(request: Request, portal: ThePortal, viewer: SignedIn, session_id: str) -> Response:
    """End one of one's own sessions."""
    portal.parts.access.sessions.end(viewer.principal, session_id)
    return redirect("/account?done=session-ended")


@router.post("/account/sessions/end-others")
def end_others(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """End all but this one."""
    portal.parts.access.sessions.end_others(viewer.principal)
    return redirect("/account?done=sessions-ended")


# --- what they share ------------------------------------------------------------------------------------------


def _rotated(portal: Portal, request: Request, viewer: Viewer, response: Response) -> Response:
    """Rights changed, so the cookie does too."""
    return keep_session(request, response, portal.parts.access.sessions.rotate(viewer.principal))


def _tokens(portal: Portal, viewer: Viewer) -> Sequence[Token]:
    """One's own that still open something, the newest first."""
    now = portal.parts.clock()
    every = portal.parts.tokens.list(viewer.principal, viewer.user.id)
    return [token for token in reversed(every) if token_lives(token, viewer.user, now)]


def _enrol(
    request: Request, portal: Portal, viewer: Viewer, enrolment: Enrolment, refused: RecpipeError | None = None
) -> Response:
    secret = enrolment.secret
    return portal.page(
        request,
        "second-factor-on.html",
        viewer,
        refused=refused,
        secret=secret,
        spaced=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        uri=enrolment.uri,
        code=qr_code(enrolment.uri),
    )


def qr_code(text: str) -> Markup:
    """A QR code as an SVG element; the size comes from the style sheet.

    Raises:
        ValueError: the text is too long for one.
    """
    import segno

    svg = segno.make_qr(text, error="m").svg_inline(light="#fff", dark="#000", omitsize=True, lineclass=None)
    return Markup(svg)  # noqa: S704 - of the text it holds squares alone


def _codes(request: Request, portal: Portal, viewer: Viewer, codes: Sequence[str]) -> Response:
    return portal.page(request, "recovery-codes.html", viewer, codes=codes)


def account_page(
    request: Request, portal: Portal, viewer: Viewer, refused: RecpipeError | None = None, secret: str = ""
) -> Response:
    """My Account, with what was refused or is shown once."""
    identities = portal.parts.federation.list(viewer.principal)
    linked = {identity.issuer for identity in identities}
    offers = portal.parts.federation.linkable(viewer.principal)
    return portal.page(
        request,
        "account.html",
        viewer,
        refused=refused,
        sessions=portal.parts.access.sessions.list(viewer.principal),
        tokens=_tokens(portal, viewer),
        actions=[a for a in Action if a in GRANTABLE_ACTIONS and viewer.may(a)],
        secret=secret,
        contact=CONTACT,
        languages=languages.names(),
        choices=NOTIFICATIONS,
        has_mail=portal.parts.mailer.able,
        passkeys=portal.parts.passkeys.list(viewer.principal),
        has_passkeys=portal.parts.passkeys.able,
        identities=identities,
        offers=[offer for offer in offers if offer.provider.issuer not in linked],
    )
