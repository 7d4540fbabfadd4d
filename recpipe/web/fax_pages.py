"""A fax page by page, as pictures that are made of it here: nothing of the file itself reaches the browser."""

from __future__ import annotations

import hashlib
import threading

from fastapi import Request
from starlette.responses import Response

from recpipe.access.principal import Action, Principal
from recpipe.errors import Conflict, InputInvalid, NotFound
from recpipe.model import Recording
from recpipe.web.delivery import CACHE
from recpipe.web.deps import WebContext
from recpipe.web.security import address_of

MOST_SHOWN_BYTES = 32 * 1024 * 1024
_AT_ONCE = threading.BoundedSemaphore(2)  # each may take the memory of `fax_worker.MOST_MEMORY_BYTES`
_PATIENCE_SECONDS = 60


def check_shown(recording: Recording) -> None:
    """Return where it is a fax whose pages can be shown: a sealed one by the browser alone, which has the key.

    Raises:
        NotFound: it is no fax.
        InputInvalid: it is too large.
    """
    if not recording.audio.pages:
        raise NotFound("fax", recording.id)
    if recording.stored_bytes > MOST_SHOWN_BYTES:
        raise InputInvalid("recording", "This fax is too large to be shown here. Download it.")


def deliver_page(
    request: Request, context: WebContext, principal: Principal, recording: Recording, number: int
) -> Response:
    """One page as PNG.

    Args:
        number: from 1.

    Raises:
        NotFound: there is no such page.
        Conflict: `fax-unreadable`: it cannot be decoded; or `busy`.
        InputInvalid: as `check_shown`; or it is sealed.
    """
    from recpipe.audio import fax

    check_shown(recording)
    if recording.sealed:
        raise InputInvalid("recording", "This fax is sealed: only your private key opens it, in your browser.")
    if not 1 <= number <= recording.audio.pages:
        raise NotFound("page of this fax", str(number))
    tag = hashlib.sha256(f"page {number} of {recording.stored_sha256}".encode()).hexdigest()
    headers = {"cache-control": CACHE, "etag": f'"{tag}"'}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if not _AT_ONCE.acquire(timeout=_PATIENCE_SECONDS):
        raise Conflict("busy", "Other faxes are being shown just now. Try again in a minute.")
    try:
        address = address_of(request.scope)
        with context.parts.reader.open(principal, recording, action=Action.PLAY, address=address) as stream:
            content = b"".join(iter(lambda: stream.read(1 << 20), b""))
        page = fax.page(content, number - 1)
    except fax.Unreadable:
        raise Conflict("fax-unreadable", "This page cannot be decoded. Download the fax to look at it.") from None
    finally:
        _AT_ONCE.release()
    return Response(page, headers=headers, media_type="image/png")
