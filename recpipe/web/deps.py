"""What endpoints are given: the open parts, and who is asking."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from recpipe import wiring
from recpipe.access.principal import Principal
from recpipe.errors import CredentialsRejected
from recpipe.tenants.tenants import Tenants
from recpipe.web.password_queue import PasswordQueue
from recpipe.web.routes import AtFirstUse, read_once
from recpipe.web.security import address_of
from recpipe.web.streams import Streams

if TYPE_CHECKING:
    from recpipe.pipeline.ingest import Ingest

ENDPOINT_THREADS = 32
API = "/api/v1"
SESSION_COOKIE = "recpipe_session"
# A browser takes such a cookie from this very host alone, over https, for all paths: no sibling host can plant one.
# Source: RFC 6265bis section 4.1.3.2.
_OF_HOST = "__Host-"

_NAME_SECONDS = 10.0


class TenantNames:
    """Short names of tenants by id, kept for a few seconds: every recording in every answer shows one. Thread-safe."""

    def __init__(self, tenants: Tenants, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tenants = tenants
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, str]] = {}

    def of(self, tenant_ids: Iterable[str]) -> dict[str, str]:
        """The names; a tenant that is gone keeps its id."""
        now = self._monotonic()
        names: dict[str, str] = {}
        unknown = []
        for tenant_id in set(tenant_ids):
            until, name = self._known.get(tenant_id, (0.0, ""))
            if until > now:
                names[tenant_id] = name
            else:
                unknown.append(tenant_id)
        if unknown:
            names |= {tenant_id: tenant_id for tenant_id in unknown} | self._tenants.names(unknown)
            self._known |= {tenant_id: (now + _NAME_SECONDS, names[tenant_id]) for tenant_id in unknown}
        return names


@dataclass(frozen=True, slots=True)
class WebContext:
    """The open services, and what requests share, for the life of the application."""

    parts: wiring.Parts
    names: TenantNames
    streams: Streams
    ingest: Ingest | None = None  # None where this process does not ingest

    @classmethod
    def of(cls, parts: wiring.Parts, ingest: Ingest | None = None) -> WebContext:
        streams = Streams(parts.settings.http_max_streams, parts.settings.http_max_streams_per_user)
        return cls(parts, TenantNames(parts.tenants), streams, ingest)


@read_once
async def _context(request: Request) -> WebContext:
    context: WebContext = request.app.state.context
    return context


@read_once
def caller_of(request: Request) -> Principal:
    """Who asks: by token, or by the dashboard's session.

    Raises:
        CredentialsRejected: nobody we know.
    """
    known: Principal | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    context: WebContext = request.app.state.context
    address = address_of(request.scope)
    if (authorization := request.headers.get("authorization")) is not None:
        principal = context.parts.access.token(bearer_of(authorization), address)
    elif secret := request.cookies.get(cookie_name(request, SESSION_COOKIE)):
        principal = context.parts.access.sessions.open(secret, address)
    else:
        raise CredentialsRejected
    request.state.actor = principal.name
    request.state.caller = principal
    return principal


class KnownFirst(AtFirstUse):
    """A route that looks who asks before it reads a body: FastAPI itself reads and parses one before all else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def known_first(request: Request) -> Response:
            await run_in_threadpool(caller_of, request)
            return await handle(request)

        return known_first


def over_https(request: Request) -> bool:
    """Whether people reach us by https, whatever the connection from the proxy is."""
    context: WebContext = request.app.state.context
    return context.parts.settings.http_url.startswith("https:") or request.url.scheme == "https"


def cookie_name(request: Request, name: str) -> str:
    """The name by which a cookie of ours is set and read. Over https one without the prefix counts for nothing."""
    return _OF_HOST + name if over_https(request) else name


@read_once
async def password_place(request: Request) -> AsyncIterator[None]:
    """A place in the queue of password work, given back before the answer is sent."""
    queue: PasswordQueue = request.app.state.password_queue
    async with queue.place():
        yield


def bearer_of(authorization: str) -> str:
    """The token in an Authorization header: as Bearer, or as the password of Basic, which is all some PBXs can send.

    Source: RFC 6750 section 2.1, RFC 7617 section 2.

    Raises:
        CredentialsRejected: neither.
    """
    scheme, _, value = authorization.partition(" ")
    value = value.strip(" ")
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise CredentialsRejected from None
    raise CredentialsRejected


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="An API token: `Authorization: Bearer rp_...`. Also taken as the password of Basic authentication.",
)

Context = Annotated[WebContext, Depends(_context)]


# Asking takes a thread of its own; an endpoint that must be quick calls `caller_of` itself.
Caller = Annotated[Principal, Depends(caller_of)]
# The last parameter of an endpoint that verifies or hashes a password: who is slow elsewhere holds no place.
PasswordPlace = Annotated[None, Depends(password_place, scope="function")]
# Puts the token into the OpenAPI document; `caller_of` reads it.
AUTHENTICATED = [Security(_bearer)]
