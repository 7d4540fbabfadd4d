"""The web application: API, health, and the dashboard around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio.to_thread
from fastapi import FastAPI

import recpipe
from recpipe.addresses import origin_of
from recpipe.web import dashboard, errors, export, health, routes
from recpipe.web.api import (
    call_events,
    calls,
    completeness,
    ftp_accounts,
    openapi,
    operation,
    policy,
    recordings,
    rules,
    shared_links,
    statistics,
    tenants,
    uploads,
    users,
)
from recpipe.web.deps import API, ENDPOINT_THREADS, WebContext
from recpipe.web.hosts import Hosts
from recpipe.web.methods import HeadAsGet
from recpipe.web.password_queue import PasswordQueue
from recpipe.web.security import Guard


def create_monitor(context: WebContext) -> FastAPI:
    """/healthz, /readyz and /metrics alone, for a process that serves no other page."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.context = context
    app.state.readiness = health.Readiness(context)
    errors.install(app)
    routes.serve(app, health.router)
    app.add_middleware(HeadAsGet)
    hosts = Hosts.of(context.parts.settings, context.parts.settings.metrics_listen)
    app.add_middleware(Guard, hosts=hosts, limits={}, origins=frozenset())
    return app


def create_app(context: WebContext) -> FastAPI:
    """Everything that HTTP serves, over parts that are open and stay the caller's to close."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = ENDPOINT_THREADS
        yield

    app = FastAPI(
        title="recpipe",
        version=recpipe.__version__,
        lifespan=lifespan,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    app.state.readiness = health.Readiness(context)
    app.state.password_queue = PasswordQueue()
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    errors.install(app)
    reading = export, recordings, calls, call_events, completeness, statistics
    api = (*reading, shared_links, uploads, tenants, policy, rules, ftp_accounts, users, operation)
    routes.serve(app, health.router, *(part.router for part in api))
    dashboard.mount(app, context)
    app.add_middleware(HeadAsGet)
    app.add_middleware(policy.Shortcut)
    app.add_middleware(
        Guard,
        hosts=Hosts.of(context.parts.settings, context.parts.settings.http_listen),
        limits={uploads.PREFIX: uploads.MOST_BYTES, rules.PREFIX: rules.MOST_BYTES, **dashboard.LIMITS},
        origins=frozenset({origin_of(context.parts.settings.http_url)} - {""}),
    )
    return app
