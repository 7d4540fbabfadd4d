"""One try at a time while store or database are away, and nobody waits longer than the outage."""

from __future__ import annotations

import threading
import time

import pytest

from recpipe.errors import CatalogueUnavailable, ObjectDamaged, ObjectRefused, StoreRejected, StoreUnavailable
from recpipe.pipeline import outage
from recpipe.pipeline.outage import Gate

AWAY = StoreUnavailable("The store does not answer.")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setattr(outage, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(outage, "LONGEST_PAUSE_SECONDS", 0.2)
    return Gate(lambda: 7)


def workers(gate: Gate, number: int) -> tuple[list[float], list[threading.Thread]]:
    let_in: list[float] = []

    def enter() -> None:
        if gate.enter():
            let_in.append(time.monotonic())

    threads = [threading.Thread(target=enter) for _ in range(number)]
    for thread in threads:
        thread.start()
    return let_in, threads


def test_one_tries_while_the_others_wait_and_all_go_when_it_succeeds(gate: Gate) -> None:
    assert gate.enter()
    assert gate.failed(AWAY, {}) is gate.store
    let_in, threads = workers(gate, 5)
    time.sleep(0.3)
    assert len(let_in) == 1, "the probe; nobody else, however long it takes"
    gate.passed(gate.store)
    for thread in threads:
        thread.join(5)
    assert len(let_in) == 5 and not any(gate.troubles().values())


def test_the_pauses_between_tries_grow_and_are_bounded(gate: Gate) -> None:
    gate.enter()
    pauses = []
    for _ in range(5):
        before = time.monotonic()
        gate.failed(AWAY, {})
        assert gate.enter()
        pauses.append(time.monotonic() - before)
    for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2, 0.2), strict=True):
        assert pause >= 0.9 * least


def test_a_try_that_ends_otherwise_makes_room_for_the_next(gate: Gate) -> None:
    gate.enter()
    gate.failed(CatalogueUnavailable("away"), {})
    assert gate.enter()
    gate.leave()  # the file was no recording at all
    assert gate.enter()
    assert gate.troubles() == {"database": "away", "store": ""}


def test_a_file_that_is_refused_while_others_pass_is_no_outage(gate: Gate) -> None:
    rejected = StoreRejected("Not this one.")
    gate.enter()
    assert gate.failed(rejected, {}) is gate.store
    before = {"store": gate.store.passes}
    gate.passed(gate.store)
    assert gate.failed(rejected, before) is None and not any(gate.troubles().values())


@pytest.mark.parametrize("error", [ObjectDamaged("k", "other bytes"), ObjectRefused("too large"), OSError("disk")])
def test_what_is_wrong_with_one_object_or_file_is_no_outage(gate: Gate, error: Exception) -> None:
    assert gate.failed(error, {}) is None


def test_a_request_that_is_not_answered_shows_and_one_that_moves_does_not(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "SILENT_SECONDS", 0.1)
    with gate.asking(gate.store) as request:
        for _ in range(4):
            time.sleep(0.05)
            request.goes_on()
            assert gate.troubles()["store"] == "" and gate.silent_seconds() < 0.05
        time.sleep(0.15)
        assert "has not answered" in gate.troubles()["store"] and gate.away_seconds() > 0.1
    assert gate.troubles()["store"] == "" and gate.away_seconds() == 0


def test_nobody_waits_at_a_closed_gate(gate: Gate) -> None:
    gate.enter()
    gate.failed(AWAY, {})
    let_in, threads = workers(gate, 2)
    gate.close()
    for thread in threads:
        thread.join(5)
    assert len(let_in) <= 1 and not gate.enter()
