"""Reports > Call Recordings: find, play, download, select, export, delete."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from starlette.responses import JSONResponse

from recpipe.access.principal import Action, Principal
from recpipe.audio.peaks import PeaksMalformed, decode
from recpipe.errors import Forbidden, InputInvalid, NotFound, QueryInvalid, SearchTooLong, TooManyMatches
from recpipe.messages import message
from recpipe.model import Call, Marks, Page
from recpipe.recordings.deletion import LONGEST_REASON
from recpipe.recordings.marking import LONGEST_NOTE
from recpipe.recordings.reader import Reader
from recpipe.web import export
from recpipe.web.dashboard.call_list import days_of, rows_of
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
from recpipe.web.dashboard.service_choice import offered
from recpipe.web.delivery import deliver
from recpipe.web.errors import problem_of
from recpipe.web.fax_pages import check_shown, deliver_page
from recpipe.web.playable import deliver_playable
from recpipe.web.routes import page_router
from recpipe.web.schemas import Selection

MOST_COUNTED = 1000
MOST_WEIGHED = export.MOST_IN_A_ZIP
_MOST_CHOSEN = 1000
_ID = re.compile(r"[0-9a-f]{32}")

router = page_router()


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
    """Every leg of every call of the search, as the API gives it."""
    asked = params_of(wanted_by(request, portal, viewer), viewer)
    return export.export_calls(portal.context, viewer.principal, asked, export.Format.CSV)


@router.get("/recordings/export.zip")
def all_as_zip(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """The stored files of every call of the search, or of one call."""
    wanted = wanted_by(request, portal, viewer)
    if (call := wanted.values.get("call")) is not None:
        ids = _chosen(portal, viewer, [], [call], Action.EXPORT)
        return export.zipped(request, portal.context, viewer.principal, Selection(ids=ids))
    return export.zipped_search(portal.context, viewer.principal, params_of(wanted, viewer))


@router.get("/recordings/total")
def total(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """How many calls a search finds and how large they are; the page asks once its list is there."""
    wanted = wanted_by(request, portal, viewer)
    found = portal.parts.reader.total(viewer.principal, wanted.tenant_ids, wanted.query, MOST_WEIGHED, calls=True)
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
    ids = _chosen(portal, viewer, form.all("id"), form.all("whole"), Action.EXPORT)
    return export.zipped(request, portal.context, viewer.principal, Selection(ids=ids))


@router.get("/recordings/delete")
def deletion(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """What would go, and the question why. The address says whereto one comes back: the search."""
    asked = request.query_params
    ids = _chosen(portal, viewer, asked.getlist("id"), asked.getlist("whole"), Action.DELETE)
    return _deletion(request, portal, viewer, ids)


@router.post("/recordings/delete")
def delete(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Delete the chosen recordings for good."""
    ids = _chosen(portal, viewer, form.all("id"), form.all("whole"), Action.DELETE)
    reason = form.text("reason")
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


@router.post("/recordings/searches")
def save_search(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Keep the search of the address under a name."""
    typed = as_typed(request, portal, viewer)
    query = urlencode({name: value for name, value in typed.values.items() if name not in ("call", "size")})
    try:
        portal.parts.saved_searches.save(viewer.principal, form.text("name"), query)
    except InputInvalid as refused:
        return _answer(request, portal, viewer, "recordings.html", refused)
    return redirect(typed.address(done="search-saved"))


@router.post("/recordings/searches/{search_id}/remove")
def remove_search(request: Request, portal: ThePortal, viewer: SignedIn, search_id: str) -> Response:
    """Forget one of one's own."""
    portal.parts.saved_searches.remove(viewer.principal, search_id)
    return redirect(as_typed(request, portal, viewer).address(done="search-removed"))


@router.post("/recordings/star")
def star(request: Request, portal: ThePortal, viewer: SignedIn, form: Form) -> Response:
    """Star one call of the list, or take its star away; the button says which."""
    call, _, on = form.text("star").partition(":")
    portal.parts.marking.mark(viewer.principal, call, starred=on == "yes")
    return redirect(as_typed(request, portal, viewer).address())


@router.get("/recordings/marks")
def marks(request: Request, portal: ThePortal, viewer: SignedIn, of: str = "") -> Response:
    """What is said of a call, to be changed. The address says whereto one comes back: the search."""
    call = portal.parts.reader.call(viewer.principal, of)
    _may_mark(portal, viewer, call)
    return _marks(request, portal, viewer, call, call.marks)


@router.post("/recordings/marks")
def mark(request: Request, portal: ThePortal, viewer: SignedIn, form: Form, of: str = "") -> Response:
    """Say it. Of what somebody may not change nothing is taken from the form, which does not ask for it."""
    call = portal.parts.reader.call(viewer.principal, of)
    wanted: dict[str, Any] = {}
    if viewer.principal.may(Action.PLAY, call.tenant_id):
        wanted |= {"starred": form.on("starred"), "reviewed": form.on("reviewed")}
    if viewer.principal.may(Action.ANNOTATE, call.tenant_id):
        wanted |= {"note": form.text("note"), "tags": form.text("tags").split(",")}
    if not wanted:
        _may_mark(portal, viewer, call)
    try:
        portal.parts.marking.mark(viewer.principal, call.id, **wanted)
    except InputInvalid as refused:
        typed = Marks(form.on("starred"), None, "", form.text("note"), tuple(form.text("tags").split(",")))
        return _marks(request, portal, viewer, call, typed, reviewed=form.on("reviewed"), refused=refused)
    return redirect(as_typed(request, portal, viewer).address(done="marked"))


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


@router.get("/recordings/{recording_id}/pages")
def fax(request: Request, portal: ThePortal, viewer: SignedIn, recording_id: str) -> Response:
    """A fax, page by page."""
    recording = portal.parts.reader.get(viewer.principal, recording_id, Action.PLAY)
    check_shown(recording)
    [row] = rows_of([recording], viewer)
    return portal.page(request, "fax.html", viewer, row=row)


@router.get("/recordings/{recording_id}/pages/{number}")
def fax_page(request: Request, portal: ThePortal, viewer: SignedIn, recording_id: str, number: int) -> Response:
    """One page of a fax, from 1, as a picture."""
    recording = portal.parts.reader.get(viewer.principal, recording_id, Action.PLAY)
    request.state.tenant = recording.tenant_id
    return deliver_page(request, portal.proxied, viewer.principal, recording, number)


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


def _answer(
    request: Request, portal: Portal, viewer: Viewer, template: str, not_saved: InputInvalid | None = None
) -> Response:
    reader, who = portal.parts.reader, viewer.principal
    found: Page[Call] = Page(())
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
                    count = reader.counted(who, wanted.tenant_ids, wanted.query, found, None, MOST_COUNTED, calls=True)
        except (QueryInvalid, TooManyMatches, SearchTooLong) as refused:
            problem = problem_of(refused)
            wrong = "" if wanted.cursor or isinstance(refused, SearchTooLong) else "find"
    legs = [leg for call in found.items for leg in call.legs]
    whole = not wanted.cursor and not found.next_cursor and len(legs) == sum(call.leg_count for call in found.items)
    return portal.page(
        request,
        template,
        viewer,
        problem=problem,
        wrong=wrong,
        status=200,
        wanted=wanted,
        found=found,
        days=days_of(found, wanted.zone, wanted.cursor, viewer),
        # Where the page has them all, how large they are is known.
        all_bytes=sum(leg.stored_bytes for leg in legs) if whole else None,
        count=count,
        offered=offered(viewer.with_right(Action.SEARCH)),
        sizes=PAGE_SIZES,
        presets=presets(portal, wanted.zone),
        saved=portal.parts.saved_searches.list(who),
        not_saved=not_saved,
        narrowed=bool(set(wanted.values) - {"size", "match", "service"}),
        may_export=viewer.may("export", wanted.tenant),
        may_delete=viewer.may("delete", wanted.tenant),
        any_sealed=any(t.encryption for t in viewer.tenants) or any(leg.sealed for leg in legs),
    )


def _page(reader: Reader, who: Principal, wanted: Wanted) -> Page[Call]:
    """What is found; an address with a call has that one alone, which may be sent to whoever has the same rights."""
    if (one := wanted.values.get("call")) is not None:
        try:
            return Page((reader.call(who, one),))
        except (NotFound, Forbidden):
            raise QueryInvalid("This call is not there any more, or is none that this account may see.") from None
    return reader.calls(who, wanted.tenant_ids, wanted.query, wanted.cursor or None, wanted.size)


def _chosen(portal: Portal, viewer: Viewer, ids: list[str], calls: list[str], action: Action) -> list[str]:
    """The recordings that were chosen, by themselves or with the whole of their calls."""
    if not ids and not calls:
        raise InputInvalid("id", "Choose at least one recording first.")
    if len(ids) + len(calls) > _MOST_CHOSEN or not all(_ID.fullmatch(one) for one in (*ids, *calls)):
        raise InputInvalid(
            "id", message("Choose at most {most_chosen:,} recordings at a time.", most_chosen=_MOST_CHOSEN)
        )
    reader, who = portal.parts.reader, viewer.principal
    whole = (reader.call(who, call, action) for call in dict.fromkeys(calls))
    legs = [leg.id for call in whole for leg in reader.legs(who, call, action, most=_MOST_CHOSEN)]
    chosen = list(dict.fromkeys((*ids, *legs)))
    if len(chosen) > _MOST_CHOSEN:
        raise InputInvalid(
            "id",
            message(
                "Choose at most {most_chosen:,} recordings at a time; these calls have more legs.",
                most_chosen=_MOST_CHOSEN,
            ),
        )
    return chosen


def _may_mark(portal: Portal, viewer: Viewer, call: Call) -> None:
    """Go on only where there is something that may be said of the call."""
    if not viewer.principal.may(Action.PLAY, call.tenant_id):
        portal.parts.trail.require(viewer.principal, Action.ANNOTATE, call.tenant_id, "call", call.id)


def _marks(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    call: Call,
    said: Marks,
    *,
    reviewed: bool | None = None,
    refused: InputInvalid | None = None,
) -> Response:
    typed = {
        "starred": said.starred,
        "reviewed": said.reviewed_at is not None if reviewed is None else reviewed,
        "note": said.note,
        "tags": ", ".join(one.strip() for one in said.tags),
    }
    return portal.page(
        request,
        "marks.html",
        viewer,
        refused=refused,
        wrong=refused.field if refused else "",
        wanted=as_typed(request, portal, viewer),
        call=call,
        row=next(iter(rows_of(call.legs, viewer))),
        typed=typed,
        longest=LONGEST_NOTE,
    )


def _deletion(
    request: Request,
    portal: Portal,
    viewer: Viewer,
    ids: list[str],
    refused: InputInvalid | None = None,
    reason: str = "",
) -> Response:
    context, who = portal.context, viewer.principal
    found = [context.parts.reader.get(who, one, Action.DELETE) for one in ids]
    for recording in found:  # the page shows what a search does
        context.parts.trail.require(who, Action.SEARCH, recording.tenant_id, "recording", recording.id)
    return portal.page(
        request,
        "delete.html",
        viewer,
        refused=refused,
        wanted=as_typed(request, portal, viewer),
        rows=list(rows_of(found, viewer)),
        reason=reason,
        longest=LONGEST_REASON,
    )
