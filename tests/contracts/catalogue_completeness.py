"""Whether calls were recorded: what is known of calls, what was found, and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import QueryInvalid
from recpipe.model import CallRecord, CallState, DayCompleteness, Direction, Finding, RecordingKind, Tenant
from tests.contracts.catalogue_samples import DAY, NOW, a_recording, keep, kept_tenant

HOUR = timedelta(hours=1)


def a_call_record(tenant: Tenant, **changes: Any) -> CallRecord:
    made = CallRecord(
        id=new_id(),
        tenant_id=tenant.id,
        spool="berlin",
        call_id="1790000000.1",
        linked_id="1790000000.1",
        started_at=NOW,
        talk_ms=60_000,
        answered=True,
        recording_ms=None,
        direction=Direction.INBOUND,
        extension="201",
        says_recorded=True,
        recorded_as="",
    )
    return replace(made, **changes)


def a_finding(tenant: Tenant, **changes: Any) -> Finding:
    made = Finding(
        id=new_id(),
        tenant_id=tenant.id,
        kind=CallState.MISSING,
        day=DAY,
        rule="service",
        call_id="1790000000.1",
        linked_id="",
        started_at=NOW,
        direction=Direction.INBOUND,
        extension="201",
        spool="berlin",
        recording_id="",
        expected_ms=None,
        actual_ms=None,
        opened_at=NOW + HOUR,
    )
    return replace(made, **changes)


def every(catalogue: Catalogue, tenant: Tenant, **asked: Any) -> Iterator[Finding]:
    cursor: str | None = None
    while True:
        with catalogue.read() as work:
            page = work.of(tenant.id).completeness.findings("", "9999", cursor, 2, **asked)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


class CompletenessContract:
    def test_call_records_are_kept_once_and_those_of_others_never_seen(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        spool = new_id()
        first, later = a_call_record(one, spool=spool), a_call_record(one, spool=spool, started_at=NOW + HOUR)
        with catalogue.begin() as work:
            assert work.call_records.newest(spool) is None
            work.call_records.add([first, later, a_call_record(two)])
            work.call_records.add([replace(first, extension="999")])
        with catalogue.read() as work:
            assert work.call_records.newest(spool) == NOW + HOUR
            assert list(work.of(one.id).completeness.records(NOW, NOW + 2 * HOUR)) == [first, later]
            assert list(work.of(one.id).completeness.records(NOW, NOW + HOUR)) == [first]

    def test_what_arrived_is_remembered_and_a_deletion_leaves_no_extension(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        facts = {"call_id": "1790000000.1"}
        (recording,) = keep(catalogue, a_recording(one, facts=facts))
        mine, other = a_call_record(one), a_call_record(one, recorded_as="1790000000.2")
        theirs = a_call_record(two)
        found = a_finding(one, kind=CallState.DIFFERS, recording_id=recording.id)
        with catalogue.begin() as work:
            work.call_records.add([mine, other, theirs])
            work.of(one.id).completeness.mark_arrived([mine.id, theirs.id], NOW)
            work.of(one.id).completeness.set_findings([found])
        with catalogue.read() as work:
            (told,) = work.of(one.id).completeness.recordings_of({"1790000000.1", ""})
            assert (told.id, told.call_id, told.spool) == (recording.id, "1790000000.1", "berlin")
            assert list(work.of(one.id).completeness.recordings(NOW, NOW + HOUR)) == [told]
            assert not work.of(two.id).completeness.recordings_of({"1790000000.1"})
        with catalogue.begin() as work:
            work.of(one.id).recordings.delete_many([recording.id], NOW + HOUR, "ann")
        with catalogue.read() as work:
            kept = {record.id: record for record in work.of(one.id).completeness.records(NOW, NOW + HOUR)}
            assert kept[mine.id] == replace(mine, arrived_at=NOW, extension="")
            assert kept[other.id] == other
            assert list(work.of(two.id).completeness.records(NOW, NOW + HOUR)) == [theirs]
            assert [finding.extension for finding in work.of(one.id).completeness.findings_of_days("", "9")] == [""]

    def test_a_message_or_a_fax_is_no_recording_of_the_call_that_brought_it(self, catalogue: Catalogue) -> None:
        one = kept_tenant(catalogue)
        kinds = {
            kind: a_recording(one, facts={"call_id": "1790000000.1", "kind": kind}, minutes=n)
            for n, kind in enumerate(RecordingKind)
        }
        keep(catalogue, *kinds.values())
        record = a_call_record(one)
        with catalogue.begin() as work:
            work.call_records.add([record])
        of_the_call = [kinds[RecordingKind.CALL].id, kinds[RecordingKind.CONFERENCE].id]
        with catalogue.read() as work:
            known = work.of(one.id).completeness
            assert [told.id for told in known.recordings(NOW, NOW + HOUR)] == of_the_call
            assert {told.id for told in known.recordings_of({"1790000000.1"})} == set(of_the_call)
        messages = [kinds[RecordingKind.VOICEMAIL].id, kinds[RecordingKind.FAX].id]
        with catalogue.begin() as work:
            work.of(one.id).recordings.delete_many(messages, NOW + HOUR, "ann")
        with catalogue.read() as work:  # that they are gone says nothing of the call's own recording
            assert list(work.of(one.id).completeness.records(NOW, NOW + HOUR)) == [record]

    def test_days_are_replaced_whole_and_one_count_alone(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        day = DayCompleteness(DAY, "service", {"arrived": 3, "missing": 1}, NOW)
        with catalogue.begin() as work:
            for tenant in (one, two):
                work.of(tenant.id).completeness.set_days(DAY, DAY, [day, replace(day, rule="pbx")])
            work.of(one.id).completeness.set_days(DAY, DAY, [day])
            work.of(one.id).completeness.recount(replace(day, counts={"arrived": 4}))
        with catalogue.read() as work:
            assert list(work.of(one.id).completeness.days(DAY, DAY)) == [replace(day, counts={"arrived": 4})]
            assert len(work.of(two.id).completeness.days(DAY, DAY)) == 2
            assert not work.of(one.id).completeness.days("2000-01-01", "2000-12-31")

    def test_findings_come_page_by_page_the_latest_call_first(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        made = [a_finding(one, started_at=NOW + number * HOUR) for number in range(4)]
        made[1] = replace(made[1], kind=CallState.IN_ERROR, rule="pbx")
        with catalogue.begin() as work:
            work.of(one.id).completeness.set_findings(made)
            work.of(two.id).completeness.set_findings([a_finding(two)])
            work.of(one.id).completeness.set_findings([replace(made[0], closed_at=NOW + 3 * HOUR)])
            with pytest.raises(ValueError, match="tenant"):
                work.of(one.id).completeness.set_findings([a_finding(two)])
        made[0] = replace(made[0], closed_at=NOW + 3 * HOUR)
        assert made[0].open_for == 2 * HOUR
        assert list(every(catalogue, one)) == made[::-1]
        assert list(every(catalogue, one, only_open=True)) == made[:0:-1]
        assert (
            list(every(catalogue, one, kind=CallState.IN_ERROR)) == list(every(catalogue, one, rule="pbx")) == [made[1]]
        )
        with catalogue.read() as work:
            assert work.of(one.id).completeness.open_findings() == {CallState.MISSING: 2, CallState.IN_ERROR: 1}
            with pytest.raises(QueryInvalid):
                work.of(one.id).completeness.findings("", "9999", "damaged")

    def test_what_is_old_is_forgotten(self, catalogue: Catalogue) -> None:
        one = kept_tenant(catalogue)
        old = a_call_record(one, started_at=NOW - 9999 * HOUR), a_call_record(one, started_at=NOW - 9998 * HOUR)
        with catalogue.begin() as work:
            work.call_records.add([*old, a_call_record(one)])
            assert work.call_records.prune(NOW - HOUR, most=1) == 1
            assert list(work.of(one.id).completeness.records(NOW - 9999 * HOUR, NOW)) == [old[1]]
            work.of(one.id).completeness.set_findings([a_finding(one, day="2001-01-01")])
            work.of(one.id).completeness.set_days(
                "2001-01-01", "2001-01-01", [DayCompleteness("2001-01-01", "", {}, NOW)]
            )
            assert work.call_records.prune_findings("2001-01-02") == 1
            assert not work.of(one.id).completeness.days("", "2002")
