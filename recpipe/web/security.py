"""What every request passes: its size, where it came from, the headers of its answer, one log line, one counter.

A plain ASGI layer, so that streamed bodies are never buffered and cost nothing extra.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import anyio.to_thread
from fastapi import Request
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recpipe import log, metrics
from recpipe.access.expiring import SeenRecently
from recpipe.addresses import plain_address
from recpipe.web.errors import Ambiguous, CrossSite, Misdirected, respond
from recpipe.web.hosts import Hosts, with_target

_log = log.get(__name__)

# The largest are pasted certificates, 128 KiB in a JSON string at most; a list of a thousand ids has 36,000 bytes.
MOST_JSON_BYTES = 256 * 1024
MOST_FORM_BYTES = 64 * 1024
# Pages where a certificate is pasted or a thousand boxes may be ticked.
MOST_LONG_FORM_BYTES = 128 * 1024
_LONG_FORMS = ("/addons/", "/recordings/", "/users/")
# Whoever may ask for these learns nothing, and orchestrators ask by whatever name they have.
_FOR_ANY_HOST = ("/healthz", "/readyz")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

# Nothing that we hand out is a page to be framed, sniffed or run; the dashboard sets its own policy over this one.
# Source: OWASP REST Security Cheat Sheet, "Security headers".
_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"

REQUESTS = Counter(
    "recpipe_http_requests", "Answered requests", ["method", "route", "status"], registry=metrics.REGISTRY
)
SECONDS = Histogram(
    "recpipe_http_request_seconds",
    "From the request's head to the last byte of its answer",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
    registry=metrics.REGISTRY,
)


class Guard:
    """The outermost layer.

    Args:
        hosts: the names that this server goes by.
        limits: path prefix -> most bytes of a body, where it is not that of forms and JSON.
        origins: further origins of our own pages, such as the public URL behind a proxy. Where one is https, browsers
            are told to come by https alone.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, limits: Mapping[str, int], origins: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._limits = limits
        self._origins = origins
        self._https = any(origin.startswith("https:") for origin in origins)
        self._said_lately = SeenRecently(60, most=100)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope = with_target(scope)
        answer = _Answer(send, https=self._https or scope["scheme"] == "https")
        headers = Headers(scope=scope)
        limit = self._most_bytes(scope["path"])
        try:
            self._check_host(scope, headers)
            if "transfer-encoding" in headers and ("content-length" in headers or scope["http_version"] == "1.0"):
                raise Ambiguous
            if _length(headers) > limit:
                raise _too_large(limit)
            if is_cross_site(scope["method"], scope["scheme"], headers, self._origins):
                raise CrossSite
            await self._app(scope, _limited(receive, limit), answer)
        except Exception as error:
            if answer.status:
                _log.exception("answer broken off", route=route_of(scope))
                raise
            if not isinstance(error, (CrossSite, Misdirected, Ambiguous, HTTPException)):
                _log.exception("request failed", route=route_of(scope))
            told = await anyio.to_thread.run_sync(respond, Request(scope), error)
            await told(scope, receive, answer)
        finally:
            self._note(scope, answer, time.perf_counter() - started)

    def _most_bytes(self, path: str) -> int:
        for prefix, most in self._limits.items():
            if path.startswith(prefix):
                return most
        if path.startswith("/api/"):
            return MOST_JSON_BYTES
        return MOST_LONG_FORM_BYTES if path.startswith(_LONG_FORMS) else MOST_FORM_BYTES

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host")
        if host is None and scope["http_version"] == "1.0":  # no browser's, and checks of load balancers may be
            return
        if scope["path"] in _FOR_ANY_HOST or self._hosts.take(host or ""):
            return
        said = ascii(host)[:100]
        if self._said_lately.first((said,), datetime.now(UTC)):
            _log.warning(
                "request for another host refused",
                host=said,
                address=address_of(scope),
                hint="if people reach this server by that name, set http_url or add it to http_allowed_hosts",
            )
        raise Misdirected

    @staticmethod
    def _note(scope: Scope, answer: _Answer, seconds: float) -> None:
        route, method = route_of(scope), scope["method"] if scope["method"].isalpha() else "other"
        method = method if method in _METHODS else "other"
        REQUESTS.labels(method, route, str(answer.status)).inc()
        SECONDS.labels(route).observe(seconds)
        state = scope.get("state", {})
        if answer.status == 200 and state.get("quiet"):
            return
        # The template and never the URL: a query may hold a number, a path a name.
        _log.info(
            "request",
            method=method,
            route=route,
            status=answer.status,
            milliseconds=round(seconds * 1000, 1),
            bytes=answer.size_bytes,
            address=address_of(scope),
            actor=state.get("actor", ""),
            tenant=state.get("tenant", ""),
        )


_METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}


class _Answer:
    """`send`, with our headers added and what was sent remembered."""

    __slots__ = ("_https", "_send", "size_bytes", "status")

    def __init__(self, send: Send, *, https: bool) -> None:
        self._send = send
        self._https = https
        self.status = 0
        self.size_bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._https:
                headers.setdefault("strict-transport-security", _STRICT_TRANSPORT)
        elif message["type"] == "http.response.body":
            self.size_bytes += len(message.get("body", b""))
        await self._send(message)


def is_cross_site(method: str, scheme: str, headers: Mapping[str, str], origins: frozenset[str]) -> bool:
    """Whether a browser sent a change on behalf of another site's page.

    A request with an Authorization header is no browser's doing: no site can make one send that to us.

    Args:
        scheme: of the request, as far as the server knows.
        headers: names in any case (starlette's `Headers`).
        origins: our own, beside the one of scheme and Host header; where one has that host, its scheme counts alone.

    Source: W3C Fetch Metadata; OWASP CSRF Prevention Cheat Sheet, "Fetch Metadata headers" and "Verifying origin".
    """
    if method in SAFE_METHODS or "authorization" in headers:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False  # no browser: those send one of the two with every change
    host = headers.get("host", "")
    if any(own.endswith(f"://{host}") for own in origins):
        return origin not in origins
    return origin not in origins and origin != f"{scheme}://{host}"


def address_of(scope: Scope) -> str:
    """Of the client. Whether a proxy's word for it counts was decided by the server (`trusted_proxies`)."""
    client = scope.get("client")
    return plain_address(str(client[0])) if client else ""


def route_of(scope: Scope) -> str:
    """The path template that answers, such as `/api/v1/recordings/{recording_id}`: what may be logged of a URL."""
    path: object = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "other"


def _length(headers: Headers) -> int:
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else 0


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The request is larger than the {limit:,} bytes taken here. Send less at a time.")


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` that stops a body without a Content-Length at the limit."""
    received = 0

    async def read() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return read
