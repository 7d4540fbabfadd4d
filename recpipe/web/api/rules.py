"""Which calls are recorded: rules read, saved as pending changes, looked at and applied, as in the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query

from recpipe.access.principal import Action, Principal
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import Page, SeenKind, Tenant
from recpipe.policy.values import Values
from recpipe.tenants.changes import Kind
from recpipe.tenants.routing import Rule
from recpipe.web.api.openapi import declared
from recpipe.web.api.tenants import TenantWord
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, WebContext
from recpipe.web.schemas import Listed, RequestModel, SingleLine
from recpipe.web.schemas.policy import (
    AppliedResponse,
    ApplyRequest,
    ChangeResponse,
    ExtensionChange,
    ExtensionItem,
    ExtensionItems,
    ExtensionResponse,
    ExtensionRule,
    RouteChange,
    RouteItem,
    RouteItems,
    RouteResponse,
    RouteRule,
    SavedResponse,
    SeenResponse,
    ServicePolicyChange,
    ServicePolicyResponse,
)

PREFIX = f"{API}/policy/"
MOST_BYTES = 6_000_000  # of a body: as many rules as a tenant may have

router = APIRouter(
    prefix=f"{API}/policy/{{tenant}}", tags=["policy"], dependencies=AUTHENTICATED, route_class=KnownFirst
)

Number = Annotated[str, Path(min_length=1, max_length=100, description="as rules or PBXs write it")]
ExtensionName = Annotated[str, Path(min_length=1, max_length=100)]
ChangeId = Annotated[str, Path(min_length=1, max_length=64)]
Find = Annotated[SingleLine, Query(description="part of a number, a name or an office")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Csv = Annotated[bytes, Body(media_type="text/csv", description="UTF-8, with a line of headings")]


# --- the whole service ---------------------------------------------------------------------------------------------


@router.get("/service", operation_id="get_service_policy", responses=declared(404))
def service(context: Context, principal: Caller, tenant: TenantWord) -> ServicePolicyResponse:
    """What holds for calls without a rule, which version is in force, and which PBXs asked."""
    return _service(context, principal, _tenant(context, principal, tenant))


@router.patch("/service", operation_id="change_service_policy", responses=declared(404, 409))
def change_service(
    context: Context, principal: Caller, tenant: TenantWord, wanted: ServicePolicyChange
) -> ServicePolicyResponse:
    """Save what is to hold for calls without a rule; it waits for `apply`."""
    held = _tenant(context, principal, tenant)
    now = context.parts.routing.look(principal, held.id, Kind.ROUTE).service.values
    if given := _given(wanted):
        context.parts.routing.save_service(principal, held.id, {**now, **given})
    return _service(context, principal, held)


# --- inbound routes ------------------------------------------------------------------------------------------------


@router.get("/routes", operation_id="list_routes", responses=declared(404))
def routes(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    find: Find = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Listed[RouteResponse]:
    """Inbound routes by number, as they will be once everything is applied."""
    page = _page(context, principal, tenant, Kind.ROUTE, find, cursor, limit)
    return Listed(items=[RouteResponse.of(rule) for rule in page.items], next=page.next_cursor)


@router.post("/routes", operation_id="save_routes", responses=declared(404, 409))
def save_routes(context: Context, principal: Caller, tenant: TenantWord, wanted: RouteItems) -> SavedResponse:
    """Save many routes at once; they wait for `apply`."""
    return _save(context, principal, tenant, Kind.ROUTE, [(one.number, one) for one in wanted.items])


@router.post("/routes/import", operation_id="import_routes", responses=declared(404, 409))
def import_routes(context: Context, principal: Caller, tenant: TenantWord, table: Csv) -> SavedResponse:
    """Save the routes of a CSV table with the columns number, name, timezone, recording, locked."""
    return _import(context, principal, tenant, Kind.ROUTE, table)


@router.get("/routes/{number}", operation_id="get_route", responses=declared(404))
def route(context: Context, principal: Caller, tenant: TenantWord, number: Number) -> RouteResponse:
    """One route."""
    return RouteResponse.of(_one(context, principal, tenant, Kind.ROUTE, number))


@router.put("/routes/{number}", operation_id="put_route", responses=declared(404, 409))
def put_route(
    context: Context, principal: Caller, tenant: TenantWord, number: Number, wanted: RouteRule
) -> RouteResponse:
    """Save a route, new or not, just so; it waits for `apply`."""
    return RouteResponse.of(_put(context, principal, tenant, Kind.ROUTE, number, wanted))


@router.patch("/routes/{number}", operation_id="change_route", responses=declared(404, 409))
def change_route(
    context: Context, principal: Caller, tenant: TenantWord, number: Number, wanted: RouteChange
) -> RouteResponse:
    """Save a change of a route that is there; it waits for `apply`."""
    return RouteResponse.of(_change(context, principal, tenant, Kind.ROUTE, number, wanted))


@router.delete("/routes/{number}", operation_id="remove_route", status_code=204, responses=declared(404, 409))
def remove_route(context: Context, principal: Caller, tenant: TenantWord, number: Number) -> None:
    """Save that a route is to be gone; it waits for `apply`."""
    _remove(context, principal, tenant, Kind.ROUTE, number)


# --- extensions ----------------------------------------------------------------------------------------------------


@router.get("/extensions", operation_id="list_extensions", responses=declared(404))
def extensions(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    find: Find = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Listed[ExtensionResponse]:
    """Extensions, 99 before 100, as they will be once everything is applied."""
    page = _page(context, principal, tenant, Kind.EXTENSION, find, cursor, limit)
    return Listed(items=[ExtensionResponse.of(rule) for rule in page.items], next=page.next_cursor)


@router.post("/extensions", operation_id="save_extensions", responses=declared(404, 409))
def save_extensions(context: Context, principal: Caller, tenant: TenantWord, wanted: ExtensionItems) -> SavedResponse:
    """Save many extensions at once; they wait for `apply`."""
    return _save(context, principal, tenant, Kind.EXTENSION, [(one.extension, one) for one in wanted.items])


@router.post("/extensions/import", operation_id="import_extensions", responses=declared(404, 409))
def import_extensions(context: Context, principal: Caller, tenant: TenantWord, table: Csv) -> SavedResponse:
    """Save the rules of a CSV table with the columns extension, name, office, outbound, inbound, internal, locked."""
    return _import(context, principal, tenant, Kind.EXTENSION, table)


@router.get("/extensions/{extension}", operation_id="get_extension", responses=declared(404))
def extension(context: Context, principal: Caller, tenant: TenantWord, extension: ExtensionName) -> ExtensionResponse:
    """One extension."""
    return ExtensionResponse.of(_one(context, principal, tenant, Kind.EXTENSION, extension))


@router.put("/extensions/{extension}", operation_id="put_extension", responses=declared(404, 409))
def put_extension(
    context: Context, principal: Caller, tenant: TenantWord, extension: ExtensionName, wanted: ExtensionRule
) -> ExtensionResponse:
    """Save an extension, new or not, just so; it waits for `apply`."""
    return ExtensionResponse.of(_put(context, principal, tenant, Kind.EXTENSION, extension, wanted))


@router.patch("/extensions/{extension}", operation_id="change_extension", responses=declared(404, 409))
def change_extension(
    context: Context, principal: Caller, tenant: TenantWord, extension: ExtensionName, wanted: ExtensionChange
) -> ExtensionResponse:
    """Save a change of an extension that is there; it waits for `apply`."""
    return ExtensionResponse.of(_change(context, principal, tenant, Kind.EXTENSION, extension, wanted))


@router.delete(
    "/extensions/{extension}", operation_id="remove_extension", status_code=204, responses=declared(404, 409)
)
def remove_extension(context: Context, principal: Caller, tenant: TenantWord, extension: ExtensionName) -> None:
    """Save that nothing is to be said of an extension; it waits for `apply`."""
    _remove(context, principal, tenant, Kind.EXTENSION, extension)


@router.get("/seen", operation_id="list_seen", responses=declared(404))
def seen(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    kind: Annotated[SeenKind, Query(description="of numbers, or of extensions")],
) -> Listed[SeenResponse]:
    """Numbers or extensions of which PBXs asked, or calls were, while no rule speaks of them; the latest first."""
    held = _tenant(context, principal, tenant)
    of = Kind.ROUTE if kind is SeenKind.ROUTE else Kind.EXTENSION
    return Listed(items=[SeenResponse.of(one) for one in context.parts.routing.look(principal, held.id, of).seen])


# --- what waits, and what was --------------------------------------------------------------------------------------


@router.get("/changes", operation_id="list_policy_changes", responses=declared(404))
def changes(
    context: Context, principal: Caller, tenant: TenantWord, cursor: Cursor = None, limit: Limit = 100
) -> Listed[ChangeResponse]:
    """Changes of rules that wait for `apply`, old beside new, oldest first."""
    held = _tenant(context, principal, tenant)
    page = context.parts.changes.pending_page(principal, held.id, cursor, limit, Action.POLICY)
    return Listed(items=[ChangeResponse.of(one) for one in page.items], next=page.next_cursor)


@router.post("/changes/apply", operation_id="apply_policy_changes", responses=declared(404, 409))
def apply(context: Context, principal: Caller, tenant: TenantWord, wanted: ApplyRequest) -> AppliedResponse:
    """Make changes effective, all of them or none: PBXs are told so from the next second on."""
    held, waiting = _tenant(context, principal, tenant), context.parts.changes
    ids = wanted.changes
    if ids is None:
        ids = [one.id for one in waiting.pending(principal, held.id, Action.POLICY)]
    return AppliedResponse(applied=waiting.apply(principal, held.id, ids, Action.POLICY))


@router.delete("/changes/{change_id}", operation_id="discard_policy_change", status_code=204, responses=declared(404))
def discard(context: Context, principal: Caller, tenant: TenantWord, change_id: ChangeId) -> None:
    """Forget a change that waits."""
    held = _tenant(context, principal, tenant)
    context.parts.changes.discard(principal, held.id, change_id, Action.POLICY)


@router.get("/history", operation_id="list_policy_history", responses=declared(404))
def history(
    context: Context, principal: Caller, tenant: TenantWord, cursor: Cursor = None, limit: Limit = 100
) -> Listed[ChangeResponse]:
    """Changes of rules that were applied, newest first."""
    held = _tenant(context, principal, tenant)
    page = context.parts.changes.history(principal, held.id, cursor, limit, Action.POLICY)
    return Listed(items=[ChangeResponse.of(one) for one in page.items], next=page.next_cursor)


# --- what both kinds of rules share --------------------------------------------------------------------------------


def _tenant(context: WebContext, principal: Principal, word: str) -> Tenant:
    return context.parts.reader.tenant_named(principal, word)


def _given(wanted: RequestModel, *but: str) -> Values:
    """What a body says; null means as much as leaving it out."""
    return wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude=set(but))


def _service(context: WebContext, principal: Principal, tenant: Tenant) -> ServicePolicyResponse:
    return ServicePolicyResponse.of(context.parts.routing.look(principal, tenant.id, Kind.ROUTE))


def _page(
    context: WebContext, principal: Principal, word: str, kind: Kind, find: str, cursor: str | None, limit: int
) -> Page[Rule]:
    return context.parts.routing.page(principal, _tenant(context, principal, word).id, kind, find, cursor, limit)


def _one(context: WebContext, principal: Principal, word: str, kind: Kind, subject: str) -> Rule:
    return context.parts.routing.one(principal, _tenant(context, principal, word), kind, subject)


def _put(
    context: WebContext, principal: Principal, word: str, kind: Kind, subject: str, wanted: RouteRule | ExtensionRule
) -> Rule:
    held, routing = _tenant(context, principal, word), context.parts.routing
    routing.save(principal, held, kind, {subject: wanted.model_dump(mode="json")})
    return routing.one(principal, held, kind, subject)


def _change(
    context: WebContext,
    principal: Principal,
    word: str,
    kind: Kind,
    subject: str,
    wanted: RouteChange | ExtensionChange,
) -> Rule:
    held, routing = _tenant(context, principal, word), context.parts.routing
    there = routing.one(principal, held, kind, subject)
    if there.removed:
        raise NotFound(kind.value.replace("-", " "), subject)
    if given := _given(wanted):
        routing.save(principal, held, kind, {there.subject: given})
    return routing.one(principal, held, kind, subject)


def _remove(context: WebContext, principal: Principal, word: str, kind: Kind, subject: str) -> None:
    held, routing = _tenant(context, principal, word), context.parts.routing
    routing.save(principal, held, kind, {routing.one(principal, held, kind, subject).subject: {}})


def _save(
    context: WebContext,
    principal: Principal,
    word: str,
    kind: Kind,
    items: Sequence[tuple[str, RouteItem | ExtensionItem]],
) -> SavedResponse:
    held, wanted = _tenant(context, principal, word), dict[str, Values]()
    for subject, one in items:
        given = _given(one, "number", "extension", "remove")
        if subject in wanted:
            raise InputInvalid("items", f"{subject[:40]!r} is there twice.")
        if bool(given) is one.remove:
            raise InputInvalid("items", f"Say what is to be of {subject[:40]!r}, or that it is to be removed.")
        wanted[subject] = given
    return SavedResponse(changed=context.parts.routing.save(principal, held, kind, wanted))


def _import(context: WebContext, principal: Principal, word: str, kind: Kind, table: bytes) -> SavedResponse:
    held = _tenant(context, principal, word)
    return SavedResponse(changed=context.parts.routing.import_csv(principal, held, kind, table))
