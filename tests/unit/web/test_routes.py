"""Routes are read when they are first used: what FastAPI would have said at the start, a test says instead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Query
from fastapi.exceptions import FastAPIError
from fastapi.routing import APIRoute

from recpipe import wiring
from recpipe.settings import Settings
from recpipe.web.app import create_app
from recpipe.web.deps import WebContext
from recpipe.web.routes import page_router


class _Nothing:
    """A type that no parameter can have."""


def test_every_route_is_understood(tmp_path: Path) -> None:
    with wiring.open_parts(Settings(data_dir=tmp_path / "data")) as parts:
        routes = [route for route in create_app(WebContext.of(parts)).routes if isinstance(route, APIRoute)]
    for route in routes:
        methods = route.methods
        assert route.dependant.call is route.endpoint and route.methods == methods
    assert len(routes) > 200


def test_a_route_reads_its_endpoint_no_sooner_than_it_is_used() -> None:
    router = page_router()

    @router.get("/wrong")
    def wrong(nothing: Annotated[_Nothing, Query()]) -> None: ...

    [route] = router.routes
    assert isinstance(route, APIRoute)
    scope = {"type": "http", "method": "GET", "path": "/wrong"}
    assert route.matches(scope)[1]["endpoint"] is wrong
    with pytest.raises((FastAPIError, AssertionError), match="othing"):
        _ = route.dependant


def test_a_route_is_built_once_however_many_ask_for_it_at_once() -> None:
    router = page_router()
    for number in range(20):

        @router.get(f"/pages/{number}/{{page}}")
        def page(page: int, words: Annotated[list[str], Query()], mine: bool = False) -> None: ...

    def dependants(_thread: int) -> list[object]:
        return [route.dependant for route in router.routes if isinstance(route, APIRoute)]

    with ThreadPoolExecutor(8) as threads:
        first, *others = threads.map(dependants, range(8))
    assert all(one is two for other in others for one, two in zip(first, other, strict=True))
    assert len(first) == 20


def test_a_route_knows_no_name_that_no_route_has() -> None:
    router = page_router()

    @router.get("/page")
    def page() -> None: ...

    with pytest.raises(AttributeError, match="nonsense"):
        _ = router.routes[0].nonsense  # type: ignore[attr-defined]
    assert not hasattr(router.routes[0], "nonsense")
