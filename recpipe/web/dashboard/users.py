"""My Admin > Portal Users: list, create, invite, edit, role, status, services and actions, sessions, tokens."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import BackgroundTasks, Request, Response

from recpipe.access.accounts import Account
from recpipe.access.identity import token_lives
from recpipe.access.links import LinkFor
from recpipe.access.principal import GRANTABLE_ACTIONS, Action
from recpipe.errors import InputInvalid, ReauthenticationRequired, RecpipeError
from recpipe.messages import message
from recpipe.model import Role, UserStatus
from recpipe.web.dashboard import letters
from recpipe.web.dashboard.account import NOTIFICATIONS
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.dashboard.proving import ends, proof_of
from recpipe.web.deps import PasswordPlace
from recpipe.web.routes import page_router

ACTIONS = tuple(action for action in Action if action in GRANTABLE_ACTIONS)

# Of so many services each has its actions on the form; of more, those that are granted, and one set for what is added.
MOST_LISTED = 20
MOST_MODELS = 200  # names that are offered to be like; any other is typed

router = page_router()


@router.get("/users")
def users(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """Everybody this person may manage; who waits for approval comes first."""
    found = portal.parts.accounts.list(viewer.principal)
    granted = {grant.tenant_id for account in found for grant in account.grants}
    names = {t.id: t.title for t in portal.parts.reader.tenants(viewer.principal, among=granted)}
    order = sorted(found, key=lambda a: (a.user.status is not UserStatus.REGISTERED, a.user.username.casefold()))
    invited = any(account.user.status is UserStatus.PENDING for account in found)
    until = portal.parts.links.invited_until(viewer.principal) if invited else {}
    return portal.page(request, "users.html", viewer, accounts=order, names=names, until=until)


@router.get("/users/new")
def new(request: Request, portal: ThePortal, viewer: SignedIn, like: str = "") -> Response:
    """The form for somebody new, with the role and rights of somebody who is there if `like` names one."""
    portal.parts.accounts.list(viewer.principal)
    model = portal.parts.accounts.named(viewer.principal, like) if like else None
    return _form(request, portal, viewer, None, model=model)


@router.post("/users/new")
def create(
    request: Request, portal: ThePortal, viewer: SignedIn, form: Form, later: BackgroundTasks, _place: PasswordPlace
) -> Response:
    """Invite somebody, or make a user of a program."""
    accounts, by = portal.parts.accounts, viewer.principal
    try:
        role = _role(form)
        grants = _grants(form, viewer, role)
        if not role.has_password:
            made = accounts.create(
                by,
                form.text("username"),
                role,
                grants=grants,
                email=form.text("email"),
                display_name=form.text("display_name"),
                proof=proof_of(form),
            )
            return redirect(f"/users/{made.user.id}?done=user-created")
        link = portal.parts.links.invite(
            by,
            form.text("username"),
            role,
            grants=grants,
            email=form.text("email"),
            display_name=form.text("display_name"),
            provider_id=form.text("provider"),
            proof=proof_of(form),
        )
    except RecpipeError as refused:
        return _form(request, portal, viewer, None, refused=refused, typed=form)
    return _invited(request, portal, viewer, link)


@router.get("/users/{user_id}")
def edit(request: Request, portal: ThePortal, viewer: SignedIn, user_id: str) -> Response:
    """One user."""
    if user_id == viewer.user.id:
        return redirect("/account")
    return _form(request, portal, viewer, portal.parts.accounts.get(viewer.principal, user_id))


@router.post("/users/{user_id}")
def change(
    request: Request, portal: ThePortal, viewer: SignedIn, user_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """Role, status, services and actions, address, letters; who registered is approved by an invitation."""
    accounts, by = portal.parts.accounts, viewer.principal
    before, proof = accounts.get(by, user_id), proof_of(form)
    try:
        role = _role(form)
        changed = accounts.change(
            by,
            user_id,
            role=role,
            status=UserStatus(form.text("status")) if form.text("status") in list(UserStatus) else None,
            grants=_grants(form, viewer, role),
            email=form.text("email"),
            display_name=form.text("display_name"),
            notifications={name: form.on(f"notify-{name}") for name, _ in NOTIFICATIONS},
            proof=proof,
        )
        if form.on("approve"):
            return _invited(request, portal, viewer, portal.parts.links.invite_again(by, user_id, proof))
    except RecpipeError as refused:
        return _form(request, portal, viewer, before, refused=refused, typed=form)
    waits = changed.user.email_pending not in ("", before.user.email_pending)
    return redirect(f"/users?done={'email-asked' if waits else 'saved'}")


@router.post("/users/{user_id}/invite")
def invite(
    request: Request, portal: ThePortal, viewer: SignedIn, user_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """A fresh invitation; the one before is worth nothing."""
    try:
        link = portal.parts.links.invite_again(viewer.principal, user_id, proof_of(form))
    except ReauthenticationRequired as refused:
        return _refused(request, portal, viewer, user_id, refused)
    return _invited(request, portal, viewer, link)


@router.post("/users/{user_id}/password")
def password(
    request: Request, portal: ThePortal, viewer: SignedIn, user_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """A new password, shown once."""
    proof = proof_of(form)
    try:
        made = portal.parts.accounts.set_password(viewer.principal, user_id, None, proof=proof, **ends(form))
    except ReauthenticationRequired as refused:
        return _refused(request, portal, viewer, user_id, refused)
    account = portal.parts.accounts.get(viewer.principal, user_id)
    return _form(request, portal, viewer, account, secret=made.password, shown_as="password")


@router.post("/users/{user_id}/end-sessions")
def end_sessions(portal: ThePortal, viewer: SignedIn, user_id: str) -> Response:
    """Sign somebody out everywhere."""
    portal.parts.accounts.end_sessions(viewer.principal, user_id)
    return redirect(f"/users/{user_id}?done=user-sessions-ended")


@router.post("/users/{user_id}/second-factor/off")
def second_factor_off(
    request: Request, portal: ThePortal, viewer: SignedIn, user_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """For somebody who lost phone and recovery codes."""
    try:
        portal.parts.second_factor.reset(viewer.principal, user_id, proof_of(form))
    except ReauthenticationRequired as refused:
        return _refused(request, portal, viewer, user_id, refused)
    return redirect(f"/users/{user_id}?done=second-factor-reset")


@router.post("/users/{user_id}/remove")
def remove(portal: ThePortal, viewer: SignedIn, user_id: str) -> Response:
    """Delete a user; the audit log keeps the name."""
    portal.parts.accounts.remove(viewer.principal, user_id)
    return redirect("/users?done=user-removed")


# --- tokens of programs ---------------------------------------------------------------------------------------


@router.post("/users/{user_id}/tokens")
def create_token(
    request: Request, portal: ThePortal, viewer: SignedIn, user_id: str, form: Form, _place: PasswordPlace
) -> Response:
    """A token for a program, shown once."""
    account = portal.parts.accounts.get(viewer.principal, user_id)
    try:
        made = portal.parts.tokens.create(
            viewer.principal, user_id, form.text("label"), form.all("scope"), proof=proof_of(form)
        )
    except RecpipeError as refused:
        return _form(request, portal, viewer, account, refused=refused)
    return _form(request, portal, viewer, account, secret=made.secret, shown_as="token")


@router.post("/users/{user_id}/tokens/{token_id}/revoke")
def revoke_token(portal: ThePortal, viewer: SignedIn, user_id: str, token_id: str) -> Response:
    """End a token within a second."""
    portal.parts.tokens.revoke(viewer.principal, token_id)
    return redirect(f"/users/{user_id}?done=saved")


# --- what they share ------------------------------------------------------------------------------------------


def _role(form: Fields) -> Role:
    word = form.text("role")
    return Role(word) if word in list(Role) else Role.CLIENT


def _grants(form: Fields, viewer: Viewer, role: Role) -> dict[str, list[str]]:
    """Tenant id -> actions, from ticks; an administrator needs none.

    Raises:
        InputInvalid: a service user lacks actions in one of them.
    """
    if role.everything:
        return {}
    ticked = set(form.all("tenant"))
    grants = {t: _ticked(form, t.id) for t in viewer.tenants if t.id in ticked}
    for tenant, actions in grants.items():
        if role.needs_actions and not actions:
            raise InputInvalid(
                "grants",
                message("Tick what this Service User may do in {title}, such as Search and Play.", title=tenant.title),
            )
    return {tenant.id: actions for tenant, actions in grants.items()}


def _ticked(form: Fields, tenant_id: str) -> list[str]:
    """The actions ticked for a service: its own, or those of all that were added."""
    its_own = form.all(f"action-{tenant_id}")
    return its_own if its_own or tenant_id in form.all("own") else form.all("action-added")


def _refused(
    request: Request, portal: Portal, viewer: Viewer, user_id: str, refused: ReauthenticationRequired
) -> Response:
    return _form(request, portal, viewer, portal.parts.accounts.get(viewer.principal, user_id), refused=refused)


def _invited(request: Request, portal: Portal, viewer: Viewer, link: LinkFor) -> Response:
    sent = letters.invitation(portal, link)
    return portal.page(
        request, "invited.html", viewer, user=link.user, link=letters.invitation_link(portal, link), sent=sent
    )


def _form(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    account: Account | None,
    *,
    model: Account | None = None,
    refused: RecpipeError | None = None,
    typed: Fields | None = None,
    secret: str | None = None,
    shown_as: str = "",
) -> Response:
    values: dict[str, str] = {"username": "", "display_name": "", "email": "", "role": "client", "provider": ""}
    # A user without a service is of no use, so the only one there is needs no tick.
    granted: dict[str, Sequence[str]] = {t.id: () for t in viewer.tenants if len(viewer.tenants) == 1}
    if account is not None:
        values = {
            name: str(getattr(account.user, name)) for name in ("username", "email", "role", "display_name", "status")
        }
    if model is not None:
        values["role"] = model.user.role.value
    if shown := account or model:
        granted = {grant.tenant_id: grant.actions for grant in shown.grants}
    if typed is not None:
        values = {name: typed.text(name, value) for name, value in values.items()}
        granted = {tenant_id: _ticked(typed, tenant_id) for tenant_id in typed.all("tenant")}
    tokens = portal.parts.tokens.list(viewer.principal, account.user.id) if account else []
    few = len(viewer.tenants) <= MOST_LISTED
    return portal.page(
        request,
        "user-edit.html",
        viewer,
        refused=refused,
        account=account,
        models=[] if account else portal.parts.accounts.list(viewer.principal)[:MOST_MODELS],
        model=model,
        values=values,
        granted=granted,
        listed=[t for t in viewer.tenants if few or t.id in granted],
        others=[t for t in viewer.tenants if not few and t.id not in granted],
        actions=ACTIONS,  # also of tokens: the rights of their user still bound them
        roles=[r for r in Role if not r.everything or viewer.principal.unlimited],
        notifications=NOTIFICATIONS,
        tokens=tokens,
        live=[t for t in tokens if account and token_lives(t, account.user, portal.parts.clock())],
        secret=secret,
        shown_as=shown_as,
        offers=[] if account else portal.parts.identity_providers.known(viewer.principal),
    )
