"""A whole search as CSV or JSON lines, and a selection of recordings as a ZIP: made and sent piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from datetime import UTC
from enum import StrEnum
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response

from recpipe.access.audit import event
from recpipe.access.principal import Action, Principal
from recpipe.errors import InputInvalid, QueryInvalid
from recpipe.messages import message
from recpipe.model import TEXT_FACTS, ByteStream, Call, Marks, Page, Recording, RecordingQuery, masked_text
from recpipe.web.api.openapi import declared
from recpipe.web.csv_stream import csv_stream
from recpipe.web.delivery import Generated, Streamed, disposition, still
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, WebContext
from recpipe.web.schemas import MarksResponse, RecordingResponse, Selection
from recpipe.web.search_params import SearchParams, asked, resolve
from recpipe.web.zip_archive import archive

_Found = TypeVar("_Found", Recording, Call)
_PAGE = 500
_MOST_PACKED = 1000  # that are named one by one
MOST_IN_A_ZIP = 10_000  # recordings: what is told of each is in memory until the end

router = APIRouter(prefix=API, tags=["export"], dependencies=AUTHENTICATED, route_class=KnownFirst)

_COLUMNS = (
    "id",
    "tenant",
    "name",
    "started_at",
    "timezone",
    "duration_seconds",
    "direction",
    "caller",
    "callee",
    "caller_e164",
    "callee_e164",
    "caller_name",
    "callee_name",
    "extension",
    "route",
    "call_id",
    "linked_id",
    "sealed",
    "size_bytes",
    "sha256",
    "content_size_bytes",
    "content_sha256",
    "call",
    "started_local",
    "kind",
    "pages",
    "mailbox",
    "conference",
    "station_id",
    "starred",  # what people said of the call, on each of its legs
    "reviewed_at",
    "reviewed_by",
    "tags",
    "note",
    "started_by",
    "masked",
)
# A fact that is none of these yet stands last, so that no column moves. `channels` is left out.
COLUMNS = (*_COLUMNS, *(name for name in TEXT_FACTS if name not in (*_COLUMNS, "channels")))
NO_MARKS = Marks()


class Format(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"


_MEDIA_TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.JSON_LINES: "application/x-ndjson"}
_TEXT = {"schema": {"type": "string"}}
_EXPORTED = {
    200: {
        "description": "Every recording of the search.",
        "content": {"text/csv": _TEXT, "application/x-ndjson": _TEXT},
    },
    **declared(404),
}


@router.get(
    "/recordings/export",
    operation_id="export_recordings",
    response_class=Response,
    responses=_EXPORTED,
)
def export(
    context: Context,
    principal: Caller,
    what: Annotated[SearchParams, Depends(asked)],
    form: Annotated[Format, Query(alias="format", description="jsonl has one JSON object a line")] = Format.CSV,
) -> Response:
    """The whole search, however many. In CSV an apostrophe stands before what a spreadsheet would calculate."""
    return _exported(context, principal, what, form, context.parts.reader.search, lambda page: iter([page.items]))


@router.get("/calls/export", operation_id="export_calls", response_class=Response, responses=_EXPORTED)
def export_calls(
    context: Context,
    principal: Caller,
    what: Annotated[SearchParams, Depends(asked)],
    form: Annotated[Format, Query(alias="format")] = Format.CSV,
) -> Response:
    """The whole search for calls: all legs of each, one after another, with the call's id in `call`."""
    reader = context.parts.reader
    return _exported(context, principal, what, form, reader.calls, lambda page: _legs(context, principal, page))


@router.head("/recordings/export", include_in_schema=False)
@router.head("/calls/export", include_in_schema=False)
def export_head(
    context: Context,
    principal: Caller,
    what: Annotated[SearchParams, Depends(asked)],
    form: Annotated[Format, Query(alias="format")] = Format.CSV,
) -> Response:
    """What an export would be, without reading it all and without an event."""
    resolve(context, principal, what)
    return Response(headers=_headers_of(form))


@router.post(
    "/recordings/zip",
    operation_id="zip_recordings",
    response_class=Response,
    responses={
        200: {
            "description": "A ZIP of the stored files, with manifest.json and SHA256SUMS at its end.",
            # The second is what generated clients know as a file.
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("application/zip", "application/octet-stream")
            },
        },
        **declared(404),
    },
)
def zipped(request: Request, context: Context, principal: Caller, wanted: Selection) -> Response:
    """The stored files of up to 1,000 recordings. If one of them is not yours or does not exist, none are given."""
    reader = context.parts.reader
    calls = [reader.call(principal, call, Action.EXPORT) for call in dict.fromkeys(wanted.calls)]
    legs = [leg for call in calls for leg in reader.legs(principal, call, Action.EXPORT, most=_MOST_PACKED)]
    ids = dict.fromkeys((*wanted.ids, *(leg.id for leg in legs)))
    if len(ids) > _MOST_PACKED:
        raise InputInvalid(
            "calls",
            message(
                "A ZIP holds up to {most_packed:,} recordings; these calls have {ids:,} legs.",
                most_packed=_MOST_PACKED,
                ids=len(ids),
            ),
        )
    chosen = [reader.get(principal, recording_id, Action.EXPORT) for recording_id in ids]
    names = context.names.of(recording.tenant_id for recording in chosen)
    return _zip(context, principal, [(one, names[one.tenant_id]) for one in chosen], folders=len(names) > 1)


def zipped_search(context: WebContext, principal: Principal, what: SearchParams) -> Response:
    """The stored files of all calls of a search, however it is paged.

    Raises:
        QueryInvalid: it finds more than `MOST_IN_A_ZIP`, or cannot be understood.
    """
    tenants, query = resolve(context, principal, what)
    reader = context.parts.reader
    total = reader.total(principal, tenants, query, MOST_IN_A_ZIP, action=Action.EXPORT, calls=True)
    if total.capped or total.recordings > MOST_IN_A_ZIP:
        what_matches = message("more match")
        if not total.capped:
            what_matches = message(
                "these {calls:,} calls have {recordings:,}", calls=total.count, recordings=total.recordings
            )
        raise QueryInvalid(
            message(
                "A ZIP holds {most_in_a_zip:,} recordings at most, and {what_matches}. Narrow the search by date.",
                most_in_a_zip=MOST_IN_A_ZIP,
                what_matches=what_matches,
            )
        )
    mine = principal.tenants(Action.EXPORT) if tenants is None else tenants

    def found() -> Iterator[tuple[Recording, str]]:
        first = reader.calls(principal, tenants, query, None, _PAGE, action=Action.EXPORT)
        for page in _pages(context, principal, reader.calls, tenants, query, first):
            names = context.names.of(call.tenant_id for call in page.items)
            yield from ((one, names[one.tenant_id]) for some in _legs(context, principal, page) for one in some)

    return _zip(context, principal, found(), folders=mine is None or len(mine) > 1)


def _legs(context: WebContext, principal: Principal, page: Page[Call]) -> Iterator[Sequence[Recording]]:
    """The legs of the calls of a page, also where a call has more than are read with it."""
    search = context.parts.reader.search
    for call in page.items:
        yield call.legs
        if call.leg_count > len(call.legs):
            rest = RecordingQuery(call=call.id, oldest_first=True)
            first = search(principal, [call.tenant_id], rest, None, len(call.legs), action=Action.EXPORT)
            for more in _pages(context, principal, search, [call.tenant_id], rest, first):
                yield more.items if more is not first else ()


def _zip(
    context: WebContext, principal: Principal, chosen: Iterable[tuple[Recording, str]], *, folders: bool
) -> Response:
    def open_one(recording: Recording) -> ByteStream:
        return context.parts.reader.open(principal, recording, action=Action.EXPORT)

    pieces = archive(chosen, open_one, still(context, principal), folders=folders)
    headers = {
        "content-type": "application/zip",
        "content-disposition": disposition(
            "attachment", f"recordings-{context.parts.clock().astimezone(UTC):%Y%m%d-%H%M%S}.zip"
        ),
    }
    return Streamed(Generated(pieces), context.streams, context.streams.place(principal), 200, headers)


def _headers_of(form: Format) -> dict[str, str]:
    return {
        "content-type": _MEDIA_TYPES[form],
        "content-disposition": disposition("attachment", f"recordings.{form.value}"),
    }


def _note(context: WebContext, principal: Principal, tenants: Collection[str] | None, form: Format) -> None:
    chosen = principal.tenants(Action.EXPORT) if tenants is None else tenants
    now = context.parts.clock()
    for tenant_id in [None] if chosen is None else sorted(chosen):
        context.parts.trail.record(event(principal, "export", now, tenant_id=tenant_id, format=form.value))


def _exported(
    context: WebContext,
    principal: Principal,
    what: SearchParams,
    form: Format,
    search: Callable[..., Page[_Found]],
    recordings: Callable[[Page[_Found]], Iterator[Sequence[Recording]]],
) -> Response:
    """All pages of a search.

    Args:
        search: `Reader.search`, or its like.
        recordings: what a page has, piece by piece.
    """
    tenants, query = resolve(context, principal, what)
    with context.streams.place(principal) as place:
        first = search(principal, tenants, query, None, _PAGE, action=Action.EXPORT)
        _note(context, principal, tenants, form)
        pages = _pages(context, principal, search, tenants, query, first)
        rows = (_rows(context, piece) for page in pages for piece in recordings(page))
        pieces = _csv(context, principal, rows) if form is Format.CSV else _json_lines(rows)
        return Streamed(Generated(pieces), context.streams, place.pop_all(), 200, _headers_of(form))


def _pages(
    context: WebContext,
    principal: Principal,
    search: Callable[..., Page[_Found]],
    tenants: Collection[str] | None,
    query: RecordingQuery,
    page: Page[_Found],
) -> Iterator[Page[_Found]]:
    check = still(context, principal)
    while True:
        yield page
        if page.next_cursor is None:
            return
        check()
        page = search(principal, tenants, query, page.next_cursor, _PAGE, action=Action.EXPORT)


def _rows(context: WebContext, recordings: Sequence[Recording]) -> list[RecordingResponse]:
    names = context.names.of(recording.tenant_id for recording in recordings)
    return [RecordingResponse.of(recording, names[recording.tenant_id]) for recording in recordings]


def _json_lines(rows: Iterator[list[RecordingResponse]]) -> Generator[bytes, None, None]:
    for page in rows:
        if page:
            yield "".join(f"{row.model_dump_json()}\n" for row in page).encode()


def _csv(
    context: WebContext, principal: Principal, rows: Iterator[list[RecordingResponse]]
) -> Generator[bytes, None, None]:
    def cells(row: RecordingResponse, said: Marks) -> list[object]:
        given = row.model_dump(mode="json", include=set(COLUMNS)) | _cells_of(said)
        # As spreadsheets read a time, on the clock of the call; `started_at` is for programs.
        local = row.started_at.astimezone(ZoneInfo(row.timezone))
        given["started_local"] = f"{local:%Y-%m-%d %H:%M:%S}"
        parts = ((round(1000 * one.from_seconds), round(1000 * one.to_seconds)) for one in row.masked)
        given["masked"] = masked_text(tuple(parts))
        return [given[name] for name in COLUMNS]

    def marked(page: list[RecordingResponse]) -> Iterator[list[object]]:
        said = context.parts.reader.marks(principal, {row.tenant_id for row in page}, {row.call for row in page})
        return (cells(row, said.get(row.call, NO_MARKS)) for row in page)

    return csv_stream(COLUMNS, map(marked, rows))


def _cells_of(said: Marks) -> dict[str, object]:
    given = MarksResponse.of(said).model_dump(mode="json")
    return given | {"starred": "yes" if said.starred else "", "tags": ", ".join(said.tags)}
