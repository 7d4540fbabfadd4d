"""`recpipe audit`: who did what, from where, when, and how it ended."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import Cursor, Limit, moment, tenant_named
from recpipe.model import AuditQuery, Outcome

group = typer.Typer(no_args_is_help=True, help="Who did what, from where, when, and how it ended.")


@group.command("list")
def list_(
    context: typer.Context,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", metavar="TENANT", help="Only of this tenant.", show_default=False)
    ] = "",
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From then on: a date, or ISO 8601.", show_default=False)
    ] = "",
    end: Annotated[
        str,
        typer.Option("--to", metavar="TIME", help="Before then, or up to and including a date.", show_default=False),
    ] = "",
    actor: Annotated[
        str, typer.Option(metavar="NAME", help="Who: a user, ftp:ACCOUNT, cli:LOGIN, pipeline.", show_default=False)
    ] = "",
    action: Annotated[
        str,
        typer.Option(metavar="ACTION", help="What: login, play, download, certificate.vouch, ...", show_default=False),
    ] = "",
    outcome: Annotated[Outcome | None, typer.Option(help="How it ended.", show_default=False)] = None,
    subject: Annotated[str, typer.Option(metavar="ID", help="Id of what it was done to.", show_default=False)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    json: AsJson = False,
) -> None:
    """The audit log, newest first. Times are UTC, or with --tenant those of its zone.

    [bold]recpipe audit list --tenant acme --action download --from 2025-03-01[/]
    [bold]recpipe audit list --outcome denied[/]
    """
    from recpipe.web.schemas import AuditResponse

    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant) if tenant else None
        zone = owner.timezone if owner else "UTC"
        query = AuditQuery(
            moment("--from", start, zone), moment("--to", end, zone, whole_day=True), actor, action, outcome, subject
        )
        page = parts.trail.list(operator(), owner.id if owner else None, query, cursor or None, limit)
        names = parts.tenants.names({happened.tenant_id for happened in page.items if happened.tenant_id})
    if json:
        items = [AuditResponse.of(happened).model_dump(mode="json") for happened in page.items]
        frame.print_json({"items": items, "next": page.next_cursor})
        return
    if not page.items:
        frame.say("Nothing was found.")
        return
    local = ZoneInfo(zone)
    frame.table(
        ("WHEN", "WHO", "WHAT", "ENDED", "TENANT", "FROM", "TO WHAT", "DETAIL"),
        [
            (
                f"{e.at.astimezone(local):%Y-%m-%d %H:%M:%S}",
                e.actor,
                e.action,
                e.outcome,
                names.get(e.tenant_id or "", e.tenant_id or ""),
                e.address,
                e.subject,
                " ".join(f"{name}={value}" for name, value in e.detail.items()),
            )
            for e in page.items
        ],
    )
    if page.next_cursor:
        frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)
