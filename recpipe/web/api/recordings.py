"""Finding recordings, getting them, and deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from recpipe.access.principal import Action
from recpipe.model import FORMATS, CappedCount, Page, Tombstone
from recpipe.web.api.openapi import declared
from recpipe.web.delivery import deliver
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, caller_of
from recpipe.web.schemas import CallList, Deletion, RecordingList, RecordingResponse, Remains, SingleLine
from recpipe.web.search_params import SearchParams, asked, resolve

MOST_COUNTED = 1000

router = APIRouter(prefix=f"{API}/recordings", tags=["recordings"], dependencies=AUTHENTICATED, route_class=KnownFirst)

RecordingId = Annotated[str, Path(min_length=1, max_length=64, examples=["5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b"])]
_MEDIA = {"schema": {"type": "string", "format": "binary"}}
_FILES = {form.media_type: _MEDIA for form in FORMATS.values()}


@router.get("", operation_id="search_recordings", response_model=RecordingList, responses=declared(404))
def search(
    request: Request,
    context: Context,
    what: Annotated[SearchParams, Depends(asked)],
    cursor: Annotated[SingleLine | None, Query(max_length=500, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    count: Annotated[bool, Query(description="false saves the time of counting")] = True,
) -> Response:
    """Search, newest first."""
    principal = caller_of(request)
    tenants, query = resolve(context, principal, what)
    page = context.parts.reader.search(principal, tenants, query, cursor, limit)
    counted = context.parts.reader.counted(principal, tenants, query, page, cursor, MOST_COUNTED) if count else None
    names = context.names.of(recording.tenant_id for recording in page.items)
    items = [RecordingResponse.of(recording, names[recording.tenant_id]) for recording in page.items]
    return listed(RecordingList, items, page, counted)


@router.get("/{recording_id}", operation_id="get_recording", responses=declared(404))
def get(context: Context, principal: Caller, recording_id: RecordingId) -> RecordingResponse:
    """One recording: the facts of the call and the checksums of the file."""
    found = context.parts.reader.get(principal, recording_id)
    return RecordingResponse.of(found, context.names.of([found.tenant_id])[found.tenant_id])


@router.delete(
    "/{recording_id}",
    operation_id="delete_recording",
    status_code=204,
    response_class=Response,
    responses={200: {"description": "Deleted; the bucket keeps versions.", "model": Remains}, **declared(404)},
)
def delete(context: Context, principal: Caller, recording_id: RecordingId, wanted: Deletion | None = None) -> Response:
    """Delete it for good. Its file is not stored again when it is ingested anew."""
    return deleted(context.parts.disposal.delete(principal, [recording_id], wanted.reason if wanted else ""))


def listed(
    answer: type[RecordingList | CallList], items: list[Any], page: Page[Any], counted: CappedCount | None
) -> Response:
    """The answer to a search. Written as it is: the framework would check a thousand rows of our own making again."""
    found = answer.model_construct(
        items=items,
        next=page.next_cursor,
        count=counted.count if counted else None,
        count_capped=counted.capped if counted else False,
        searched_to=page.searched_to,
    )
    return Response(found.model_dump_json(), media_type="application/json")


def deleted(done: Sequence[Tombstone]) -> Response:
    """The answer that says what is left."""
    if not any(left.remains for left in done):
        return Response(status_code=204)
    return Response(Remains().model_dump_json(), media_type="application/json")


@router.get(
    "/{recording_id}/media",
    operation_id="get_media",
    response_class=Response,
    responses={
        200: {"description": "The stored file.", "content": _FILES},
        206: {"description": "The ranges asked for.", "content": _FILES | {"multipart/byteranges": _MEDIA}},
        304: {"description": "The copy you have is the same."},
        307: {"description": "The store gives it: follow `Location` within five minutes."},
        **declared(404, 412, 416, 502),
    },
)
@router.head(
    "/{recording_id}/media",
    operation_id="head_media",
    response_class=Response,
    responses={
        200: {"description": "Its size, type and checksums."},
        304: {"description": "The copy you have is the same."},
        **declared(404, 412),
    },
)
def media(
    request: Request,
    context: Context,
    recording_id: RecordingId,
    download: Annotated[bool, Query(description="true: as an attachment with its file name")] = False,
) -> Response:
    """The file as it is stored: sealed ones are CMS envelopes. Range, If-Range, ETag and HEAD as in RFC 9110."""
    principal = caller_of(request)
    action = Action.DOWNLOAD if download else Action.PLAY
    recording = context.parts.reader.get(principal, recording_id, action)
    request.state.tenant = recording.tenant_id
    return deliver(request, context, principal, recording, action)
