"""What load balancers and Prometheus ask: is it alive, can it work, how much did it do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fastapi import Request, Response
from starlette.responses import JSONResponse

from recpipe import log, metrics
from recpipe.access.principal import Action
from recpipe.addresses import is_loopback
from recpipe.errors import ObjectMissing, RecpipeError, SpoolRefused, StoreUnavailable
from recpipe.settings import Spool
from recpipe.web.deps import WebContext, caller_of
from recpipe.web.routes import page_router
from recpipe.web.security import address_of

if TYPE_CHECKING:
    from recpipe.pipeline.ingest import Ingest

_log = log.get(__name__)

PATIENCE_SECONDS = 3.0
REMEMBERED_SECONDS = 1.0
_PROBE_KEY = "readyz/probe"  # never stored: the store's "there is none" is the answer we want

router = page_router()


@router.get("/healthz")
@router.head("/healthz")
async def alive() -> Response:
    """The process answers."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
@router.head("/readyz")
def ready(request: Request) -> Response:
    """Database, store and spools answer. Nothing but their names is told: anybody may ask."""
    checks = request.app.state.readiness.now()
    good = all(checks.values())
    body = {
        "status": "ready" if good else "not ready",
        "checks": [{"name": name, "ok": ok} for name, ok in checks.items()],
    }
    return JSONResponse(body, 200 if good else 503)


@router.get("/metrics")
def exposition(request: Request) -> Response:
    """For Prometheus on this machine, or with an administrator's token."""
    if not _on_this_machine(request):
        caller_of(request).require(Action.SYSTEM)
    context: WebContext = request.app.state.context
    if context.ingest is not None:
        for spool, files in context.ingest.waiting().items():
            metrics.WAITING.labels(spool).set(files)
        context.ingest.ignored()
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _on_this_machine(request: Request) -> bool:
    """Whether the client itself is here. What a proxy on this machine passes on is not."""
    if any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")):
        return False
    return is_loopback(address_of(request.scope))


@dataclass(slots=True)
class Readiness:
    """Asks each part at most once a second, and waits for none of them longer than three."""

    context: WebContext
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "readyz"))
    _asked: dict[str, Future[None]] = field(default_factory=dict)
    _known: dict[str, bool] = field(default_factory=dict)
    _until: float = 0.0

    def now(self) -> dict[str, bool]:
        """Each part, and whether it can be used."""
        with self._lock:
            if time.monotonic() < self._until:
                return self._known
            deadline = time.monotonic() + PATIENCE_SECONDS
            for name, ask in self._parts().items():
                # One that hangs is not asked again before it answered: its thread is not ours to end.
                if name not in self._asked or self._asked[name].done():
                    self._asked[name] = self._pool.submit(ask)
            self._known = {name: self._answered(name, asked, deadline) for name, asked in self._asked.items()}
            self._until = time.monotonic() + REMEMBERED_SECONDS
            return self._known

    def _parts(self) -> dict[str, Callable[[], None]]:
        parts: dict[str, Callable[[], None]] = {"database": self.context.parts.catalogue.ready, "store": self._store}
        if self.context.ingest is not None:
            parts["workers"] = partial(_get_on, self.context.ingest)
            for spool in self.context.parts.settings.spool:
                parts[f"spool {spool.label}"] = partial(_served, self.context.ingest, spool)
        return parts

    def _store(self) -> None:
        # It may answer whoever reads and refuse whoever writes.
        if self.context.ingest is not None and (trouble := self.context.ingest.troubles()["store"]):
            raise StoreUnavailable(trouble)
        try:
            self.context.parts.store.head(_PROBE_KEY)
        except ObjectMissing:
            return

    @staticmethod
    def _answered(name: str, asked: Future[None], deadline: float) -> bool:
        try:
            asked.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            _log.warning("not ready", part=name, reason="no answer")
            return False
        except (RecpipeError, OSError) as error:
            _log.warning("not ready", part=name, reason=type(error).__name__)
            return False
        return True


def _get_on(ingest: Ingest) -> None:
    if trouble := ingest.troubles()["workers"]:
        raise SpoolRefused(trouble)


def _served(ingest: Ingest, spool: Spool) -> None:
    if trouble := ingest.troubles().get(f"spool {spool.label}", ""):
        raise SpoolRefused(trouble)
    if not os.access(spool.path, os.R_OK | os.W_OK | os.X_OK):
        raise FileNotFoundError(spool.path)
