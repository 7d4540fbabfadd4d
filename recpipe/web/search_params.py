"""Search parameters: what a program or person writes in a query string, as a `RecordingQuery`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Query

from recpipe import times
from recpipe.access.principal import Principal
from recpipe.errors import QueryInvalid
from recpipe.messages import message
from recpipe.model import Direction, NumberMatch, RecordingKind, RecordingQuery
from recpipe.times import check_timezone, week_hours
from recpipe.web.deps import WebContext
from recpipe.web.schemas import SingleLine

MOST_TENANTS = 50


@dataclass(frozen=True, slots=True)
class SearchParams:
    """A search as it was asked for, not yet looked at."""

    tenant: list[str]
    started_from: str
    started_to: str
    timezone: str
    query: RecordingQuery


def asked(
    tenant: Annotated[
        list[SingleLine],
        Query(
            max_length=MOST_TENANTS, description="name or id; several times for several; default: all you may search"
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
    from_: Annotated[
        SingleLine,
        Query(
            alias="from", description="ISO 8601 time or date; calls that started then or later", examples=["2025-03-27"]
        ),
    ] = "",
    to: Annotated[
        SingleLine,
        Query(
            description="ISO 8601: calls before that time, or up to and including that date",
            examples=["2025-03-28T12:00:00Z"],
        ),
    ] = "",
    timezone: Annotated[
        SingleLine,
        Query(
            description="IANA zone of dates and times without offset; default: the tenant's if one is asked, else UTC"
        ),
    ] = "",
    number: Annotated[SingleLine, Query(description="caller or callee; see number_match", examples=["0958"])] = "",
    number_match: NumberMatch = NumberMatch.EXACT,
    direction: Direction | None = None,
    kind: Annotated[RecordingKind | None, Query(description="what was kept; default: everything")] = None,
    extension: SingleLine = "",
    route: Annotated[SingleLine, Query(description="queue, ring group or inbound route, exactly")] = "",
    weekday: Annotated[
        SingleLine, Query(description="on the clock of `timezone`; one, a range, or several", examples=["mon-fri"])
    ] = "",
    hour: Annotated[
        SingleLine,
        Query(description="on the clock of `timezone`; from the first to before the second", examples=["12-14"]),
    ] = "",
    duration_min: Annotated[float | None, Query(ge=0, le=10**7, description="seconds")] = None,
    duration_max: Annotated[float | None, Query(ge=0, le=10**7, description="seconds")] = None,
    text: Annotated[
        SingleLine, Query(description="in the file name or a party's name, upper and lower case alike")
    ] = "",
    call_id: SingleLine = "",
    call: Annotated[SingleLine, Query(description="id of the call that they are legs of")] = "",
    sealed: bool | None = None,
    starred: Annotated[bool | None, Query(description="calls that somebody starred, or nobody did")] = None,
    reviewed: Annotated[
        bool | None, Query(description="calls that somebody said to have reviewed, or nobody did")
    ] = None,
    tag: Annotated[SingleLine, Query(description="a tag of the call, upper and lower case alike")] = "",
    noted: Annotated[SingleLine, Query(description="in the note or the tags of the call")] = "",
    oldest_first: bool = False,
) -> SearchParams:
    """The parameters of search and export."""
    query = RecordingQuery(
        number=number,
        number_match=number_match,
        direction=direction,
        kind=kind,
        extension=extension,
        route=route,
        week_hours=_week_hours(weekday, hour),
        duration_min_ms=None if duration_min is None else round(duration_min * 1000),
        duration_max_ms=None if duration_max is None else round(duration_max * 1000),
        text=text,
        call_id=call_id,
        call=call,
        sealed=sealed,
        starred=starred,
        reviewed=reviewed,
        tag=tag,
        noted=noted,
        oldest_first=oldest_first,
    )
    return SearchParams(list(tenant), from_, to, timezone, query)


def resolve(context: WebContext, principal: Principal, asked: SearchParams) -> tuple[list[str] | None, RecordingQuery]:
    """Ids of the tenants (None: all the principal may search) and the query, its times in UTC.

    Raises:
        NotFound: a tenant does not exist, or is nothing to this principal.
        QueryInvalid: a time or zone cannot be read.
    """
    tenants = [context.parts.reader.tenant_named(principal, word) for word in asked.tenant]
    zone = _zone(asked.timezone or (tenants[0].timezone if len(tenants) == 1 else "UTC"))
    start = _moment("from", asked.started_from, zone, whole_day=False)
    end = _moment("to", asked.started_to, zone, whole_day=True)
    if start is not None and end is not None and start >= end:
        raise QueryInvalid("`from` must be before `to`; with these no call can be found.")
    return [t.id for t in tenants] or None, replace(
        asked.query, started_from=start, started_before=end, timezone=zone.key if asked.query.week_hours else "UTC"
    )


def _week_hours(weekday: str, hour: str) -> tuple[int, ...]:
    try:
        return week_hours(weekday, hour)
    except ValueError as error:
        raise QueryInvalid(error.args[0]) from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(check_timezone(name))
    except ValueError as error:
        raise QueryInvalid(error.args[0]) from None


def _moment(field: str, written: str, zone: ZoneInfo, *, whole_day: bool) -> datetime | None:
    """A time in UTC; a date is its first moment, or with `whole_day` the first moment after it."""
    if not written:
        return None
    try:
        return times.from_iso(written, zone, whole_day=whole_day)
    except ValueError:
        raise QueryInvalid(
            message(
                "`{field}` is no time. Write a date such as 2025-03-27, or 2025-03-27T09:25:17+01:00 (in a URL, + "
                "is %2B).",
                field=field,
            )
        ) from None
