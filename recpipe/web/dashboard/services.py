"""My Services > Voice: the tenants a person may see, each with its state at a glance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import available_timezones

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.errors import RecpipeError
from recpipe.messages import message
from recpipe.model import CertificateState, StoreFormat, Tenant
from recpipe.recordings.overview import TenantOverview
from recpipe.tenants.tenants import LONGEST_GROUP
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.dashboard.service_choice import groups_of
from recpipe.web.routes import page_router

EXPIRES_SOON_DAYS = 90
LAST_DAYS = 8  # of a certificate
A_PAGE = 50  # services
FEW = 6  # are shown as cards; more as a table

router = page_router()


@dataclass(frozen=True, slots=True)
class Glance:
    """One service as its card shows it; None where this person may not know."""

    tenant: Tenant
    today: int | None
    stored_bytes: int | None
    recordings: int | None
    last_ingest_at: datetime | None
    quarantined: int
    expires_at: datetime | None  # of the certificate that lasts longest
    expires_in_days: int | None
    unproven: int

    @property
    def expires(self) -> int | None:
        """In how many days new recordings will wait for another certificate; None: not soon, or none are sealed."""
        days = self.expires_in_days
        return days if self.tenant.encryption and days is not None and days < EXPIRES_SOON_DAYS else None

    @property
    def trouble(self) -> int:
        """How much somebody is wanted here: 3 where recordings wait, 0 where all is well."""
        if self.quarantined or (self.expires is not None and self.expires < 0):
            return 3
        if self.expires is not None and self.expires < LAST_DAYS:
            return 2
        return 1 if self.unproven or self.expires is not None else 0


_LAST = datetime.max.replace(tzinfo=UTC)
# How a table is put in order, the most interesting first.
ORDERS: Mapping[str, tuple[str, Callable[[Glance], Any]]] = {
    "trouble": (message("Trouble"), lambda g: -g.trouble),
    "name": (message("Service"), lambda g: g.tenant.title.casefold()),
    "group": (message("Group"), lambda g: (not g.tenant.group, g.tenant.group.casefold())),
    "recordings": (message("Recordings"), lambda g: -(g.recordings or 0)),
    "size": (message("Stored"), lambda g: -(g.stored_bytes or 0)),
    "ingest": (message("Last ingest"), lambda g: g.last_ingest_at.timestamp() if g.last_ingest_at else 0),
    "certificate": (message("Certificate until"), lambda g: g.expires_at or _LAST),
}


@router.get("/services")
def services(
    request: Request,
    portal: ThePortal,
    viewer: SignedIn,
    find: str = "",
    sort: str = "trouble",
    group: str = "",
    page: str = "",
) -> Response:
    """Every service, or those of a group or whose name holds what was typed: as cards, or in a table if many."""
    wanted = find.strip().casefold()[:100]
    chosen = [
        t
        for t in viewer.tenants
        if (wanted in t.title.casefold() or wanted in t.name.casefold()) and group in ("", t.group)
    ]
    many = len(viewer.tenants) > FEW
    found = glances(portal, viewer, chosen)
    if many:
        sort = sort if sort in ORDERS else "trouble"
        order = ORDERS[sort][1]
        found.sort(key=lambda g: (order(g), g.tenant.title.casefold()))
    number = int(page) if page.isascii() and page.isdecimal() and len(page) < 6 else 1
    number = max(1, min(number, -(-len(found) // A_PAGE)))
    before = (number - 1) * A_PAGE

    def address(number: int) -> str:
        values = {"find": find[:100], "group": group[:LONGEST_GROUP], "sort": sort, "page": str(number)}
        return f"/services?{urlencode({name: value for name, value in values.items() if value})}"

    return portal.page(
        request,
        "services.html",
        viewer,
        glances=found[before : before + A_PAGE],
        many=many,
        sort=sort,
        orders={word: label for word, (label, _) in ORDERS.items()},
        find=find[:100],
        group=group[:LONGEST_GROUP],
        groups=groups_of(viewer),
        total=len(found),
        before=before,
        earlier=address(number - 1) if before else "",
        further=address(number + 1) if len(found) > before + A_PAGE else "",
    )


def glances(portal: Portal, viewer: Viewer, tenants: Sequence[Tenant]) -> list[Glance]:
    """Their states now."""
    now = portal.parts.clock()
    found = portal.parts.overview.tenants(viewer.principal, tenants, now)
    return [_glance(one, found[one.id], now) for one in tenants]


def _glance(tenant: Tenant, overview: TenantOverview, now: datetime) -> Glance:
    expires_at = max((c.not_after for c in overview.certificates if c.state.trusted), default=None)
    return Glance(
        tenant=tenant,
        today=overview.today,
        stored_bytes=overview.stored.stored_bytes if overview.stored else None,
        recordings=overview.stored.recordings if overview.stored else None,
        last_ingest_at=overview.last_ingest_at,
        quarantined=overview.quarantined,
        expires_at=expires_at,
        expires_in_days=None if expires_at is None else (expires_at - now).days,
        unproven=sum(c.state is CertificateState.UNPROVEN for c in overview.certificates),
    )


@router.get("/services/new")
def new(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """The form for a service that does not exist yet."""
    portal.parts.trail.require(viewer.principal, Action.TENANTS)
    return _form(request, portal, viewer, None, {})


@router.post("/services/new")
def create(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Make it."""
    try:
        made = portal.parts.tenants.create(
            viewer.principal,
            form.text("name"),
            title=form.text("title"),
            timezone=form.text("timezone", "UTC"),
            region=form.text("region"),
            group=form.text("group"),
            store_format=StoreFormat.MP3 if form.text("store_format") == "mp3" else StoreFormat.SOURCE,
            aliases=form.lines("aliases"),
        )
    except RecpipeError as refused:
        return _form(request, portal, viewer, None, _typed(form), refused)
    return redirect(f"/addons?service={made.name}&done=tenant-created")


@router.get("/services/{name}/edit")
def edit(request: Request, portal: ThePortal, viewer: SignedIn, name: str) -> Response:
    """What an administrator may change of a service."""
    tenant = portal.parts.reader.tenant_named(viewer.principal, name)
    portal.parts.trail.require(viewer.principal, Action.TENANTS, tenant.id)
    values = {
        "name": tenant.name,
        "title": tenant.title,
        "timezone": tenant.timezone,
        "region": tenant.region,
        "group": tenant.group,
        "store_format": tenant.store_format.value,
        "aliases": "\n".join(tenant.aliases),
    }
    return _form(request, portal, viewer, tenant, values)


@router.post("/services/{name}/edit")
def change(request: Request, portal: ThePortal, viewer: SignedIn, name: str, form: Form) -> Response:
    """Change it; what is stored stays as it is."""
    tenant = portal.parts.reader.tenant_named(viewer.principal, name)
    try:
        portal.parts.tenants.change(
            viewer.principal,
            tenant.id,
            title=form.text("title"),
            timezone=form.text("timezone"),
            region=form.text("region"),
            group=form.text("group"),
            store_format=StoreFormat.MP3 if form.text("store_format") == "mp3" else StoreFormat.SOURCE,
            aliases=form.lines("aliases"),
        )
    except RecpipeError as refused:
        return _form(request, portal, viewer, tenant, _typed(form) | {"name": tenant.name}, refused)
    return redirect("/services?done=saved")


def _typed(form: Fields) -> dict[str, str]:
    return {
        name: form.text(name) for name in ("name", "title", "timezone", "region", "group", "store_format", "aliases")
    }


def _form(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    tenant: Tenant | None,
    values: dict[str, str],
    refused: RecpipeError | None = None,
) -> Response:
    zones: Collection[str] = sorted(available_timezones())
    return portal.page(
        request,
        "service-edit.html",
        viewer,
        refused=refused,
        tenant=tenant,
        values={"timezone": "UTC", **values},
        zones=zones,
        groups=groups_of(viewer),
    )
