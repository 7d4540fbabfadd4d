"""Was it recorded? What should have been, compared with what arrived."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from recpipe.access.principal import Principal
from recpipe.completeness.report import Asked
from recpipe.model import FINDINGS, CallState, Tenant
from recpipe.web.api.openapi import declared
from recpipe.web.completeness_csv import Of, file_name, written
from recpipe.web.delivery import Generated, Streamed, disposition
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, WebContext
from recpipe.web.schemas import CompletenessDayResponse, CompletenessResponse, FindingResponse, SingleLine

router = APIRouter(
    prefix=f"{API}/completeness", tags=["completeness"], dependencies=AUTHENTICATED, route_class=KnownFirst
)

TenantWord = Annotated[SingleLine, Query(min_length=1, description="name or id")]
First = Annotated[date | None, Query(alias="from", description="first day, in the tenant's zone; default: 6 days ago")]
Last = Annotated[date | None, Query(alias="to", description="last day, included; default: today")]
Kind = Annotated[CallState | None, Query(description=f"only findings of this kind: {', '.join(FINDINGS)}")]
Rule = Annotated[SingleLine | None, Query(description="only findings under this rule")]
OnlyOpen = Annotated[bool, Query(alias="open", description="only findings that are not put right")]


@router.get("", operation_id="get_completeness", responses=declared(404))
def completeness(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    from_: First = None,
    to: Last = None,
    kind: Kind = None,
    rule: Rule = None,
    only_open: OnlyOpen = False,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> CompletenessResponse:
    """By day and rule: expected, arrived, excused, missing, recorded in error; and the findings, latest call first."""
    owner, asked = _asked(context, principal, tenant, from_, to, kind, rule, only_open)
    report = context.parts.completeness
    days = report.days(principal, owner, asked)
    page = report.findings(principal, owner, asked, cursor, limit)
    return CompletenessResponse(
        days=[CompletenessDayResponse.of(one) for one in days],
        findings=[FindingResponse.of(one) for one in page.items],
        next=page.next_cursor,
    )


@router.get(
    "/export",
    operation_id="export_completeness",
    response_class=Response,
    responses={
        200: {"description": "Every row.", "content": {"text/csv": {"schema": {"type": "string"}}}},
        **declared(404),
    },
)
def export(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    from_: First = None,
    to: Last = None,
    kind: Kind = None,
    rule: Rule = None,
    only_open: OnlyOpen = False,
    of: Annotated[Of, Query(description="counts by day and rule, or findings")] = Of.FINDINGS,
) -> Response:
    """The report as CSV, with the names of the JSON as columns."""
    owner, asked = _asked(context, principal, tenant, from_, to, kind, rule, only_open)
    return as_csv(context, principal, owner, asked, of)


def as_csv(context: WebContext, principal: Principal, tenant: Tenant, asked: Asked, of: Of) -> Response:
    """The answer that sends it."""
    headers = {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": disposition("attachment", file_name(tenant, asked, of)),
    }
    with context.streams.place(principal) as place:
        pieces = written(context, principal, tenant, asked, of)
        return Streamed(Generated(pieces), context.streams, place.pop_all(), 200, headers)


def _asked(
    context: WebContext,
    principal: Principal,
    word: str,
    first: date | None,
    last: date | None,
    kind: CallState | None,
    rule: str | None,
    only_open: bool,
) -> tuple[Tenant, Asked]:
    tenant = context.parts.reader.tenant_named(principal, word)
    return tenant, context.parts.completeness.asked(tenant, first, last, kind=kind, rule=rule, only_open=only_open)
