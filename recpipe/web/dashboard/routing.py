"""PBX > Call Routing, and PBX > Offices & Users: which calls are recorded, looked at and changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.errors import InputInvalid, RecpipeError
from recpipe.messages import message
from recpipe.model import Tenant, Verdict
from recpipe.policy.snippets import ASKING, Asked, Target, asking, rules
from recpipe.policy.values import Values
from recpipe.tenants.changes import Kind
from recpipe.web.dashboard.addons import chosen
from recpipe.web.dashboard.changes import FIELDS
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.delivery import disposition
from recpipe.web.routes import page_router

A_PAGE = 50
SEEN_SHOWN = 30
SAYS = {Verdict.RECORD: message("Record"), Verdict.SKIP: message("Skip"), Verdict.DEFAULT: message("Default")}

TARGETS = {
    Target.FREEPBX: message("FreePBX 17"),
    Target.FREEPBX16: message("FreePBX 16 and older"),
    Target.ASTERISK: message("Asterisk"),
    Target.FUSIONPBX: message("FusionPBX, FreeSWITCH"),
    Target.KAMAILIO: message("Kamailio with rtpengine"),
    Target.KAZOO: message("KAZOO: the rules themselves"),
    Target.JSON: message("JSON: the rules themselves"),
}

router = page_router()


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rules of one kind are shown."""

    kind: Kind
    path: str
    title: str
    subject: str  # what a rule is about: its field in forms and tables
    heading: str
    several: str
    texts: tuple[str, ...]
    words: tuple[str, ...]


ROUTES = Shape(
    Kind.ROUTE,
    "/routing",
    message("Call Routing"),
    "number",
    message("Number"),
    message("call routes"),
    ("name", "timezone"),
    ("recording",),
)
EXTENSIONS = Shape(
    Kind.EXTENSION,
    "/extensions",
    message("Offices & Users"),
    "extension",
    message("Extension"),
    message("extensions"),
    ("name", "office"),
    ("outbound", "inbound", "internal"),
)


def _serve(shape: Shape) -> None:
    """Both pages are one, over rules of two kinds."""

    def look(
        request: Request, portal: ThePortal, viewer: SignedIn, service: str = "", find: str = "", page: int = 1
    ) -> Response:
        return _page(request, portal, viewer, shape, chosen(portal, viewer, service, Action.POLICY), find, page)

    def saving(save: Callable[[Portal, Viewer, Tenant, Fields], object]) -> Callable[..., Response]:
        def answer(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
            tenant = chosen(portal, viewer, form.text("service"), Action.POLICY)
            try:
                changed = save(portal, viewer, tenant, form)
            except RecpipeError as refused:
                return _page(request, portal, viewer, shape, tenant, form.text("find"), 1, refused)
            done = "saved-pending" if changed else "nothing-to-change"
            return redirect(f"{shape.path}?service={tenant.name}&done={done}")

        return answer

    def shown(portal: Portal, viewer: Viewer, tenant: Tenant, form: Fields) -> int:
        return portal.parts.routing.save(viewer.principal, tenant, shape.kind, _table(shape, form))

    def every(portal: Portal, viewer: Viewer, tenant: Tenant, form: Fields) -> int:
        found = portal.parts.routing.look(viewer.principal, tenant.id, shape.kind, form.text("find")).rules
        given = _given(shape, form)
        if not given:
            raise InputInvalid("recording", "Choose what is to be changed.")
        wanted = {rule.subject: given for rule in found if not rule.removed}
        return portal.parts.routing.save(viewer.principal, tenant, shape.kind, wanted)

    def one(portal: Portal, viewer: Viewer, tenant: Tenant, form: Fields) -> int:
        given: dict[str, object] = {name: form.text(name) for name in shape.texts if form.text(name)}
        verdict = form.text("every")
        given |= {name: verdict or form.text(name, "default") for name in shape.words}
        given["locked"] = form.on("locked")
        return portal.parts.routing.save(
            viewer.principal, tenant, shape.kind, {form.text(shape.subject).strip(): given}
        )

    def table(portal: Portal, viewer: Viewer, tenant: Tenant, form: Fields) -> int:
        content = form.file("file") or form.text("pasted").encode()
        return portal.parts.routing.import_csv(viewer.principal, tenant, shape.kind, content)

    def service(portal: Portal, viewer: Viewer, tenant: Tenant, form: Fields) -> bool:
        beep = form.text("beep_seconds", "0").strip() or "0"
        wanted: Values = {
            "otherwise": form.text("otherwise"),
            "unanswered": form.text("unanswered"),
            "beep_seconds": int(beep) if beep.isascii() and beep.isdecimal() and len(beep) < 5 else -1,
            "announcement": form.text("announcement"),
        }
        return portal.parts.routing.save_service(viewer.principal, tenant.id, wanted)

    router.add_api_route(shape.path, look, methods=["GET"])
    for name, save in (("rules", shown), ("every", every), ("one", one), ("table", table), ("service", service)):
        router.add_api_route(f"{shape.path}/{name}", saving(save), methods=["POST"])


def _table(shape: Shape, form: Fields) -> dict[str, Values]:
    """The rows of the page, each with fields of its own number."""
    wanted: dict[str, Values] = {}
    for place, subject in enumerate(form.all("subject")):
        if form.on(f"remove-{place}"):
            wanted[subject] = {}
            continue
        row: dict[str, object] = {name: form.text(f"{name}-{place}") for name in (*shape.texts, *shape.words)}
        row["locked"] = form.on(f"locked-{place}")
        wanted[subject] = row
    return wanted


def _given(shape: Shape, form: Fields) -> dict[str, object]:
    given: dict[str, object] = {name: form.text(name) for name in shape.words if form.text(name)}
    if form.text("locked"):
        given["locked"] = form.text("locked") == "yes"
    return given


def _page(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    shape: Shape,
    tenant: Tenant,
    find: str,
    page: int,
    refused: RecpipeError | None = None,
) -> Response:
    found = portal.parts.routing.look(viewer.principal, tenant.id, shape.kind, find[:100])
    pages = max(1, -(-len(found.rules) // A_PAGE))
    page = min(max(1, page), pages)
    return portal.page(
        request,
        "rules.html",
        viewer,
        refused=refused,
        tenant=tenant,
        choices=viewer.with_right(Action.POLICY),
        shape=shape,
        found=found,
        shown=found.rules[(page - 1) * A_PAGE : page * A_PAGE],
        seen=found.seen[:SEEN_SHOWN],
        find=find[:100],
        page=page,
        pages=pages,
        targets=TARGETS,
        says={verdict.value: word for verdict, word in SAYS.items()},
        labels={"timezone": message("Time zone"), **FIELDS, "recording": message("Recording")},
    )


for _shape in (ROUTES, EXTENSIONS):
    _serve(_shape)


@router.post("/routing/pbx")
def configuration(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """What a PBX of this service is configured with."""
    tenant = chosen(portal, viewer, form.text("service"), Action.POLICY)
    found = portal.parts.routing.look(viewer.principal, tenant.id, Kind.ROUTE)
    try:
        target = Target(form.text("for"))
        if target in ASKING:
            url = portal.parts.settings.http_url or str(request.base_url)
            asked = Asked(url.rstrip("/"), tenant.name, form.text("token").strip(), found.policy.service.unanswered)
            text = asking(target, asked)
        else:
            text = rules(target, tenant.name, found.policy)
    except ValueError:
        raise InputInvalid("for", "Choose a PBX.") from None
    except RecpipeError as refused:
        return _page(request, portal, viewer, ROUTES, tenant, "", 1, refused)
    headers = {"content-disposition": disposition("attachment", f"recpipe-{tenant.name}-{target.value}.txt")}
    return Response(text, media_type="text/plain", headers={**headers, "cache-control": "no-store"})
