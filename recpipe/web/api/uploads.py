"""Recordings that a PBX pushes over HTTP: durable in a spool before the answer 201, and from there as any other file.

What a body holds goes straight into the spool's own folder: no second copy of it exists anywhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Header, Path, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recpipe import log, metrics
from recpipe.access.expiring import SeenRecently
from recpipe.access.principal import Principal
from recpipe.errors import Conflict, InputInvalid
from recpipe.intake import IncomingFile
from recpipe.model import TEXT_FACTS
from recpipe.spool import sidecar
from recpipe.web.api.openapi import declared
from recpipe.web.api.receipts import Receipt, Receipts
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, WebContext
from recpipe.web.errors import problem_of
from recpipe.web.multipart import FormReader
from recpipe.web.schemas import UploadResponse

_log = log.get(__name__)

PREFIX = f"{API}/uploads"
MOST_BYTES = 4 * 1024**3  # what the sizes inside a WAV file can count to
_PIECE_BYTES = 256 * 1024
_said_lately = SeenRecently(3600)  # seconds; by sender and reason

router = APIRouter(prefix=PREFIX, tags=["uploads"], dependencies=AUTHENTICATED, route_class=KnownFirst)

# Facts that hold a number, also by KAZOO's names, and how a + that became a space is known in them and in times.
_WITH_NUMBERS = frozenset({"caller", "callee", "extension", "from", "to", "caller_id_number"})
_SPACE_BEFORE_NUMBER = re.compile(r"^(sips?:|tel:)? (?=[0-9])")
_SPACE_BEFORE_ZONE = re.compile(r"([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?) ([0-9]{2}:?[0-9]{2})")

SpoolLabel = Annotated[str, Path(min_length=1, max_length=255, description="of the spool", examples=["monitor"])]
FileName = Annotated[
    str, Path(min_length=1, max_length=1024, description="path in the spool, as the PBX would write it")
]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, description="the same for each try of one file"),
]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_RAW = {"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


_FACTS = ("started_at", "timezone", "duration_seconds", "direction", "kind", *TEXT_FACTS, "masked", "tenant")
_STATED = f"""Send one recording as the body. The query string may state facts of the call, as KAZOO's does.

Facts: {", ".join(_FACTS)};
or KAZOO's from, to, caller_id_name, caller_id_number, call_id, cdr_id, interaction_id, account_id, start,
duration_ms.
The answer comes when the file is durable; the same file sent again counts as success."""


@router.put(
    "/{spool}/{name:path}",
    operation_id="put_upload",
    status_code=201,
    responses=declared(404, 409),
    openapi_extra=_RAW,
    description=_STATED,
)
@router.post(
    "/{spool}/{name:path}",
    operation_id="post_upload",
    status_code=201,
    responses=declared(404, 409),
    openapi_extra=_RAW,
    description=_STATED,
)
async def raw(
    request: Request, context: Context, principal: Caller, spool: SpoolLabel, name: FileName, key: Key = None
) -> UploadResponse:
    """Send one recording as the body."""
    with _refusals_noted(principal):
        taking = await _in_thread(Taking, context, principal, spool, key)
        try:
            await _in_thread(taking.begin, dict(request.query_params), name)
            await _pour(request, taking.write)
            return await _in_thread(taking.commit)
        finally:
            await _in_thread(taking.close)


@router.post("/{spool}", operation_id="post_form", status_code=201, responses=declared(404, 409), openapi_extra=_FORM)
async def form(
    request: Request, context: Context, principal: Caller, spool: SpoolLabel, key: Key = None
) -> UploadResponse:
    """Send one recording as a form with one file; its other fields, placed before it, may state facts of the call."""
    with _refusals_noted(principal):
        taking = await _in_thread(Taking, context, principal, spool, key)

        def begin(texts: dict[str, str], name: str) -> Callable[[bytes], object]:
            taking.begin(dict(request.query_params) | texts, name)
            return taking.write

        try:
            reader = FormReader(request.headers.get("content-type", ""), begin)
            await _pour(request, reader.feed)
            reader.end()
            return await _in_thread(taking.commit)
        finally:
            await _in_thread(taking.close)


@contextmanager
def _refusals_noted(principal: Principal) -> Iterator[None]:
    """Count and log a file that was not taken."""
    try:
        yield
    except ClientDisconnect:  # the sender's own doing
        raise
    except Exception as error:
        reason = problem_of(error).kind
        metrics.HTTP_UPLOADS_REFUSED.labels(reason).inc()
        if _said_lately.first((principal.id, reason), datetime.now(UTC)):
            _log.warning(
                "uploads refused",
                sender=principal.name,
                reason=reason,
                advice="docs/api.md says what each reason means; for the next hour more of it are counted, not logged",
            )
        raise


class Taking:
    """One upload on its way into a spool. `begin`, `write` as often as needed, `commit`; `close` in any case.

    Raises:
        NotFound: there is no such spool here, or none into which this principal may upload: not told apart.
    """

    def __init__(self, context: WebContext, principal: Principal, label: str, key: str | None) -> None:
        self._principal = principal
        self._place = context.parts.intake.destination(principal, label)
        self._spool = self._place.spool
        self._key = key
        self._receipts = Receipts(context.parts.settings.data_dir / "upload-receipts")
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._name = ""
        self._incoming: IncomingFile | None = None
        self._earlier: Receipt | None = None

    def begin(self, facts: Mapping[str, str], name: str) -> None:
        """Check name and facts, and make room.

        Raises:
            SpoolRefused, Unfit: the name or a fact cannot be taken.
            SpoolFull: the disk has no room to spare.
        """
        self._name = name
        mended = {fact: _with_plus(fact, value) for fact, value in facts.items()}
        beside = sidecar.write(mended, self._spool.timezone)
        if self._key is not None:
            self._earlier = self._receipts.find(self._principal.id, self._spool.label, self._key)
        if self._earlier is None:
            self._incoming = self._place.begin(name, beside)

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            HTTPException: 503, the disk does not take them.
            SpoolFull: it has no room to spare.
        """
        self._digest.update(data)
        self._size_bytes += len(data)
        if self._incoming is not None:
            try:
                self._incoming.write(data)
            except OSError:
                raise HTTPException(503, "The spool's disk does not take the file. Send it again later.") from None

    def commit(self) -> UploadResponse:
        """Make it durable; what it returns is true from now on.

        Raises:
            InputInvalid: nothing was sent.
            SpoolRefused: another file has this name.
            Conflict: `key-reused`: the key was that of another file.
        """
        receipt = Receipt(self._spool.label, self._name, self._size_bytes, self._digest.hexdigest())
        if self._earlier is not None:
            if receipt != self._earlier:
                raise Conflict(
                    "key-reused", "This Idempotency-Key was sent with another file. Make a new key for each file."
                )
            return UploadResponse(**asdict(receipt))
        if self._incoming is None or not self._size_bytes:
            raise InputInvalid("body", "The body is empty. Send the recording in it.")
        self._incoming.commit()
        if self._key is not None:
            self._receipts.keep(self._principal.id, self._key, receipt)
        return UploadResponse(**asdict(receipt))

    def close(self) -> None:
        """Throw away what was not committed."""
        if self._incoming is not None:
            self._incoming.abort()


def _with_plus(name: str, value: str) -> str:
    """A number or time that somebody wrote with a raw +, which means a space in a query string."""
    if name in _WITH_NUMBERS:
        return _SPACE_BEFORE_NUMBER.sub(r"\1+", value)
    return _SPACE_BEFORE_ZONE.sub(r"\1+\2", value) if name == "started_at" else value


async def _pour(request: Request, take: Callable[[bytes], object]) -> None:
    """Hand the body over in pieces large enough to be worth a thread."""
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= _PIECE_BYTES:
            piece, waiting = bytes(waiting), bytearray()
            await _in_thread(take, piece)
    if waiting:
        await _in_thread(take, bytes(waiting))


_in_thread = anyio.to_thread.run_sync
