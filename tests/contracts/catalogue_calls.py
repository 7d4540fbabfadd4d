"""Calls and their legs, held against grouping in plain Python."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.catalogue import Catalogue, calls, search
from recpipe.catalogue.walk import LONGEST_CALL
from recpipe.errors import NotFound, QueryInvalid
from recpipe.model import (
    AuditEvent,
    AuditQuery,
    Call,
    Direction,
    NumberMatch,
    Outcome,
    Recording,
    RecordingQuery,
    Tenant,
)
from tests.contracts.catalogue_samples import NOW, a_recording, keep, kept_tenant
from tests.contracts.catalogue_search import all_pages, matches, some_query, some_recordings

LINKED = "1743042317.4"


def a_leg(tenant: Tenant, linked_id: str = LINKED, minutes: float = 0, **facts: object) -> Recording:
    return a_recording(tenant, minutes=minutes, facts={"linked_id": linked_id, **facts})


def grouped(kept: Iterable[Recording]) -> list[Call]:
    legs: dict[str, list[Recording]] = {}
    for one in sorted(kept, key=lambda one: (one.started_at, one.id)):
        legs.setdefault(one.call, []).append(one)
    return [Call(call, some[0].tenant_id, tuple(some), len(some)) for call, some in legs.items()]


def found_by(query: RecordingQuery, kept: Collection[Recording], by_id: dict[str, Tenant]) -> list[Call]:
    """The calls of which a leg has all that is asked for, in the order of their first legs."""

    def near(leg: Recording, call: Call) -> bool:
        return query.started_from is None or call.started_at >= query.started_from - LONGEST_CALL

    of_leg, of_call = query, RecordingQuery()
    if query.of_whole_calls:
        of_leg = replace(query, started_from=None, started_before=None, week_hours=())
        of_call = RecordingQuery(
            query.started_from, query.started_before, week_hours=query.week_hours, timezone=query.timezone
        )
    some = [
        call
        for call in grouped(kept)
        if matches(call.legs[0], of_call, by_id[call.tenant_id])
        and any(near(leg, call) and matches(leg, of_leg, by_id[leg.tenant_id]) for leg in call.legs)
    ]
    return sorted(some, key=lambda call: (call.started_at, call.id), reverse=not query.oldest_first)


def some_legs(random_: random.Random, tenant: Tenant, count: int) -> list[Recording]:
    made = []
    for one in some_recordings(random_, tenant, count):
        linked = random_.choice(["", *(f"uuid-{number}" for number in range(count // 4))])
        spool = random_.choice(["berlin", "london"])
        made.append(replace(one, facts=replace(one.facts, linked_id=linked), spool=spool))
    return made


class CallContract:
    @pytest.mark.parametrize("queries", [12, pytest.param(40, marks=pytest.mark.long)])
    @pytest.mark.parametrize("looks", ["far", "a step at a time"])
    def test_calls_are_found_by_any_leg_in_the_order_of_their_first_legs(
        self, catalogue: Catalogue, looks: str, queries: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if looks != "far":
            monkeypatch.setattr(search, "FIRST_STEP", 7)
            monkeypatch.setattr(search, "LOOK_SECONDS", -1)
        random_ = random.Random(looks)
        tenants = [kept_tenant(catalogue), kept_tenant(catalogue, region="GB")]
        made = [one for tenant in tenants for one in some_legs(random_, tenant, 40)]
        random_.shuffle(made)
        kept = []
        while made:  # batch by batch, as they come
            size = random_.randrange(1, 12)
            kept += keep(catalogue, *made[:size])
            del made[:size]
        by_id = {tenant.id: tenant for tenant in tenants}
        with catalogue.read() as work:
            for _ in range(queries):
                query = some_query(random_)
                ids = {tenant.id for tenant in random_.sample(tenants, random_.choice([1, 2]))}
                expected = found_by(query, [one for one in kept if one.tenant_id in ids], by_id)
                assert all_pages(work.calls, ids, query, limit=random_.choice([3, 50])) == expected, query
                count = work.count_calls(ids, query, cap=50)
                assert count.count == len(expected) or (count.capped and looks != "far"), query
                total = work.total_calls(ids, query, cap=500)
                legs = [leg.stored_bytes for call in expected for leg in call.legs]
                weighed = (total.count, total.recordings, total.stored_bytes)
                assert weighed == (len(expected), len(legs), sum(legs)) or looks != "far", query

    def test_the_audit_log_of_a_call_is_that_of_its_legs_within_the_tenants_of_the_log(
        self, catalogue: Catalogue
    ) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        first, second, other = keep(catalogue, a_leg(one), a_leg(one, minutes=5), a_leg(one, "", call_id="a1"))
        [foreign] = keep(catalogue, a_leg(two))
        subjects = [first.id, other.id, second.call, second.id, foreign.id, ""]
        with catalogue.begin() as work:
            for subject in subjects:
                tenant = two if subject == foreign.id else one
                work.audit.add(AuditEvent(NOW, "anna", "play", Outcome.OK, tenant.id, "", subject))
            for call in (first.call, first.id, second.id):  # also by one of its legs
                found = work.audit_of([one.id]).list(AuditQuery(call=call)).items
                assert {event.subject for event in found} == {first.id, second.id, first.call}
                assert not work.audit_of([two.id]).list(AuditQuery(call=call)).items
            assert {event.subject for event in work.audit.list(AuditQuery(call=foreign.call)).items} == {foreign.id}
            assert not work.audit.list(AuditQuery(call="0" * 32)).items

    def test_a_leg_joins_its_call_when_its_record_comes_and_the_order_follows(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        midnight = NOW.replace(hour=23, minute=50)  # the call goes on into the next day
        early, middle, late = (a_leg(tenant, "", minutes, call_id=f"a{minutes}") for minutes in (-30, 0, 30))
        first, second = (
            replace(a_leg(tenant, minutes=n), started_at=midnight + timedelta(minutes=n), day=day)
            for n, day in ((0, "2026-03-14"), (20, "2026-03-15"))
        )
        keep(catalogue, second, middle)
        keep(catalogue, late, early, first)

        def listed() -> list[list[str]]:
            with catalogue.read() as work:
                page = work.calls([tenant.id], RecordingQuery(oldest_first=True))
                assert work.count_calls([tenant.id], RecordingQuery()).count == len(page.items)
                return [[leg.id for leg in call.legs] for call in page.items]

        assert listed() == [[early.id], [middle.id], [late.id], [first.id, second.id]]
        with catalogue.begin() as work:
            for one in (late, early):
                work.of(tenant.id).recordings.set_facts(one.id, replace(one.facts, linked_id="1743042300.1"))
        assert listed() == [[early.id, late.id], [middle.id], [first.id, second.id]]
        with catalogue.read() as work:
            call = work.call([tenant.id], late.id)  # its address while it was a call by itself
            assert call == work.call([tenant.id], call.id) and call.started_at == early.started_at
            # By a leg's number, time and text, and by no more than one of them at once.
            day = RecordingQuery(started_from=midnight + timedelta(minutes=10))
            assert [one.legs[0].id for one in work.calls([tenant.id], day).items] == [first.id]
            far = RecordingQuery(started_from=midnight + timedelta(minutes=21))
            assert work.calls([tenant.id], far).items == ()
        with catalogue.begin() as work:  # the record says that it began later, and the first leg is deleted
            later = replace(early.facts, started_at=NOW + timedelta(minutes=40), linked_id="1743042300.1")
            work.of(tenant.id).recordings.set_facts(early.id, later)
            work.of(tenant.id).recordings.delete(first.id, NOW, "ann")
        assert listed() == [[middle.id], [late.id, early.id], [second.id]]
        with catalogue.begin() as work:  # and that it belongs elsewhere
            work.of(tenant.id).recordings.set_facts(early.id, replace(early.facts, linked_id=""))
        assert listed() == [[early.id], [middle.id], [late.id], [second.id]]

    def test_no_call_is_guessed(self, catalogue: Catalogue) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        apart = [
            a_leg(tenant, ""),
            a_leg(tenant, ""),  # the same parties at the same time
            a_leg(tenant, "", call_id="123"),
            a_leg(tenant, "", call_id="123"),  # a counter that begins anew
            a_leg(tenant, "", call_id=LINKED, minutes=9),
            replace(a_leg(tenant), spool="london"),  # another Asterisk counts on its own
            a_leg(other),
        ]
        together = [
            a_leg(tenant, "", call_id=LINKED),  # no record at all: the same channel, recorded twice
            a_leg(tenant, "", call_id=LINKED),
            a_leg(tenant, LINKED, call_id="1743042319.6"),
        ]
        uuid = "9f5b7e0c-1c2d-4e3f-8a9b-0c1d2e3f4a5b"
        nodes = [a_leg(tenant, "", call_id=uuid), replace(a_leg(tenant, uuid, call_id="x"), spool="london")]
        keep(catalogue, *apart, *together, *nodes)
        with catalogue.read() as work:
            found = {frozenset(leg.id for leg in call.legs) for call in work.calls([tenant.id], RecordingQuery()).items}
        joined = {one.id for one in (*together, apart[4])}
        assert found == {
            *(frozenset({one.id}) for one in (*apart[:4], apart[5])),
            frozenset(joined),
            frozenset(one.id for one in nodes),
        }

    def test_another_tenants_call_is_as_good_as_missing_and_a_subset_hides_legs(self, catalogue: Catalogue) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        caller, agent = keep(catalogue, a_leg(tenant, extension="201"), a_leg(tenant, minutes=1, extension="202"))
        with catalogue.read() as work:
            whole = work.call([tenant.id], caller.call)
            assert [leg.id for leg in whole.legs] == [caller.id, agent.id] and whole.leg_count == 2
            assert work.call(None, agent.id) == whole
            part = work.call([tenant.id], caller.call, extension="202")
            assert (part.legs, part.leg_count, part.started_at) == ((agent,), 1, agent.started_at)
            query = RecordingQuery(extension="202")
            assert work.calls([tenant.id], query, extension="202").items == (part,)
            for typed in ("201", "202"):  # as people type it into one box: either leg is enough
                assert work.calls([tenant.id], RecordingQuery(anything=typed)).items == (whole,)
            for hidden in (
                {"tenant_ids": [other.id]},
                {"tenant_ids": [tenant.id], "extension": "203"},
                {"tenant_ids": [tenant.id], "direction": Direction.OUTBOUND},
            ):
                for address in (caller.call, caller.id, "x\0'"):
                    with pytest.raises(NotFound):
                        work.call(**hidden, call_id=address)  # type: ignore[arg-type]

    def test_a_cursor_of_calls_is_none_of_recordings(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        keep(catalogue, *(a_leg(tenant, str(n), minutes=n) for n in range(3)))
        with catalogue.read() as work:
            for made, asked in ((work.calls, work.search), (work.search, work.calls)):
                cursor = made([tenant.id], RecordingQuery(), None, 1).next_cursor
                with pytest.raises(QueryInvalid):
                    asked([tenant.id], RecordingQuery(), cursor)

    def test_a_linked_id_that_a_whole_office_shares_is_one_long_call(
        self, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calls, "MOST_LEGS", 4)
        monkeypatch.setattr(calls, "_AT_ONCE", 3)
        tenant = kept_tenant(catalogue)
        kept = keep(catalogue, *(a_leg(tenant, "same", n, extension="201") for n in range(9, 0, -1)))
        [alone] = keep(catalogue, a_leg(tenant, "other", 20))
        with catalogue.read() as work:
            other, call = work.calls([tenant.id], RecordingQuery()).items
            assert (call.legs, call.leg_count) == (tuple(kept[::-1][:4]), 9)
            assert other.legs == (alone,)
            query = RecordingQuery(extension="201", number="", number_match=NumberMatch.EXACT)
            assert work.calls([tenant.id], query).items == (call,)

    def test_threads_that_add_legs_of_one_call_agree_on_when_it_began(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        legs = [a_leg(tenant, minutes=n, extension="201") for n in range(12)]
        random.Random(1).shuffle(legs)
        threads = [threading.Thread(target=keep, args=(catalogue, leg)) for leg in legs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with catalogue.read() as work:
            for query in (RecordingQuery(), RecordingQuery(extension="201")):
                [call] = work.calls([tenant.id], query).items
                assert len(call.legs) == 12
