"""The audit trail: one place that says how an event about a principal looks, and writes it before the deed shows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from recpipe.access.memory import Lately
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import Forbidden, NotFound
from recpipe.model import AuditEvent, Outcome

Clock = Callable[[], datetime]
Detail = str | int | bool | None

LONGEST_SUBJECT = 64  # characters; an id that was asked for may be anything


def utc_now() -> datetime:
    return datetime.now(UTC)


def event(
    by: Principal,
    action: str,
    at: datetime,
    *,
    outcome: Outcome = Outcome.OK,
    tenant_id: str | None = None,
    address: str = "",
    subject: str = "",
    **detail: Detail,
) -> AuditEvent:
    """What `by` did, from where, to what. Never pass a password, key or phone number."""
    return AuditEvent(
        at=at,
        actor=by.name,
        action=action,
        outcome=outcome,
        tenant_id=tenant_id,
        address=address or by.address,
        subject=subject[:LONGEST_SUBJECT],
        detail=detail,
    )


class _Waiting:
    __slots__ = ("done", "error", "event")

    def __init__(self, event: AuditEvent) -> None:
        self.event = event
        self.done = False
        self.error: BaseException | None = None


class Trail:
    """Writes audit events that stand alone; those about a change go into the transaction of the change.

    `record` returns when the event is durable. Those that arrive while another is being written share one
    transaction, so a crowd of downloads costs one fsync, not one each.
    """

    def __init__(self, catalogue: Catalogue, clock: Clock = utc_now) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._queue: list[_Waiting] = []
        self._lately = Lately(60)

    def record(self, happened: AuditEvent) -> None:
        """Keep one event.

        Raises:
            CatalogueUnavailable: it is not kept.
        """
        mine = _Waiting(happened)
        with self._lock:
            self._queue.append(mine)
        with self._writing:
            if not mine.done:
                self._write_queue()
        if mine.error is not None:
            raise mine.error

    def require(
        self, by: Principal, action: Action, tenant_id: str | None = None, what: str = "tenant", which: str = ""
    ) -> None:
        """`Principal.require`, with a denial on the record.

        Raises:
            NotFound, Forbidden: as there.
        """
        try:
            by.require(action, tenant_id, what, which)
        except (Forbidden, NotFound) as denial:
            self.denied(by, action, denial, tenant_id=tenant_id, subject=which)
            raise

    def denied(
        self,
        by: Principal,
        action: str,
        denial: Forbidden | NotFound,
        *,
        tenant_id: str | None = None,
        subject: str = "",
    ) -> None:
        """Keep a denial; the same one again within a minute is not kept again, so that nobody can fill the log."""
        # A tenant id that is nothing to `by` is hostile input, not a tenant of this event.
        known = tenant_id if tenant_id is not None and by.knows(tenant_id) else None
        reason = "not-allowed" if isinstance(denial, Forbidden) else "not-found"
        now = self._clock()
        if self._lately.first((by.name, action, reason, known or ""), now):
            subject = subject or (tenant_id or "")
            self.record(event(by, action, now, outcome=Outcome.DENIED, tenant_id=known, subject=subject, reason=reason))

    def _write_queue(self) -> None:
        with self._lock:
            batch, self._queue = self._queue, []
        try:
            with self._catalogue.begin() as work:
                for waiting in batch:
                    work.audit.add(waiting.event)
        except BaseException as error:
            for waiting in batch:
                waiting.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for waiting in batch:
                waiting.done = True
