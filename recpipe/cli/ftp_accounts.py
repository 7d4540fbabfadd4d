"""`recpipe ftp-account`: who reads recordings over FTP, and which media servers write into a spool."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.users import show_password
from recpipe.cli.words import AskPassword, OnOff, PasswordStdin, Unknown, chosen_password, tenant_named
from recpipe.errors import Conflict, InputInvalid, NotFound
from recpipe.model import Direction, FtpAccountKind

if TYPE_CHECKING:
    from recpipe.access.ftp_accounts import NewFtpPassword
    from recpipe.model import FtpAccount
    from recpipe.wiring import Parts

NO_TENANT = "-"

group = typer.Typer(no_args_is_help=True, help="FTP accounts of tenants, and of media servers that upload.")

Owner = Annotated[
    str,
    typer.Argument(metavar="TENANT", help='Whose recordings. "-": a media server whose spool serves several tenants.'),
]
Username = Annotated[str, typer.Argument(metavar="USER", help="Its FTP user name.")]


class Way(StrEnum):
    ANY = "any"
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


@group.command("set")
def set_(
    context: typer.Context,
    owner: Owner,
    username: Username,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Of an account that is there: make a new one and show it, this once.")
    ] = False,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help='Only from there, such as 192.0.2.0/24; may be repeated. "any": anywhere.'),
    ] = None,
    extension: Annotated[
        str | None,
        typer.Option(metavar="EXTENSION", help='Only calls of this extension; "": of all.', show_default=False),
    ] = None,
    direction: Annotated[Way | None, typer.Option(help="Only calls that went this way.", show_default=False)] = None,
    uploader: Annotated[
        str,
        typer.Option(
            metavar="SPOOL", help="A media server: it writes into this spool and reads nothing.", show_default=False
        ),
    ] = "",
    enabled: Annotated[OnOff | None, typer.Option(help="Let it in, or not.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Make an FTP account, or change the one that has this name. Its live sessions end with every change.

    A new account gets a password that is shown this once, unless you give one.

    [bold]recpipe ftp-account set acme acme-office --network 192.0.2.0/24[/]
    [bold]recpipe ftp-account set acme acme-office --new-password[/]
    [bold]recpipe ftp-account set - pbx7 --uploader monitor[/]         a media server
    """
    password = chosen_password(ask=ask_password, stdin=password_stdin, make=new_password)
    networks = None if network is None else [one for one in network if one != "any"]
    with frame.opened(context) as parts:
        tenant_id = None if owner == NO_TENANT else tenant_named(parts, owner).id
        if uploader and uploader not in {spool.label for spool in parts.settings.spool}:
            known = ", ".join(spool.label for spool in parts.settings.spool)
            raise InputInvalid("uploader", f"There is no spool {uploader} in the settings of this machine: {known}.")
        held = _held(parts, tenant_id, username)
        if held is None:
            made = _create(parts, tenant_id, username, password, networks, extension, direction, uploader, enabled)
        else:
            renew = password is not None or new_password
            made = _change(parts, held, password, networks, extension, direction, uploader, enabled, renew=renew)
    if json:
        frame.print_json({"account": _document(made.account), "password": made.password})
        return
    frame.say(f"{'Made' if held is None else 'Changed'} FTP account [bold]{frame.shown(made.account.username)}[/].")
    _print(made.account)
    show_password(made.password)


@group.command("list")
def list_(context: typer.Context, owner: Owner, json: AsJson = False) -> None:
    """The FTP accounts of a tenant, by name."""

    with frame.opened(context) as parts:
        tenant_id = None if owner == NO_TENANT else tenant_named(parts, owner).id
        accounts = parts.ftp_accounts.list(operator(), tenant_id)
    if json:
        frame.print_json({"items": [_document(account) for account in accounts], "next": None})
    elif accounts:
        frame.table(
            ("USER", "KIND", "STATE", "FROM", "ONLY", "LAST LOGIN"),
            [
                (
                    a.username,
                    f"uploads into {a.spool}" if a.spool else a.kind,
                    "enabled" if a.enabled else "disabled",
                    ", ".join(a.allowed_networks) or "anywhere",
                    _only(a),
                    f"{a.last_login_at:%Y-%m-%d %H:%M}" if a.last_login_at else "never",
                )
                for a in accounts
            ],
        )
    else:
        frame.say("There are no FTP accounts. Make one: [bold]recpipe ftp-account set TENANT USER[/]")


@group.command()
def disable(context: typer.Context, owner: Owner, username: Username, json: AsJson = False) -> None:
    """Let nobody in with it any more; its live sessions end. Undo it with ftp-account set --enabled on."""

    with frame.opened(context) as parts:
        tenant_id = None if owner == NO_TENANT else tenant_named(parts, owner).id
        held = _held(parts, tenant_id, username)
        if held is None:
            every = [account.username for account in parts.ftp_accounts.list(operator(), tenant_id)]
            raise Unknown.of("FTP account", username, every)
        changed = parts.ftp_accounts.disable(operator(), tenant_id, held.id)
    if json:
        frame.print_json({"account": _document(changed), "password": None})
    else:
        frame.say(f"Disabled FTP account {frame.shown(changed.username)}.")


def _held(parts: Parts, tenant_id: str | None, username: str) -> FtpAccount | None:

    try:
        return parts.ftp_accounts.named(operator(), tenant_id, username)
    except NotFound:
        return None


def _create(
    parts: Parts,
    tenant_id: str | None,
    username: str,
    password: str | None,
    networks: list[str] | None,
    extension: str | None,
    direction: Way | None,
    uploader: str,
    enabled: OnOff | None,
) -> NewFtpPassword:

    made = parts.ftp_accounts.create(
        operator(),
        tenant_id,
        username,
        password=password,
        kind=FtpAccountKind.UPLOADER if uploader else FtpAccountKind.READER,
        spool=uploader,
        allowed_networks=networks or (),
        extension=extension or "",
        direction=_direction(direction),
    )
    if enabled is OnOff.OFF:
        return replace(made, account=parts.ftp_accounts.disable(operator(), tenant_id, made.account.id))
    return made


def _change(
    parts: Parts,
    held: FtpAccount,
    password: str | None,
    networks: list[str] | None,
    extension: str | None,
    direction: Way | None,
    uploader: str,
    enabled: OnOff | None,
    *,
    renew: bool,
) -> NewFtpPassword:
    from recpipe.access.ftp_accounts import NewFtpPassword

    if uploader and uploader != held.spool:
        raise Conflict(
            "account-exists", f"{held.username} is there and of another kind. Choose another name for the media server."
        )
    if any(value is not None for value in (networks, extension, direction, enabled)):
        held = parts.ftp_accounts.change(
            operator(),
            held.tenant_id,
            held.id,
            enabled=None if enabled is None else enabled is OnOff.ON,
            allowed_networks=networks,
            extension=extension,
            direction=_direction(direction),
            any_direction=direction is Way.ANY,
        )
    elif not renew and not uploader:
        raise InputInvalid("options", "The account is there already, and nothing to change was named.")
    if renew:
        return parts.ftp_accounts.set_password(operator(), held.tenant_id, held.id, password)
    return NewFtpPassword(held)


def _direction(way: Way | None) -> Direction | None:
    return None if way in (None, Way.ANY) else Direction(way)


def _print(account: FtpAccount) -> None:
    frame.details(
        [
            ("Kind", f"uploads into {account.spool}" if account.spool else "reads recordings"),
            ("State", "enabled" if account.enabled else "disabled"),
            ("From", ", ".join(account.allowed_networks) or "anywhere"),
            ("Only", _only(account)),
        ]
    )


def _only(account: FtpAccount) -> str:
    parts = [f"extension {account.extension}" if account.extension else "", account.direction or ""]
    return ", ".join(part for part in parts if part)


def _document(account: FtpAccount) -> object:
    from recpipe.web.schemas import FtpAccountResponse

    return FtpAccountResponse.of(account).model_dump(mode="json")
