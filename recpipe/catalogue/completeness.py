"""Whether calls were recorded: what PBXs say of the calls of a tenant, what arrived, and what comparing them found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, literal, or_, select, update

from recpipe.catalogue.call_events import CallEvents
from recpipe.catalogue.completeness_tables import call_record, completeness_day, completeness_finding
from recpipe.catalogue.policy_tables import decision
from recpipe.catalogue.repository import Repository, Scoped, insert_new, page_by_time, row_of, same_tenant, upsert
from recpipe.catalogue.tables import recording
from recpipe.model import (
    CallRecord,
    CallRecording,
    CallState,
    DayCompleteness,
    Direction,
    Finding,
    Page,
    Recording,
    RecordingKind,
)

# A message or a fax is no recording of the call that brought it.
_OF_A_CALL = recording.c.kind.not_in((RecordingKind.VOICEMAIL.value, RecordingKind.FAX.value))
_AT_ONCE = 400  # parameters of one statement
_RECORDING = tuple(
    recording.c[name]
    for name in (
        "id",
        "call_id",
        "linked_id",
        "started_at",
        "duration_ms",
        "direction",
        "extension",
        "spool",
        "ingested_at",
    )
)


class Completeness(Scoped):
    """What is known of the calls of one tenant, and what was found."""

    __slots__ = ()

    # --- what is known ----------------------------------------------------------------------------------------

    def records(self, at_from: datetime, at_before: datetime) -> Sequence[CallRecord]:
        """What call detail records say of calls that began in a time, in that order."""
        c = call_record.c
        wanted = select(call_record).where(
            c.tenant_id == self._tenant_id, c.started_at >= at_from, c.started_at < at_before
        )
        return [_record_of(row) for row in self._connection.execute(wanted.order_by(c.started_at, c.id))]

    def recordings(self, at_from: datetime, at_before: datetime) -> Sequence[CallRecording]:
        """Recordings of calls that began in a time, in that order."""
        c = recording.c
        wanted = select(*_RECORDING).where(
            c.tenant_id == self._tenant_id, c.started_at >= at_from, c.started_at < at_before, _OF_A_CALL
        )
        return [_recording_of(row) for row in self._connection.execute(wanted.order_by(c.started_at, c.id))]

    def recordings_of(self, call_ids: Collection[str]) -> Sequence[CallRecording]:
        """Recordings that have one of these call ids, whenever their calls began."""
        c, ids, found = recording.c, sorted({one for one in call_ids if one}), []
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            wanted = select(*_RECORDING).where(c.tenant_id == self._tenant_id, c.call_id.in_(some), _OF_A_CALL)
            found += [_recording_of(row) for row in self._connection.execute(wanted)]
        return found

    def mark_arrived(self, record_ids: Collection[str], at: datetime) -> None:
        """Remember that their recordings were found, also when those are deleted later."""
        c, ids = call_record.c, sorted(set(record_ids))
        for start in range(0, len(ids), _AT_ONCE):
            mine = c.tenant_id == self._tenant_id, c.id.in_(ids[start : start + _AT_ONCE]), c.arrived_at.is_(None)
            self._connection.execute(update(call_record).where(*mine).values(arrived_at=at))

    # --- what was found ---------------------------------------------------------------------------------------

    def days(self, first_day: str, last_day: str) -> Sequence[DayCompleteness]:
        """Counts by day and rule, oldest first, both ends included."""
        c = completeness_day.c
        wanted = select(c.day, c.rule, c.counts, c.judged_at).where(
            c.tenant_id == self._tenant_id, c.day >= first_day, c.day <= last_day
        )
        return [DayCompleteness(*row) for row in self._connection.execute(wanted.order_by(c.day, c.rule))]

    def set_days(self, first_day: str, last_day: str, found: Iterable[DayCompleteness]) -> None:
        """Replace the counts of some days, both ends included."""
        c = completeness_day.c
        gone = delete(completeness_day).where(c.tenant_id == self._tenant_id, c.day >= first_day, c.day <= last_day)
        self._connection.execute(gone)
        self._put(found)

    def recount(self, changed: DayCompleteness) -> None:
        """Replace the counts of one day and rule."""
        self._put([changed])

    def _put(self, found: Iterable[DayCompleteness]) -> None:
        rows = [{"tenant_id": self._tenant_id, **row_of(completeness_day, one)} for one in found]
        if rows:
            key, renewed = ("tenant_id", "day", "rule"), ("counts", "judged_at")
            self._connection.execute(upsert(self._connection.dialect.name, completeness_day, key, renewed), rows)

    def findings(
        self,
        first_day: str,
        last_day: str,
        cursor: str | None = None,
        limit: int = 100,
        *,
        kind: CallState | None = None,
        rule: str | None = None,
        only_open: bool = False,
    ) -> Page[Finding]:
        """Findings of some days, both ends included, the latest call first.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = completeness_finding.c
        wanted = select(completeness_finding).where(
            c.tenant_id == self._tenant_id, c.day >= first_day, c.day <= last_day
        )
        if kind is not None:
            wanted = wanted.where(c.kind == kind.value)
        if rule is not None:
            wanted = wanted.where(c.rule == rule)
        if only_open:
            wanted = wanted.where(c.closed_at.is_(None))
        return page_by_time(self._connection, wanted, c.started_at, c.id, _finding_of, cursor, limit, newest_first=True)

    def findings_of_days(self, first_day: str, last_day: str, *, only_open: bool = False) -> Sequence[Finding]:
        """All findings of some days, both ends included."""
        c = completeness_finding.c
        wanted = select(completeness_finding).where(
            c.tenant_id == self._tenant_id, c.day >= first_day, c.day <= last_day
        )
        if only_open:
            wanted = wanted.where(c.closed_at.is_(None))
        return [_finding_of(row) for row in self._connection.execute(wanted.order_by(c.started_at, c.id))]

    def set_findings(self, findings: Collection[Finding]) -> None:
        """Keep findings, or replace them by what is known of them now."""
        for one in findings:
            same_tenant(self._tenant_id, one.tenant_id)
        rows = [row_of(completeness_finding, one) for one in findings]
        if rows:
            renewed = ("day", "rule", "extension", "recording_id", "expected_ms", "actual_ms", "opened_at", "closed_at")
            statement = upsert(self._connection.dialect.name, completeness_finding, ("id",), renewed)
            self._connection.execute(statement, rows)

    def open_findings(self) -> dict[CallState, int]:
        """How many findings of each kind are open."""
        c = completeness_finding.c
        counted = select(c.kind, func.count()).where(c.tenant_id == self._tenant_id, c.closed_at.is_(None))
        return {CallState(kind): count for kind, count in self._connection.execute(counted.group_by(c.kind))}

    def let_go(self, gone: Sequence[Recording], at: datetime) -> None:
        """Forget whose calls these were, whose recordings are deleted; that they had been there stays.

        Rows are locked in the order in which days are judged: call records, then findings.
        """
        gone = [one for one in gone if one.facts.kind not in (RecordingKind.VOICEMAIL, RecordingKind.FAX)]
        c, d, f = call_record.c, decision.c, completeness_finding.c
        for start in range(0, len(gone), _AT_ONCE // 2):
            some = gone[start : start + _AT_ONCE // 2]
            ids = sorted({one_id for one in some for one_id in (one.facts.call_id, one.facts.linked_id)} - {""})
            # Other legs of the call that name a recording of their own are not those of what is gone.
            its = or_(c.call_id.in_(ids), c.linked_id.in_(ids)), or_(c.recorded_as == "", c.recorded_as.in_(ids))
            told = or_(d.call_id.in_(ids), d.linked_id.in_(ids))
            for table, column, which in ((call_record, c, its), (decision, d, (told,))):
                there = func.coalesce(column.arrived_at, literal(at, column.arrived_at.type))
                # A call of many legs is deleted piece by piece: what one wrote the next leaves alone.
                news = or_(column.arrived_at.is_(None), column.extension != "")
                ours = update(table).where(column.tenant_id == self._tenant_id, *which, news)
                self._connection.execute(ours.values(arrived_at=there, extension=""))
            CallEvents(self._connection, self._tenant_id).forget_people(ids)
        deleted = [one.id for one in gone]
        for start in range(0, len(deleted), _AT_ONCE):
            mine = f.tenant_id == self._tenant_id, f.recording_id.in_(deleted[start : start + _AT_ONCE])
            self._connection.execute(update(completeness_finding).where(*mine).values(extension=""))


class CallRecordsOfAll(Repository):
    """Where the write path keeps what call detail records say, for several tenants at once, and it is forgotten."""

    __slots__ = ()

    def add(self, records: Iterable[CallRecord]) -> None:
        """Keep what they say. One that is kept already is left out."""
        rows = [row_of(call_record, one) for one in records]
        if rows:
            self._connection.execute(insert_new(self._connection.dialect.name, call_record), rows)

    def newest(self, spool: str) -> datetime | None:
        """When the latest call of this spool began that is kept."""
        c = call_record.c
        return self._connection.execute(select(func.max(c.started_at)).where(c.spool == spool)).scalar()

    def prune(self, before: datetime, most: int = 20_000) -> int:
        """Forget calls that began before, the oldest first and not more than `most`; how many."""
        c = call_record.c
        oldest = select(c.id).where(c.started_at < before).order_by(c.started_at).limit(most)
        return self._connection.execute(delete(call_record).where(c.id.in_(oldest))).rowcount

    def prune_findings(self, before_day: str) -> int:
        """Forget findings and counts of days before; how many findings."""
        self._connection.execute(delete(completeness_day).where(completeness_day.c.day < before_day))
        gone = delete(completeness_finding).where(completeness_finding.c.day < before_day)
        return self._connection.execute(gone).rowcount


def _record_of(row: Row[Any]) -> CallRecord:
    return CallRecord(**{**row._mapping, "direction": Direction(row.direction)})


def _recording_of(row: Row[Any]) -> CallRecording:
    ours = row.extension.partition("\n")[0]
    return CallRecording(**{**row._mapping, "direction": Direction(row.direction), "extension": ours})


def _finding_of(row: Row[Any]) -> Finding:
    return Finding(**{**row._mapping, "kind": CallState(row.kind), "direction": Direction(row.direction)})
