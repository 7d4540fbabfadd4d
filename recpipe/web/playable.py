"""A recording as something that every browser plays: GSM, ADPCM, AU and the like as PCM in a WAV, made on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator

from fastapi import Request
from starlette.responses import Response

from recpipe.access.principal import Action, Principal
from recpipe.audio import codecs
from recpipe.errors import InputInvalid
from recpipe.model import AudioFacts, ByteStream, Recording
from recpipe.web import ranges
from recpipe.web.delivery import CACHE, Generated, Streamed, disposition, still
from recpipe.web.deps import WebContext
from recpipe.web.errors import Problem
from recpipe.web.security import address_of


def needs_conversion(recording: Recording) -> bool:
    """Whether browsers play this one only after `deliver_playable`: of sealed ones nothing can be made here."""
    return not recording.sealed and not codecs.playable(recording.audio) and codecs.convertible(recording.audio)


def deliver_playable(request: Request, context: WebContext, principal: Principal, recording: Recording) -> Response:
    """The samples as PCM16 WAV, whole or from anywhere, so that players can seek.

    Raises:
        InputInvalid: it is played as it is, or cannot be decoded.
    """
    from recpipe.audio import transcode  # numpy takes 14 MB, and most recordings are played as they are

    if not needs_conversion(recording):
        raise InputInvalid("recording", "It is not converted for playing. Its media is what there is.")
    audio, size = recording.audio, transcode.playback_bytes(recording.audio)
    # Other bytes than those of the media, and always the same ones.
    tag = hashlib.sha256(f"pcm16 of {recording.stored_sha256}".encode()).hexdigest()
    file = ranges.Representation(size, tag, recording.ingested_at)
    asked = {name: ", ".join(request.headers.getlist(name)) for name in set(request.headers.keys())}
    plan = ranges.plan(request.method, asked, file)
    headers = {
        "accept-ranges": "bytes",
        "cache-control": CACHE,
        "content-disposition": disposition("inline", f"{recording.name}.wav"),
        "etag": file.etag,
    }
    if plan.status == 304:
        return Response(status_code=304, headers={name: headers[name] for name in ("cache-control", "etag")})
    if plan.status in (412, 416):
        unsatisfied = {"content-range": f"bytes */{size}"}
        return Problem(plan.status, "range", "No such bytes", f"It has {size:,}.", headers=unsatisfied).response()
    span = plan.spans[0] if len(plan.spans) == 1 else ranges.Span(0, size)
    headers |= {"content-type": "audio/wav", "content-length": str(span.length)}
    status = 200
    if len(plan.spans) == 1:
        status, headers["content-range"] = 206, span.content_range(size)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    check = still(context, principal)
    with context.streams.place(principal) as place:
        stream = context.parts.reader.open(principal, recording, action=Action.PLAY, address=address_of(request.scope))
        source = Generated(_pieces(stream, audio, span, check))
        return Streamed(source, context.streams, place.pop_all(), status, headers)


def _pieces(
    stream: ByteStream, audio: AudioFacts, span: ranges.Span, check: Callable[[], None]
) -> Generator[bytes, None, None]:
    from recpipe.audio import transcode  # as above

    position = 0
    with stream:
        for piece in transcode.playback(stream, audio):
            check()
            begin, end = max(span.start - position, 0), span.start + span.length - position
            position += len(piece)
            if begin < len(piece):
                yield piece[begin:end]
            if end <= len(piece):
                return
