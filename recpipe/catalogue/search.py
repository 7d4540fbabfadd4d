"""Searching recordings: pages by key, never by offset, and no more rows read than a page needs.

One tenant without a number walks `ix_recording_time`. Otherwise each branch, a matching number or a tenant, gives one
page at most of its own newest rows and the page is chosen among those: the work is branches times page, whatever the
number of recordings. Too many matching numbers are refused rather than cut off, because a cut hides newer calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, literal, or_, select, true, tuple_

from recpipe.catalogue.phone import matching_numbers
from recpipe.catalogue.repository import check_limit, read_cursor, write_cursor
from recpipe.catalogue.rows import WITHOUT_PEAKS, recording_of
from recpipe.catalogue.tables import phone_number, recording, recording_number, tenant
from recpipe.catalogue.types import Utc, micros
from recpipe.errors import NotFound, QueryInvalid
from recpipe.model import CappedCount, Page, Recording, RecordingQuery

_MOST_TO_COUNT = 100_000

# Built once, as putting it together costs more than running it.
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
        ids = self._newest(query, place, limit + 1)
        if not ids:
            return Page(())
        c = recording.c
        mine = select(*WITHOUT_PEAKS).where(c.id.in_(ids[:limit]), c.tenant_id.in_(self._tenant_ids))
        rows = {row.id: recording_of(row) for row in self._connection.execute(mine)}
        items = tuple(rows[recording_id] for recording_id in ids[:limit] if recording_id in rows)
        if len(ids) <= limit or not items:
            return Page(items)
        last = items[-1]
        return Page(items, write_cursor(self._fingerprint(query), micros(last.started_at), last.id))

    def count(self, query: RecordingQuery, cap: int) -> CappedCount:
        """See `Work.count`."""
        _check(query)
        if not 1 <= cap <= _MOST_TO_COUNT:
            raise QueryInvalid(f"A count is capped between 1 and {_MOST_TO_COUNT:,}, not {cap}.")
        numbers = self._numbers(query)
        c = recording.c
        if numbers is None:
            found: Select[Any] = select(c.id).where(
                c.tenant_id.in_(self._tenant_ids), *_times(c, query), *_filters(query)
            )
        else:
            links = recording_number.c
            found = select(links.recording_id).distinct().where(links.number_id.in_(numbers), *_times(links, query))
            if _needs_recording(query):
                found = found.join(recording, c.id == links.recording_id).where(*_filters(query))
        count = self._connection.execute(select(func.count()).select_from(found.limit(cap + 1).subquery())).scalar_one()
        return CappedCount(min(count, cap), capped=count > cap)

    # --- the page -----------------------------------------------------------------------------------------

    def _newest(self, query: RecordingQuery, place: tuple[datetime, str] | None, limit: int) -> list[str]:
        """Ids of the page in its order, at most `limit`."""
        numbers = self._numbers(query)
        if numbers is None:
            c = recording.c
            branch = _page_of(c.started_at, c.id, query, place, limit).where(*_times(c, query), *_filters(query))
            return self._best(branch, tenant, c.tenant_id, self._tenant_ids, query, limit)
        links = recording_number.c
        branch = _page_of(links.started_at, links.recording_id, query, place, limit).where(*_times(links, query))
        if _needs_recording(query):
            branch = branch.join(recording, recording.c.id == links.recording_id).where(*_filters(query))
        return self._best(branch, phone_number, links.number_id, numbers, query, limit)

    def _best(
        self,
        branch: Select[Any],
        owner: Table,
        key: ColumnElement[Any],
        owners: Sequence[Any],
        query: RecordingQuery,
        limit: int,
    ) -> list[str]:
        """The page among the pages of all branches. A call between two matching numbers is in two of them."""
        if not owners:
            return []
        if len(owners) == 1:
            return [row.id for row in self._connection.execute(branch.where(key == owners[0]))]
        branch = branch.where(key == owner.c.id).correlate(owner)
        if self._connection.dialect.name == "postgresql":
            part = branch.lateral("part").c
            merged = select(part.started_at, part.id).select_from(owner).join(part.id.table, true())
        else:
            # SQLite has no LATERAL; a subquery after IN is evaluated once for each branch just the same.
            part = recording.alias("found").c
            merged = select(part.started_at, part.id).select_from(owner)
            merged = merged.join(part.id.table, part.id.in_(branch.with_only_columns(branch.selected_columns.id)))
        merged = merged.where(owner.c.id.in_(owners)).distinct()
        merged = merged.order_by(*_order(part.started_at, part.id, query)).limit(limit)
        return [row.id for row in self._connection.execute(merged)]

    def _numbers(self, query: RecordingQuery) -> list[int] | None:
        if not query.number:
            return None
        return matching_numbers(self._connection, self._tenant_ids, query.number, query.number_match)

    # --- the cursor ---------------------------------------------------------------------------------------

    def _fingerprint(self, query: RecordingQuery) -> str:
        asked = json.dumps([self._tenant_ids, asdict(query)], default=str)
        return hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16]

    def _place(self, query: RecordingQuery, cursor: str) -> tuple[datetime, str]:
        fingerprint, started_at, recording_id = read_cursor(cursor, str, datetime, str)
        if fingerprint != self._fingerprint(query):
            raise QueryInvalid("This page link belongs to another search. Start from the first page.")
        return started_at, recording_id


def _page_of(
    started_at: ColumnElement[Any],
    recording_id: ColumnElement[Any],
    query: RecordingQuery,
    place: tuple[datetime, str] | None,
    limit: int,
) -> Select[Any]:
    page = select(started_at.label("started_at"), recording_id.label("id"))
    if place is not None:
        key, last = tuple_(started_at, recording_id), tuple_(literal(place[0], Utc()), literal(place[1]))
        page = page.where(key > last if query.oldest_first else key < last)
    return page.order_by(*_order(started_at, recording_id, query)).limit(limit)


def _order(started_at: ColumnElement[Any], recording_id: ColumnElement[Any], query: RecordingQuery) -> tuple[Any, ...]:
    if query.oldest_first:
        return started_at, recording_id
    return started_at.desc(), recording_id.desc()


def _times(columns: Any, query: RecordingQuery) -> list[ColumnElement[bool]]:
    """The time range, on the index that is walked."""
    conditions = []
    if query.started_from is not None:
        conditions.append(columns.started_at >= query.started_from)
    if query.started_before is not None:
        conditions.append(columns.started_at < query.started_before)
    return conditions


def _filters(query: RecordingQuery) -> list[ColumnElement[bool]]:
    c = recording.c
    conditions: list[ColumnElement[bool]] = []
    if query.direction is not None:
        conditions.append(c.direction == query.direction.value)
    if query.extension:
        conditions.append(c.extension == query.extension)
    if query.duration_min_ms is not None:
        conditions.append(c.duration_ms >= query.duration_min_ms)
    if query.duration_max_ms is not None:
        conditions.append(c.duration_ms <= query.duration_max_ms)
    if query.call_id:
        conditions.append(c.call_id == query.call_id)
    if query.sealed is not None:
        conditions.append(c.envelope_iv.is_not(None) if query.sealed else c.envelope_iv.is_(None))
    if query.text:
        # Databases know the two cases of A to Z only: of the others here, a text in capitals or as a name is written.
        spellings = sorted({query.text, query.text.lower(), query.text.upper(), query.text.title()})
        columns = (c.name, c.caller_name, c.callee_name)
        wanted = [column.icontains(text, autoescape=True) for column in columns for text in spellings]
        conditions.append(or_(*wanted))
    return conditions


def _needs_recording(query: RecordingQuery) -> bool:
    return bool(_filters(query))


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
