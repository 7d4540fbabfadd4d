"""The audit trail: one place that says how an event about a principal looks, and writes it before the deed shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from datetime import datetime

from recpipe import log
from recpipe.access.expiring import SeenRecently
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import Forbidden, NotFound
from recpipe.model import AuditEvent, AuditQuery, Outcome, Page, Recording, masked_text
from recpipe.times import Clock

Detail = str | int | bool | None

_log = log.get(__name__)

# How long a started event may wait for company, and how long the thread that writes them waits for more.
_GATHERING_SECONDS = 0.02
_IDLE_SECONDS = 2.0

_EVERY_EVENT = AuditQuery()
LONGEST_SUBJECT = 64  # characters; an id that was asked for may be anything


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


def masking_noted(by: str, recording: Recording, at: datetime) -> AuditEvent:
    """That a recording is known to be masked in parts, in seconds from its start."""
    detail: dict[str, Detail] = {"seconds": masked_text(recording.facts.masked)}
    return AuditEvent(
        at, by, "recording.masked", Outcome.OK, tenant_id=recording.tenant_id, subject=recording.id, detail=detail
    )


class PendingEvent:
    """One event on its way to the disk."""

    __slots__ = ("__weakref__", "_calls", "_trail", "done", "error", "event")

    def __init__(self, trail: AuditTrail, event: AuditEvent) -> None:
        self._trail = trail
        self.event = event
        self.done = False
        self.error: BaseException | None = None
        self._calls: list[Callable[[], None]] = []

    def then(self, call: Callable[[], None]) -> None:
        """Have something called when it is known whether the event is durable; by any thread, or at once."""
        with self._trail._lock:
            if not self.done:
                self._calls.append(call)
                self._trail._hurry.set()
                return
        call()

    def wait(self) -> None:
        """Return when the event is durable.

        Raises:
            CatalogueUnavailable: it is not kept.
        """
        if not self.done:
            self._trail._write(self)
        if self.error is not None:
            raise self.error


class AuditTrail:
    """Writes audit events that stand alone; those about a change go into the transaction of the change.

    `record` returns when the event is durable; `start` returns at once, for what takes a while itself and waits at its
    end. Events that arrive while another is being written share one transaction, so a crowd of downloads costs one
    fsync, not one each.
    """

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._queue: list[PendingEvent] = []
        self._hurry = threading.Event()  # somebody asks to be called
        self._writer: threading.Thread | None = None
        self._lately = SeenRecently(60)

    def record(self, happened: AuditEvent) -> None:
        """Keep one event.

        Raises:
            CatalogueUnavailable: it is not kept.
        """
        mine = PendingEvent(self, happened)
        with self._lock:
            self._queue.append(mine)
        mine.wait()

    def start(self, happened: AuditEvent) -> PendingEvent:
        """Keep one event within a moment, also where nobody waits for it.

        Returns:
            To be waited for before the deed is reported done; an event that is not kept is logged as well.
        """
        mine = PendingEvent(self, happened)
        with self._lock:
            self._queue.append(mine)
            if self._writer is None:
                self._writer = threading.Thread(target=self._attend, name="audit", daemon=True)
                self._writer.start()
        return mine

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

    def readable(self, by: Principal, tenant_id: str | None = None) -> Collection[str] | None:
        """Whose log `by` reads: of the tenant that is asked for, or without one of every tenant where it may.

        Returns:
            Ids of tenants; None: everything, also what is no tenant's.

        Raises:
            NotFound: the tenant is nothing to `by`.
            Forbidden: it may not read the log there, or anywhere.
        """
        if tenant_id is not None:
            self.require(by, Action.AUDIT, tenant_id)
            return [tenant_id]
        tenants = by.tenants(Action.AUDIT)
        if tenants is not None and not tenants:
            self.require(by, Action.AUDIT)
        return tenants

    def list(
        self,
        by: Principal,
        tenant_id: str | None = None,
        query: AuditQuery = _EVERY_EVENT,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[AuditEvent]:
        """Events of the log that `readable` gives, newest first.

        Raises:
            NotFound, Forbidden: as `readable`.
            QueryInvalid: the cursor is not of this list.
            SearchTooLong: it was stopped; narrowed, by date above all, it may be answered.
        """
        tenant_ids = self.readable(by, tenant_id)
        with self._catalogue.read(limited=True) as work:
            log = work.audit if tenant_ids is None else work.audit_of(tenant_ids)
            return log.list(query, cursor, limit)

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

    def _attend(self) -> None:
        """Write what is started, until nothing has been for a while."""
        idle_since = time.monotonic()
        while True:
            self._hurry.wait(_GATHERING_SECONDS)
            self._hurry.clear()
            with self._lock:
                if self._queue:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > _IDLE_SECONDS:
                    self._writer = None
                    return
                else:
                    continue
            with self._writing:
                self._write_queue()

    def _write(self, mine: PendingEvent) -> None:
        with self._writing:
            if not mine.done:
                self._write_queue()

    def _write_queue(self) -> None:
        with self._lock:
            batch, self._queue = self._queue, []
        if not batch:
            return
        try:
            with self._catalogue.begin() as work:
                work.audit.add(*(waiting.event for waiting in batch))
        except BaseException as error:
            _log.error("audit events not kept", events=len(batch), error=type(error).__name__)
            for waiting in batch:
                waiting.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                for waiting in batch:
                    waiting.done = True
            for waiting in batch:
                for call in waiting._calls:
                    call()
