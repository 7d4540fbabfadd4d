"""Which calls are to be recorded, and what PBXs asked and were told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.policy import MOST_ASKERS, MOST_SEEN
from recpipe.catalogue.repository import new_id
from recpipe.errors import QueryInvalid
from recpipe.model import (
    Asker,
    Decision,
    Direction,
    Extension,
    InboundRoute,
    SeenKind,
    ServicePolicy,
    Verdict,
)
from tests.contracts.catalogue_samples import NOW, kept_tenant

RECORD, SKIP, DEFAULT = Verdict
SECOND = timedelta(seconds=1)
ROUTE = InboundRoute("+4930123456", "Zentrale \u682a\u5f0f", "Europe/Berlin", RECORD, locked=True)
ANN = Extension("201", "Ann", "Berlin", RECORD, SKIP, DEFAULT, locked=True)


def a_decision(tenant_id: str, **changes: Any) -> Decision:
    made = Decision(
        id=new_id(),
        tenant_id=tenant_id,
        at=NOW,
        asker="pbx1",
        call_id="1790000000.1",
        linked_id="1790000000.1",
        direction=Direction.INBOUND,
        extension="201",
        verdict=RECORD,
        rule="route:+4930123456",
        policy_version=3,
    )
    return replace(made, **changes)


class PolicyContract:
    def test_rules_are_kept_replaced_and_removed(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        with catalogue.begin() as work:
            policy = work.of(one.id).policy
            assert policy.service() == ServicePolicy() and not policy.routes() and not policy.extensions()
            policy.set_routes([ROUTE, replace(ROUTE, number="from-pstn", name="")])
            policy.set_extensions([ANN, Extension("1001"), Extension("99")])
            policy.set_service(ServicePolicy(SKIP, RECORD, 15, "custom/told"))
        with catalogue.begin() as work:
            policy = work.of(one.id).policy
            policy.set_routes([replace(ROUTE, recording=SKIP)])
            policy.remove_routes(["from-pstn", "never there"])
            policy.remove_extensions(["99"])
            assert work.of(two.id).policy.whole().routes == {}
        with catalogue.read() as work:
            whole = work.of(one.id).policy.whole()
            assert whole.service == ServicePolicy(SKIP, RECORD, 15, "custom/told")
            assert whole.routes == {ROUTE.number: replace(ROUTE, recording=SKIP)}
            assert [each.extension for each in work.of(one.id).policy.extensions()] == ["201", "1001"]
            assert whole.extensions["201"] == ANN
            assert (whole.version, whole.enabled, whole.region) == (0, False, "DE")

    def test_versions_grow_one_by_one_and_keep_the_rules(self, catalogue: Catalogue) -> None:
        one = kept_tenant(catalogue)
        with catalogue.begin() as work:
            policy = work.of(one.id).policy
            assert policy.grow(NOW) == 1
            policy.set_service(ServicePolicy(RECORD))
            assert policy.grow(NOW + SECOND) == 2
        with catalogue.read() as work:
            whole = work.of(one.id).policy.whole()
            assert (whole.version, whole.applied_at, whole.service.otherwise) == (2, NOW + SECOND, RECORD)
            assert (one.id, 2, False, "DE") in work.policies.heads()
            assert work.policies.names()[one.name] == one.id
            assert work.policies.of([one.id, "0" * 32]) == {one.id: whole}

    def test_what_was_asked_of_is_remembered_and_bounded(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        later = NOW + SECOND
        with catalogue.begin() as work:
            policy = work.of(one.id).policy
            policy.note_seen(SeenKind.EXTENSION, {"201": NOW, "202": NOW})
            policy.note_seen(SeenKind.EXTENSION, {"201": later})
            policy.note_seen(SeenKind.EXTENSION, {str(number): NOW for number in range(1000, 1000 + MOST_SEEN)})
            policy.note_seen(SeenKind.ROUTE, {"+4930123456": NOW})
            policy.forget_seen(SeenKind.EXTENSION, ["202", "never there"])
        with catalogue.read() as work:
            seen = work.of(one.id).policy.seen(SeenKind.EXTENSION)
            assert (seen[0].subject, seen[0].first_seen_at, seen[0].last_seen_at) == ("201", NOW, later)
            assert len(seen) == MOST_SEEN - 1 and "202" not in {each.subject for each in seen}
            assert [each.subject for each in work.of(one.id).policy.seen(SeenKind.ROUTE)] == ["+4930123456"]
            assert not work.of(two.id).policy.seen(SeenKind.EXTENSION)

    def test_who_asked_is_remembered_and_bounded(self, catalogue: Catalogue) -> None:
        one = kept_tenant(catalogue)
        with catalogue.begin() as work:
            policy = work.of(one.id).policy
            policy.note_askers([Asker("pbx1", NOW, 1)])
            policy.note_askers([Asker(f"pbx{number}", NOW + SECOND, 2) for number in range(1, 100)])
            askers = policy.askers()
        assert len(askers) == MOST_ASKERS and Asker("pbx1", NOW + SECOND, 2) in askers

    def test_what_was_told_is_found_by_time_and_by_call(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        told = [
            a_decision(one.id, at=NOW + number * SECOND, call_id=f"leg-{number}", linked_id=f"call-{number // 2}")
            for number in range(5)
        ]
        others = a_decision(two.id, call_id="leg-1")
        with catalogue.begin() as work:
            work.decisions.add([*told, others, a_decision("0" * 32)])
            work.decisions.add(told[:1])
        with catalogue.begin() as work:
            decisions = work.of(one.id).decisions
            first = decisions.list(NOW, NOW + 4 * SECOND, limit=3)
            rest = decisions.list(NOW, NOW + 4 * SECOND, first.next_cursor, limit=3)
            assert [*first.items, *rest.items] == told[:4] and rest.next_cursor is None
            assert decisions.of_calls(["leg-4", "call-0", "", "nobody's"]) == [told[0], told[1], told[4]]
            with pytest.raises(QueryInvalid):
                decisions.list(NOW, NOW, "not ours")
            assert work.decisions.prune(NOW + 2 * SECOND, most=2) == 2
            assert work.decisions.prune(NOW + 2 * SECOND) == 1
            assert decisions.list(NOW, NOW + 9 * SECOND).items == tuple(told[2:])
