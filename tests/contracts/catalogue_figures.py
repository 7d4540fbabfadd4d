"""Figures, held against counting the calls in plain Python."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from recpipe.catalogue import Catalogue
from recpipe.catalogue.figure_tables import figure_fill, figure_quarter, figure_value
from recpipe.catalogue.figures import Stretch
from recpipe.catalogue.tables import phone_number
from recpipe.model import Call, CallFacts, Dimension, Direction, Recording, RecordingKind, Sum, Tenant, ValueSum
from recpipe.recordings.counting import recount
from tests.contracts.catalogue_calls import grouped, some_legs
from tests.contracts.catalogue_samples import NOW, a_recording, keep, kept_tenant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
FIRST, LAST = NOW - timedelta(days=100), NOW + timedelta(days=100)


def with_number(tenant: Tenant, linked_id: str, minutes: float = 0, caller: str = "030901820") -> Recording:
    return a_recording(
        tenant, caller=caller, minutes=minutes, facts={"linked_id": linked_id, "extension": "201", "route": "sales"}
    )


def at_any_time(random_: random.Random, legs: Iterable[Recording]) -> list[Recording]:
    """Over some months; legs of one call near each other, now and then on both sides of midnight of the year."""
    places: dict[str, datetime] = {}
    moved = []
    for leg in legs:
        place = places.setdefault(
            leg.call,
            random_.choice(
                [NOW + timedelta(hours=random_.randrange(-1500, 1500)), datetime(2026, 3, 31, 23, 58, tzinfo=UTC)]
            ),
        )
        began = place + timedelta(seconds=random_.randrange(600))
        moved.append(replace(leg, started_at=began, facts=replace(leg.facts, started_at=began)))
    return moved


def counted_legs(call: Call) -> list[Recording]:
    return [leg for leg in call.legs if leg.facts.kind is RecordingKind.CALL]


def sum_of(calls: Iterable[Call]) -> Sum:
    legs = [leg for call in calls for leg in counted_legs(call)]
    return Sum(
        len({leg.call for leg in legs}),
        len(legs),
        sum(leg.duration_ms for leg in legs),
        max((leg.duration_ms for leg in legs), default=0),
        sum(leg.stored_bytes for leg in legs),
        sum(leg.sealed for leg in legs),
    )


def by(calls: Iterable[Call], place: Any) -> dict[int, Sum]:
    places: dict[int, list[Call]] = {}
    for call in calls:
        places.setdefault(place(call.started_at), []).append(call)
    return {at: total for at, some in places.items() if (total := sum_of(some)).calls}


def replace_start(call: Call, ahead: timedelta) -> Call:
    """The call as a clock that is so much ahead has it."""
    return replace(call, legs=tuple(replace(leg, started_at=leg.started_at + ahead) for leg in call.legs))


def has(leg: Recording, dimension: Dimension) -> set[str]:
    facts = leg.facts
    caller, callee = (
        leg.caller_e164 or "".join(filter(str.isdecimal, facts.caller)),
        leg.callee_e164 or "".join(filter(str.isdecimal, facts.callee)),
    )
    found = {
        Dimension.DIRECTION: {facts.direction.value},
        Dimension.EXTENSION: {facts.extension, *facts.more_extensions},
        Dimension.ROUTE: {facts.route},
        Dimension.CALLED: {callee} if facts.direction is Direction.INBOUND else set(),
        Dimension.NUMBER: {
            Direction.INBOUND: {caller},
            Direction.OUTBOUND: {callee},
            Direction.INTERNAL: set[str](),
            Direction.UNKNOWN: {caller, callee},
        }[facts.direction],
    }
    return found[dimension] - {""}


def top_of(calls: Collection[Call], dimension: Dimension, limit: int) -> list[ValueSum]:
    counts: Counter[tuple[str, str]] = Counter()
    lengths: Counter[tuple[str, str]] = Counter()
    for call in calls:
        mine = {(call.tenant_id, value) for leg in counted_legs(call) for value in has(leg, dimension)}
        counts.update(mine)
        for leg in counted_legs(call):
            lengths.update({(call.tenant_id, value): leg.duration_ms for value in has(leg, dimension)})
    best = sorted(counts, key=lambda one: (-counts[one], one[1], one[0]))
    return [ValueSum(*one, counts[one], lengths[one]) for one in best[:limit]]


def quarters(since: datetime, before: datetime, offset: int = 0) -> Stretch:
    return Stretch(-((EPOCH - since) // QUARTER), (before - EPOCH) // QUARTER, offset)


class FigureContract:
    @pytest.mark.parametrize("legs", [20, pytest.param(60, marks=pytest.mark.long)])
    def test_figures_are_what_counting_the_calls_gives_whatever_happened(self, catalogue: Catalogue, legs: int) -> None:
        random_ = random.Random("figures")
        tenants = [kept_tenant(catalogue), kept_tenant(catalogue, region="GB")]
        made = [one for tenant in tenants for one in at_any_time(random_, some_legs(random_, tenant, legs))]
        made = [replace(one, facts=replace(one.facts, route=random_.choice(["", "sales", "q-1"]))) for one in made]
        random_.shuffle(made)
        kept: dict[str, Recording] = {}
        while made:  # added in batches, changed and deleted in between
            size = random_.randrange(1, 12)
            kept |= {one.id: one for one in keep(catalogue, *made[:size])}
            del made[:size]
            keep(catalogue, *random_.sample(sorted(kept.values(), key=lambda one: one.id), 2))  # which changes nothing
            for one in random_.sample(sorted(kept.values(), key=lambda one: one.id), 2):
                with catalogue.begin() as work:
                    recordings = work.of(one.tenant_id).recordings
                    if random_.random() < 0.4:
                        recordings.delete(one.id, NOW, "ann")
                        del kept[one.id]
                        continue
                    facts = replace(
                        one.facts,
                        extension=random_.choice(["201", "205"]),
                        direction=random_.choice(list(Direction)),
                        linked_id=random_.choice(["", "uuid-1", one.facts.linked_id]),
                        started_at=random_.choice([None, one.started_at + timedelta(days=1)]),
                    )
                    kept[one.id] = recordings.set_facts(one.id, facts)
        self.assert_right(catalogue, tenants, kept.values())
        for tenant in tenants:
            assert disagreeing(catalogue, tenant) == []
        with catalogue.begin() as work:  # nothing of what is deleted stays
            for tenant in tenants:
                mine = [one.id for one in kept.values() if one.tenant_id == tenant.id]
                work.of(tenant.id).recordings.delete_many(mine, NOW, "ann")
        with catalogue.read() as work:
            for table in (figure_quarter, figure_value, phone_number):
                assert work._connection.execute(select(table)).all() == [], table.name

    @staticmethod
    def assert_right(
        catalogue: Catalogue, tenants: Collection[Tenant], kept: Collection[Recording], parts: int = 12
    ) -> None:
        """Of all time, and of so many parts of it."""
        random_ = random.Random("ranges")
        ranges = [(FIRST, LAST)]
        for _ in range(parts):
            since = FIRST + QUARTER * random_.randrange(19_000)
            ranges.append((since, since + QUARTER * random_.choice([1, 90, 200, 3000, 9000])))
        for since, before in ranges:
            since, before = (
                at - timedelta(microseconds=(at - EPOCH) // timedelta(microseconds=1) % (900 * 10**6))
                for at in (since, before)
            )
            some = random_.choice([tenants, tenants, list(tenants)[:1]])
            ids = {tenant.id for tenant in some}
            calls = [call for call in grouped(kept) if call.tenant_id in ids and since <= call.started_at < before]
            offset = random_.choice([0, 4, 23, -38])
            stretch = quarters(since, before, offset)
            moved = [replace_start(call, offset * QUARTER) for call in calls]
            with catalogue.read() as work:
                found = work.figures(ids)
                assert found.by_day([stretch]) == by(moved, lambda at: (at - EPOCH).days)
                assert found.by_hour_of_week([stretch]) == by(moved, lambda at: at.weekday() * 24 + at.hour)
                for dimension in Dimension:
                    for limit in (3, 100):
                        asked = dimension, since, before, limit
                        assert found.top(*asked) == top_of(calls, dimension, limit), asked

    def test_what_is_no_call_is_in_no_figure_even_where_a_late_record_says_so(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        call, message = with_number(tenant, "one"), with_number(tenant, "two", minutes=1)
        message = replace(message, facts=replace(message.facts, kind=RecordingKind.VOICEMAIL))
        keep(catalogue, call, message)

        def counted() -> tuple[int, int]:
            with catalogue.begin() as work:
                figures, counts = work.figures([tenant.id]), work.of(tenant.id).figure_counts
                sums = figures.by_day([quarters(FIRST, LAST)]).values()
                routes = figures.top(Dimension.ROUTE, FIRST, LAST, 9)
                day = counts.next_day()
            assert day is not None
            with catalogue.read() as work:
                assert not work.of(tenant.id).figure_counts.differs(day)
            return sum(one.calls for one in sums), sum(one.calls for one in routes)

        assert counted() == (1, 1)
        facts = {call.id: replace(call.facts, kind=RecordingKind.FAX), message.id: with_number(tenant, "two").facts}
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.set_facts(message.id, facts[message.id])
        assert counted() == (2, 2)
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.set_facts(call.id, facts[call.id])
        assert counted() == (1, 1)

    def test_the_longest_of_a_quarter_is_right_where_one_goes_and_another_comes(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        goes = a_recording(tenant, minutes=0, duration_ms=90_000)
        comes = a_recording(tenant, minutes=-600, duration_ms=20_000)
        keep(catalogue, goes, comes)
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.set_facts_of(
                {
                    goes.id: replace(goes.facts, started_at=comes.started_at),
                    comes.id: replace(comes.facts, started_at=goes.started_at),
                }
            )
        longest = {goes.started_at: 20_000, comes.started_at: 90_000}
        for at, duration_ms in longest.items():
            with catalogue.read() as work:
                [one] = work.figures([tenant.id]).by_day([quarters(at - QUARTER, at + QUARTER)]).values()
            assert (one.calls, one.longest_ms) == (1, duration_ms)

    def test_days_that_were_there_before_are_counted_from_the_newest_on(self, catalogue: Catalogue) -> None:
        random_ = random.Random("fill")
        tenant = kept_tenant(catalogue)
        kept = keep(catalogue, *at_any_time(random_, some_legs(random_, tenant, 40)))
        with catalogue.begin() as work:  # as a migration leaves it
            for table in (figure_quarter, figure_value):
                work._connection.execute(delete(table))
            work._connection.execute(insert(figure_fill).values(tenant_id=tenant.id, day=3_000_000))
        gone, changed = kept.pop(), kept.pop()
        with catalogue.begin() as work:
            recordings = work.of(tenant.id).recordings
            recordings.delete(gone.id, NOW, "ann")
            kept.append(recordings.set_facts(changed.id, replace(changed.facts, extension="299")))
            assert work._connection.execute(select(figure_value)).all() == []
        days = []
        while True:
            with catalogue.begin() as work:
                assert work.figures([tenant.id]).uncounted_tenants() == [tenant.id]
                day = work.of(tenant.id).figure_counts.fill_on()
            if day is None:
                break
            days.append(day)
            if len(days) == 3:  # what happens meanwhile, on both sides of the mark
                counted = [one for one in kept if (one.started_at - EPOCH).days > day]
                other = [one for one in kept if (one.started_at - EPOCH).days < day]
                with catalogue.begin() as work:
                    for one in (counted[0], other[0]):
                        work.of(tenant.id).recordings.delete(one.id, NOW, "ann")
                        kept.remove(one)
                kept += keep(
                    catalogue,
                    replace(a_recording(tenant, caller="030901820"), started_at=counted[0].started_at),
                    replace(a_recording(tenant, caller="030901820"), started_at=other[0].started_at),
                )
        assert days == sorted(days, reverse=True) and len(days) > 3
        with catalogue.read() as work:
            assert work.figures(None).uncounted_tenants() == [] and work.of(tenant.id).figure_counts.uncounted is None
        self.assert_right(catalogue, [tenant], kept)
        assert disagreeing(catalogue, tenant) == []

    @pytest.mark.parametrize(
        "harm",
        [
            update(figure_quarter).values(calls=figure_quarter.c.calls + 1),
            update(figure_quarter).values(longest_ms=99),
            delete(figure_quarter),
            update(figure_value).where(figure_value.c.span == "day").values(duration_ms=1),
            delete(figure_value).where(figure_value.c.dimension == "number", figure_value.c.span == "day"),
            update(figure_value).where(figure_value.c.span == "month").values(calls=5),
        ],
        ids=["counts", "longest", "quarters", "lengths", "numbers", "months"],
    )
    def test_figures_that_do_not_agree_are_noticed_and_counted_anew(self, catalogue: Catalogue, harm: Any) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        kept = keep(catalogue, *(with_number(one, "", n * 999) for one in (tenant, other) for n in range(4)))
        table = harm.table
        with catalogue.begin() as work:
            work._connection.execute(harm.where(table.c.tenant_id == tenant.id))
        wrong = disagreeing(catalogue, tenant)
        assert wrong and disagreeing(catalogue, other) == []
        for day in wrong:
            recount(catalogue, tenant.id, day)
        assert disagreeing(catalogue, tenant) == []
        self.assert_right(catalogue, [tenant, other], kept, parts=1)

    @pytest.mark.parametrize("rounds", [3, pytest.param(6, marks=pytest.mark.long)])
    def test_threads_that_add_change_and_delete_at_the_same_time_lose_nothing(
        self, catalogue: Catalogue, rounds: int
    ) -> None:
        tenant = kept_tenant(catalogue)
        numbers = [f"0309018{n:02}" for n in range(6)]
        kept: list[Recording] = []
        failed: list[BaseException] = []

        def work_on(seed: int) -> None:
            random_ = random.Random(seed)
            try:
                for n in range(rounds):
                    added = keep(
                        catalogue,
                        *(
                            with_number(tenant, random_.choice(["", f"uuid-{n}"]), 0, random_.choice(numbers))
                            for _ in range(3)
                        ),
                    )
                    with catalogue.begin() as work:
                        work.of(tenant.id).recordings.delete(added[0].id, NOW, "ann")
                    told: dict[str, CallFacts] = {
                        one.id: replace(one.facts, extension="202", caller=random_.choice(numbers)) for one in added[1:]
                    }
                    with catalogue.begin() as work:
                        kept.extend(work.of(tenant.id).recordings.set_facts_of(told))
                    if seed == 0:
                        with catalogue.begin() as work:
                            work.of(tenant.id).figure_counts.recount((NOW - EPOCH).days)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work_on, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert disagreeing(catalogue, tenant) == []
        self.assert_right(catalogue, [tenant], kept, parts=3)

    def test_a_tenant_that_is_deleted_takes_its_figures(self, catalogue: Catalogue) -> None:
        from recpipe.catalogue.tables import tenant as tenant_table

        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        keep(catalogue, with_number(tenant, ""), with_number(other, ""))
        with catalogue.begin() as work:
            work._connection.execute(delete(tenant_table).where(tenant_table.c.id == tenant.id))
        with catalogue.read() as work:
            for table in (figure_quarter, figure_value):
                owners = set(work._connection.execute(select(table.c.tenant_id)).scalars())
                assert owners == {other.id}


def disagreeing(catalogue: Catalogue, tenant: Tenant) -> list[int]:
    """The days whose figures are not what the recordings come to."""
    found: list[int] = []
    day: int | None = None
    while True:
        with catalogue.read() as work:
            day = work.of(tenant.id).figure_counts.next_day(day)
        if day is None:
            return found
        with catalogue.read() as work:
            if work.of(tenant.id).figure_counts.differs(day):
                found.append(day)
        day += 1
