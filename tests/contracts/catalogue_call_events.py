"""What was done to recordings while calls lasted: noted on those that are there, and on those that come later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.model import CallEvent, CallEventKind, CallFacts, Masked, Recording, RecordingKind, Tenant
from tests.contracts.catalogue_samples import NOW, a_recording, keep, kept_tenant

CALL = "1790000000.1"
MASKED, UNMASKED = CallEventKind.MASKED, CallEventKind.UNMASKED


def tell(
    catalogue: Catalogue, tenant: Tenant, kind: CallEventKind, seconds: float, done_by: str = "", **changes: str
) -> list[Recording]:
    made = CallEvent(new_id(), tenant.id, CALL, "", kind, NOW + timedelta(seconds=seconds), done_by, NOW)
    with catalogue.begin() as work:
        return work.of(tenant.id).call_events.tell(replace(made, **changes))


def kept(catalogue: Catalogue, one: Recording) -> CallFacts:
    with catalogue.read() as work:
        return work.of(one.tenant_id).recordings.get(one.id).facts


def a_leg(tenant: Tenant, minutes: int = 0, **changes: object) -> Recording:
    made = a_recording(tenant, minutes=minutes)
    facts = replace(made.facts, call_id=CALL, **changes)  # type: ignore[arg-type]
    return replace(made, started_at=NOW + timedelta(minutes=minutes), duration_ms=300_000, facts=facts)


PARTS: Masked = ((130_000, 161_000),)


class CallEventContract:
    def test_masked_parts_and_who_began_it_are_kept_with_a_recording(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [one] = keep(catalogue, a_leg(tenant, started_by="201", masked=PARTS))
        assert (kept(catalogue, one).started_by, kept(catalogue, one).masked) == ("201", PARTS)

    def test_what_is_told_is_noted_on_the_recording_that_is_there(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        one, other = keep(catalogue, a_leg(tenant), a_recording(tenant))
        assert [found.facts.masked for found in tell(catalogue, tenant, MASKED, 130)] == [((130_000, 300_000),)]
        assert [found.id for found in tell(catalogue, tenant, UNMASKED, 161)] == [one.id]
        assert kept(catalogue, one) == replace(one.facts, masked=PARTS)
        assert kept(catalogue, other) == other.facts
        # Places count from where the recording began, where that is told.
        tell(catalogue, tenant, CallEventKind.STARTED, 10, "201")
        assert kept(catalogue, one) == replace(one.facts, masked=((120_000, 151_000),), started_by="201")

    def test_what_is_told_before_waits_for_the_recording(self, catalogue: Catalogue) -> None:
        tenant, stranger = kept_tenant(catalogue), kept_tenant(catalogue)
        assert tell(catalogue, tenant, MASKED, 130) == tell(catalogue, tenant, UNMASKED, 161) == []
        mine, foreign, fax = (
            *(a_leg(one) for one in (tenant, stranger)),
            a_leg(tenant, kind=RecordingKind.FAX),
        )
        for one in keep(catalogue, mine), keep(catalogue, foreign), keep(catalogue, fax):
            with catalogue.begin() as work:
                noted = work.of(one[0].tenant_id).call_events.note_on(one)
            assert [found.facts.masked for found in noted] == ([PARTS] if one[0].id == mine.id else [])

    def test_told_again_it_counts_once(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        keep(catalogue, a_leg(tenant))
        same = new_id()
        assert len(tell(catalogue, tenant, MASKED, 130, id=same)) == 1
        assert tell(catalogue, tenant, MASKED, 130, id=same) == []

    def test_each_of_several_recordings_of_a_leg_has_its_own(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        first, second = keep(catalogue, a_leg(tenant), a_leg(tenant, minutes=10))
        for seconds, who in ((2, "201"), (602, "202")):
            tell(catalogue, tenant, CallEventKind.STARTED, seconds, who)
        tell(catalogue, tenant, MASKED, 612)
        tell(catalogue, tenant, UNMASKED, 632)
        assert [kept(catalogue, one).started_by for one in (first, second)] == ["201", "202"]
        assert [kept(catalogue, one).masked for one in (first, second)] == [(), ((10_000, 30_000),)]

    def test_ids_that_are_the_same_at_two_pbxs_are_told_apart_by_the_spool(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [one] = keep(catalogue, a_leg(tenant))
        [other] = keep(catalogue, replace(a_leg(tenant), spool="hamburg"))
        tell(catalogue, tenant, MASKED, 130, spool="hamburg")
        assert [bool(kept(catalogue, each).masked) for each in (one, other)] == [False, True]

    def test_a_call_detail_record_that_comes_later_takes_nothing_back(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [one] = keep(catalogue, a_leg(tenant))
        tell(catalogue, tenant, MASKED, 130)
        with catalogue.begin() as work:
            after = work.of(tenant.id).recordings.set_facts(one.id, replace(one.facts, callee="203"))
        assert (after.facts.callee, after.facts.masked) == ("203", ((130_000, 300_000),))

    def test_which_calls_somebody_stopped_is_known_and_who_it_was_goes_with_the_recording(
        self, catalogue: Catalogue
    ) -> None:
        tenant, stranger = kept_tenant(catalogue), kept_tenant(catalogue)
        [one] = keep(catalogue, a_leg(tenant))
        tell(catalogue, tenant, CallEventKind.STOPPED, 60, "201")
        tell(catalogue, tenant, CallEventKind.STARTED, 0, "201")
        day = timedelta(days=1)

        def stopped(of: Tenant, kind: CallEventKind = CallEventKind.STOPPED) -> frozenset[str]:
            with catalogue.read() as work:
                return work.of(of.id).call_events.calls_with([kind], NOW - day, NOW + day)

        assert stopped(tenant) == {CALL} and stopped(stranger) == stopped(tenant, MASKED) == frozenset()
        with catalogue.read() as work:
            kinds = [CallEventKind.STARTED, CallEventKind.STOPPED]
            events = work.of(tenant.id).call_events.of_kinds(kinds, NOW - day, NOW + day)
            assert [(one.call_id, one.kind) for one in events] == [(CALL, kind) for kind in kinds], "in order"
            assert work.of(tenant.id).call_events.of_kinds(kinds, NOW + day, NOW + 2 * day) == []
            assert work.of(stranger.id).call_events.of_kinds(kinds, NOW - day, NOW + day) == []
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.delete(one.id, NOW, "ann")
        # The recording comes again, under another name: nobody is told of.
        again = replace(a_leg(tenant), id=new_id())
        keep(catalogue, again)
        tell(catalogue, tenant, MASKED, 10)
        assert kept(catalogue, again).started_by == ""
        with catalogue.begin() as work:
            assert work.call_events.prune(NOW) == 0 and work.call_events.prune(NOW + day) >= 3
        assert stopped(tenant) == frozenset()
