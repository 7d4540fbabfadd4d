"""How much is called and recorded, when, by whom and with whom."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from recpipe.errors import QueryInvalid
from recpipe.model import Dimension
from recpipe.recordings.figures import Range
from recpipe.times import WEEKDAYS, check_timezone
from recpipe.web.api.openapi import declared
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst
from recpipe.web.schemas import (
    DayStatistics,
    HourStatistics,
    ListenerStatistics,
    SingleLine,
    StatisticsResponse,
    SumResponse,
    ValueStatistics,
)
from recpipe.web.search_params import MOST_TENANTS

router = APIRouter(prefix=f"{API}/statistics", tags=["statistics"], dependencies=AUTHENTICATED, route_class=KnownFirst)

DEFAULT_DAYS = 30


@router.get("", operation_id="get_statistics", responses=declared(404))
def statistics(
    context: Context,
    principal: Caller,
    tenant: Annotated[
        list[SingleLine],
        Query(
            max_length=MOST_TENANTS, description="name or id; several times for several; default: all you may search"
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
    from_: Annotated[
        date | None, Query(alias="from", description="first day; default: 29 days before the last")
    ] = None,
    to: Annotated[date | None, Query(description="last day, included; default: today")] = None,
    timezone: Annotated[
        SingleLine, Query(description="IANA zone of days and hours; default: the tenant's if one is asked, else UTC")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="values of each kind")] = 10,
) -> StatisticsResponse:
    """Sums of the days of a range, of the hours of the week, and the values with most calls."""
    reader, report = context.parts.reader, context.parts.figures
    tenants = [reader.tenant_named(principal, word) for word in tenant]
    zone = timezone or (tenants[0].timezone if len(tenants) == 1 else "UTC")
    try:
        check_timezone(zone)
        last = to or context.parts.clock().astimezone(ZoneInfo(zone)).date()
        first = from_ or last - timedelta(days=DEFAULT_DAYS - 1)
    except OverflowError:
        raise QueryInvalid("There are no days before the year 1.") from None
    except ValueError as error:
        raise QueryInvalid(str(error)) from None
    asked, ids = Range(first, last, zone), [one.id for one in tenants] or None
    found = report.of(principal, ids, asked)
    edges = report.edges(principal, ids, asked)
    top = {of: report.top(principal, ids, asked, of, limit, edges) for of in Dimension}
    among = {one.tenant_id for values in top.values() for one in values}
    names = {one.id: one.name for one in reader.tenants(principal, among=among)}
    return StatisticsResponse(
        first_day=first,
        last_day=last,
        timezone=zone,
        total=SumResponse.of(found.total),
        before=SumResponse.of(found.before),
        days=[DayStatistics.model_validate({"day": day, **SumResponse.numbers(each)}) for day, each in found.days],
        hours=[
            HourStatistics.model_validate(
                {"weekday": WEEKDAYS[hour // 24], "hour": hour % 24, **SumResponse.numbers(each)}
            )
            for hour, each in enumerate(found.hours)
            if each.calls
        ],
        top={
            of.value: [
                ValueStatistics(
                    tenant=names[one.tenant_id], value=one.value, calls=one.calls, seconds=one.duration_ms / 1000
                )
                for one in values
            ]
            for of, values in top.items()
        },
        listeners=[
            ListenerStatistics(who=one.actor, plays=one.plays, downloads=one.downloads)
            for one in report.listeners(principal, ids, asked, limit)
        ],
        stored_bytes=found.stored_bytes,
        stored_bytes_in_a_year=found.in_a_year,
        not_counted_until=found.uncounted,
    )
