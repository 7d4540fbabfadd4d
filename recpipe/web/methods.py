"""Which methods an address has: HEAD wherever GET is, and `Allow` with all of them."""

from __future__ import annotations

from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class HeadAsGet:
    """Answers HEAD as GET, without the body, where a GET has no HEAD of its own.

    The server leaves the body out. Source: RFC 9110 section 9.3.2.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and not _takes(scope, "HEAD"):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def allowed(scope: Scope) -> str:
    """All methods of the address, for `Allow`. Source: RFC 9110 sections 10.2.1 and 15.5.6."""
    found = [method for method in _METHODS if _takes(scope, method)]
    if "GET" in found and "HEAD" not in found:
        found.insert(1, "HEAD")
    return ", ".join(found)


def page_above(scope: Scope) -> str:
    """The address of the nearest page above one that takes no GET, such as a form is sent to; "/" is above all."""
    path: str = scope["path"]
    while path := path.rpartition("/")[0]:
        if _takes({**scope, "path": path}, "GET"):
            return path
    return "/"


def _takes(scope: Scope, method: str) -> bool:
    asked = {**scope, "method": method}
    routes: list[BaseRoute] = scope["app"].router.routes
    for route in routes:
        if route.matches(asked)[0] is Match.FULL:
            # What is mounted here are files, whatever it says of methods.
            return not isinstance(route, Mount) or method in ("GET", "HEAD")
    return False
