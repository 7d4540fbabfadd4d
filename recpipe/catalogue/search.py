"""Searching recordings: pages by key, never by offset, and no more rows read than a page needs.

What is walked, newest first, is an index of one tenant's calls, or of the calls of a number. Where there are several
tenants or numbers, each gives one page at most of its own newest calls and the page is chosen among those: the work is
branches times page, whatever the number of recordings. Too many matching numbers are refused rather than cut off,
because a cut hides newer calls.

What an index does not answer by itself (which way, how long, sealed or not, a text) is looked for step by step, each
step twice as long, until the page is full or `LOOK_SECONDS` are over. A page that is not full by then says how far was
looked, and its cursor goes on from there. A text that few calls have is found by its trigrams, on PostgreSQL.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select, text, true

from recpipe.catalogue.phone import matching_numbers
from recpipe.catalogue.repository import check_limit, read_cursor, write_cursor
from recpipe.catalogue.rows import WITHOUT_PEAKS, recording_of
from recpipe.catalogue.tables import (
    phone_number,
    recording,
    recording_extension,
    recording_number,
    recording_text,
    tenant,
)
from recpipe.catalogue.types import Utc, folded, micros
from recpipe.catalogue.walk import (
    Branches,
    Key,
    Stretch,
    behind,
    bounds_of,
    by_trigrams,
    filters_of,
    has_text,
    is_of,
    order,
    plain_page,
)
from recpipe.errors import NotFound, QueryInvalid
from recpipe.model import CappedCount, Page, Recording, RecordingQuery

LOOK_SECONDS = 0.2  # no further step is begun after these; the last one may take as long again, or a little longer
FIRST_STEP = 5000  # calls
FEW = 1000  # calls with a text, for which its trigrams are worth asking
_MOST_TO_COUNT = 100_000
_TRIGRAM = 3

# Built once, as putting it together costs more than running it.
_ROWS = select(*WITHOUT_PEAKS)
_ONE = select(recording).where(
    recording.c.id == bindparam("id"), recording.c.tenant_id.in_(bindparam("tenant_ids", expanding=True))
)


class Search:
    """Searches within the tenants it is made for, and no others."""

    def __init__(self, connection: Connection, tenant_ids: Iterable[str]) -> None:
        self._connection = connection
        self._tenant_ids = sorted(set(tenant_ids))
        if not self._tenant_ids:
            raise ValueError("a search needs the tenants it is for")

    def get(self, recording_id: str) -> Recording:
        """See `Work.recording`."""
        row = self._connection.execute(_ONE, {"id": recording_id, "tenant_ids": self._tenant_ids}).first()
        if row is None:
            raise NotFound("recording", recording_id)
        return recording_of(row)

    def page(self, query: RecordingQuery, cursor: str | None, limit: int) -> Page[Recording]:
        """See `Work.search`."""
        _check(query)
        limit = check_limit(limit)
        place = None if cursor is None else self._place(query, cursor)
        branches = self._branches(query)
        if not branches.owners:
            return Page(())
        found: list[Recording] = []
        searched_to: datetime | None = None
        for stretch, last in self._stretches(branches, query, place):
            found += self._newest(branches, query, stretch, limit + 1 - len(found))
            if len(found) > limit or stretch.until is None:
                break
            if (few := self._few(query, stretch)) is not None:
                rest = Stretch(behind(stretch.until, query))
                found += self._newest(few, query, rest, limit + 1 - len(found)) if few.owners else []
                break
            if last:
                searched_to = stretch.until
        if len(found) > limit:
            return Page(
                tuple(found[:limit]), self._cursor(query, Key(found[limit - 1].started_at, found[limit - 1].id))
            )
        if searched_to is None:
            return Page(tuple(found))
        return Page(tuple(found), self._cursor(query, behind(searched_to, query)), searched_to)

    def count(self, query: RecordingQuery, cap: int) -> CappedCount:
        """See `Work.count`."""
        _check(query)
        if not 1 <= cap <= _MOST_TO_COUNT:
            raise QueryInvalid(f"A count is capped between 1 and {_MOST_TO_COUNT:,}, not {cap}.")
        branches = self._branches(query)
        if not branches.owners:
            return CappedCount(0)
        count = 0
        for stretch, last in self._stretches(branches, query, None):
            found = branches.rows(query, stretch).where(branches.mine()).with_only_columns(branches.id)
            if branches.owner is phone_number:  # a call between two of them is one call
                found = found.distinct()
            counted = select(func.count()).select_from(found.limit(cap + 1 - count).subquery())
            count += self._connection.execute(counted).scalar_one()
            if count > cap:
                return CappedCount(cap, capped=True)
            if last and stretch.until is not None:
                return CappedCount(count, capped=True)
        return CappedCount(count)

    # --- what is walked -----------------------------------------------------------------------------------

    def _branches(self, query: RecordingQuery) -> Branches:
        c, links, ours, texts = recording.c, recording_number.c, recording_extension.c, recording_text.c
        bounds, filters = tuple(bounds_of(query)), tuple(filters_of(query))
        its_text = (has_text(query.text, self._connection.dialect.name),) if query.text else ()
        joined: list[tuple[Table, ColumnElement[bool]]] = []
        if query.number:
            numbers = matching_numbers(self._connection, self._tenant_ids, query.number, query.number_match)
            filters = (*bounds, *filters)
            if filters:
                joined.append((recording, c.id == links.recording_id))
            if query.extension:
                filters = (*filters, is_of(query.extension, links, links.recording_id))
            if its_text:
                joined.append((recording_text, texts.recording_id == links.recording_id))
            at, one, key, owner, owners = links.started_at, links.recording_id, links.number_id, phone_number, numbers
            return Branches(at, one, key, owner, owners, (), (*filters, *its_text), tuple(joined))
        if query.extension and not bounds:
            if filters:
                joined.append((recording, c.id == ours.recording_id))
            if its_text:
                joined.append((recording_text, texts.recording_id == ours.recording_id))
            at, one, key = ours.started_at, ours.recording_id, ours.tenant_id
            its_own = (ours.extension == query.extension,)
            return Branches(at, one, key, tenant, self._tenant_ids, its_own, (*filters, *its_text), tuple(joined))
        if query.extension:
            filters = (*filters, is_of(query.extension, c, c.id))
        if its_text and not bounds:
            if filters:
                joined.append((recording, c.id == texts.recording_id))
            at, one, key = texts.started_at, texts.recording_id, texts.tenant_id
            return Branches(at, one, key, tenant, self._tenant_ids, (), (*its_text, *filters), tuple(joined))
        if its_text:
            joined.append((recording_text, texts.recording_id == c.id))
        at, one, key = c.started_at, c.id, c.tenant_id
        return Branches(at, one, key, tenant, self._tenant_ids, bounds, (*filters, *its_text), tuple(joined))

    def _few(self, query: RecordingQuery, walked: Stretch) -> Branches | None:
        """The calls with a text by its trigrams, if they are few; None where they are many or cannot be asked for."""
        wanted = folded(query.text)
        if walked.after is not None or len(wanted) < _TRIGRAM or query.number:
            return None  # only after the first step
        if self._connection.dialect.name != "postgresql":
            return None
        if self._connection.execute(text("SELECT to_regclass('recording_text_trigram')")).scalar() is None:
            return None
        texts, c = recording_text.c, recording.c
        having = select(texts.recording_id).where(texts.tenant_id.in_(self._tenant_ids), by_trigrams(query.text))
        ids = list(self._connection.execute(having.limit(FEW + 1)).scalars())
        if len(ids) > FEW:
            return None
        extension = [is_of(query.extension, c, c.id)] if query.extension else []
        bounds = (c.id.in_(ids), *bounds_of(query), *filters_of(query), *extension)
        return Branches(c.started_at, c.id, c.tenant_id, tenant, self._tenant_ids if ids else (), bounds, (), ())

    def _stretches(
        self, branches: Branches, query: RecordingQuery, place: Key | None
    ) -> Iterator[tuple[Stretch, bool]]:
        """What to look through one after another, and whether it is the last for this time.

        All at once where the index alone has the answer, and for a call id, which few calls have.
        """
        if not branches.filters or query.call_id:
            yield Stretch(place), True
            return
        began, step = time.monotonic(), FIRST_STEP
        while True:
            until = self._edge(branches, query, place, max(step // len(branches.owners), 1))
            # The edge of the next step is not known yet, but that of this one is what may be told.
            last = until is None or time.monotonic() - began > LOOK_SECONDS
            yield Stretch(place, until), last
            if last or until is None:
                return
            place, step = behind(until, query), step * 2

    def _edge(self, branches: Branches, query: RecordingQuery, place: Key | None, step: int) -> datetime | None:
        """When the call began that a walk of so many calls a branch comes to first; None where it comes to no such."""
        walked = branches.rows(query, Stretch(place), filtered=False).with_only_columns(branches.started_at)
        walked = walked.order_by(*order(branches.started_at, branches.id, query)).offset(step - 1).limit(1)
        if len(branches.owners) == 1:
            edge: datetime | None = self._connection.execute(walked.where(branches.mine())).scalar()
            return edge
        owner = branches.owner
        edges = walked.where(branches.key == owner.c.id).correlate(owner).scalar_subquery()
        nearest = func.min if query.oldest_first else func.max
        return self._connection.execute(
            select(nearest(edges, type_=Utc())).where(owner.c.id.in_(branches.owners))
        ).scalar()

    def _newest(self, branches: Branches, query: RecordingQuery, stretch: Stretch, limit: int) -> list[Recording]:
        """The recordings of the page in its order, at most `limit`."""
        c = recording.c
        if len(branches.owners) == 1 and branches.id is c.id:
            if not branches.bounds and not branches.filters and stretch.until is None:
                return self._plain(query, stretch.after, limit)
            rows = branches.rows(query, stretch, chosen=_ROWS).where(branches.mine())
            return self._recordings(rows.order_by(*order(branches.started_at, branches.id, query)).limit(limit))
        page = branches.rows(query, stretch).order_by(*order(branches.started_at, branches.id, query)).limit(limit)
        found = (
            page.where(branches.mine()) if len(branches.owners) == 1 else self._best(branches, page, query, limit)
        ).subquery("found")
        rows = _ROWS.join_from(found, recording, c.id == found.c.id)
        return self._recordings(rows.order_by(*order(found.c.started_at, found.c.id, query)))

    def _plain(self, query: RecordingQuery, after: Key | None, limit: int) -> list[Recording]:
        starts, ends = query.started_from is not None, query.started_before is not None
        page = plain_page(oldest_first=query.oldest_first, starts=starts, ends=ends, goes_on=after is not None)
        asked: dict[str, Any] = {"tenant_id": self._tenant_ids[0], "count": limit}
        if starts:
            asked["started_from"] = query.started_from
        if ends:
            asked["started_before"] = query.started_before
        if after is not None:
            asked |= {"place_at": after.started_at, "place_id": after.id}
        return list(map(recording_of, page.rows(self._connection, asked)))

    def _best(self, branches: Branches, page: Select[Any], query: RecordingQuery, limit: int) -> Select[Any]:
        """The page among the pages of all branches. A call between two matching numbers is in two of them."""
        owner = branches.owner
        page = page.where(branches.key == owner.c.id).correlate(owner)
        if self._connection.dialect.name == "postgresql":
            part = page.lateral("part").c
            merged = select(part.started_at, part.id).select_from(owner).join(part.id.table, true())
        else:
            # SQLite has no LATERAL; a subquery after IN is evaluated once for each branch just the same.
            part = recording.alias("part").c
            merged = select(part.started_at, part.id).select_from(owner)
            merged = merged.join(part.id.table, part.id.in_(page.with_only_columns(page.selected_columns.id)))
        merged = merged.where(owner.c.id.in_(branches.owners)).distinct()
        return merged.order_by(*order(part.started_at, part.id, query)).limit(limit)

    def _recordings(self, statement: Select[Any]) -> list[Recording]:
        c, mine = recording.c, self._tenant_ids
        owned = statement.where(c.tenant_id == mine[0] if len(mine) == 1 else c.tenant_id.in_(mine))
        return list(map(recording_of, self._connection.execute(owned).all()))

    # --- the cursor ---------------------------------------------------------------------------------------

    def _cursor(self, query: RecordingQuery, key: Key) -> str:
        return write_cursor(self._fingerprint(query), micros(key.started_at), key.id)

    def _fingerprint(self, query: RecordingQuery) -> str:
        asked = repr((self._tenant_ids, query))
        return hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16]

    def _place(self, query: RecordingQuery, cursor: str) -> Key:
        fingerprint, started_at, recording_id = read_cursor(cursor, str, datetime, str)
        if fingerprint != self._fingerprint(query):
            raise QueryInvalid("This page link belongs to another search. Start from the first page.")
        return Key(started_at, recording_id)


def _check(query: RecordingQuery) -> None:
    if query.started_from and query.started_before and query.started_from >= query.started_before:
        raise QueryInvalid("The time range ends before it begins. Swap its two ends.")
    for bound in (query.started_from, query.started_before):
        if bound is not None and bound.tzinfo is None:
            raise QueryInvalid("A time in a search needs its zone.")
    low, high = query.duration_min_ms, query.duration_max_ms
    if low is not None and high is not None and low > high:
        raise QueryInvalid("The shortest duration is longer than the longest. Swap the two.")
    for milliseconds in (low, high):
        if milliseconds is not None and not 0 <= milliseconds < 2**62:
            raise QueryInvalid("A duration in a search is a number of milliseconds, 0 or more.")
