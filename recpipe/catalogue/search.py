"""Searching recordings and calls: pages by key, never by offset, and no more rows read than a page needs.

What is walked, newest first, is an index of one tenant's calls, or of the calls of a number. Where there are several
tenants or numbers, each gives one page at most of its own newest calls and the page is chosen among those: the work is
branches times page, whatever the number of recordings. Too many matching numbers are refused rather than cut off,
because a cut hides newer calls.

What an index does not answer by itself (which way, how long, sealed or not, a text) is looked for step by step, each
step twice as long, until the page is full or `LOOK_SECONDS` are over. A page that is not full by then says how far was
looked, and its cursor goes on from there. A text that few calls have is found by its trigrams, on PostgreSQL.

Calls are found by their legs: one that has all that is asked for is enough. They are walked as recordings are, in
indexes that have the start of the call before that of the leg, so that all legs of a call are met at its place.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Generic

from sqlalchemy import Connection, bindparam, select, text

from recpipe.catalogue.anything import alternatives
from recpipe.catalogue.calls import calls_with_legs, weight_of_calls
from recpipe.catalogue.mark_tables import call_mark
from recpipe.catalogue.marks import asks_for_marks, said_of
from recpipe.catalogue.phone import matching_numbers
from recpipe.catalogue.repository import MOST_A_PAGE, check_limit, list_size, listed, read_cursor, write_cursor
from recpipe.catalogue.rows import WITHOUT_PEAKS, recording_of
from recpipe.catalogue.tables import recording, recording_text, tenant
from recpipe.catalogue.types import folded, micros
from recpipe.catalogue.walk import (
    Key,
    Shape,
    Stretch,
    behind,
    branches_of,
    by_trigrams,
    calls_of,
    edge_of,
    marks_of,
    number_of,
    page_of,
    values_of,
    weight_of,
)
from recpipe.errors import NotFound, QueryInvalid
from recpipe.messages import message
from recpipe.model import Call, CappedCount, Direction, FoundTotal, Item, Page, Recording, RecordingQuery

LOOK_SECONDS = 0.2  # no further step is begun after these; the last one may take as long again, or a little longer
FIRST_STEP = 5000  # calls
FEW = 1000  # calls with a text, for which its trigrams are worth asking
_MOST_TO_COUNT = 100_000
_TRIGRAM = 3

_ANY = select(recording).where(recording.c.id == bindparam("id"))
_ONE = _ANY.where(recording.c.tenant_id.in_(bindparam("tenant_ids", expanding=True)))
_EVERY_TENANT = select(tenant.c.id).order_by(tenant.c.id)


class Search:
    """Searches within the tenants it is made for, and no others; None is every tenant."""

    def __init__(self, connection: Connection, tenant_ids: Iterable[str] | None) -> None:
        self._connection = connection
        self._asked = None if tenant_ids is None else sorted(set(tenant_ids))
        if self._asked is not None and not self._asked:
            raise ValueError("a search needs the tenants it is for")

    @cached_property
    def _tenant_ids(self) -> list[str]:
        if self._asked is not None:
            return self._asked
        return list(self._connection.execute(_EVERY_TENANT).scalars())

    def get(self, recording_id: str) -> Recording:
        """See `Work.recording`."""
        if self._asked is None:
            row = self._connection.execute(_ANY, {"id": recording_id}).first()
        else:
            row = self._connection.execute(_ONE, {"id": recording_id, "tenant_ids": self._asked}).first()
        if row is None:
            raise NotFound("recording", recording_id)
        return recording_of(row)

    def some(self, ids: Collection[str]) -> Sequence[Recording]:
        """See `Work.recordings`."""
        c = recording.c
        wanted = select(*WITHOUT_PEAKS).where(c.id.in_(sorted(ids)))
        if self._asked is not None:
            wanted = wanted.where(c.tenant_id.in_(self._asked))
        return [recording_of(list(row)) for row in self._connection.execute(wanted)]

    def page(self, query: RecordingQuery, cursor: str | None, limit: int) -> Page[Recording]:
        """See `Work.search`."""
        return self._page(_RecordingWalk, query, cursor, limit)

    def calls(
        self, query: RecordingQuery, cursor: str | None, limit: int, extension: str, direction: Direction | None
    ) -> Page[Call]:
        """See `Work.calls`."""
        found = self._page(_CallWalk, query, cursor, limit)
        calls = self._with_legs([key.id for key in found.items], extension, direction)
        return Page(tuple(calls), found.next_cursor, found.searched_to)

    def call(self, call_id: str, extension: str, direction: Direction | None) -> Call:
        """See `Work.call`."""
        found = self._with_legs([call_id], extension, direction)
        with suppress(NotFound):
            found = found or self._with_legs([self.get(call_id).call], extension, direction)
        if not found:
            raise NotFound("call", call_id)
        return found[0]

    def count(self, query: RecordingQuery, cap: int) -> CappedCount:
        """See `Work.count`."""
        return self._count(_RecordingWalk, query, cap)

    def count_calls(self, query: RecordingQuery, cap: int) -> CappedCount:
        """See `Work.count_calls`."""
        return self._count(_CallWalk, query, cap)

    def _with_legs(self, calls: Sequence[str], extension: str, direction: Direction | None) -> list[Call]:
        if not calls or not self._tenant_ids:
            return []
        found = calls_with_legs(self._connection, self._tenant_ids, calls, extension=extension, direction=direction)
        said = said_of(self._connection, {call.tenant_id for call in found}, [call.id for call in found])
        return [replace(call, marks=said[call.id]) if call.id in said else call for call in found]

    def _page(self, kind: type[_Walk[Item]], query: RecordingQuery, cursor: str | None, limit: int) -> Page[Item]:
        _check(query)
        limit = check_limit(limit)
        place = None if cursor is None else self._place(kind, query, cursor)
        looked = self._found_by_any if query.anything else self._found
        found, searched_to = looked(kind, query, place, limit)
        if len(found) > limit:
            return Page(tuple(found[:limit]), self._cursor(kind, query, kind.place_of(found[limit - 1])))
        if searched_to is None:
            return Page(tuple(found))
        return Page(tuple(found), self._cursor(kind, query, behind(searched_to, query)), searched_to)

    def _found(
        self, kind: type[_Walk[Item]], query: RecordingQuery, place: Key | None, limit: int
    ) -> tuple[list[Item], datetime | None]:
        """One more than a page has, if there are as many, and how far was looked if not to the end."""
        found: list[Item] = []
        walk = self._walk(kind, query)
        if walk is None:
            return found, None
        searched_to: datetime | None = None
        for stretch, last in walk.stretches(place):
            found += walk.found(stretch, limit + 1 - len(found))
            if len(found) > limit or stretch.until is None:
                break
            if (few := self._few(query, stretch)) is not None:
                rest = Stretch(behind(stretch.until, query))
                found += walk.among(few).found(rest, limit + 1 - len(found)) if few else []
                break
            if last:
                searched_to = stretch.until
        return found, searched_to

    def _found_by_any(
        self, kind: type[_Walk[Item]], query: RecordingQuery, place: Key | None, limit: int
    ) -> tuple[list[Item], datetime | None]:
        """As `_found`, of what any of the alternatives finds."""
        parts = [self._found(kind, one, place, limit) for one in alternatives(query)]
        every = {kind.place_of(one): one for found, _ in parts for one in found}
        places = sorted(every, reverse=not query.oldest_first)
        looked = [searched_to for _, searched_to in parts if searched_to is not None]
        searched_to = None
        if looked:
            # Behind the nearest of them, what is found is not all there is.
            if query.oldest_first:
                searched_to = min(looked)
                places = [place for place in places if place.started_at <= searched_to]
            else:
                searched_to = max(looked)
                places = [place for place in places if place.started_at >= searched_to]
        return [every[place] for place in places[: limit + 1]], searched_to

    def _count(self, kind: type[_Walk[Item]], query: RecordingQuery, cap: int) -> CappedCount:
        _check(query)
        if not 1 <= cap <= _MOST_TO_COUNT:
            raise QueryInvalid(
                message(
                    "A count is capped between 1 and {most_to_count:,}, not {cap}.",
                    most_to_count=_MOST_TO_COUNT,
                    cap=cap,
                )
            )
        if query.anything:
            total = self._total_by_pages(kind, query, cap)
            return CappedCount(total.count, total.capped)
        walk = self._walk(kind, query)
        if walk is None:
            return CappedCount(0)
        count = 0
        for stretch, last in walk.stretches(None):
            count += walk.number(stretch, cap + 1 - count)
            if count > cap:
                return CappedCount(cap, capped=True)
            if last and stretch.until is not None:
                return CappedCount(count, capped=True)
        return CappedCount(count)

    def total(self, query: RecordingQuery, cap: int) -> FoundTotal:
        """See `Work.total`."""
        _check(query)
        if not 1 <= cap <= _MOST_TO_COUNT:
            raise QueryInvalid(
                message(
                    "A count is capped between 1 and {most_to_count:,}, not {cap}.",
                    most_to_count=_MOST_TO_COUNT,
                    cap=cap,
                )
            )
        if query.anything:
            return self._total_by_pages(_RecordingWalk, query, cap)
        walk = self._walk(_RecordingWalk, query)
        count = stored_bytes = 0
        if walk is None:
            return FoundTotal(0, 0)
        for stretch, last in walk.stretches(None):
            more, their_bytes = walk.weight(stretch, cap + 1 - count)
            count, stored_bytes = count + more, stored_bytes + their_bytes
            if count > cap:
                return FoundTotal(cap, stored_bytes, capped=True, recordings=cap)
            if last and stretch.until is not None:
                return FoundTotal(count, stored_bytes, capped=True, recordings=count)
        return FoundTotal(count, stored_bytes, recordings=count)

    def total_calls(self, query: RecordingQuery, cap: int) -> FoundTotal:
        """See `Work.total_calls`."""
        _check(query)
        return self._total_by_pages(_CallWalk, query, cap)

    def _total_by_pages(self, kind: type[_Walk[Any]], query: RecordingQuery, cap: int) -> FoundTotal:
        """As `total`, where what is found has to be gone through: alternatives overlap, and calls have several legs."""
        count = recordings = stored_bytes = 0
        cursor = None
        while True:
            page = self._page(kind, query, cursor, min(MOST_A_PAGE, cap + 1 - count))
            more, their_bytes = self._weight(kind, page.items)
            count, recordings, stored_bytes = count + len(page.items), recordings + more, stored_bytes + their_bytes
            if count > cap:
                return FoundTotal(cap, stored_bytes, capped=True, recordings=recordings)
            if page.next_cursor is None or page.searched_to is not None:
                return FoundTotal(count, stored_bytes, page.searched_to is not None, recordings)
            cursor = page.next_cursor

    def _weight(self, kind: type[_Walk[Any]], found: Sequence[Any]) -> tuple[int, int]:
        if kind is _CallWalk:
            return weight_of_calls(self._connection, self._tenant_ids, [key.id for key in found])
        return len(found), sum(one.stored_bytes for one in found)

    def _walk(self, kind: type[_Walk[Item]], query: RecordingQuery) -> _Walk[Item] | None:
        """The walk for a query; None where no number is what is looked for, or there is no tenant."""
        if not self._tenant_ids:
            return None
        numbers: list[int] = []
        if query.number:
            numbers = matching_numbers(self._connection, self._tenant_ids, query.number, query.number_match)
            if not numbers:
                return None
        walk = kind(self._connection, query, self._tenant_ids, numbers)
        marked = self._marked(query) if asks_for_marks(query) else None
        if marked is None:
            return walk
        return walk.among(marked, marked=True) if marked else None

    def _marked(self, query: RecordingQuery) -> list[str] | None:
        """The legs of the calls of which something was said, if they are few; None where they are many."""
        values, c, m = values_of(query), recording.c, call_mark.c
        said = marks_of(frozenset(values), self._connection.dialect.name)
        calls = select(m.call).where(m.tenant_id.in_(self._tenant_ids), *said).limit(FEW + 1)
        asked: dict[str, Any] = {name: value for name, value in values.items() if name in ("tag", "noted")}
        some = list(self._connection.execute(calls, asked).scalars())
        if len(some) > FEW:
            return None
        legs = select(c.id).where(c.tenant_id.in_(self._tenant_ids), c.call.in_(some)).limit(FEW + 1)
        ids = list(self._connection.execute(legs).scalars()) if some else []
        return None if len(ids) > FEW else ids

    def _few(self, query: RecordingQuery, walked: Stretch) -> list[str] | None:
        """The calls with a text by its trigrams, if they are few; None where they are many or cannot be asked for."""
        wanted = folded(query.text)
        if walked.after is not None or len(wanted) < _TRIGRAM or query.number:
            return None  # only after the first step
        if self._connection.dialect.name != "postgresql":
            return None
        if self._connection.execute(text("SELECT to_regclass('recording_text_trigram')")).scalar() is None:
            return None
        texts = recording_text.c
        having = select(texts.recording_id).where(texts.tenant_id.in_(self._tenant_ids), by_trigrams(query.text))
        ids = list(self._connection.execute(having.limit(FEW + 1)).scalars())
        return None if len(ids) > FEW else ids

    # --- the cursor ---------------------------------------------------------------------------------------

    def _cursor(self, kind: type[_Walk[Any]], query: RecordingQuery, key: Key) -> str:
        return write_cursor(self._fingerprint(kind, query), micros(key.started_at), key.id)

    def _fingerprint(self, kind: type[_Walk[Any]], query: RecordingQuery) -> str:
        asked = repr((self._asked, query)) + kind.said
        return hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16]

    def _place(self, kind: type[_Walk[Any]], query: RecordingQuery, cursor: str) -> Key:
        fingerprint, started_at, one = read_cursor(cursor, str, datetime, str)
        if fingerprint != self._fingerprint(kind, query):
            raise QueryInvalid("This page link belongs to another search. Start from the first page.")
        return Key(started_at, one)


class _Walk(Generic[Item]):
    """One search through the index that its shape has.

    Args:
        numbers: the telephone numbers whose calls are searched; empty where a search is not for a number.
        few: the recordings that alone are looked at; empty where all are.
        marked: they are the legs of calls of which something was said.
    """

    said: ClassVar[str] = ""  # what tells its cursors from others

    def __init__(
        self,
        connection: Connection,
        query: RecordingQuery,
        tenant_ids: Sequence[str],
        numbers: Sequence[int],
        few: Sequence[str] = (),
        marked: bool = False,
    ) -> None:
        self._connection, self._query, self._tenant_ids, self._numbers = connection, query, tenant_ids, numbers
        values = values_of(query)
        sizes = list_size(tenant_ids), list_size(numbers), list_size(few)
        self._shape = Shape(connection.dialect.name, frozenset(values), *sizes, marked, calls=bool(self.said))
        self._values = values | listed("tenant", tenant_ids) | listed("number", numbers) | listed("few", few)

    def found(self, stretch: Stretch, limit: int) -> list[Item]:
        """What a stretch has, in the order of the query, at most `limit`."""
        raise NotImplementedError

    @staticmethod
    def place_of(item: Item) -> Key:
        """Where it stands in that order."""
        raise NotImplementedError

    def among(self, few: Sequence[str], *, marked: bool = False) -> _Walk[Item]:
        """The same, of these recordings alone."""
        return type(self)(self._connection, self._query, self._tenant_ids, self._numbers, few, marked)

    def stretches(self, place: Key | None) -> Iterator[tuple[Stretch, bool]]:
        """What to look through one after another, and whether it is the last for this time.

        All at once where the index alone has the answer, where only a few are looked at, and for a call id or a call.
        """
        if not branches_of(self._shape).filters or self._shape.few or self._query.call_id or self._query.call:
            yield Stretch(place), True
            return
        began, step = time.monotonic(), FIRST_STEP
        while True:
            until = self._edge(place, max(step // (len(self._numbers) or len(self._tenant_ids)), 1))
            # The edge of the next step is not known yet, but that of this one is what may be told.
            last = until is None or time.monotonic() - began > LOOK_SECONDS
            yield Stretch(place, until), last
            if last or until is None:
                return
            place, step = behind(until, self._query), step * 2

    def number(self, stretch: Stretch, most: int) -> int:
        """How many a stretch has, counted to `most`."""
        number: int = number_of(self._shape_of(stretch)).value(self._connection, self._asked(stretch, count=most))
        return number

    def weight(self, stretch: Stretch, most: int) -> tuple[int, int]:
        """As `number`, and their stored bytes."""
        weighed = weight_of(self._shape_of(stretch)).rows(self._connection, self._asked(stretch, count=most))
        count, stored_bytes = next(weighed)
        return int(count), int(stored_bytes)

    def _edge(self, place: Key | None, step: int) -> datetime | None:
        """Where a walk of so many recordings a branch comes to first; None where it comes to the end."""
        walked = Stretch(place)
        edge: datetime | None = edge_of(self._shape_of(walked)).value(
            self._connection, self._asked(walked, passed=step - 1)
        )
        return edge

    def _shape_of(self, stretch: Stretch) -> Shape:
        return self._shape._replace(given=self._shape.given.union(stretch.values()))

    def _asked(self, stretch: Stretch, **more: int) -> dict[str, Any]:
        return self._values | stretch.values() | more


class _RecordingWalk(_Walk[Recording]):
    """Recordings, each by itself."""

    def found(self, stretch: Stretch, limit: int) -> list[Recording]:
        statement = page_of(self._shape_of(stretch))
        return list(map(recording_of, statement.rows(self._connection, self._asked(stretch, count=limit))))

    @staticmethod
    def place_of(item: Recording) -> Key:
        return Key(item.started_at, item.id)


class _CallWalk(_Walk[Key]):
    """The places of calls, of which a leg has what is asked for."""

    said = "calls"

    def found(self, stretch: Stretch, limit: int) -> list[Key]:
        statement = calls_of(self._shape_of(stretch))
        return [Key(*row) for row in statement.rows(self._connection, self._asked(stretch, count=limit))]

    @staticmethod
    def place_of(item: Key) -> Key:
        return item


def _check(query: RecordingQuery) -> None:
    if query.anything and (query.number or query.text or query.extension or query.call_id or query.noted):
        raise QueryInvalid("What is looked for is typed into one box, or into its own fields; not into both.")
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
