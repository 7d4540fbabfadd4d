"""What FastAPI knows of endpoints is worked out once: it takes longer than anything else when a server starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, FastAPI

_Given = TypeVar("_Given", bound=Callable[..., object])


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
