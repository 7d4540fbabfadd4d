"""`recpipe tenant`: whose recordings there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import OnOff, tenant_named
from recpipe.errors import Conflict, InputInvalid
from recpipe.model import StoreFormat

if TYPE_CHECKING:
    from recpipe.model import Tenant, TenantCertificate
    from recpipe.wiring import Parts

group = typer.Typer(no_args_is_help=True, help="Tenants: make them, look at them, change them.")

Name = Annotated[str, typer.Argument(metavar="TENANT", help="Its short name, an alias or its id.")]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE", help="IANA zone, such as Europe/Berlin; its days decide the folders.", show_default=False
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="CODE", help='Country that national numbers are read in, such as DE; "" reads only +49... forms.'
    ),
]
InGroup = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="GROUP",
        help='Group of services, such as a reseller or region; "" takes it out of its group.',
    ),
]
Format = Annotated[StoreFormat | None, typer.Option(help="Store files as they come, or as MP3.", show_default=False)]


@group.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Short name: letters, digits, dots, hyphens and underscores.")],
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Name for people. Default: the short name.", show_default=False)
    ] = "",
    timezone: Timezone = None,
    region: Region = None,
    in_group: InGroup = None,
    store_format: Format = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A domain or account id that means this tenant; may be repeated."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a tenant. Its recordings are stored as they are until encryption is switched on.

    [bold]recpipe tenant create acme --title "Acme Ltd" --timezone Europe/Berlin --region DE[/]
    """

    with frame.opened(context) as parts:
        made = parts.tenants.create(
            operator(),
            name,
            title=title,
            timezone=timezone or "UTC",
            region=region or "",
            group=in_group or "",
            store_format=store_format or StoreFormat.SOURCE,
            aliases=alias or (),
        )
        if json:
            frame.print_json(_document(made))
            return
        frame.say(f"Made tenant [bold]{frame.shown(made.name)}[/].")
        frame.say(f"To seal its recordings: [bold]recpipe certificate add {frame.shown(made.name)} FILE[/]")


@group.command("list")
def list_(
    context: typer.Context,
    in_group: Annotated[str | None, typer.Option("--group", metavar="GROUP", help="Only those of this group.")] = None,
    json: AsJson = False,
) -> None:
    """All tenants, by name."""

    with frame.opened(context) as parts:
        every = [t for t in parts.reader.tenants(operator()) if in_group is None or t.group == in_group]
    if json:
        frame.print_json({"items": [_document(tenant) for tenant in every], "next": None})
    elif every:
        frame.table(
            ("TENANT", "TITLE", "ENCRYPTION", "TIMEZONE", "REGION", "FORMAT", "GROUP", "ALIASES"),
            [
                (
                    t.name,
                    t.title,
                    _on(t.encryption),
                    t.timezone,
                    t.region,
                    t.store_format,
                    t.group,
                    ", ".join(t.aliases),
                )
                for t in every
            ],
        )
    else:
        frame.say(
            "There are no tenants yet. Make one: [bold]recpipe tenant create NAME[/]"
            if in_group is None
            else f"No tenant is in the group {frame.shown(in_group)}."
        )


@group.command()
def show(context: typer.Context, name: Name, json: AsJson = False) -> None:
    """One tenant: its settings, and what its recordings are sealed for."""

    with frame.opened(context) as parts:
        tenant = tenant_named(parts, name)
        certificates = parts.keyring.list(operator(), tenant.id)
        if json:
            frame.print_json(_document(tenant))
        else:
            _print(parts, tenant, certificates)


@group.command("set")
def set_(
    context: typer.Context,
    name: Name,
    encryption: Annotated[
        OnOff | None, typer.Option(help="Seal new recordings; on needs a proven certificate.", show_default=False)
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Name for people.", show_default=False)] = None,
    timezone: Timezone = None,
    region: Region = None,
    in_group: InGroup = None,
    store_format: Format = None,
    alias: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Add an alias; may be repeated.")] = None,
    remove_alias: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take an alias away; may be repeated.")
    ] = None,
    recording: Annotated[
        OnOff | None, typer.Option(help="The call recording add-on of this tenant.", show_default=False)
    ] = None,
    disclaimer_agreed: Annotated[
        bool, typer.Option("--disclaimer-agreed", help="With --recording on: the tenant agreed to its disclaimer.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Change a tenant; what is not named stays. Recordings already stored stay as they are.

    [bold]recpipe tenant set acme --encryption on[/]
    [bold]recpipe tenant set acme --store-format mp3 --alias acme.example.com[/]
    """

    plain = (title, timezone, region, in_group, store_format, alias, remove_alias)
    if all(value is None for value in (*plain, encryption, recording)):
        raise InputInvalid("options", "Nothing to change was named. recpipe tenant set --help lists what can be.")
    me = operator()
    with frame.opened(context) as parts:
        tenant = tenant_named(parts, name)
        if any(value is not None for value in plain):
            aliases = _aliases(tenant, alias or [], remove_alias or []) if alias or remove_alias else None
            tenant = parts.tenants.change(
                me,
                tenant.id,
                title=title,
                timezone=timezone,
                region=region,
                group=in_group,
                store_format=store_format,
                aliases=aliases,
            )
        try:
            if recording is not None:
                tenant = parts.tenants.set_recording(me, tenant.id, recording is OnOff.ON, agreed=disclaimer_agreed)
            if encryption is not None:
                tenant = parts.keyring.set_encryption(me, tenant.id, encryption is OnOff.ON)
        except Conflict:
            if any(value is not None for value in plain):
                frame.err.print("The other settings were saved.")
            raise
        if json:
            frame.print_json(_document(tenant))
        else:
            _print(parts, tenant, parts.keyring.list(me, tenant.id))


def _aliases(tenant: Tenant, add: list[str], remove: list[str]) -> list[str]:
    unknown = [alias for alias in remove if alias not in tenant.aliases]
    if unknown:
        raise InputInvalid(
            "remove-alias",
            f"{unknown[0]} is no alias of {tenant.name}; it has {', '.join(tenant.aliases) or 'none'}.",
        )
    return [alias for alias in (*tenant.aliases, *add) if alias not in remove]


def _document(tenant: Tenant) -> object:
    from recpipe.web.schemas import TenantResponse

    return TenantResponse.of(tenant).model_dump(mode="json")


def _print(parts: Parts, tenant: Tenant, certificates: object) -> None:
    from recpipe import seal

    held: list[TenantCertificate] = list(certificates)  # type: ignore[call-overload]
    usable = seal.usable(held, parts.clock())
    frame.details(
        [
            ("Tenant", tenant.name),
            ("Title", tenant.title),
            ("Id", tenant.id),
            ("Aliases", ", ".join(tenant.aliases)),
            ("Timezone", tenant.timezone),
            ("Region", tenant.region),
            ("Group", tenant.group),
            ("Store format", tenant.store_format),
            ("Recording", _addon(tenant)),
            ("Encryption", _on(tenant.encryption)),
            ("Sealed for", ", ".join(f"{c.subject} ({c.id[:8]})" for c in usable)),
            ("Created", f"{tenant.created_at:%Y-%m-%d %H:%M} UTC"),
        ]
    )
    if tenant.encryption and not usable:
        why = seal.why_not(held, parts.clock())
        frame.err.print(f"[bold red]New recordings are held:[/] {frame.shown(why)}.")


def _addon(tenant: Tenant) -> str:
    """The add-on, in words that do not deny what is ingested."""
    if tenant.recording_enabled:
        return "on"
    return f"{'off' if tenant.disclaimer_agreed_at else 'not agreed to yet'}; files that arrive are ingested"


def _on(value: bool) -> str:
    return "on" if value else "off"
