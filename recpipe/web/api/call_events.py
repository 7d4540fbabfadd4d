"""Where a PBX tells what is done to the recording of a call."""

from __future__ import annotations

from fastapi import APIRouter

from recpipe.web.api.openapi import declared
from recpipe.web.api.tenants import TenantWord
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst
from recpipe.web.schemas import CallEventRequest, CallEventResponse

router = APIRouter(prefix=API, dependencies=AUTHENTICATED, route_class=KnownFirst)


@router.post(
    "/tenants/{tenant}/call-events",
    operation_id="tell_call_event",
    tags=["calls"],
    status_code=201,
    responses=declared(404),
)
def tell(context: Context, principal: Caller, tenant: TenantWord, told: CallEventRequest) -> CallEventResponse:
    """Tell that a recording was begun by a person, stopped, masked or paused: while the call lasts, or afterwards.

    For tokens with the scope `upload`. Told again, it counts once. `started` says from when the places in the recording
    are counted; without it, that is the start of the call. What is older than 30 days is refused.
    """
    parts = context.parts
    owner = parts.reader.tenant_named(principal, tenant)
    changed = parts.telling.tell(
        principal,
        owner,
        told.call_id,
        told.event,
        told.at,
        done_by=told.done_by,
        spool=told.spool,
    )
    return CallEventResponse(recordings=[one.id for one in changed])
