"""Finding calls, getting them with their legs, and deleting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from recpipe.web.api.openapi import declared
from recpipe.web.api.recordings import MOST_COUNTED, deleted, listed
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, caller_of
from recpipe.web.schemas import CallList, CallResponse, Deletion, Marking, Remains, SingleLine
from recpipe.web.search_params import SearchParams, asked, resolve

router = APIRouter(prefix=f"{API}/calls", tags=["calls"], dependencies=AUTHENTICATED, route_class=KnownFirst)

CallId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        description="of the call, or of a recording that is one of its legs",
        examples=["c0b7e6f1d2a34958b6c7d8e9f0a1b2c3"],
    ),
]


@router.get("", operation_id="search_calls", response_model=CallList, responses=declared(404))
def search(
    request: Request,
    context: Context,
    what: Annotated[SearchParams, Depends(asked)],
    cursor: Annotated[SingleLine | None, Query(max_length=500, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    count: Annotated[bool, Query(description="false saves the time of counting")] = True,
) -> Response:
    """Search, newest first by their first legs. A call is found when one of its legs has all that is asked for."""
    principal, reader = caller_of(request), context.parts.reader
    tenants, query = resolve(context, principal, what)
    page = reader.calls(principal, tenants, query, cursor, limit)
    counted = None
    if count:
        counted = reader.counted(principal, tenants, query, page, cursor, MOST_COUNTED, calls=True)
    names = context.names.of(call.tenant_id for call in page.items)
    items = [CallResponse.of(call, names[call.tenant_id]) for call in page.items]
    return listed(CallList, items, page, counted)


@router.get("/{call_id}", operation_id="get_call", responses=declared(404))
def get(context: Context, principal: Caller, call_id: CallId) -> CallResponse:
    """One call with its legs, as far as they may be seen."""
    found = context.parts.reader.call(principal, call_id)
    return CallResponse.of(found, context.names.of([found.tenant_id])[found.tenant_id])


@router.patch("/{call_id}", operation_id="mark_call", responses=declared(404))
def mark(context: Context, principal: Caller, call_id: CallId, wanted: Marking) -> CallResponse:
    """Star a call, say that it was reviewed, write a note or tags. Kept beside its recordings, deleted with it."""
    said = wanted.model_dump(exclude_none=True)
    found = context.parts.marking.mark(principal, call_id, **said)
    return CallResponse.of(found, context.names.of([found.tenant_id])[found.tenant_id])


@router.delete(
    "/{call_id}",
    operation_id="delete_call",
    status_code=204,
    response_class=Response,
    responses={200: {"description": "Deleted; the bucket keeps versions.", "model": Remains}, **declared(404)},
)
def delete(context: Context, principal: Caller, call_id: CallId, wanted: Deletion | None = None) -> Response:
    """Delete all its legs for good, or none: as for a recording."""
    return deleted(context.parts.disposal.delete_call(principal, call_id, wanted.reason if wanted else ""))
