"""One file in quarantine: what it is, said of which call it is, and saved to be listened to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.errors import InputInvalid, RecpipeError
from recpipe.languages import said
from recpipe.messages import message
from recpipe.quarantine import STATED
from recpipe.web.dashboard.forms import Fields, Form
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer, redirect
from recpipe.web.delivery import CACHE, PIECE_BYTES, Streamed, disposition
from recpipe.web.errors import problem_of
from recpipe.web.routes import page_router

router = page_router()


class _File:
    """A file as a source."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self) -> bytes:
        return self._stream.read(PIECE_BYTES)

    def close(self) -> None:
        self._stream.close()


@router.get("/system/quarantine/{entry_id}")
def page(request: Request, portal: ThePortal, viewer: SignedIn, entry_id: str) -> Response:
    """What waits, and a form for what its name does not say."""
    return _page(request, portal, viewer, entry_id, Fields())


@router.post("/system/quarantine/{entry_id}/take")
def take(request: Request, portal: ThePortal, viewer: SignedIn, entry_id: str, form: Form) -> Response:
    """State the facts, and have it tried again."""
    try:
        portal.parts.quarantine.take(viewer.principal, entry_id, {name: form.text(name) for name in STATED})
    except RecpipeError as refused:
        return _page(request, portal, viewer, entry_id, form, refused)
    return redirect("/system?done=taken")


@router.get("/system/quarantine/{entry_id}/file")
def save(portal: ThePortal, viewer: SignedIn, entry_id: str) -> Response:
    """The file as it came: always saved, whatever it is."""
    streams = portal.context.streams
    with streams.place(viewer.principal) as place:
        entry, stream = portal.parts.quarantine.open(viewer.principal, entry_id)
        headers = {
            "content-type": "application/octet-stream",
            "content-disposition": disposition("attachment", PurePosixPath(entry.relative).name),
            "cache-control": CACHE,
        }
        return Streamed(_File(stream), streams, place.pop_all(), 200, headers)


def _page(
    request: Request, portal: Portal, viewer: Viewer, entry_id: str, typed: Fields, refused: RecpipeError | None = None
) -> Response:
    entry = portal.parts.quarantine.get(viewer.principal, entry_id)
    spools = {spool.label: spool.timezone for spool in portal.parts.settings.spool}
    tenant = next((t for t in viewer.tenants if t.id == entry.tenant_id), None)
    problem = problem_of(refused) if refused else None
    if problem and isinstance(refused, InputInvalid):  # in the words of the page
        detail = said(problem.detail or "")
        detail = detail.replace("started_at", said(message("the time when the call began")))
        detail = detail.replace("retry", said(message("take it")))
        problem = replace(problem, title=message("Nothing was changed"), detail=detail[:1].upper() + detail[1:])
    return portal.page(
        request,
        "quarantined.html",
        viewer,
        problem=problem,
        file=entry,
        service=tenant.title if tenant else message("Service unknown"),
        zone=spools.get(entry.spool, "UTC"),
        typed={name: typed.text(name) for name in STATED},
        may_download=viewer.principal.may(Action.DOWNLOAD, entry.tenant_id),
    )
