"""Files that wait for a person, and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from recpipe.model import AuditQuery, Outcome
from recpipe.web.api.openapi import declared
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst
from recpipe.web.schemas import (
    AuditResponse,
    CallStated,
    Listed,
    Moment,
    QuarantinedResponse,
    RetriedResponse,
    SingleLine,
)

router = APIRouter(prefix=API, dependencies=AUTHENTICATED, route_class=KnownFirst)

EntryId = Annotated[str, Path(min_length=1, max_length=64)]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/quarantine", operation_id="list_quarantine", tags=["quarantine"], responses=declared())
def waiting(
    context: Context, principal: Caller, cursor: Cursor = None, limit: Limit = 100
) -> Listed[QuarantinedResponse]:
    """Spool files that could not be ingested, oldest first."""
    page = context.parts.quarantine.list(principal, cursor, limit)
    return Listed(items=[QuarantinedResponse.of(entry) for entry in page.items], next=page.next_cursor)


@router.post(
    "/quarantine/{entry_id}/retry", operation_id="retry_quarantined", tags=["quarantine"], responses=declared(404, 409)
)
def retry(context: Context, principal: Caller, entry_id: EntryId) -> RetriedResponse:
    """Put the file back into its spool, to be tried again."""
    done = context.parts.quarantine.retry(principal, entry_id)
    return RetriedResponse(entry=QuarantinedResponse.of(done.entry), back_in_spool=done.back_in_spool)


@router.post(
    "/quarantine/{entry_id}/take", operation_id="take_quarantined", tags=["quarantine"], responses=declared(404, 409)
)
def take(context: Context, principal: Caller, entry_id: EntryId, stated: CallStated) -> RetriedResponse:
    """Say of which call a file is whose name or description says nothing, and put it back to be taken."""
    done = context.parts.quarantine.take(principal, entry_id, stated.model_dump())
    return RetriedResponse(entry=QuarantinedResponse.of(done.entry), back_in_spool=done.back_in_spool)


@router.delete(
    "/quarantine/{entry_id}",
    operation_id="discard_quarantined",
    tags=["quarantine"],
    status_code=204,
    responses=declared(404, 409),
)
def discard(context: Context, principal: Caller, entry_id: EntryId) -> None:
    """Delete the file for good."""
    context.parts.quarantine.discard(principal, entry_id)


@router.get("/audit", operation_id="list_audit", tags=["audit"], responses=declared(404))
def audit(
    context: Context,
    principal: Caller,
    tenant: Annotated[SingleLine, Query(description="name or id; default: all whose log you may read")] = "",
    from_: Annotated[Moment | None, Query(alias="from", description="inclusive")] = None,
    to: Annotated[Moment | None, Query(description="exclusive")] = None,
    actor: SingleLine = "",
    action: SingleLine = "",
    outcome: Outcome | None = None,
    subject: Annotated[SingleLine, Query(description="id of what it was done to")] = "",
    call: Annotated[SingleLine, Query(description="id of a call: what was done to it or to one of its legs")] = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Listed[AuditResponse]:
    """Who did what, from where, when and how it ended; newest first."""
    owner = context.parts.reader.tenant_named(principal, tenant).id if tenant else None
    query = AuditQuery(from_, to, actor, action, outcome, subject, call)
    page = context.parts.trail.list(principal, owner, query, cursor, limit)
    return Listed(items=[AuditResponse.of(happened) for happened in page.items], next=page.next_cursor)
