"""Transactions, quarantine, audit and heartbeats."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import CatalogueError, NotFound, QueryInvalid, SearchTooLong
from recpipe.model import AuditEvent, AuditQuery, Node, Outcome, QuarantineTotal
from tests.contracts.catalogue_samples import NOW, a_recording, a_tenant, keep, kept_tenant

COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
FOR_HOURS, FOR_A_MOMENT = COUNTING.format(10**11), COUNTING.format(30_000)


def quarantined(relative: str = "acme/x.wav", **changes: Any) -> dict[str, Any]:
    return {
        "spool": "berlin",
        "path": f"/spool/{relative}",
        "relative": relative,
        "tenant_id": None,
        "reason": "unknown-tenant",
        "message": "No tenant has the name acme.",
        "held": True,
        "size_bytes": 44,
        "at": NOW,
        **changes,
    }


class RunningContract:
    def test_it_is_ready(self, catalogue: Catalogue) -> None:
        catalogue.ready()

    def test_a_search_that_takes_too_long_is_stopped_and_its_connection_goes_on(self, catalogue: Catalogue) -> None:
        catalogue._search_seconds = 0.05
        tenant = kept_tenant(catalogue)
        for _ in range(3):
            with pytest.raises(SearchTooLong, match="Narrow it by date"), catalogue.read(limited=True) as work:
                work._connection.execute(text(FOR_HOURS))
            with catalogue.read(limited=True) as work:
                assert [one.id for one in work.tenants.list()] == [tenant.id]

    def test_neither_writes_nor_the_programs_own_reads_are_stopped(self, catalogue: Catalogue) -> None:
        catalogue._search_seconds = 0.001
        with pytest.raises(SearchTooLong), catalogue.read(limited=True) as work:
            work._connection.execute(text(FOR_A_MOMENT))
        for block in (catalogue.read, catalogue.begin):
            with block() as work:
                assert work._connection.execute(text(FOR_A_MOMENT)).scalar_one() == 30_000

    def test_a_search_can_change_nothing(self, catalogue: Catalogue) -> None:
        with pytest.raises(CatalogueError), catalogue.read(limited=True) as work:
            work.tenants.add(a_tenant())
        with catalogue.read() as work:
            assert not work.tenants.list()

    def test_an_exception_undoes_the_whole_block(self, catalogue: Catalogue) -> None:
        tenant = a_tenant()
        with pytest.raises(ZeroDivisionError), catalogue.begin() as work:
            work.tenants.add(tenant)
            _ = 1 / 0
        with catalogue.read() as work, pytest.raises(NotFound):
            work.tenants.get(tenant.id)

    def test_what_only_reads_cannot_write(self, catalogue: Catalogue) -> None:
        with pytest.raises(CatalogueError), catalogue.read() as work:
            work.tenants.add(a_tenant())
        kept_tenant(catalogue)  # and the connection writes again afterwards

    def test_a_reader_waits_for_no_writer(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        given = a_recording(tenant)
        with catalogue.begin() as writer:
            writer.add_recordings([given])
            with catalogue.read() as reader:
                assert not reader.of(tenant.id).recordings.exists(given.id)
        with catalogue.read() as reader:
            assert reader.of(tenant.id).recordings.exists(given.id)

    def test_a_time_without_a_zone_is_a_programming_error(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with pytest.raises(CatalogueError, match="StatementError"):
            keep(catalogue, a_recording(tenant, started_at=NOW.replace(tzinfo=None)))

    # --- quarantine ---------------------------------------------------------------------------------------

    def test_a_file_tried_again_keeps_its_entry_and_counts(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.begin() as work:
            first = work.quarantine.record(**quarantined())
            later = NOW + timedelta(minutes=1)
            again = work.quarantine.record(
                **quarantined(tenant_id=tenant.id, reason="no-usable-certificate", message="Expired.", at=later)
            )
            assert again == replace(
                first,
                tenant_id=tenant.id,
                reason="no-usable-certificate",
                message="Expired.",
                last_seen_at=later,
                attempts=2,
            )
            assert work.quarantine.count() == 1

    def test_a_held_file_that_is_moved_aside_stays_one_entry(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            work.quarantine.record(**quarantined())
            later = NOW + timedelta(minutes=1)
            moved = work.quarantine.record(**quarantined(path="/quarantine/1/x.wav", held=False, at=later))
            assert (moved.first_seen_at, moved.attempts) == (NOW, 2)
            assert work.quarantine.list().items == (moved,)
            # another file of the same name does not push it out
            work.quarantine.record(**quarantined(at=later))
            work.quarantine.forget(spool="berlin", relative="acme/x.wav")
            assert work.quarantine.list().items == (moved,)
            work.quarantine.remove(moved.id)
            with pytest.raises(NotFound):
                work.quarantine.remove(moved.id)

    def test_a_file_that_is_put_back_and_fails_again_keeps_since_when_and_how_often(self, catalogue: Catalogue) -> None:
        aside = quarantined(path="/quarantine/x.wav", held=False)
        later = NOW + timedelta(minutes=1)
        with catalogue.begin() as work:
            first = work.quarantine.record(**aside)
            assert work.quarantine.put_back(first.id, NOW) == first
            assert work.quarantine.count() == 0
            # another file that took the name meanwhile is another file
            other = work.quarantine.record(**aside | {"size_bytes": 45, "at": later})
            assert (other.first_seen_at, other.attempts) == (later, 1)
            work.quarantine.remove(other.id)
            again = work.quarantine.record(**aside | {"at": later})
            assert (again.first_seen_at, again.last_seen_at, again.attempts) == (NOW, later, 2)
            # and a file that waits in its spool then is the same
            work.quarantine.put_back(again.id, later)
            held = work.quarantine.record(**quarantined(at=later + timedelta(minutes=1)))
            assert (held.first_seen_at, held.attempts) == (NOW, 3)
            work.quarantine.remove(held.id)
            assert work.quarantine.record(**aside).attempts == 1, "what was remembered is used once"
            with pytest.raises(NotFound):
                work.quarantine.put_back(held.id, later)

    def test_what_came_of_a_file_that_was_put_back_is_forgotten_after_a_while(self, catalogue: Catalogue) -> None:
        aside = quarantined(path="/quarantine/x.wav", held=False)
        with catalogue.begin() as work:
            work.quarantine.put_back(work.quarantine.record(**aside).id, NOW)
            assert work.quarantine.prune(NOW) == 0
            assert work.quarantine.prune(NOW + timedelta(seconds=1)) == 1
            assert work.quarantine.record(**aside).attempts == 1

    def test_a_broken_file_name_is_kept_byte_for_byte(self, catalogue: Catalogue) -> None:
        name = b"acme/\xff\xfe<b>.wav".decode("utf-8", "surrogateescape")
        with catalogue.begin() as work:
            entry = work.quarantine.record(**quarantined(name, message=f"{name} is not understood"))
            assert (entry.path, entry.relative) == (f"/spool/{name}", name)
            work.quarantine.record(**quarantined("a" * 4000))

    def test_quarantine_is_summed_up_by_tenant_since_its_oldest_file(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.begin() as work:
            assert work.quarantine.totals() == []
            for number, owner in enumerate((None, tenant.id, tenant.id)):
                at = NOW - timedelta(hours=number)
                work.quarantine.record(**quarantined(f"{number}.wav", tenant_id=owner, at=at))
            totals = {total.tenant_id: total for total in work.quarantine.totals()}
            assert totals == {
                None: QuarantineTotal(None, 1, NOW),
                tenant.id: QuarantineTotal(tenant.id, 2, NOW - timedelta(hours=2)),
            }

    def test_quarantine_pages_go_from_old_to_new(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.begin() as work:
            for number in range(5):
                owner = tenant.id if number % 2 else None
                at = NOW + timedelta(seconds=number // 2)
                work.quarantine.record(**quarantined(f"{number}.wav", tenant_id=owner, at=at))
            everything = work.quarantine.list().items
            seen, cursor = [], None
            while True:
                page = work.quarantine.list(cursor, limit=2)
                seen += page.items
                if (cursor := page.next_cursor) is None:
                    break
            assert tuple(seen) == everything
            mine = work.of(tenant.id).quarantine
            assert {entry.relative for entry in mine.list().items} == {"1.wav", "3.wav"}
            assert mine.count() == 2
            other = next(entry for entry in everything if entry.tenant_id is None)
            with pytest.raises(NotFound):
                mine.get(other.id)
            with pytest.raises(QueryInvalid):
                work.quarantine.list("x")

    # --- audit and nodes ----------------------------------------------------------------------------------

    def test_audit_events_are_filtered_and_paged_from_new_to_old(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        events = [
            AuditEvent(
                at=NOW + timedelta(seconds=number // 2),
                actor=("anna", "ben")[number % 2],
                action=("play", "download")[number % 2],
                outcome=Outcome.DENIED if number == 3 else Outcome.OK,
                tenant_id=tenant.id if number < 4 else None,
                address="::1",
                subject=str(number),
                detail={"n": number, "odd": "\0\ud800"},
            )
            for number in range(6)
        ]
        with catalogue.begin() as work:
            work.audit.add(*events)
            work.audit.add()
        with catalogue.read() as work:
            assert list(work.audit.list().items) == events[::-1]
            for query, expected in (
                (AuditQuery(actor="anna"), [0, 2, 4]),
                (AuditQuery(action="download"), [1, 3, 5]),
                (AuditQuery(outcome=Outcome.DENIED), [3]),
                (AuditQuery(subject="2"), [2]),
                (AuditQuery(at_from=NOW + timedelta(seconds=1), at_before=NOW + timedelta(seconds=2)), [2, 3]),
            ):
                assert list(work.audit.list(query).items) == [events[number] for number in reversed(expected)]
            seen, cursor = [], None
            while True:
                page = work.of(tenant.id).audit.list(cursor=cursor, limit=3)
                seen += page.items
                if (cursor := page.next_cursor) is None:
                    break
            assert seen == events[3::-1]

    def test_one_event_alone_is_kept_as_one_of_many_is(self, catalogue: Catalogue) -> None:
        berlin = NOW.astimezone(timezone(timedelta(hours=2)))
        one = AuditEvent(berlin, "cli:a\0\ud800", "x", Outcome.FAILED, None, "::1", "s" * 64, {"n": None, "yes": True})
        with catalogue.begin() as work:
            work.audit.add(one)
        with catalogue.begin() as work:
            work.audit.add(one, one)
        with catalogue.read() as work:
            kept = work.audit.list().items
        assert kept == (replace(one, actor="cli:a\ufffd\ufffd"),) * 3
        assert {event.at.tzinfo for event in kept} == {UTC}

    def test_an_event_that_cannot_be_kept_leaves_nothing_of_its_transaction(self, catalogue: Catalogue) -> None:
        good = AuditEvent(NOW, "anna", "play", Outcome.OK)
        for bad in (replace(good, at=NOW.replace(tzinfo=None)), replace(good, detail={"n": b"no JSON"})):
            with pytest.raises(CatalogueError, match="StatementError") as refused, catalogue.begin() as work:
                work.audit.add(good)
                work.audit.add(good, bad)
            assert "no JSON" not in str(refused.value)
        with catalogue.read() as work:
            assert not work.audit.list().items

    def test_a_heartbeat_replaces_the_one_before(self, catalogue: Catalogue) -> None:
        node = Node("host-1", "ingest", "berlin", NOW, NOW, 5, None, {"rate": 1.5})
        with catalogue.begin() as work:
            work.nodes.beat(node)
            later = replace(node, seen_at=NOW + timedelta(seconds=10), files_waiting=0, last_ingest_at=NOW)
            work.nodes.beat(later)
            work.nodes.beat(replace(node, spool=""))
            assert later in work.nodes.list()
            assert len(work.nodes.list()) == 2
            assert work.nodes.forget(NOW + timedelta(seconds=1)) == 1

    def test_another_tenants_things_are_as_good_as_missing(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        with catalogue.begin() as work:
            change = work.of(one.id).changes.save("tenant", "", {"a": 1}, {"a": 2}, NOW, "anna")
            assert change is not None
            entry = work.quarantine.record(**quarantined(tenant_id=one.id))
            work.audit.add(AuditEvent(NOW, "anna", "play", Outcome.OK, one.id))
            scope = work.of(two.id)
            assert not scope.changes.pending()
            assert not scope.audit.list().items
            assert not work.audit_of([two.id]).list().items and not work.audit_of([]).list().items
            assert [event.tenant_id for event in work.audit_of([one.id, two.id]).list().items] == [one.id]
            for missing in (
                lambda: scope.changes.discard(change.id),
                lambda: scope.quarantine.get(entry.id),
                lambda: scope.certificates.get(new_id()),
                lambda: scope.ftp_accounts.get(new_id()),
            ):
                with pytest.raises(NotFound):
                    missing()
