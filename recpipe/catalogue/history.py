"""What was done, and what is about to be changed: the audit log, pending changes and their history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    select,
    true,
    update,
)

from recpipe.catalogue.operation_tables import audit, change
from recpipe.catalogue.repository import (
    Insertion,
    Repository,
    Scoped,
    insert_new,
    new_id,
    page_by_time,
)
from recpipe.catalogue.tables import recording
from recpipe.errors import Conflict, NotFound
from recpipe.model import AuditEvent, AuditQuery, Change, Outcome, Page

_EVERYTHING = AuditQuery()
_ADD = Insertion(audit)
_AT_ONCE = 500  # ids in one statement
_FEW = 20


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
        return page_by_time(self._connection, wanted, c.at, c.id, _event_of, cursor, limit, newest_first=True)

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
        if query.call:
            conditions.append(c.subject.in_(self._with_legs(query.call)))
        return conditions

    def _with_legs(self, call: str) -> Sequence[str]:
        """A call, or that of a recording, and its recordings, as far as they are of the tenants of this log."""
        c = recording.c
        mine = true() if self._tenant_ids is None else c.tenant_id.in_(sorted(self._tenant_ids))
        calls = [call, *self._connection.execute(select(c.call).where(c.id == call, mine)).scalars()]
        legs = self._connection.execute(select(c.id).where(c.call.in_(calls), mine).limit(_AT_ONCE)).scalars().all()
        return [*calls, *legs]


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
        found = self.save_all(kind, {subject: (old, new)}, at, by)
        return found[0] if found else None

    def save_all(
        self,
        kind: str,
        wanted: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]],
        at: datetime,
        by: str,
    ) -> Sequence[Change]:
        """`save` for many things of one kind, in as many statements as for one.

        Args:
            wanted: subject -> what is old, and what is to be.

        Returns:
            The pending changes of these subjects, those with nothing left to change left out.
        """
        pending = self._pending(kind, wanted)
        new: list[dict[str, Any]] = [
            {
                "id": new_id(),
                "tenant_id": self._tenant_id,
                "kind": kind,
                "subject": subject,
                "old": dict(old),
                "new": dict(to_be),
                "created_at": at,
                "created_by": by,
                "applied_by": "",
            }
            for subject, (old, to_be) in wanted.items()
            if subject not in pending and dict(old) != dict(to_be)
        ]
        made: dict[str, Change] = {}
        if new:
            self._connection.execute(insert_new(self._connection.dialect.name, change), new)
            there = self._pending_ids(kind, wanted)
            if any(row["subject"] not in there for row in new):
                raise Conflict("changed-meanwhile", "Somebody applied or discarded this change just now. Look again.")
            made = {row["subject"]: Change(**row) for row in new if there[row["subject"]] == row["id"]}
            between = [row["subject"] for row in new if row["subject"] not in made]
            if between:
                pending |= self._pending(kind, between)
        amended, gone = [], []
        for subject, one in pending.items():
            to_be = dict(wanted[subject][1])
            if dict(one.old) == to_be:
                gone.append(one.id)
            else:
                amended.append({"which": one.id, "to_be": to_be})
                made[subject] = replace(one, new=to_be, created_at=at, created_by=by)
        if gone:
            self._connection.execute(
                delete(change).where(self._is_pending(bindparam("which"))), [{"which": one} for one in gone]
            )
        if amended:
            values = {"new": bindparam("to_be"), "created_at": at, "created_by": by}
            self._connection.execute(update(change).where(self._is_pending(bindparam("which"))).values(values), amended)
        return list(made.values())

    def pending(self, kinds: Collection[str] | None = None) -> Sequence[Change]:
        """What waits for "apply", oldest first.

        Args:
            kinds: of these kinds alone; None: of all.
        """
        c = change.c
        waiting = select(change).where(c.tenant_id == self._tenant_id, c.applied_at.is_(None), *_of_kinds(kinds))
        rows = self._connection.execute(waiting.order_by(c.created_at, c.id))
        return [change_of(row) for row in rows]

    def pending_page(
        self, cursor: str | None = None, limit: int = 100, kinds: Collection[str] | None = None
    ) -> Page[Change]:
        """Some of `pending`.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = change.c
        wanted = select(change).where(c.tenant_id == self._tenant_id, c.applied_at.is_(None), *_of_kinds(kinds))
        return page_by_time(self._connection, wanted, c.created_at, c.id, change_of, cursor, limit)

    def pending_of(self, kind: str, subject: str) -> Change | None:
        """What waits for one thing; None where nothing does."""
        return self._pending(kind, [subject]).get(subject)

    def discard(self, change_id: str, kinds: Collection[str] | None = None) -> None:
        """Forget a pending change.

        Args:
            kinds: as of `pending`.

        Raises:
            NotFound: there is none, it was applied, or it is another tenant's.
        """
        mine = delete(change).where(self._is_pending(change_id), *_of_kinds(kinds))
        if self._connection.execute(mine).rowcount != 1:
            raise NotFound("pending change", change_id)

    def mark_applied(self, change_ids: Iterable[str], at: datetime, by: str) -> None:
        """Move pending changes to the history, in the transaction that makes them effective.

        Raises:
            Conflict: `changed-meanwhile`: one of them is not pending any more; leave the transaction by this error.
        """
        ids = list(dict.fromkeys(change_ids))
        marked = 0
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            c = change.c
            mine = (c.tenant_id == self._tenant_id) & c.applied_at.is_(None) & c.id.in_(some)
            statement = update(change).where(mine).values(applied_at=at, applied_by=by)
            marked += self._connection.execute(statement).rowcount
        if marked != len(ids):
            raise Conflict("changed-meanwhile", "Somebody applied or discarded a change just now. Look again.")

    def history(
        self, cursor: str | None = None, limit: int = 100, kinds: Collection[str] | None = None
    ) -> Page[Change]:
        """Applied changes, newest first.

        Args:
            kinds: as of `pending`.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = change.c
        wanted = select(change).where(c.tenant_id == self._tenant_id, c.applied_at.is_not(None), *_of_kinds(kinds))
        return page_by_time(self._connection, wanted, c.applied_at, c.id, change_of, cursor, limit, newest_first=True)

    def _pending(self, kind: str, subjects: Collection[str]) -> dict[str, Change]:
        rows = self._connection.execute(select(change).where(self._waiting(kind, subjects)))
        return {row.subject: change_of(row) for row in rows if row.subject in subjects}

    def _pending_ids(self, kind: str, subjects: Collection[str]) -> dict[str, str]:
        rows = self._connection.execute(select(change.c.subject, change.c.id).where(self._waiting(kind, subjects)))
        return {subject: which for subject, which in rows if subject in subjects}

    def _waiting(self, kind: str, subjects: Collection[str]) -> ColumnElement[bool]:
        c = change.c
        # Few are asked for by name; of many, all of the kind are read.
        few = c.subject.in_(sorted(subjects)) if len(subjects) <= _FEW else true()
        return (c.tenant_id == self._tenant_id) & c.applied_at.is_(None) & (c.kind == kind) & few

    def _is_pending(self, change_id: str | BindParameter[str]) -> ColumnElement[bool]:
        c = change.c
        return (c.id == change_id) & (c.tenant_id == self._tenant_id) & c.applied_at.is_(None)


def _of_kinds(kinds: Collection[str] | None) -> Sequence[ColumnElement[bool]]:
    return () if kinds is None else (change.c.kind.in_(sorted(kinds)),)


def change_of(row: Sequence[Any]) -> Change:
    return Change(
        *row
    )  # columns and fields stand in one order; by name takes four times as long, and there may be 20,000


def _event_of(row: Row[Any]) -> AuditEvent:
    values = row._asdict()
    del values["id"]
    return AuditEvent(**{**values, "outcome": Outcome(row.outcome)})
