"""What people say of calls: kept, found, moved with the call and deleted with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.catalogue import Catalogue, search
from recpipe.errors import NotFound, QueryInvalid
from recpipe.model import Marks, Recording, RecordingQuery, Tenant
from tests.contracts.catalogue_samples import NOW, a_recording, keep, kept_tenant
from tests.contracts.catalogue_search import all_pages

SAID = Marks(True, NOW, "ann", "Wants her money back.\nAsk Kim", ("Complaint", "Müller & Co"))


def mark(catalogue: Catalogue, of: Recording, marks: Marks) -> None:
    with catalogue.begin() as work:
        scope = work.of(of.tenant_id).marks
        scope.to_change(of.call)
        scope.set(of.call, marks)


def marks(catalogue: Catalogue, of: Recording) -> Marks:
    with catalogue.read() as work:
        return work.of(of.tenant_id).marks.get(of.call)


def found(catalogue: Catalogue, *tenants: Tenant, **asked: object) -> list[str]:
    """Ids of the recordings of all pages; calls are found with the same, and both are counted so."""
    query = RecordingQuery(**asked)  # type: ignore[arg-type]
    ids = [tenant.id for tenant in tenants]
    with catalogue.read() as work:
        recordings = all_pages(work.search, ids, query, limit=2)
        calls = all_pages(work.calls, ids, query, limit=2)
        assert {one.call for one in recordings} == {call.id for call in calls}
        assert work.count(ids, query).count == len(recordings)
        assert work.count_calls(ids, query).count == len(calls) == work.total_calls(ids, query, 100).count
    return [one.id for one in recordings]


class MarkContract:
    def test_what_is_said_of_a_call_is_told_with_it_and_can_be_taken_back(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [one, other] = keep(catalogue, a_recording(tenant), a_recording(tenant, minutes=1))
        mark(catalogue, one, SAID)
        with catalogue.read() as work:
            assert work.call([tenant.id], one.id).marks == SAID
            assert [call.marks for call in work.calls(None, RecordingQuery()).items] == [Marks(), SAID]
            assert work.marks([tenant.id], [one.call, other.call]) == {one.call: SAID}
            assert work.marks([kept_tenant_id := "f" * 32], [one.call]) == {} and kept_tenant_id
        mark(catalogue, one, replace(SAID, starred=False))
        assert marks(catalogue, one) == replace(SAID, starred=False)
        mark(catalogue, one, Marks())
        assert marks(catalogue, one) == Marks()

    def test_nobody_marks_a_call_of_another_tenant_or_one_that_is_not_there(self, catalogue: Catalogue) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        [one] = keep(catalogue, a_recording(tenant))
        with catalogue.begin() as work:
            for scope, call in ((work.of(other.id), one.call), (work.of(tenant.id), "0" * 32)):
                with pytest.raises(NotFound):
                    scope.marks.to_change(call)
        mark(catalogue, one, SAID)
        assert found(catalogue, other, starred=True) == []

    @pytest.mark.parametrize("few", [1000, 1])  # looked at by themselves, or met on the way
    def test_marked_calls_are_found(self, catalogue: Catalogue, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(search, "FEW", few)
        monkeypatch.setattr(search, "FIRST_STEP", 2)
        monkeypatch.setattr(search, "LOOK_SECONDS", 60)
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        legs = [{"linked_id": "1743042317.4", "caller_name": name} for name in ("Erin", "Ada")]
        [a, b, c, d, e, f] = keep(
            catalogue,
            *(a_recording(tenant, minutes=n, facts=facts) for n, facts in enumerate(legs)),
            *(a_recording(tenant, minutes=n, facts={"caller_name": "Erin"}, caller="020794611") for n in (2, 3, 4)),
            a_recording(other, minutes=5),
        )
        mark(catalogue, a, SAID)  # of two legs
        mark(catalogue, c, Marks(note="he said: complaint? No.", tags=("vip",)))
        mark(catalogue, d, Marks(starred=True, tags=("complaint",)))
        mark(catalogue, f, Marks(True, NOW, "kim", "müller"))
        assert found(catalogue, tenant, starred=True) == [d.id, b.id, a.id]
        assert found(catalogue, tenant, other, starred=True) == [f.id, d.id, b.id, a.id]
        assert found(catalogue, tenant, starred=True, oldest_first=True) == [a.id, b.id, d.id]
        assert found(catalogue, tenant, starred=False) == [e.id, c.id]
        assert found(catalogue, tenant, reviewed=True) == [b.id, a.id]
        assert found(catalogue, tenant, reviewed=False, starred=True) == [d.id]
        # A tag is the whole of it, in whatever case; a note is looked through.
        assert found(catalogue, tenant, tag="COMPLAINT") == [d.id, b.id, a.id]
        assert found(catalogue, tenant, tag="compl") == found(catalogue, tenant, tag="Ask Kim") == []
        assert found(catalogue, tenant, noted="complaint") == [d.id, c.id, b.id, a.id]
        assert found(catalogue, tenant, noted="MONEY back. ask") == [b.id, a.id]
        assert found(catalogue, tenant, other, noted="Müller") == [f.id, b.id, a.id]
        assert found(catalogue, tenant, noted="%") == []
        # Beside anything else that is asked for, and in the one box.
        assert found(catalogue, tenant, starred=True, text="erin") == [d.id, a.id]
        assert found(catalogue, tenant, starred=True, text="ada", started_before=b.started_at) == []
        assert found(catalogue, tenant, starred=True, number="020794611") == [d.id]
        assert found(catalogue, tenant, starred=True, extension="201", sealed=False) == [
            one.id for one in (d, b, a) if one.facts.extension == "201"
        ]
        assert found(catalogue, tenant, anything="money") == [b.id, a.id]
        assert found(catalogue, tenant, anything="vip", starred=True) == []
        with catalogue.read() as work, pytest.raises(QueryInvalid):
            work.search([tenant.id], RecordingQuery(anything="x", noted="x"))

    def test_a_recording_takes_its_marks_along_to_the_call_it_turns_out_to_be_a_leg_of(
        self, catalogue: Catalogue
    ) -> None:
        tenant = kept_tenant(catalogue)
        [one, two] = keep(catalogue, a_recording(tenant), a_recording(tenant, minutes=1))
        mark(catalogue, one, replace(SAID, starred=False))
        mark(catalogue, two, Marks(True, NOW + timedelta(days=1), "kim", "Called back.", ("complaint", "done")))
        with catalogue.begin() as work:
            recordings = work.of(tenant.id).recordings
            legs = [recordings.set_facts(x.id, replace(x.facts, linked_id="1743042317.4")) for x in (two, one)]
            assert legs[0].call == legs[1].call not in (one.id, two.id)
            assert work.marks([tenant.id], [one.id, two.id]) == {}
        both = "Called back.\nWants her money back.\nAsk Kim"
        tags = ("complaint", "Müller & Co", "done")
        assert marks(catalogue, legs[0]) == Marks(True, NOW + timedelta(days=1), "kim", both, tags)

    def test_what_was_said_goes_with_the_last_leg(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        legs = keep(catalogue, *(a_recording(tenant, minutes=n, facts={"linked_id": "1743042317.4"}) for n in (0, 1)))
        mark(catalogue, legs[0], SAID)
        for leg, left in ((legs[0], SAID), (legs[1], Marks())):
            with catalogue.begin() as work:
                work.of(tenant.id).recordings.delete(leg.id, NOW, "test")
            assert marks(catalogue, leg) == left
