"""`recpipe calls`: calls with their legs, which are recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.recordings import lasted, local_time, owners_by_id, tell_how_far
from recpipe.cli.search_options import NO_CRITERIA, SearchOptions, with_search_options
from recpipe.cli.words import Cursor, Limit, tenant_named
from recpipe.model import Call

if TYPE_CHECKING:
    from recpipe.model import Tenant

group = typer.Typer(no_args_is_help=True, help="Calls, each with all of its recordings.")


@group.command("list")
@with_search_options
def list_(
    context: typer.Context,
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", "-t", metavar="TENANT", help="Whose; may be repeated. Default: everybody's."),
    ] = None,
    options: SearchOptions = NO_CRITERIA,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Default: newest first.")] = False,
    limit: Limit = 50,
    cursor: Cursor = "",
    json: AsJson = False,
) -> None:
    """Find calls by any of their legs: the recordings that the PBX says belong together.

    [bold]recpipe calls list --tenant acme --from 2025-03-01 --number 0958 --number-match ending[/]
    """
    with frame.opened(context) as parts:
        asked = [tenant_named(parts, word) for word in tenant or ()]
        zone = asked[0].timezone if len(asked) == 1 else "UTC"
        query = options.query(zone, oldest_first=oldest_first)
        page = parts.reader.calls(operator(), [owner.id for owner in asked] or None, query, cursor or None, limit)
        owners = owners_by_id(parts)
    if json:
        searched_to = page.searched_to.isoformat() if page.searched_to else None
        items = [_document(call, owners) for call in page.items]
        frame.print_json({"items": items, "next": page.next_cursor, "searched_to": searched_to})
        return
    if not page.items:
        frame.say("Nothing was found so far." if page.searched_to else "Nothing was found.")
    else:
        _table(page.items, owners)
    if page.searched_to is not None:
        tell_how_far(page.searched_to, page.next_cursor, zone, oldest_first=oldest_first)
    elif page.next_cursor:
        frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)


@group.command()
def show(
    context: typer.Context,
    call: Annotated[str, typer.Argument(metavar="ID", help="Of the call, or of a recording that is one of its legs.")],
    json: AsJson = False,
) -> None:
    """One call with its legs, in the order in which they began."""
    with frame.opened(context) as parts:
        found = parts.reader.call(operator(), call.strip().lower())
        owners = owners_by_id(parts)
    if json:
        frame.print_json(_document(found, owners))
        return
    owner = owners[found.tenant_id]
    frame.details(
        [
            ("Id", found.id),
            ("Tenant", owner.name),
            ("Started", f"{local_time(found.started_at, owner.timezone):%Y-%m-%d %H:%M:%S %Z} ({owner.timezone})"),
            ("Legs", f"{found.leg_count:,}"),
        ]
    )
    frame.table(
        ("ID", "STARTED", "LASTED", "DIRECTION", "FROM", "TO", "SEALED", "NAME"),
        [
            (
                leg.id,
                f"{local_time(leg.started_at, owner.timezone):%Y-%m-%d %H:%M:%S}",
                lasted(leg.duration_ms),
                leg.facts.direction,
                leg.facts.caller,
                leg.facts.callee,
                "yes" if leg.sealed else "no",
                leg.name,
            )
            for leg in found.legs
        ],
    )


def _table(found: Sequence[Call], owners: dict[str, Tenant]) -> None:
    frame.table(
        ("ID", "TENANT", "STARTED", "LEGS", "FROM", "TO"),
        [
            (
                call.id,
                owners[call.tenant_id].name,
                f"{local_time(call.started_at, owners[call.tenant_id].timezone):%Y-%m-%d %H:%M:%S}",
                f"{call.leg_count:,}",
                call.legs[0].facts.caller,
                call.legs[0].facts.callee,
            )
            for call in found
        ],
    )


def _document(call: Call, owners: dict[str, Tenant]) -> object:
    from recpipe.web.schemas import CallResponse

    return CallResponse.of(call, owners[call.tenant_id].name).model_dump(mode="json")
