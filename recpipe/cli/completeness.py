"""`recpipe completeness`: was it recorded?"""

from __future__ import annotations

from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import Cursor, Limit, tenant_named
from recpipe.errors import InputInvalid
from recpipe.model import BY_THE_PBX, CallState


def completeness(
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose calls.")],
    start: Annotated[
        str, typer.Option("--from", metavar="DATE", help="First day. Default: a week ago.", show_default=False)
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Last day. Default: today.", show_default=False)
    ] = "",
    only_open: Annotated[bool, typer.Option("--open", help="Only findings that are not put right.")] = False,
    limit: Limit = 100,
    cursor: Cursor = "",
    json: AsJson = False,
) -> None:
    """Was it recorded? Compare what PBXs say of calls with what arrived.

    Looks at the last 30 days anew, and at older ones as they were judged. Days and times are those of the tenant's
    zone. Ends with 1 when recordings are missing, or there in error.

    [bold]recpipe completeness --tenant acme[/]
    [bold]recpipe completeness --tenant acme --from 2026-11-01 --to 2026-11-30 --open[/]
    """
    from recpipe.web.schemas import CompletenessDayResponse, CompletenessResponse, FindingResponse

    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        zone = ZoneInfo(owner.timezone)
        asked = parts.completeness.asked(owner, _day("--from", start), _day("--to", end), only_open=only_open)
        parts.completeness.look(operator(), owner, asked)
        days = parts.completeness.days(operator(), owner, asked)
        page = parts.completeness.findings(operator(), owner, asked, cursor or None, limit)
    if json:
        answer = CompletenessResponse(
            days=[CompletenessDayResponse.of(one) for one in days],
            findings=[FindingResponse.of(one) for one in page.items],
            next=page.next_cursor,
        )
        frame.print_json(answer.model_dump(mode="json"))
    elif not days and not page.items:
        frame.say("Nothing is known of calls of these days: no PBX asked, and no call detail records were read.")
    else:
        frame.table(
            ("DAY", "RULE", "EXPECTED", "ARRIVED", "EXCUSED", "MISSING", "IN ERROR", "NO CDR", "LENGTH", "UNCONFIRMED"),
            [
                (
                    one.day,
                    "the PBX" if one.rule == BY_THE_PBX else one.rule or "none",
                    *map(str, (one.expected, one.arrived, one.excused, one.of(CallState.MISSING))),
                    *map(str, (one.of(CallState.IN_ERROR), one.of(CallState.NO_CALL_RECORD))),
                    *map(str, (one.of(CallState.DIFFERS), one.of(CallState.UNCONFIRMED))),
                )
                for one in days
            ],
        )
        if page.items:
            frame.table(
                ("CALL", "WHAT", "EXTENSION", "CALL ID", "RECORDING", "FOUND", "PUT RIGHT"),
                [
                    (
                        f"{one.started_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
                        one.kind.value,
                        one.extension,
                        one.call_id or one.linked_id,
                        one.recording_id,
                        f"{one.opened_at.astimezone(zone):%Y-%m-%d %H:%M}",
                        "" if one.closed_at is None else f"{one.closed_at.astimezone(zone):%Y-%m-%d %H:%M}",
                    )
                    for one in page.items
                ],
            )
        if page.next_cursor:
            frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)
    if any(one.of(CallState.MISSING, CallState.IN_ERROR) for one in days):
        raise typer.Exit(frame.FAILED)


def _day(field: str, written: str) -> date | None:
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        raise InputInvalid(field, f"{written[:60]!r} is no date ({field}). Write 2025-03-27.") from None
