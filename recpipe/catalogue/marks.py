"""What people said of calls: stars, reviews, notes and tags.

A call has no row of its own, so marks are kept under the call's id. When a late record tells that a recording is a leg
of another call, its marks go there; when the last leg of a call is deleted, they go with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, delete, exists, select

from recpipe.catalogue.calls import lock_calls
from recpipe.catalogue.mark_tables import call_mark
from recpipe.catalogue.repository import Scoped, row_of, upsert
from recpipe.catalogue.tables import recording
from recpipe.catalogue.types import folded, one_line
from recpipe.errors import NotFound
from recpipe.model import Marks, RecordingQuery

NO_MARKS = Marks()
_AT_ONCE = 500  # calls named in one statement
_COLUMNS = tuple(call_mark.c[name] for name in ("starred", "reviewed_at", "reviewed_by", "note", "tags"))


class CallMarks(Scoped):
    """Marks of one tenant's calls."""

    __slots__ = ()

    def get(self, call: str) -> Marks:
        """What was said of a call; nothing where there is no such call."""
        row = self._connection.execute(select(*_COLUMNS).where(self._is(call))).first()
        return NO_MARKS if row is None else _marks_of(row)

    def to_change(self, call: str) -> Marks:
        """As `get`, and nobody else changes it, or the legs of a call, until the end of the transaction.

        Raises:
            NotFound: there is no such call, or it is another tenant's.
        """
        lock_calls(self._connection, self._tenant_id)
        legs = select(recording.c.id).where(recording.c.tenant_id == self._tenant_id, recording.c.call == call)
        if self._connection.execute(legs.limit(1)).first() is None:
            raise NotFound("call", call)
        return self.get(call)

    def set(self, call: str, marks: Marks) -> None:
        """Keep what is said of a call from now on; `to_change` comes first."""
        if marks == NO_MARKS:
            self._connection.execute(delete(call_mark).where(self._is(call)))
            return
        key = ("tenant_id", "call")
        values = row_of(call_mark, marks) | {
            "tenant_id": self._tenant_id,
            "call": call,
            "words": words_of(marks.note, marks.tags),
        }
        replaced = [name for name in values if name not in key]
        self._connection.execute(upsert(self._connection.dialect.name, call_mark, key, replaced), values)

    def move(self, former: str, call: str) -> None:
        """Join what was said of a recording as a call by itself to what is said of the call that it is a leg of."""
        said = self.get(former)
        if said == NO_MARKS:
            return
        there = self.get(call)
        reviewed = there if there.reviewed_at else said
        self.set(
            call,
            Marks(
                said.starred or there.starred,
                reviewed.reviewed_at,
                reviewed.reviewed_by,
                "\n".join(dict.fromkeys(filter(None, (there.note, said.note)))),
                tuple({folded(tag): tag for tag in (*said.tags, *there.tags)}.values()),
            ),
        )
        self.let_go([former])

    def let_go(self, calls: Iterable[str]) -> None:
        """Forget what was said of those of these calls that have no leg any more."""
        left = exists().where(recording.c.tenant_id == self._tenant_id, recording.c.call == call_mark.c.call)
        asked = sorted(set(calls))
        for place in range(0, len(asked), _AT_ONCE):
            these = call_mark.c.call.in_(asked[place : place + _AT_ONCE])
            mine = call_mark.c.tenant_id == self._tenant_id
            self._connection.execute(delete(call_mark).where(mine, these, ~left))

    def _is(self, call: str) -> Any:
        return (call_mark.c.tenant_id == self._tenant_id) & (call_mark.c.call == call)


def words_of(note: str, tags: Iterable[str]) -> str:
    """What searches look through: each tag between line breaks, then the note in one line."""
    return "\n".join(("", *map(one_line, tags), one_line(note)))


def said_of(connection: Connection, tenant_ids: Collection[str], calls: Collection[str]) -> dict[str, Marks]:
    """What was said of these calls of these tenants, by the call; of others nothing."""
    c = call_mark.c
    wanted = select(*_COLUMNS, c.call).where(c.tenant_id.in_(sorted(tenant_ids)), c.call.in_(sorted(calls)))
    return {row.call: _marks_of(row) for row in connection.execute(wanted)} if calls else {}


def asks_for_marks(query: RecordingQuery) -> bool:
    """Whether a search is for calls of which something was said, which are few beside the others."""
    return bool(query.starred or query.reviewed or query.tag or query.noted)


def _marks_of(row: Any) -> Marks:
    return Marks(row.starred, row.reviewed_at, row.reviewed_by, row.note, row.tags)
