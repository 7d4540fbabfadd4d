"""`recpipe user` and `recpipe token`: people and programs, and what they may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import GRANTABLE_ACTIONS, Action, operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import (
    AskPassword,
    PasswordStdin,
    Unknown,
    chosen_password,
    moment,
    tenant_named,
    within_words,
)
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import Role, UserStatus

if TYPE_CHECKING:
    from datetime import datetime

    from recpipe.access.accounts import Account
    from recpipe.model import Token
    from recpipe.wiring import Parts

group = typer.Typer(no_args_is_help=True, help="People and programs, and the tenants that are theirs.")
tokens = typer.Typer(no_args_is_help=True, help="API tokens: what programs sign in with.")

Username = Annotated[str, typer.Argument(metavar="USER", help="An e-mail address or a short name.")]
Grants = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TENANT[:ACTION,...]",
        help=f"A tenant, and what may be done with it: {', '.join(a for a in Action if a in GRANTABLE_ACTIONS)}. "
        "Without actions: what the role allows. May be repeated.",
    ),
]
Email = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Where mail goes. Default: the user name.", show_default=False)
]
DisplayName = Annotated[str | None, typer.Option(metavar="TEXT", help="Name for people.", show_default=False)]


@group.command()
def create(
    context: typer.Context,
    username: Username,
    role: Annotated[Role, typer.Option(help="What kind of user.")] = Role.CLIENT,
    grant: Grants = None,
    email: Email = None,
    display_name: DisplayName = None,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    json: AsJson = False,
) -> None:
    """Make a user. Without a password of your own one is made and shown, this once. API users have tokens instead.

    What is made signs in for 72 hours: another is chosen by then, under My Account. What you type stays.

    [bold]recpipe user create ann@acme.example --grant acme[/]
    [bold]recpipe user create exports --role api --grant acme:search,export[/]
    """

    if not role.has_password and (ask_password or password_stdin):
        raise InputInvalid("password", "An API user has no password. Make it a token: recpipe token create")
    password = chosen_password(ask=ask_password, stdin=password_stdin)
    me = operator()
    with frame.opened(context) as parts:
        made = parts.accounts.create(
            me,
            username,
            role,
            grants=_grants(parts, grant or ()),
            password=password,
            generate=password is None and role.has_password,
            email=email or "",
            display_name=display_name or "",
        )
        account = parts.accounts.get(me, made.user.id)
        if json:
            frame.print_json({"user": _document(account), "password": made.password})
            return
        frame.say(f"Made user [bold]{frame.shown(account.user.username)}[/] ({account.user.role}).")
        if not role.has_password:
            frame.say(f"Make its token: [bold]recpipe token create {frame.shown(account.user.username)}[/]")
        show_password(made.password, account.user.password_until)
        if not grant and not role.everything:
            frame.err.print("It may do nothing yet: give it a tenant with recpipe user set --grant.", markup=False)


@group.command("list")
def list_(context: typer.Context, json: AsJson = False) -> None:
    """All users, what they may do, and when they were here last."""

    with frame.opened(context) as parts:
        accounts = parts.accounts.list(operator())
        if json:
            frame.print_json({"items": [_document(account) for account in accounts], "next": None})
            return
        names = {tenant.id: tenant.name for tenant in parts.reader.tenants(operator())}
    if not accounts:
        frame.say("There are no users yet. Make one: [bold]recpipe user create USER[/]")
        return
    frame.table(
        ("USER", "ROLE", "STATUS", "TWO FACTORS", "LAST LOGIN", "GRANTS"),
        [
            (
                a.user.username,
                a.user.role,
                a.user.status,
                "yes" if a.user.two_factors else "no",
                f"{a.user.last_login_at:%Y-%m-%d %H:%M}" if a.user.last_login_at else "never",
                _grants_in_words(a, names),
            )
            for a in accounts
        ],
    )


@group.command("set")
def set_(
    context: typer.Context,
    username: Username,
    role: Annotated[Role | None, typer.Option(help="What kind of user.", show_default=False)] = None,
    status: Annotated[
        UserStatus | None, typer.Option(help="active approves or lets in again.", show_default=False)
    ] = None,
    grant: Grants = None,
    revoke: Annotated[
        list[str] | None, typer.Option(metavar="TENANT", help="Take a tenant away; may be repeated.")
    ] = None,
    email: Email = None,
    display_name: DisplayName = None,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Make a new password and show it, this once.")
    ] = False,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    keep_tokens: Annotated[
        bool, typer.Option("--keep-tokens", help="With a new password: let the API tokens of the user live.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Change a user; what is not named stays. A new password ends the user's web sessions and API tokens.

    One that is made signs in for 72 hours: another is chosen by then, under My Account.

    [bold]recpipe user set ann@acme.example --grant acme:search,play --revoke globex[/]
    [bold]recpipe user set ann@acme.example --new-password[/]
    """

    changes = (role, status, grant, revoke, email, display_name)
    renewed = new_password or ask_password or password_stdin
    if not renewed and all(value is None for value in changes):
        raise InputInvalid("options", "Nothing to change was named. recpipe user set --help lists what can be.")
    password = chosen_password(ask=ask_password, stdin=password_stdin, make=new_password)
    me = operator()
    secret: str | None = None
    with frame.opened(context) as parts:
        account = _named(parts, username)
        if any(value is not None for value in changes):
            grants = _merged(parts, account, grant or (), revoke or ()) if grant or revoke else None
            account = parts.accounts.change(
                me, account.user.id, role=role, status=status, grants=grants, email=email, display_name=display_name
            )
        if renewed:
            secret = parts.accounts.set_password(me, account.user.id, password, end_tokens=not keep_tokens).password
            account = parts.accounts.get(me, account.user.id)
        if json:
            frame.print_json({"user": _document(account), "password": secret})
            return
        names = {tenant.id: tenant.name for tenant in parts.reader.tenants(me)}
    frame.details(
        [
            ("User", account.user.username),
            ("Role", account.user.role),
            ("Status", account.user.status),
            ("Grants", _grants_in_words(account, names) or "none"),
            ("E-mail", account.user.email),
            ("Name", account.user.display_name),
        ]
    )
    show_password(secret, account.user.password_until)


@group.command()
def disable(context: typer.Context, username: Username, json: AsJson = False) -> None:
    """Let a user in no more: sessions and tokens stop within a second. Undo it with user set --status active."""

    with frame.opened(context) as parts:
        changed = parts.accounts.change(operator(), _named(parts, username).user.id, status=UserStatus.INACTIVE)
    if json:
        frame.print_json({"user": _document(changed), "password": None})
    else:
        frame.say(f"Disabled {frame.shown(changed.user.username)}.")


# --- tokens -------------------------------------------------------------------------------------------------


@tokens.command("create")
def create_token(
    context: typer.Context,
    username: Username,
    label: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, to recognise it by.")] = "command line",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACTION,...",
            help="What it may be used for, within what its user may: search, play, download, export, ... May be "
            "repeated. Default: search, play, download and export.",
        ),
    ] = None,
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", "-t", metavar="TENANT", help="Only for this tenant; may be repeated."),
    ] = None,
    spool: Annotated[
        list[str] | None,
        typer.Option(metavar="SPOOL", help="With the scope upload: only into this spool; may be repeated."),
    ] = None,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="When it ends, UTC. Default: when it is revoked.", show_default=False)
    ] = "",
    json: AsJson = False,
) -> None:
    """Make an API token for a user. It is shown this once.

    [bold]recpipe token create exports --scope search,export --tenant acme --expires 2027-01-01[/]
    """
    from recpipe.web.schemas import NewTokenResponse, TokenResponse

    actions = within_words(scope or ["search", "play", "download", "export"])
    ends = moment("--expires", expires, "UTC")
    with frame.opened(context) as parts:
        limits = [f"tenant:{tenant_named(parts, word).id}" for word in tenant or ()]
        limits += [f"spool:{name}" for name in spool or ()]
        user = _named(parts, username).user
        made = parts.tokens.create(operator(), user.id, label, [*actions, *limits], ends)
    if json:
        given = NewTokenResponse(token=TokenResponse.of(made.token), secret=made.secret)
        frame.print_json(given.model_dump(mode="json"))
        return
    frame.say(f"Made token {made.token.id} of {frame.shown(user.username)}. Copy it now; it is not shown again:")
    frame.say()
    frame.out.print(f"  {made.secret}", markup=False, style="bold")
    frame.say()
    frame.say("Programs send it as [bold]Authorization: Bearer TOKEN[/].")


@tokens.command("list")
def list_tokens(
    context: typer.Context,
    username: Annotated[str, typer.Argument(metavar="[USER]", help="Default: everybody's.")] = "",
    json: AsJson = False,
) -> None:
    """API tokens, those that were revoked or have expired too. The tokens themselves are kept nowhere."""

    with frame.opened(context) as parts:
        user_id = _named(parts, username).user.id if username else None
        found = parts.tokens.list(operator(), user_id)
        names = {account.user.id: account.user.username for account in parts.accounts.list(operator())}
        tenants = {tenant.id: tenant.name for tenant in parts.reader.tenants(operator())}
        now = parts.clock()
    if json:
        frame.print_json({"items": [_token_document(token) for token in found], "next": None})
    elif found:
        frame.table(
            ("TOKEN", "BEGINS", "USER", "LABEL", "STATE", "LAST USED", "SCOPES"),
            [
                (
                    t.id,
                    t.prefix,
                    names.get(t.user_id, t.user_id),
                    t.label,
                    "revoked" if t.revoked_at else "expired" if t.expires_at and t.expires_at <= now else "live",
                    f"{t.last_used_at:%Y-%m-%d %H:%M}" if t.last_used_at else "never",
                    " ".join(_scope_in_words(scope, tenants) for scope in t.scopes),
                )
                for t in found
            ],
        )
    else:
        frame.say("There are no tokens.")


@tokens.command()
def revoke(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id or first characters, or the token itself.")],
    json: AsJson = False,
) -> None:
    """End a token within a second, everywhere. What it made lives on, and is counted: look at it in the audit log.

    [bold]recpipe token revoke rp_3fXk9[/]
    """

    with frame.opened(context) as parts:
        every = parts.tokens.list(operator())
        found = [t for t in every if t.id == token or (len(token) >= 5 and _begins(t.prefix, token))]
        found = [t for t in found if t.revoked_at is None] or found
        if len(found) > 1:
            raise InputInvalid("token", f"{len(found)} tokens begin like that. Give the id, as token list prints it.")
        if not found:
            raise Unknown("token", token[:8])
        revoked = parts.tokens.revoke(operator(), found[0].id)
        left = parts.tokens.left_by(operator(), revoked)
    if json:
        frame.print_json(_token_document(revoked))
        return
    frame.say(f"Revoked token {revoked.id} ({frame.shown(revoked.label)}).")
    if left:
        frame.say(
            f"It made or changed users, tokens or FTP accounts {len(left):,} times, and those live on. Look at each:\n"
            f"[bold]recpipe audit list --actor {frame.shown(left[0].actor)}[/]"
        )


# --- what they share ----------------------------------------------------------------------------------------


def show_password(password: str | None, until: datetime | None = None) -> None:
    """A generated password, the one time; and when it ends, where it is a person's."""
    if password is not None:
        frame.say(f"Password, shown this once: [bold]{frame.shown(password)}[/]")
    if password is not None and until is not None:
        frame.say(
            f"It signs in until {until:%Y-%m-%d %H:%M} UTC: another one has to be chosen by then, under My Account."
        )


def _begins(prefix: str, given: str) -> bool:
    """Whether the characters we kept and those given are of one token."""
    return prefix.startswith(given) or given.startswith(prefix)


def _named(parts: Parts, username: str) -> Account:

    try:
        return parts.accounts.named(operator(), username)
    except NotFound:
        every = [account.user.username for account in parts.accounts.list(operator())]
        raise Unknown.of("user", username, every) from None


def _grants(parts: Parts, words: Sequence[str]) -> dict[str, list[str]]:
    grants: dict[str, list[str]] = {}
    for word in words:
        name, _, actions = word.partition(":")
        grants[tenant_named(parts, name).id] = within_words([actions])
    return grants


def _merged(parts: Parts, account: Account, add: Sequence[str], take: Sequence[str]) -> dict[str, list[str]]:
    grants = {grant.tenant_id: list(grant.actions) for grant in account.grants}
    for word in take:
        tenant = tenant_named(parts, word)
        if grants.pop(tenant.id, None) is None:
            raise InputInvalid("revoke", f"{account.user.username} has nothing to do with {tenant.name}.")
    return grants | _grants(parts, add)


def _grants_in_words(account: Account, names: dict[str, str]) -> str:
    if account.user.role.everything:
        return "everything"
    return " ".join(
        names.get(g.tenant_id, g.tenant_id) + (f":{','.join(g.actions)}" if g.actions else "") for g in account.grants
    )


def _scope_in_words(scope: str, tenants: dict[str, str]) -> str:
    kind, _, which = scope.partition(":")
    return f"tenant:{tenants.get(which, which)}" if kind == "tenant" else scope


def _document(account: Account) -> object:
    from recpipe.web.schemas import UserResponse

    return UserResponse.of(account).model_dump(mode="json")


def _token_document(token: Token) -> object:
    from recpipe.web.schemas import TokenResponse

    return TokenResponse.of(token).model_dump(mode="json")
