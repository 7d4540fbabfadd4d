"""What PBXs asked and were told, on its way to the database; and the thread that keeps the rules fresh."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recpipe import metrics
from recpipe.catalogue.policy import Policy
from recpipe.catalogue.work import Work
from recpipe.errors import CatalogueError, CatalogueUnavailable
from recpipe.jobs import upkeep
from recpipe.jobs.job import Tick
from recpipe.model import Asker, CallAsked, Direction, SeenKind
from recpipe.policy import desk
from recpipe.policy.desk import PolicyDesk, Question
from recpipe.policy.told import Told
from tests.contracts.catalogue_policy import a_decision
from tests.unit.access.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_what_is_told_waits_while_the_database_is_away_and_the_oldest_is_lost_at_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.tenant()
    told = Told(world.catalogue, world.clock, most=3)
    lost = metrics.REGISTRY.get_sample_value("recpipe_decisions_lost_total") or 0
    for number in range(5):
        told.decision(a_decision(acme.id, call_id=f"leg-{number}"))
    told.seen(acme.id, SeenKind.EXTENSION, "201", world.now)
    told.seen(acme.id, SeenKind.EXTENSION, "201", world.now)
    told.asked(acme.id, Asker("pbx1", world.now, 1))
    told.decision(a_decision("0" * 32))
    told.asked("0" * 32, Asker("pbx1", world.now, 1))

    def away() -> None:
        raise CatalogueUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(world.catalogue, "begin", away)
        with pytest.raises(CatalogueUnavailable):
            told.flush()
    told.flush()
    with world.catalogue.read() as work:
        scope = work.of(acme.id)
        kept = scope.decisions.of_calls([f"leg-{number}" for number in range(5)])
        assert {one.call_id for one in kept} == {"leg-3", "leg-4"}
        assert [one.subject for one in scope.policy.seen(SeenKind.EXTENSION)] == ["201"]
        assert scope.policy.askers() == [Asker("pbx1", world.now, 1)]
    assert metrics.REGISTRY.get_sample_value("recpipe_decisions_lost_total") == lost + 3


def test_who_asks_without_end_while_the_database_is_away_pushes_out_nobody_elses_notes_and_fills_no_memory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, globex = world.tenant(), world.tenant("globex")
    told = Told(world.catalogue, world.clock, most=50)

    def away() -> None:
        raise CatalogueUnavailable("gone")

    # Given: a token of globex that asks of ever new calls, extensions and PBXs, before and after a call of acme
    monkeypatch.setattr("recpipe.policy.told.MOST_SEEN", 20)
    monkeypatch.setattr("recpipe.policy.told.MOST_ASKERS", 20)
    with monkeypatch.context() as patched:
        patched.setattr(world.catalogue, "begin", away)
        for number in range(300):
            told.decision(a_decision(globex.id, call_id=f"made-up-{number}"))
            told.seen(globex.id, SeenKind.EXTENSION, f"9{number}", world.now)
            told.asked(globex.id, Asker(f"pbx-{number}", world.now, 1))
            if number == 150:
                told.decision(a_decision(acme.id, call_id="leg"))
                told.seen(acme.id, SeenKind.EXTENSION, "201", world.now)
                told.asked(acme.id, Asker("pbx1", world.now, 1))
            if number % 10 == 0:
                with pytest.raises(CatalogueUnavailable):
                    told.flush()
    waiting = (*told._decisions.values(), *told._seen.values(), *told._askers.values())
    assert sum(map(len, waiting)) <= 50 + 2 * (20 + 20)
    # Then
    told.flush()
    with world.catalogue.read() as work:
        scope = work.of(acme.id)
        assert [one.call_id for one in scope.decisions.of_calls(["leg"])] == ["leg"]
        assert [one.subject for one in scope.policy.seen(SeenKind.EXTENSION)] == ["201"]
        assert scope.policy.askers() == [Asker("pbx1", world.now, 1)]


def test_who_asks_without_end_is_answered_and_fills_no_database_and_the_operator_hears_of_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("recpipe.policy.told.KEPT_AT_ONCE", 5)
    monkeypatch.setattr("recpipe.policy.told.KEPT_A_SECOND", 1)
    acme, globex = world.tenant(), world.tenant("globex")
    here = PolicyDesk(world.catalogue, world.clock)
    here.refresh()
    by = world.principal(world.user(grants={acme.id: ["decide"], globex.id: ["decide"]}))
    lost = metrics.REGISTRY.get_sample_value("recpipe_decisions_lost_total") or 0

    def ask(tenant: str, first: int, count: int) -> None:
        for number in range(first, first + count):
            question = Question(CallAsked(Direction.INTERNAL), tenant, call_id=f"leg-{number}")
            assert here.answer(by, "pbx1", question).ruling  # whatever is kept of it

    def kept(tenant_id: str) -> int:
        here.told.flush()
        with world.catalogue.read() as work:
            return len(work.of(tenant_id).decisions.of_calls([f"leg-{number}" for number in range(40)]))

    ask("acme", 0, 9)
    ask("globex", 0, 3)
    assert (kept(acme.id), kept(globex.id)) == (5, 3)
    world.pass_time(seconds=2)
    ask("acme", 9, 9)
    world.pass_time(seconds=-1)
    ask("acme", 18, 9)
    assert kept(acme.id) == 7
    assert metrics.REGISTRY.get_sample_value("recpipe_decisions_lost_total") == lost + 4 + 7 + 9
    [event] = world.events("decide")
    assert (event.tenant_id, event.actor, event.outcome) == (acme.id, "ann", "denied")
    assert caplog.text.count("a tenant asks of too many calls") == 1


def test_two_that_write_at_once_write_each_decision_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, begin = world.tenant(), world.catalogue.begin
    told = Told(world.catalogue, world.clock)
    told.decision(a_decision(acme.id, call_id="leg"))
    lost = metrics.REGISTRY.get_sample_value("recpipe_decisions_lost_total")
    begun, go_on, writing = threading.Event(), threading.Event(), []

    @contextlib.contextmanager
    def slowly() -> Iterator[Work]:
        writing.append(threading.current_thread())
        begun.set()
        go_on.wait(5)
        with begin() as work:
            yield work

    monkeypatch.setattr(world.catalogue, "begin", slowly)
    threads = [threading.Thread(target=told.flush) for _ in range(2)]
    threads[0].start()
    assert begun.wait(5)
    threads[1].start()
    threads[1].join(0.2)
    assert writing == [threads[0]]
    go_on.set()
    for thread in threads:
        thread.join(10)
    with world.catalogue.read() as work:
        assert len(work.of(acme.id).decisions.of_calls(["leg"])) == 1
    assert writing == [threads[0]] and metrics.REGISTRY.get_sample_value("recpipe_decisions_lost_total") == lost


def test_what_cannot_be_kept_of_questions_is_said_and_holds_up_no_decision(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    acme = world.tenant()
    told = Told(world.catalogue, world.clock)
    told.decision(a_decision(acme.id, call_id="leg"))
    told.asked(acme.id, Asker("pbx1", world.now, 1))

    def refused(*_: object) -> None:
        raise CatalogueError("refused")

    monkeypatch.setattr(Policy, "note_askers", refused)
    told.flush()
    with world.catalogue.read() as work:
        assert len(work.of(acme.id).decisions.of_calls(["leg"])) == 1
    assert "questions of PBXs not kept" in caplog.text


def test_the_last_question_of_a_pbx_is_written_now_and_then_and_a_new_version_at_once(world: World) -> None:
    acme = world.tenant()
    told = Told(world.catalogue, world.clock)

    def shown(asker: Asker, *, everything: bool = False) -> Asker:
        told.asked(acme.id, asker)
        told.flush(everything=everything)
        with world.catalogue.read() as work:
            [kept] = work.of(acme.id).policy.askers()
        return kept

    first = Asker("pbx1", world.now, 1)
    assert shown(first) == first
    world.pass_time(seconds=1)
    again = Asker("pbx1", world.now, 1)
    assert shown(again) == first
    assert shown(replace(again, policy_version=2)) == replace(again, policy_version=2)
    world.pass_time(seconds=1)
    last = Asker("pbx1", world.now, 2)
    assert shown(last, everything=True) == last


def test_the_thread_ends_when_nobody_asks_and_begins_again_with_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.tenant()
    monkeypatch.setattr(desk, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(desk, "_IDLE_SECONDS", 0.3)
    there = PolicyDesk(world.catalogue, world.clock)
    question = Question(CallAsked(Direction.INBOUND, "", ("201",)), acme.name, "leg-1")
    with pytest.raises(CatalogueUnavailable):
        there.answer(world.root, "cli", question)
    for _ in range(2):
        until = time.monotonic() + 20
        while not there.awake:  # a slow machine
            there.wake()
            assert time.monotonic() < until
        assert there.answer(world.root, "cli", question).policy.tenant_id == acme.id
        while there.awake:
            assert time.monotonic() < until
            time.sleep(0.01)
    there.close()
    with world.catalogue.read() as work:
        told = work.of(acme.id).decisions.of_calls(["leg-1"])
    assert len(told) == 2 and told[0].id < told[1].id


def test_what_was_told_long_ago_is_forgotten(world: World) -> None:
    acme = world.tenant()
    with world.catalogue.begin() as work:
        old = [a_decision(acme.id, at=world.now - upkeep.KEEP_DECISIONS), a_decision(acme.id, at=world.now)]
        work.decisions.add(old)
    world.pass_time(seconds=1)
    assert upkeep.forget_decisions(world.catalogue, world.clock, Tick(world.now, threading.Event())) == {"decisions": 1}
