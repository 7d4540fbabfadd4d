"""The recordings of one tenant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from recpipe.catalogue import adding
from recpipe.catalogue.calls import lock_calls, settle
from recpipe.catalogue.completeness import Completeness
from recpipe.catalogue.figure_counts import count, of_calls
from recpipe.catalogue.marks import CallMarks
from recpipe.catalogue.repository import Scoped, check_limit
from recpipe.catalogue.rows import OF_A_LISTING, OF_CALLS, WITHOUT_PEAKS, recording_of, values_of_call, values_of_facts
from recpipe.catalogue.search import Search
from recpipe.catalogue.tables import (
    day_total,
    recording,
    recording_extension,
    recording_number,
    recording_text,
    tenant,
    tombstone,
)
from recpipe.catalogue.types import Utc
from recpipe.catalogue.walk import Key, is_of
from recpipe.errors import NotFound
from recpipe.model import (
    Added,
    CallEntry,
    CallFacts,
    DayEntry,
    DayTotal,
    Direction,
    Page,
    Recording,
    RecordingQuery,
    Tombstone,
)
from recpipe.numbers import e164

_PAGE = 1000

# Built once: putting them together anew costs more than running them, and every FTP download begins with one.
_NAMED = select(recording).where(
    recording.c.tenant_id == bindparam("tenant_id"),
    recording.c.day == bindparam("day"),
    recording.c.name == bindparam("name"),
)
_FROM_NAME = (
    select(*WITHOUT_PEAKS)
    .where(
        recording.c.tenant_id == bindparam("tenant_id"),
        recording.c.day == bindparam("day"),
        recording.c.name >= bindparam("name"),
    )
    .order_by(recording.c.name)
    .limit(bindparam("count"))
)


class Recordings(Scoped):
    """The recordings of one tenant. Deleted ones are nowhere to be seen but in `tombstone`."""

    __slots__ = ()

    # --- the write path -----------------------------------------------------------------------------------

    def add_many(self, batch: Sequence[Recording]) -> list[Added]:
        """Keep recordings. A repeated call changes nothing and says so.

        A name that another recording of the same day has, or ever had, gets a number before its extension:
        `NAME~2.mp3.enc`.

        Args:
            batch: recordings of this tenant; one transaction for many is many times faster.

        Returns:
            One answer for each, in order, with the recording as the catalogue has it.

        Raises:
            Conflict: `name-too-long`; `name-contended` when the same batch may be tried again.
        """
        return adding.add_many(self._connection, self._tenant_id, batch)

    def set_facts(self, recording_id: str, facts: CallFacts) -> Recording:
        """Replace the call facts, as when a call detail record comes late. Name, folder and bytes stay.

        Args:
            facts: with a start time, which then becomes the recording's; without, the start stays as it is.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        return self.set_facts_of({recording_id: facts})[0]

    def set_facts_of(self, told: Mapping[str, CallFacts]) -> list[Recording]:
        """As `set_facts`, of several recordings by their ids: once a transaction, since it takes locks in order."""
        lock_calls(self._connection, self._tenant_id)
        region = self._connection.execute(select(tenant.c.region).where(tenant.c.id == self._tenant_id)).scalar_one()
        before = [self.get(recording_id) for recording_id in told]
        after = [_with_facts(one, told[one.id], region) for one in before]
        calls = {one.call for one in before} | {values_of_call(one)["call"] for one in after}
        was = of_calls(self._connection, self._tenant_id, calls)
        for one in after:
            values = {
                **values_of_facts(one.facts),
                "started_at": one.started_at,
                "timezone": one.timezone,
                "caller_e164": one.caller_e164,
                "callee_e164": one.callee_e164,
                **values_of_call(one),
            }
            self._connection.execute(update(recording).where(self._is(one.id)).values(values))
        ids = list(told)
        former = adding.linked_numbers(self._connection, self._tenant_id, ids)
        for table in (recording_number, recording_text, recording_extension):
            self._connection.execute(delete(table).where(table.c.recording_id.in_(ids)))
        adding.link_numbers(self._connection, self._tenant_id, after)
        adding.write_texts(self._connection, self._tenant_id, after)
        adding.write_extensions(self._connection, self._tenant_id, after)
        adding.forget_numbers(self._connection, self._tenant_id, former)
        kept = [self.get(recording_id) for recording_id in told]
        settle(self._connection, self._tenant_id, calls)
        count(self._connection, self._tenant_id, of_calls(self._connection, self._tenant_id, calls).minus(was))
        marks = CallMarks(self._connection, self._tenant_id)
        for former_call, call in ((old.call, new.call) for old, new in zip(before, kept, strict=True)):
            if former_call != call and not self._has_legs(former_call):
                marks.move(former_call, call)
        return kept

    def _has_legs(self, call: str) -> bool:
        legs = select(recording.c.id).where(recording.c.tenant_id == self._tenant_id, recording.c.call == call)
        return self._connection.execute(legs.limit(1)).first() is not None

    def awaiting_cdr(self, spool: str, previous: Recording | None = None, limit: int = 100) -> list[Recording]:
        """The next recordings of a spool whose call detail record has not come yet, oldest first."""
        waiting = self._all().where(recording.c.awaits_cdr, recording.c.spool == spool)
        if previous is not None:
            place = tuple_(literal(previous.ingested_at, Utc()), literal(previous.id))
            waiting = waiting.where(tuple_(recording.c.ingested_at, recording.c.id) > place)
        return self._list(waiting.order_by(recording.c.ingested_at, recording.c.id).limit(check_limit(limit)))

    # --- reading ------------------------------------------------------------------------------------------

    def exists(self, recording_id: str) -> bool:
        """Whether it is there (and was not deleted)."""
        return bool(self._connection.execute(select(exists().where(self._is(recording_id)))).scalar_one())

    def get(self, recording_id: str) -> Recording:
        """One recording, peaks included.

        Raises:
            NotFound: there is none, it was deleted, or it is another tenant's.
        """
        row = self._connection.execute(select(recording).where(self._is(recording_id))).first()
        if row is None:
            raise NotFound("recording", recording_id)
        return recording_of(row)

    def by_name(self, day: str, name: str) -> Recording:
        """The recording with this name in this folder, peaks included.

        Args:
            day: YYYY-MM-DD.

        Raises:
            NotFound: there is none.
        """
        row = self._connection.execute(_NAMED, {"tenant_id": self._tenant_id, "day": day, "name": name}).first()
        if row is None:
            raise NotFound("recording", name)
        return recording_of(row)

    def from_name(self, day: str, name: str, limit: int) -> list[Recording]:
        """A folder's recordings from this name on, in name order, peaks left out.

        Args:
            day: YYYY-MM-DD.
            limit: at most so many, 1 to 1,000.
        """
        asked = {"tenant_id": self._tenant_id, "day": day, "name": name, "count": check_limit(limit)}
        return [recording_of(row) for row in self._connection.execute(_FROM_NAME, asked).all()]

    def search(self, query: RecordingQuery, cursor: str | None = None, limit: int = 50) -> Page[Recording]:
        """See `Work.search`; of this tenant alone."""
        return Search(self._connection, [self._tenant_id]).page(query, cursor, limit)

    # --- folders ------------------------------------------------------------------------------------------

    def years(self) -> list[str]:
        """YYYY of every folder that holds something."""
        return self._folders(4, "")

    def months(self, year: str) -> list[str]:
        """YYYY-MM of every folder of a year that holds something."""
        return self._folders(7, f"{year}-")

    def days(self, month: str = "") -> list[str]:
        """YYYY-MM-DD of every folder (of a month, YYYY-MM) that holds something."""
        return self._folders(10, f"{month}-" if month else "")

    def in_day(
        self,
        day: str,
        after_name: str | None = None,
        limit: int | None = None,
        *,
        extension: str = "",
        direction: Direction | None = None,
    ) -> Iterator[DayEntry]:
        """A folder's recordings in name order, read piece by piece: 100,000 of them need no memory.

        Args:
            day: YYYY-MM-DD.
            after_name: start behind this name.
            limit: at most so many; None gives all.
            extension: only this extension's calls.
            direction: only calls of this direction.
        """
        for rows in self._of_day(OF_A_LISTING, day, after_name, limit, extension, direction):
            yield from map(DayEntry._make, rows)

    def calls_in_day(
        self,
        day: str,
        after_name: str | None = None,
        limit: int | None = None,
        *,
        extension: str = "",
        direction: Direction | None = None,
    ) -> Iterator[CallEntry]:
        """Which calls a folder's recordings are legs of; otherwise as `in_day`."""
        for rows in self._of_day(OF_CALLS, day, after_name, limit, extension, direction):
            yield from map(CallEntry._make, rows)

    def _of_day(
        self,
        columns: tuple[Column[Any], ...],
        day: str,
        after_name: str | None,
        limit: int | None,
        extension: str,
        direction: Direction | None,
    ) -> Iterator[Sequence[Row[Any]]]:
        wanted = select(*columns).where(recording.c.tenant_id == self._tenant_id, recording.c.day == day)
        if extension:
            wanted = wanted.where(is_of(extension, recording.c, recording.c.id))
        if direction is not None:
            wanted = wanted.where(recording.c.direction == direction.value)
        wanted = wanted.order_by(recording.c.name)
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = wanted if after_name is None else wanted.where(recording.c.name > after_name)
            rows = self._connection.execute(page.limit(size)).all()
            yield rows
            if len(rows) < size:
                return
            after_name = rows[-1].name
            left = None if left is None else left - size

    def totals(self, first_day: str = "", last_day: str = "9999-12-31") -> list[DayTotal]:
        """Counts and sums of each folder that holds something, oldest first, both ends included."""
        c = day_total.c
        wanted = select(c.day, c.recordings, c.stored_bytes, c.duration_ms).where(
            c.tenant_id == self._tenant_id, c.day >= first_day, c.day <= last_day, c.recordings > 0
        )
        return [DayTotal(*row) for row in self._connection.execute(wanted.order_by(c.day))]

    # --- verifying, retention, deletion -------------------------------------------------------------------

    def after(
        self, previous: Recording | Key | None = None, limit: int = _PAGE, since: datetime | None = None
    ) -> list[Recording]:
        """The next recordings by call time, for walking through all of them in short transactions.

        Args:
            since: pass over those that were stored before.
        """
        wanted = self._all()
        if since is not None:
            wanted = wanted.where(recording.c.ingested_at >= literal(since, Utc()))
        if previous is not None:
            place = tuple_(literal(previous.started_at, Utc()), literal(previous.id))
            wanted = wanted.where(tuple_(recording.c.started_at, recording.c.id) > place)
        return self._list(wanted.order_by(recording.c.started_at, recording.c.id).limit(check_limit(limit)))

    def stored_since(self, since: datetime) -> int:
        """How many were stored from then on. Reads all rows."""
        wanted = select(func.count()).select_from(recording)
        ours = recording.c.tenant_id == self._tenant_id
        return self._connection.execute(
            wanted.where(ours, recording.c.ingested_at >= literal(since, Utc()))
        ).scalar_one()

    def without_peaks(self, recording_ids: Collection[str]) -> list[str]:
        """Those of these that have no waveform."""
        wanted = select(recording.c.id).where(
            recording.c.tenant_id == self._tenant_id,
            recording.c.id.in_(recording_ids),
            func.length(recording.c.peaks) == 0,
        )
        return list(self._connection.execute(wanted).scalars())

    def set_peaks(self, recording_id: str, peaks: bytes, flags: Sequence[str]) -> None:
        """Give a recording its waveform, or the flags that say why it has none."""
        self._connection.execute(
            update(recording).where(self._is(recording_id)).values(peaks=peaks, flags=tuple(flags))
        )

    def for_retention(self, started_before: datetime, limit: int = _PAGE) -> list[Recording]:
        """Recordings of calls that began before a time, oldest first."""
        wanted = self._all().where(recording.c.started_at < started_before)
        return self._list(wanted.order_by(recording.c.started_at, recording.c.id).limit(check_limit(limit)))

    def delete(self, recording_id: str, at: datetime, by: str, reason: str = "") -> Tombstone:
        """Forget a recording; only a tombstone without numbers and names is left. Its object is the caller's to delete.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        for left in self.delete_many([recording_id], at, by, reason):
            return left
        raise NotFound("recording", recording_id)

    def delete_many(self, recording_ids: Iterable[str], at: datetime, by: str, reason: str = "") -> list[Tombstone]:
        """Forget recordings, and every number that no other recording has; those not there are passed over."""
        gone: list[Recording] = []
        numbers: set[int] = set()
        wanted: list[Recording] = []
        lock_calls(self._connection, self._tenant_id)
        # In order, so that two who delete the same ones do not wait for each other in a circle.
        for recording_id in sorted(set(recording_ids)):
            with suppress(NotFound):
                wanted.append(self.get(recording_id))
        calls = {one.call for one in wanted}
        was = of_calls(self._connection, self._tenant_id, calls)
        for found in wanted:
            linked = adding.linked_numbers(self._connection, self._tenant_id, [found.id])
            # The one that removes the row has deleted it, so that two at the same time do not count it off twice.
            if self._connection.execute(delete(recording).where(self._is(found.id))).rowcount == 1:
                gone.append(found)
                numbers |= linked
        adding.forget_numbers(self._connection, self._tenant_id, numbers)
        settle(self._connection, self._tenant_id, (one.call for one in gone if one.call != one.id))
        adding.count_days(self._connection, self._tenant_id, gone, sign=-1)
        count(self._connection, self._tenant_id, of_calls(self._connection, self._tenant_id, calls).minus(was))
        Completeness(self._connection, self._tenant_id).let_go(gone, at)
        CallMarks(self._connection, self._tenant_id).let_go(one.call for one in gone)
        return [self._bury(one, at, by, reason) for one in gone]

    def _bury(self, gone: Recording, at: datetime, by: str, reason: str) -> Tombstone:
        left = Tombstone(gone.id, gone.tenant_id, gone.day, gone.object_key, gone.stored_sha256, at, by, reason)
        values = {column.name: getattr(left, column.name, None) for column in tombstone.columns}
        values["name_sha256"] = adding.name_hash(gone.name)
        self._connection.execute(insert(tombstone).values(values))
        return left

    def tombstone(self, recording_id: str) -> Tombstone:
        """What is left of a deleted recording.

        Raises:
            NotFound: it was not deleted, or it is another tenant's.
        """
        row = self._connection.execute(self._tombstones().where(tombstone.c.id == recording_id)).first()
        if row is None:
            raise NotFound("deleted recording", recording_id)
        return Tombstone(**row._asdict())

    def _is(self, recording_id: str) -> ColumnElement[bool]:
        return (recording.c.id == recording_id) & (recording.c.tenant_id == self._tenant_id)

    def _tombstones(self) -> Select[tuple[object, ...]]:
        columns = [column for column in tombstone.c if column.name != "name_sha256"]
        return select(*columns).where(tombstone.c.tenant_id == self._tenant_id)

    def _all(self) -> Select[tuple[object, ...]]:
        return select(*WITHOUT_PEAKS).where(recording.c.tenant_id == self._tenant_id)

    def _list(self, statement: Select[tuple[object, ...]]) -> list[Recording]:
        return [recording_of(row) for row in self._connection.execute(statement).all()]

    def _folders(self, length: int, prefix: str) -> list[str]:
        folder = func.substr(day_total.c.day, 1, length)
        wanted = (
            select(folder)
            .distinct()
            .where(
                day_total.c.tenant_id == self._tenant_id,
                day_total.c.recordings > 0,
                day_total.c.day >= prefix,
                day_total.c.day < prefix + "~",
            )
            .order_by(folder)
        )
        return list(self._connection.execute(wanted).scalars())


def _with_facts(before: Recording, facts: CallFacts, region: str) -> Recording:
    # What a PBX told meanwhile is not known to who read the facts before.
    told = before.facts
    facts = replace(facts, masked=facts.masked or told.masked, started_by=facts.started_by or told.started_by)
    return replace(
        before,
        facts=facts,
        started_at=facts.started_at or before.started_at,
        timezone=facts.timezone if facts.started_at else before.timezone,
        caller_e164=e164(facts.caller, region),
        callee_e164=e164(facts.callee, region),
    )
