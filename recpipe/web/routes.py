"""What FastAPI knows of endpoints is worked out once, and not before it is needed: it would be a fifth of a start."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import compile_path

_building = threading.RLock()
_Given = TypeVar("_Given", bound=Callable[..., object])


class AtFirstUse(APIRoute):
    """A route that knows its address and methods, and reads its endpoint's parameters when it is first asked for more.

    That is a request, or the OpenAPI document; it takes some milliseconds once, for a search some tens. A parameter
    that FastAPI cannot understand is found no sooner, so a test builds every route (decision 35).
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._build = partial(super().__init__, path, endpoint, **options)
        self.path, self.endpoint = path, endpoint
        self.methods = {method.upper() for method in options["methods"] or ("GET",)}
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)

    def __getattr__(self, name: str) -> Any:
        """Whatever is not there yet. Thread-safe."""
        with _building:
            build = self.__dict__.pop("_build", None)
            if build is not None:
                build()
        return object.__getattribute__(self, name)


def page_router() -> APIRouter:
    """A router of what the OpenAPI document leaves out: pages for people, health for monitoring."""
    return APIRouter(include_in_schema=False, route_class=AtFirstUse)


def serve(app: FastAPI, *routers: APIRouter) -> None:
    """Serve the routes of these routers as they are.

    `include_router`, of use where a prefix or a dependency comes on top, makes each of them anew for every
    application at its first request, and has it found by way of its router at each.
    """
    for router in routers:
        app.router.routes.extend(router.routes)


def read_once(given: _Given) -> _Given:
    """A dependency of many endpoints, for each of which its annotations would be evaluated again.

    Source: PEP 362, `__signature__`.
    """
    given.__signature__ = inspect.signature(given, eval_str=True)  # type: ignore[attr-defined]
    return given
