"""What a search walks: an index in the order of lists, a stretch of it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, Table, bindparam, exists, func, literal, select, tuple_

from recpipe.catalogue.repository import Selection
from recpipe.catalogue.rows import WITHOUT_PEAKS
from recpipe.catalogue.tables import recording, recording_extension, recording_text
from recpipe.catalogue.types import Utc, folded
from recpipe.model import RecordingQuery


class Key(NamedTuple):
    """A place in the order of calls. An id of "" or `_LAST` is before or behind all calls of that moment."""

    started_at: datetime
    id: str


_LAST = "~"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one step looks through: from a place on (exclusive), as far as a moment (inclusive)."""

    after: Key | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Branches:
    """The index that is walked, once for each of its owners."""

    started_at: ColumnElement[Any]
    id: ColumnElement[Any]
    key: ColumnElement[Any]
    owner: Table
    owners: Sequence[Any]
    bounds: tuple[ColumnElement[bool], ...]  # kept by the index itself
    filters: tuple[ColumnElement[bool], ...]  # looked at call by call
    joined: tuple[tuple[Table, ColumnElement[bool]], ...]  # what `filters` speak of besides

    def rows(
        self, query: RecordingQuery, stretch: Stretch, *, filtered: bool = True, chosen: Select[Any] | None = None
    ) -> Select[Any]:
        """Time and id of the branch's calls, or what else is chosen of them; without owner, order and limit."""
        if chosen is None:
            chosen = select(self.started_at.label("started_at"), self.id.label("id"))
        found: Any = chosen.where(*self.bounds)
        if filtered:
            for table, how in self.joined:
                found = found.join(table, how)
            found = found.where(*self.filters)
        if query.started_from is not None:
            found = found.where(self.started_at >= query.started_from)
        if query.started_before is not None:
            found = found.where(self.started_at < query.started_before)
        if stretch.until is not None:
            until = self.started_at <= stretch.until if query.oldest_first else self.started_at >= stretch.until
            found = found.where(until)
        if stretch.after is not None:
            place = tuple_(literal(stretch.after.started_at, Utc()), literal(stretch.after.id))
            key = tuple_(self.started_at, self.id)
            found = found.where(key > place if query.oldest_first else key < place)
        rows: Select[Any] = found
        return rows

    def mine(self) -> ColumnElement[bool]:
        return self.key == self.owners[0] if len(self.owners) == 1 else self.key.in_(self.owners)


def behind(moment: datetime, query: RecordingQuery) -> Key:
    """The place behind all calls of a moment, in the order of the query."""
    return Key(moment, _LAST if query.oldest_first else "")


def order(started_at: ColumnElement[Any], recording_id: ColumnElement[Any], query: RecordingQuery) -> tuple[Any, ...]:
    if query.oldest_first:
        return started_at, recording_id
    return started_at.desc(), recording_id.desc()


def has_text(wanted: str, dialect: str) -> ColumnElement[bool]:
    """Whether a call that is walked past has a text.

    Not as LIKE, for which PostgreSQL would take its trigram index even where that has to be read whole, as for two
    letters. `by_trigrams` is for when it is wanted.
    """
    place = func.strpos if dialect == "postgresql" else func.instr
    found: ColumnElement[bool] = place(recording_text.c.text, folded(wanted), type_=Integer()) > 0
    return found


def by_trigrams(wanted: str) -> ColumnElement[bool]:
    """`has_text` in the form that the trigram index serves."""
    return recording_text.c.text.contains(folded(wanted), autoescape=True)


def is_of(extension: str, recordings: Any, recording_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether an extension took part in a recording.

    Args:
        recordings: the columns of a table with the tenant and the start of recordings.
        recording_id: the column with their ids.
    """
    c = recording_extension.c
    return exists().where(
        c.tenant_id == recordings.tenant_id,
        c.extension == extension,
        c.started_at == recordings.started_at,
        c.recording_id == recording_id,
    )


def bounds_of(query: RecordingQuery) -> list[ColumnElement[bool]]:
    """What an index of the recordings begins with."""
    return [recording.c.call_id == query.call_id] if query.call_id else []


def filters_of(query: RecordingQuery) -> list[ColumnElement[bool]]:
    """What has to be looked at call by call."""
    c = recording.c
    conditions: list[ColumnElement[bool]] = []
    if query.direction is not None:
        conditions.append(c.direction == query.direction.value)
    if query.duration_min_ms is not None:
        conditions.append(c.duration_ms >= query.duration_min_ms)
    if query.duration_max_ms is not None:
        conditions.append(c.duration_ms <= query.duration_max_ms)
    if query.sealed is not None:
        # The index has this one of the four that are there or not together.
        conditions.append(c.envelope_offset.is_not(None) if query.sealed else c.envelope_offset.is_(None))
    return conditions


@lru_cache(maxsize=64)
def plain_page(*, oldest_first: bool, starts: bool, ends: bool, goes_on: bool) -> Selection:
    """A page of one tenant's recordings as most people ask for it: nothing but a time range and a place.

    Putting a statement together, and finding what it was compiled to before, takes longer than running it. To be asked
    with `tenant_id`, `count` and, as the case may be, `started_from`, `started_before`, `place_at` and `place_id`.
    """
    c = recording.c
    page: Any = select(*WITHOUT_PEAKS).where(c.tenant_id == bindparam("tenant_id"))
    if starts:
        page = page.where(c.started_at >= bindparam("started_from"))
    if ends:
        page = page.where(c.started_at < bindparam("started_before"))
    if goes_on:
        key, place = tuple_(c.started_at, c.id), tuple_(bindparam("place_at", type_=Utc()), bindparam("place_id"))
        page = page.where(key > place if oldest_first else key < place)
    query = RecordingQuery(oldest_first=oldest_first)
    return Selection(page.order_by(*order(c.started_at, c.id, query)).limit(bindparam("count", type_=Integer())))
