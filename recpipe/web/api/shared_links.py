"""Links to calls for people outside."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from recpipe.web.api.openapi import declared
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, PasswordPlace
from recpipe.web.schemas import Listed, NewSharedLinkResponse, SharedLinkRequest, SharedLinkResponse

router = APIRouter(
    prefix=f"{API}/shared-links", tags=["shared links"], dependencies=AUTHENTICATED, route_class=KnownFirst
)


@router.get("", operation_id="list_shared_links", responses=declared(404))
def every(
    context: Context, principal: Caller, tenant: Annotated[str, Query(max_length=200, description="id, name or alias")]
) -> Listed[SharedLinkResponse]:
    """The links of a tenant that are neither revoked nor expired, newest first."""
    found = context.parts.reader.tenant_named(principal, tenant)
    links = context.parts.sharing.links(principal, found.id)
    return Listed(items=[SharedLinkResponse.of(link, found.name, maker) for link, maker in links])


@router.post("", operation_id="create_shared_link", status_code=201, responses=declared(404, 409))
def create(
    context: Context, principal: Caller, wanted: SharedLinkRequest, _place: PasswordPlace
) -> NewSharedLinkResponse:
    """Make a link to a call. Its address is in this answer and nowhere else; it ends with the token that made it."""
    made = context.parts.sharing.share(
        principal,
        wanted.call,
        recordings=wanted.recordings,
        expires_at=wanted.expires_at,
        openings=wanted.openings,
        passphrase=wanted.passphrase,
        download=wanted.download,
        label=wanted.label,
    )
    tenant = context.names.of([made.link.tenant_id])[made.link.tenant_id]
    return NewSharedLinkResponse(
        link=SharedLinkResponse.of(made.link, tenant, principal.name.partition("/")[0]),
        url=made.address,
    )


@router.delete("/{link_id}", operation_id="revoke_shared_link", status_code=204, responses=declared(404))
def revoke(context: Context, principal: Caller, link_id: Annotated[str, Path(min_length=1, max_length=64)]) -> None:
    """End a link, and whatever is open by it."""
    context.parts.sharing.revoke(principal, link_id)
