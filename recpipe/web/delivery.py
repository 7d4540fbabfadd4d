"""Sending bytes: a recording, a range of it, or something made on the way, without holding it whole.

A thread is taken for each piece that is read and given back while it is sent, so a thousand slow clients hold none.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import ExitStack
from typing import Protocol
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from recpipe import log
from recpipe.access.principal import Action, Principal
from recpipe.errors import CredentialsRejected, ObjectDamaged, RecpipeError
from recpipe.model import ByteStream, Recording
from recpipe.web import ranges
from recpipe.web.deps import WebContext
from recpipe.web.errors import Problem
from recpipe.web.schemas import media_type
from recpipe.web.security import address_of, route_of
from recpipe.web.streams import Streams

_log = log.get(__name__)

PIECE_BYTES = 256 * 1024
PRESIGNED_SECONDS = 300

# Shown inline by no browser that heeds the type, kept by none without asking us again.
CACHE = "private, no-cache, no-transform"


class Source(Protocol):
    """Bytes that are made in a thread."""

    def read(self) -> bytes:
        """The next piece; none at the end."""
        ...

    def close(self) -> None: ...


class Generated:
    """A generator as a source."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces = pieces

    def read(self) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")

    def close(self) -> None:
        self._pieces.close()


class Streamed(StreamingResponse):
    """A body from a source, which is closed and gives its place back however the answer ends."""

    def __init__(
        self,
        source: Source,
        streams: Streams,
        place: ExitStack,
        status: int,
        headers: Mapping[str, str],
        first: bytes = b"",
    ) -> None:
        self._body = self._pieces(first)
        super().__init__(self._body, status, headers)
        self._source = source
        self._threads = streams.threads
        self._place = place

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except BaseException as error:
            # The client has gone. What was called is over: its frames would hold pieces of the recording, in a cycle
            # that a quiet service leaves for hours.
            traceback.clear_frames(error.__traceback__)
            raise

    async def _pieces(self, first: bytes) -> AsyncGenerator[bytes, None]:
        if first:
            yield first
        while piece := await anyio.to_thread.run_sync(self._source.read, limiter=self._threads):
            yield piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except (RecpipeError, OSError) as error:
            # Nothing can be said any more: an answer that stays incomplete makes the server cut the connection.
            _log.warning("answer broken off", error=type(error).__name__, route=route_of(scope))
        finally:
            with self._place, anyio.CancelScope(shield=True):
                await self._body.aclose()
                await anyio.to_thread.run_sync(self._source.close, limiter=self._threads)


def deliver(
    request: Request, context: WebContext, principal: Principal, recording: Recording, action: Action
) -> Response:
    """The media of one recording, as asked for: whole, ranges, only its headers, not at all, or from the store itself.

    Source: RFC 9110, RFC 6266 (Content-Disposition), RFC 9530 (Repr-Digest), RFC 3230 (Digest).
    """
    file = ranges.Representation(recording.stored_bytes, recording.stored_sha256, recording.ingested_at)
    asked = {name: ", ".join(request.headers.getlist(name)) for name in set(request.headers.keys())}
    plan = ranges.plan(request.method, asked, file)
    kind = media_type(recording)
    headers = {
        "accept-ranges": "bytes",
        "cache-control": CACHE,
        "content-disposition": disposition("attachment" if action is Action.DOWNLOAD else "inline", recording.name),
        "etag": file.etag,
        "last-modified": file.last_modified,
        "repr-digest": file.repr_digest,
        "digest": file.digest,
    }
    if recording.audio.pages:
        # A PDF may hold scripts: no browser is to open it by itself.
        headers["content-disposition"] = disposition("attachment", recording.name)
    if plan.status == 304:
        return Response(status_code=304, headers={name: headers[name] for name in ("cache-control", "etag")})
    if plan.status == 412:
        return Problem(
            412, "precondition", "Not the file you meant", "Its ETag is another one. Fetch it whole."
        ).response()
    if plan.status == 416:
        unsatisfied = {"content-range": f"bytes */{file.size_bytes}", "accept-ranges": "bytes"}
        detail = f"The file has {file.size_bytes:,} bytes; the range is outside it."
        return Problem(416, "range", "No such bytes", detail, headers=unsatisfied).response()
    if request.method == "HEAD":
        return Response(headers={**headers, "content-type": kind, "content-length": str(file.size_bytes)})
    address = address_of(request.scope)
    if context.parts.settings.http_media == "redirect":
        url = context.parts.reader.presign(
            principal, recording, action=action, seconds=PRESIGNED_SECONDS, media_type=kind, address=address
        )
        if url is not None:
            return Response(status_code=307, headers={"location": url, "cache-control": "no-store"})

    def open_span(span: ranges.Span) -> ByteStream:
        return context.parts.reader.open(principal, recording, span.start, span.length, action=action, address=address)

    check = still(context, principal)
    whole = ranges.Span(0, file.size_bytes)
    with context.streams.place(principal) as place:
        if len(plan.spans) > 1:
            layout = ranges.multipart(plan.spans, kind, file.size_bytes)
            headers |= {"content-type": layout.media_type, "content-length": str(layout.size_bytes)}
            return Streamed(_Parts(layout, open_span, check), context.streams, place.pop_all(), 206, headers)
        span = plan.spans[0] if plan.spans else whole
        headers |= {"content-type": kind, "content-length": str(span.length)}
        if plan.status == 206:
            headers["content-range"] = span.content_range(file.size_bytes)
        source = _Span(open_span(span), span.length, check)
        first = source.read()
        if source.left == 0:  # the usual telephone call, or what a player asks for: one thread for all of it
            return Response(first, plan.status, headers)
        return Streamed(source, context.streams, place.pop_all(), plan.status, headers, first)


def still(context: WebContext, principal: Principal) -> Callable[[], None]:
    """To be called now and then during a long answer.

    Raises:
        CredentialsRejected: the token was revoked or the user disabled meanwhile; the answer breaks off.
    """

    def check() -> None:
        if not context.parts.access.still_valid(principal):
            raise CredentialsRejected

    return check


class _Span:
    """One open stream, closed with its last byte."""

    def __init__(self, stream: ByteStream, length: int, check: Callable[[], None]) -> None:
        self._stream = stream
        self._check = check
        self.left = length

    def read(self) -> bytes:
        if not self.left:
            self.close()
            return b""
        try:
            self._check()
            piece = self._stream.read(min(PIECE_BYTES, self.left))
            if not piece:
                raise ObjectDamaged("of this recording", f"it ends {self.left:,} bytes early")
        except BaseException:
            self.close()
            raise
        self.left -= len(piece)
        if not self.left:
            self.close()
        return piece

    def close(self) -> None:
        self._stream.close()


class _Parts:
    """A multipart/byteranges body: each span is opened when its turn comes, the first one at once."""

    def __init__(
        self, layout: ranges.Multipart, open_span: Callable[[ranges.Span], ByteStream], check: Callable[[], None]
    ) -> None:
        self._check = check
        self._open_span = open_span
        self._left = list(layout.parts)
        self._end = layout.end
        self._before, first = self._left.pop(0)
        self._stream: ByteStream | None = open_span(first)

    def read(self) -> bytes:
        self._check()
        if self._before:
            before, self._before = self._before, b""
            return before
        if self._stream is not None:
            if piece := self._stream.read(PIECE_BYTES):
                return piece
            self.close()
        if self._left:
            before, span = self._left.pop(0)
            self._stream = self._open_span(span)
            return before
        end, self._end = self._end, b""
        return end

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


_NOT_PLAIN = re.compile(r'[^\x20-\x7e]|["%\\;/]')
# Letters that others stand for; the rest lose their marks. Source: Unicode CLDR, transforms de-ASCII, Latin-ASCII.
_SPELLED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE"}
    | {"ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "þ": "th", "ı": "i"}
)


def _transliterated(name: str) -> str:
    """A name with its letters as they are written where there is nothing but ASCII; what has no such letters stays."""
    spelled = unicodedata.normalize("NFC", name).translate(_SPELLED)
    return "".join(c for c in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(c))


def disposition(how: str, name: str) -> str:
    """The value of Content-Disposition: an ASCII name for old clients, the real one for the others.

    Source: RFC 6266 section 4 and appendix D, RFC 8187 section 3.2 (ext-value).
    """
    plain = _NOT_PLAIN.sub("_", _transliterated(name))
    value = f'{how}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    return value
