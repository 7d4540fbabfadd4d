"""Reports > Call Recordings: find, play, download, select, export, delete."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from recpipe.access.principal import Action, Principal
from recpipe.audio.peaks import PeaksMalformed, decode
from recpipe.errors import InputInvalid, QueryInvalid, SearchTooLong, TooManyMatches
from recpipe.model import FORMATS, Page, Recording, Tenant
from recpipe.recordings.deletion import LONGEST_REASON
from recpipe.recordings.reader import Reader
from recpipe.web import export
from recpipe.web.dashboard.filters import size
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.dashboard.search_form import (
    PAGE_SIZES,
    FieldRefused,
    Wanted,
    as_typed,
    is_cheap,
    params_of,
    presets,
    wanted_by,
)
from recpipe.web.delivery import deliver
from recpipe.web.errors import problem_of
from recpipe.web.playable import deliver_playable, needs_conversion
from recpipe.web.schemas import Selection

MOST_COUNTED = 1000
MOST_WEIGHED = export.MOST_IN_A_ZIP
router = APIRouter(include_in_schema=False)


@router.get("/recordings")
def page(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """The whole page; its address can be shared."""
    return _answer(request, portal, viewer, "recordings.html")


@router.get("/recordings/results")
def results(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """The list alone, for search as you type."""
    return _answer(request, portal, viewer, "part-results.html")


@router.get("/recordings/export.csv")
def as_csv(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """Every call of the search, as the API gives it."""
    asked = params_of(wanted_by(request, portal, viewer), viewer)
    return export.export(request, portal.context, viewer.principal, asked, export.Format.CSV)


@router.get("/recordings/export.zip")
def all_as_zip(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """The stored files of every call of the search."""
    wanted = wanted_by(request, portal, viewer)
    return export.zipped_search(portal.context, viewer.principal, params_of(wanted, viewer))


@router.get("/recordings/total")
def total(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """How many calls a search finds and how large they are; the page asks once its list is there."""
    wanted = wanted_by(request, portal, viewer)
    found = portal.parts.reader.total(viewer.principal, wanted.tenant_ids, wanted.query, MOST_WEIGHED)
    return JSONResponse(
        {
            "count": f"{found.count:,}{'+' if found.capped else ''}",
            "size": "" if found.capped else size(found.stored_bytes),
        },
        headers={"cache-control": "no-store"},
    )


@router.post("/recordings/zip")
def as_zip(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """The chosen recordings as they are stored."""
    return export.zipped(request, portal.context, viewer.principal, Selection(ids=_chosen(form.all("id"))))


@router.get("/recordings/delete")
def deletion(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """What would go, and the question why. The address says whereto one comes back: the search."""
    return _deletion(request, portal, viewer, request.query_params.getlist("id"))


@router.post("/recordings/delete")
def delete(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Delete the chosen recordings for good."""
    ids, reason = _chosen(form.all("id")), form.text("reason")
    try:
        if not reason.strip():
            raise InputInvalid("reason", "Say why they may be deleted; the reason is kept on the audit log.")
        gone = portal.parts.disposal.delete(viewer.principal, ids, reason)
    except InputInvalid as refused:
        return _deletion(request, portal, viewer, ids, refused, reason)
    done = "versions-remain" if any(left.remains for left in gone) else "deleted"
    typed = as_typed(request, portal, viewer)
    typed.values.pop("call", None)  # it is gone
    return redirect(typed.address(done=done))


@router.get("/recordings/{recording_id}/media")
@router.head("/recordings/{recording_id}/media")
def media(request: Request, portal: ThePortal, viewer: SignedIn, recording_id: str, download: bool = False) -> Response:
    """The file as it is stored, or a range of it."""
    action = Action.DOWNLOAD if download else Action.PLAY
    recording = portal.parts.reader.get(viewer.principal, recording_id, action)
    request.state.tenant = recording.tenant_id
    return deliver(request, portal.proxied, viewer.principal, recording, action)


@router.get("/recordings/{recording_id}/playable")
@router.head("/recordings/{recording_id}/playable")
def playable(request: Request, portal: ThePortal, viewer: SignedIn, recording_id: str) -> Response:
    """What browsers play of a recording whose format they do not know."""
    recording = portal.parts.reader.get(viewer.principal, recording_id, Action.PLAY)
    request.state.tenant = recording.tenant_id
    return deliver_playable(request, portal.proxied, viewer.principal, recording)


@router.get("/recordings/{recording_id}/waveform")
def waveform(request: Request, portal: ThePortal, viewer: SignedIn, recording_id: str) -> Response:
    """The waveform, one list of [lowest, highest, lowest, ...] a channel; empty where none is kept."""
    recording = portal.parts.reader.get(viewer.principal, recording_id, Action.PLAY)
    try:
        channels = decode(recording.peaks).channels if recording.peaks else ()
    except PeaksMalformed:
        channels = ()
    drawn = [[value for pair in channel for value in pair] for channel in channels]
    return JSONResponse({"channels": drawn}, headers={"cache-control": "private, max-age=3600"})


# --- the search -----------------------------------------------------------------------------------------------


def _answer(request: Request, portal: Portal, viewer: Viewer, template: str) -> Response:
    reader, who = portal.parts.reader, viewer.principal
    found: Page[Recording] = Page(())
    count = problem = None
    wrong = ""
    try:
        wanted = wanted_by(request, portal, viewer)
    except QueryInvalid as refused:
        wanted, problem = as_typed(request, portal, viewer), problem_of(refused)
        wrong = refused.field if isinstance(refused, FieldRefused) else ""
    else:
        try:
            found = _page(reader, who, wanted)
            with suppress(SearchTooLong):  # the list is worth showing without it
                if found.searched_to is None and not wanted.cursor and (found.next_cursor is None or is_cheap(wanted)):
                    count = reader.counted(who, wanted.tenant_ids, wanted.query, found, None, MOST_COUNTED)
        except (QueryInvalid, TooManyMatches, SearchTooLong) as refused:
            problem = problem_of(refused)
            wrong = "" if wanted.cursor or isinstance(refused, SearchTooLong) else "find"
    return portal.page(
        request,
        template,
        viewer,
        problem=problem,
        wrong=wrong,
        status=200,
        wanted=wanted,
        found=found,
        days=_days(found, wanted, viewer),
        # Where the page has them all, how large they are is known.
        all_bytes=sum(one.stored_bytes for one in found.items) if not (wanted.cursor or found.next_cursor) else None,
        count=count,
        searchable=viewer.with_right(Action.SEARCH),
        sizes=PAGE_SIZES,
        presets=presets(portal, wanted.zone),
        narrowed=bool(set(wanted.values) - {"size", "match", "service"}),
        may_export=viewer.may("export", wanted.tenant),
        may_delete=viewer.may("delete", wanted.tenant),
        any_sealed=any(t.encryption for t in viewer.tenants) or any(r.sealed for r in found.items),
    )


def _page(reader: Reader, who: Principal, wanted: Wanted) -> Page[Recording]:
    """What is found; an address with a call has that one alone, which may be sent to whoever has the same rights."""
    if (one := wanted.values.get("call")) is not None:
        found = reader.findable(who, {one})
        if not found:
            raise QueryInvalid("This call is not there any more, or is none that this account may see.")
        return Page(tuple(found.values()))
    return reader.search(who, wanted.tenant_ids, wanted.query, wanted.cursor or None, wanted.size)


def _chosen(ids: list[str]) -> list[str]:
    if not ids:
        raise InputInvalid("id", "Choose at least one recording first.")
    if len(ids) > 1000 or not all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in ids):
        raise InputInvalid("id", "Choose at most 1,000 recordings at a time.")
    return ids


def _deletion(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    ids: list[str],
    refused: InputInvalid | None = None,
    reason: str = "",
) -> Response:
    context, who = portal.context, viewer.principal
    found = [context.parts.reader.get(who, one, Action.DELETE) for one in _chosen(ids)]
    for recording in found:  # the page shows what a search does
        context.parts.trail.require(who, Action.SEARCH, recording.tenant_id, "recording", recording.id)
    return portal.page(
        request,
        "delete.html",
        viewer,
        refused=refused,
        wanted=as_typed(request, portal, viewer),
        rows=list(_rows(found, viewer)),
        reason=reason,
        longest=LONGEST_REASON,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One recording as the list shows it."""

    recording: Recording
    tenant: Tenant
    kind: str  # media type of what is inside
    may_play: bool
    may_download: bool
    may_delete: bool

    @property
    def on(self) -> date:
        """The day of the call on the clock of its service."""
        return self.recording.started_at.astimezone(ZoneInfo(self.tenant.timezone)).date()

    @property
    def source(self) -> str:
        """What the player plays."""
        what = "playable" if needs_conversion(self.recording) else "media"
        return f"/recordings/{self.recording.id}/{what}"

    @property
    def plain_name(self) -> str:
        name = self.recording.name
        return name.removesuffix(".enc") if self.recording.sealed else name


def _rows(found: Iterable[Recording], viewer: Viewer) -> Iterable[Row]:
    tenants = {t.id: t for t in viewer.tenants}
    for recording in found:
        tenant = tenants[recording.tenant_id]
        kind = FORMATS[recording.audio.container].media_type
        may_play, may_download, may_delete = (viewer.may(action, tenant) for action in ("play", "download", "delete"))
        yield Row(recording, tenant, kind, may_play, may_download, may_delete)


@dataclass(frozen=True, slots=True)
class Day:
    """The calls of one day, as far as they are on this page."""

    date: date
    rows: list[Row]
    whole: bool  # no call of that day is on another page

    @property
    def label(self) -> str:
        return f"{self.date:%a %-d %b %Y}"


def _days(found: Page[Recording], wanted: Wanted, viewer: Viewer) -> list[Day]:
    """The page by days on the clock that its dates are of."""
    zone = ZoneInfo(wanted.zone)
    by_day = groupby(_rows(found.items, viewer), lambda row: row.recording.started_at.astimezone(zone).date())
    days = [(day, list(rows)) for day, rows in by_day]
    first_may_be_cut, last_may_be_cut = bool(wanted.cursor), found.next_cursor is not None
    return [
        Day(day, rows, not (first_may_be_cut and n == 0) and not (last_may_be_cut and n == len(days) - 1))
        for n, (day, rows) in enumerate(days)
    ]
