"""What was done, and what is about to be changed: the audit log, pending changes and their history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, literal, select, tuple_, update

from recpipe.catalogue.repository import (
    Insertion,
    Repository,
    Scoped,
    check_limit,
    inserted,
    new_id,
    read_cursor,
    write_cursor,
)
from recpipe.catalogue.tables import audit, change
from recpipe.catalogue.types import Utc, micros
from recpipe.errors import Conflict, NotFound
from recpipe.model import AuditEvent, AuditQuery, Change, Outcome, Page

_EVERYTHING = AuditQuery()
_ADD = Insertion(audit)


class Audit(Repository):
    """The audit log: of everything, or of some tenants. Events are added and read, never changed."""

    __slots__ = ("_tenant_ids",)

    def __init__(self, connection: Connection, tenant_ids: Collection[str] | None = None) -> None:
        super().__init__(connection)
        self._tenant_ids = tenant_ids

    def list(self, query: AuditQuery = _EVERYTHING, cursor: str | None = None, limit: int = 100) -> Page[AuditEvent]:
        """Events, newest first.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = audit.c
        wanted = select(audit).where(*self._conditions(query))
        if cursor is not None:
            at, last = read_cursor(cursor, datetime, int)
            place = tuple_(literal(at, Utc()), literal(last))
            wanted = wanted.where(tuple_(c.at, c.id) < place)
        wanted = wanted.order_by(c.at.desc(), c.id.desc()).limit(check_limit(limit) + 1)
        rows = self._connection.execute(wanted).all()
        items = tuple(_event_of(row) for row in rows[:limit])
        if len(rows) <= limit:
            return Page(items)
        return Page(items, write_cursor(micros(rows[limit - 1].at), rows[limit - 1].id))

    def _conditions(self, query: AuditQuery) -> Sequence[ColumnElement[bool]]:
        c = audit.c
        conditions: list[ColumnElement[bool]] = []
        if self._tenant_ids is not None:
            conditions.append(c.tenant_id.in_(sorted(self._tenant_ids)))
        if query.at_from is not None:
            conditions.append(c.at >= query.at_from)
        if query.at_before is not None:
            conditions.append(c.at < query.at_before)
        if query.outcome is not None:
            conditions.append(c.outcome == query.outcome.value)
        for column, value in ((c.actor, query.actor), (c.action, query.action), (c.subject, query.subject)):
            if value:
                conditions.append(column == value)
        return conditions


class AuditOfAll(Audit):
    """Where events are written."""

    __slots__ = ()

    def add(self, *events: AuditEvent) -> None:
        """Append events. In the transaction of what they tell of, they are true together or not at all."""
        rows = [
            (e.at, e.actor, e.action, e.outcome.value, e.tenant_id, e.address, e.subject, dict(e.detail))
            for e in events
        ]
        _ADD.run(self._connection, rows)


class Changes(Scoped):
    """Settings of one tenant that were saved but not applied yet, and the history of those that were."""

    __slots__ = ()

    def save(
        self,
        kind: str,
        subject: str,
        old: Mapping[str, object],
        new: Mapping[str, object],
        at: datetime,
        by: str,
    ) -> Change | None:
        """Make a change pending. A second one of the same thing amends the first and keeps what was old then; one that
        leads back to the old takes it away.

        Returns:
            The pending change; None when nothing is left to change.
        """
        pending = self._pending(kind, subject)
        if pending is None:
            if dict(old) == dict(new):
                return None
            made = {
                "id": new_id(),
                "tenant_id": self._tenant_id,
                "kind": kind,
                "subject": subject,
                "old": dict(old),
                "new": dict(new),
                "created_at": at,
                "created_by": by,
                "applied_by": "",
            }
            if inserted(self._connection, change, made):
                return self._pending(kind, subject)
            pending = self._pending(kind, subject)  # somebody else's came in between
        if pending is None:
            raise Conflict("changed-meanwhile", "Somebody applied or discarded this change just now. Look again.")
        if dict(pending.old) == dict(new):
            self.discard(pending.id)
            return None
        amended = update(change).where(self._is_pending(pending.id))
        self._connection.execute(amended.values(new=dict(new), created_at=at, created_by=by))
        return self._pending(kind, subject)

    def pending(self) -> Sequence[Change]:
        """What waits for "apply", oldest first."""
        c = change.c
        waiting = select(change).where(c.tenant_id == self._tenant_id, c.applied_at.is_(None))
        rows = self._connection.execute(waiting.order_by(c.created_at, c.id))
        return [Change(**row._asdict()) for row in rows]

    def discard(self, change_id: str) -> None:
        """Forget a pending change.

        Raises:
            NotFound: there is none, it was applied, or it is another tenant's.
        """
        if self._connection.execute(delete(change).where(self._is_pending(change_id))).rowcount != 1:
            raise NotFound("pending change", change_id)

    def mark_applied(self, change_ids: Iterable[str], at: datetime, by: str) -> None:
        """Move pending changes to the history, in the transaction that makes them effective.

        Raises:
            Conflict: `changed-meanwhile`: one of them is not pending any more; leave the transaction by this error.
        """
        for change_id in change_ids:
            marked = update(change).where(self._is_pending(change_id)).values(applied_at=at, applied_by=by)
            if self._connection.execute(marked).rowcount != 1:
                raise Conflict("changed-meanwhile", "Somebody applied or discarded a change just now. Look again.")

    def history(self, cursor: str | None = None, limit: int = 100) -> Page[Change]:
        """Applied changes, newest first.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = change.c
        wanted = select(change).where(c.tenant_id == self._tenant_id, c.applied_at.is_not(None))
        if cursor is not None:
            at, last = read_cursor(cursor, datetime, str)
            place = tuple_(literal(at, Utc()), literal(last))
            wanted = wanted.where(tuple_(c.applied_at, c.id) < place)
        wanted = wanted.order_by(c.applied_at.desc(), c.id.desc()).limit(check_limit(limit) + 1)
        rows = self._connection.execute(wanted).all()
        items = tuple(Change(**row._asdict()) for row in rows[:limit])
        if len(rows) <= limit:
            return Page(items)
        return Page(items, write_cursor(micros(rows[limit - 1].applied_at), items[-1].id))

    def _pending(self, kind: str, subject: str) -> Change | None:
        c = change.c
        mine = (c.tenant_id == self._tenant_id) & c.applied_at.is_(None)
        row = self._connection.execute(select(change).where(mine, c.kind == kind, c.subject == subject)).first()
        return None if row is None else Change(**row._asdict())

    def _is_pending(self, change_id: str) -> ColumnElement[bool]:
        c = change.c
        return (c.id == change_id) & (c.tenant_id == self._tenant_id) & c.applied_at.is_(None)


def _event_of(row: Row[Any]) -> AuditEvent:
    values = row._asdict()
    del values["id"]
    return AuditEvent(**{**values, "outcome": Outcome(row.outcome)})
