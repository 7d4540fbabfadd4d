"""`recpipe policy`: which calls are recorded, for PBXs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import Action, operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import Cursor, Limit, read_input, tenant_named
from recpipe.errors import InputInvalid
from recpipe.policy.snippets import Asked, Target, asking, rules

if TYPE_CHECKING:
    from recpipe.model import Tenant
    from recpipe.tenants.changes import Kind
    from recpipe.wiring import Parts

_STDIN = "-"
_MOST_BYTES = 8_000_000  # of a table

group = typer.Typer(no_args_is_help=True, help="Which calls are recorded, for PBXs.")


class Of(StrEnum):
    """What rules are about."""

    ROUTES = "routes"
    EXTENSIONS = "extensions"


TenantOption = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose calls.", show_default=False)]
OfOption = Annotated[Of, typer.Option("--of", help="Numbers that are called, or extensions.", show_default=False)]


@group.command("list")
def every(
    context: typer.Context,
    tenant: TenantOption,
    of: OfOption,
    find: Annotated[
        str, typer.Option(metavar="TEXT", help="Part of a number, a name or an office.", show_default=False)
    ] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    json: AsJson = False,
) -> None:
    """List rules as they will be once everything is applied; what waits for that is marked.

    [bold]recpipe policy list --tenant acme --of extensions --find Berlin[/]
    """
    from recpipe.web.schemas.policy import ExtensionResponse, RouteResponse

    with frame.opened(context) as parts:
        held = tenant_named(parts, tenant)
        page = parts.routing.page(operator(), held.id, _kind(of), find, cursor or None, limit)
    if json:
        shape = RouteResponse if of is Of.ROUTES else ExtensionResponse
        items = [shape.of(rule).model_dump(mode="json") for rule in page.items]
        frame.print_json({"items": items, "next": page.next_cursor})
        return
    words = ("recording",) if of is Of.ROUTES else ("outbound", "inbound", "internal")
    rows = [
        (
            rule.subject,
            rule.values["name"],
            *(rule.values[word] for word in words),
            "locked" if rule.values["locked"] else "",
            "to be removed" if rule.removed else "waits" if rule.pending else "",
        )
        for rule in page.items
    ]
    frame.table((of.value.upper()[:-1], "NAME", *(word.upper() for word in words), "LOCK", "PENDING"), rows)
    if page.next_cursor:
        frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)


@group.command("import")
def import_table(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV with a line of headings; - is standard input.")],
    tenant: TenantOption,
    of: OfOption,
    apply_too: Annotated[bool, typer.Option("--apply", help="Also apply every change of rules that waits.")] = False,
    json: AsJson = False,
) -> None:
    """Save the rules of a table; they take effect with Apply.

    Columns: number, name, timezone, recording, locked; or extension, name, office, outbound, inbound, internal, locked.

    [bold]recpipe policy import people.csv --tenant acme --of extensions[/]
    [bold]recpipe policy import numbers.csv --tenant acme --of routes --apply[/]
    """
    content = read_input(file, _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InputInvalid("file", f"{file} has more than {_MOST_BYTES:,} bytes. Import it in parts.")
    with frame.opened(context) as parts:
        held = tenant_named(parts, tenant)
        changed = parts.routing.import_csv(operator(), held, _kind(of), content)
        applied = _apply(parts, held) if apply_too else 0
    if json:
        frame.print_json({"changed": changed, "applied": applied})
    else:
        frame.say(f"{changed:,} changed." + (f" {applied:,} applied." if apply_too else " They wait for Apply."))


@group.command("apply")
def apply(context: typer.Context, tenant: TenantOption, json: AsJson = False) -> None:
    """Make every change of rules that waits effective, all of them or none: PBXs are told so a second later.

    [bold]recpipe policy apply --tenant acme[/]
    """
    with frame.opened(context) as parts:
        applied = _apply(parts, tenant_named(parts, tenant))
    if json:
        frame.print_json({"applied": applied})
    else:
        frame.say(f"{applied:,} applied.")


def _apply(parts: Parts, tenant: Tenant) -> int:
    waiting = parts.changes.pending(operator(), tenant.id, Action.POLICY)
    return parts.changes.apply(operator(), tenant.id, [one.id for one in waiting], Action.POLICY)


def _kind(of: Of) -> Kind:
    from recpipe.tenants.changes import Kind

    return Kind.ROUTE if of is Of.ROUTES else Kind.EXTENSION


@group.command("export")
def export(
    context: typer.Context,
    tenant: TenantOption,
    target: Annotated[Target, typer.Option("--for", help="The PBX; freepbx is 17 and later.", show_default=False)],
    ask: Annotated[
        str,
        typer.Option(metavar="URL", help="Let the PBX ask at each call: where it reaches recpipe.", show_default=False),
    ] = "",
    token_file: Annotated[
        str,
        typer.Option(metavar="FILE", help="With --ask: a file with its API token; - is stdin.", show_default=False),
    ] = "",
    json: AsJson = False,
) -> None:
    """Print what a PBX is configured with: the rules as they were applied last, or with --ask how it asks for them.

    Fetch it again after a change; a PBX that asks needs that only when it is to do something else without an answer.

    [bold]recpipe policy export --tenant acme --for json[/]
    [bold]recpipe policy export --tenant acme --for freepbx --ask https://rec.example.com --token-file pbx1.token[/]
    """
    from recpipe.tenants.changes import Kind

    with frame.opened(context) as parts:
        held = tenant_named(parts, tenant)
        policy = parts.routing.look(operator(), held.id, Kind.ROUTE).policy
        if not ask:
            _print(target, rules(target, held.name, policy), json=json)
            return
        try:
            token = sys.stdin.read() if token_file == _STDIN else Path(token_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise typer.BadParameter("name a file that holds the API token", param_hint="--token-file") from None
        asked = Asked(ask, held.name, token.strip(), policy.service.unanswered)
        _print(target, asking(target, asked), json=json)


def _print(target: Target, text: str, *, json: bool) -> None:
    if json and target is not Target.JSON:
        frame.print_json({"for": target.value, "text": text})
    else:
        typer.echo(text, nl=False)
