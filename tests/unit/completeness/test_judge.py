"""What became of each recording that should be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recpipe.completeness.judge import GRACE, LEAST_KEPT, Known, Stop, judge
from recpipe.model import (
    BY_THE_PBX,
    CallRecord,
    CallRecording,
    CallState,
    Decision,
    Direction,
    Judged,
    Verdict,
)

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
LATER = START + timedelta(days=2)
RULE = "route:+4930123456"
MINUTE = 60_000


def record(call_id: str = "1763629200.1", **changes: Any) -> CallRecord:
    made = CallRecord(
        id=call_id + repr(sorted(changes.items())),
        tenant_id="7" * 32,
        spool="pbx",
        call_id=call_id,
        linked_id="",
        started_at=START,
        talk_ms=MINUTE,
        answered=True,
        recording_ms=MINUTE,
        direction=Direction.INBOUND,
        extension="201",
        says_recorded=True,
        recorded_as=call_id,
    )
    return replace(made, **changes)


def recording(call_id: str = "1763629200.1", **changes: Any) -> CallRecording:
    made = CallRecording(
        id=f"recording of {call_id}",
        call_id=call_id,
        linked_id="",
        started_at=START,
        duration_ms=MINUTE,
        direction=Direction.INBOUND,
        extension="201",
        spool="pbx",
        ingested_at=START + timedelta(minutes=2),
    )
    return replace(made, **changes)


def decision(verdict: Verdict = Verdict.RECORD, call_id: str = "1763629200.1", **changes: Any) -> Decision:
    made = Decision(
        id=f"{verdict}{call_id}",
        tenant_id="7" * 32,
        at=START,
        asker="pbx1",
        call_id=call_id,
        linked_id="",
        direction=Direction.INBOUND,
        extension="201",
        verdict=verdict,
        rule=RULE,
        policy_version=3,
    )
    return replace(made, **changes)


def judged(
    records: Sequence[CallRecord] = (),
    decisions: Sequence[Decision] = (),
    recordings: Sequence[CallRecording] = (),
    *,
    waiting: Sequence[str] = (),
    away: Sequence[str] = (),
    stopped: Mapping[str, Stop] | None = None,
    paused: Sequence[str] = (),
    now: datetime = LATER,
) -> list[Judged]:
    return judge(Known(records, decisions, recordings, waiting, away, stopped or {}, paused), now)


def states(*known: Any, **more: Any) -> list[str]:
    return [one.state.value for one in judged(*known, **more)]


UNNAMED: dict[str, Any] = {"says_recorded": False, "recorded_as": ""}


def test_what_the_pbx_says_it_records_arrives_or_is_missing() -> None:
    (there,) = judged([record()], [], [recording()])
    assert (there.state, there.rule, there.recording_id) == (CallState.ARRIVED, BY_THE_PBX, recording().id)
    (lost,) = judged([record()])
    assert (lost.state, lost.call_id, lost.extension, lost.spool) == (
        CallState.MISSING,
        "1763629200.1",
        "201",
        "pbx",
    )


def test_what_the_pbx_was_told_is_expected_under_the_rule_that_decided() -> None:
    (there,) = judged([record(**UNNAMED)], [decision()], [recording()])
    assert (there.state, there.rule) == (CallState.ARRIVED, RULE)
    (lost,) = judged([record(**UNNAMED)], [decision()])
    assert (lost.state, lost.rule) == (CallState.MISSING, RULE)
    # Both say so: one recording, and the rule is the one that decided.
    (lost,) = judged([record()], [decision()])
    assert (lost.state, lost.rule) == (CallState.MISSING, RULE)


def test_nothing_is_expected_of_a_call_of_which_nothing_says_so() -> None:
    assert states([record(**UNNAMED)], [decision(Verdict.DEFAULT)]) == []
    assert states([record(**UNNAMED)], [], [recording()]) == ["unasked"]


def test_a_call_that_is_skipped_and_recorded_all_the_same_is_recorded_in_error() -> None:
    skip = decision(Verdict.SKIP)
    (wrong,) = judged([record(**UNNAMED)], [skip], [recording()])
    assert (wrong.state, wrong.rule, wrong.recording_id) == (CallState.IN_ERROR, RULE, recording().id)
    # Also under the id of another leg of it, and where no record tells of the call.
    other = recording("1763629260.9", linked_id="1763629200.1")
    assert states([record(**UNNAMED)], [skip], [other]) == ["recorded-in-error"]
    assert states([], [skip], [recording()]) == ["recorded-in-error"]
    assert states([record(**UNNAMED)], [skip]) == ["skipped"]


def test_asked_again_the_later_answer_counts_and_one_leg_to_be_recorded_is_enough() -> None:
    record_, skip = decision(), decision(Verdict.SKIP, at=START + timedelta(seconds=2))
    assert states([record(**UNNAMED)], [record_, skip], [recording()]) == ["recorded-in-error"]
    leg = decision(Verdict.SKIP, "1763629260.9", linked_id="1763629200.1")
    assert states([record(**UNNAMED)], [record_, leg], [recording()]) == ["arrived"]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"answered": False, "talk_ms": 0}, "unanswered"),
        ({"excuse": "too-short", "talk_ms": 2000}, "too-short"),
        ({"talk_ms": 400}, "too-short"),
        ({"excuse": "discarded"}, "discarded"),
        ({"excuse": "stopped"}, "missing"),
        ({}, "missing"),
    ],
)
def test_an_excuse_is_said_only_where_nothing_arrived(changes: dict[str, Any], state: str) -> None:
    assert states([record(**changes)]) == [state]
    assert states([record(recording_ms=None, **changes)], [], [recording()]) == ["arrived"]


def stop(seconds: float, began: float | None = None) -> Stop:
    """A stop, and perhaps the start of the recording, in seconds after that of the call."""
    return Stop(START + timedelta(seconds=seconds), None if began is None else START + timedelta(seconds=began))


def test_what_a_person_stopped_is_there_up_to_then_or_lost() -> None:
    mine, another = record().call_id, "1763629200.9"
    assert states([record()], stopped={mine: stop(30)}) == ["missing"]
    assert states([record()], stopped={mine: stop(30, began=10)}) == ["missing"]
    assert states([record(excuse="stopped")]) == ["missing"]
    assert states([record(**UNNAMED)], [decision()], stopped={mine: stop(60)}) == ["missing"]
    # A file that waits may be it.
    assert states([record()], stopped={mine: stop(30)}, waiting=[f"in-{mine}.wav"]) == ["waiting"]
    assert states([record()], stopped={mine: stop(30)}, now=START + GRACE / 2) == ["grace"]
    # Nobody may have answered: as without the stop.
    assert states([], [decision()], stopped={mine: stop(30)}) == ["unconfirmed"]
    assert states([record(answered=False)], stopped={mine: stop(30)}) == ["unanswered"]
    assert states([record()], stopped={another: stop(1)}) == ["missing"]


def test_what_a_person_stopped_before_there_was_enough_of_it_to_keep_is_excused() -> None:
    mine, another = record().call_id, "1763629200.9"
    at_once = {mine: stop(11, began=10)}
    assert states([record()], stopped=at_once) == ["stopped"]
    assert states([record(**UNNAMED)], [decision()], stopped=at_once) == ["stopped"]
    assert states([], [decision()], stopped=at_once) == ["stopped"]
    # Counted from the call where nobody told when the recording began
    assert states([record()], stopped={mine: stop(2)}) == ["stopped"]
    least = LEAST_KEPT.total_seconds()
    assert states([record()], stopped={mine: stop(10 + least, began=10)}) == ["missing"]
    assert states([record()], stopped={mine: stop(-3600)}) == ["missing"], "that was another call"
    # Of a call with two recordings the other one is still missing.
    both = [record(), record(another, linked_id=mine)]
    assert states(both, stopped={another: stop(1)}) == ["missing", "stopped"]
    # The other leg, told of in the same call, is excused where one recording is meant, whatever its name.
    leg = record(another, linked_id=mine, **UNNAMED)
    assert states([record(**UNNAMED), leg], [decision()], stopped={another: stop(1)}) == ["stopped"]


def test_what_is_shorter_than_the_call_because_a_person_stopped_it_is_as_long_as_until_then() -> None:
    mine, short = record().call_id, recording(duration_ms=MINUTE // 3)
    assert states([record()], [], [short]) == ["duration-differs"]
    assert states([record()], [], [short], stopped={mine: stop(20)}) == ["arrived"]
    assert states([record()], [], [short], stopped={mine: stop(30, began=10)}) == ["arrived"]
    assert states([record(excuse="stopped")], [], [short]) == ["arrived"]
    (cut,) = judged([record()], [], [short], stopped={mine: stop(50, began=0)})
    assert (cut.state, cut.expected_ms, cut.actual_ms) == (CallState.DIFFERS, 50_000, MINUTE // 3)
    # It was begun again: there is more of it than until the stop.
    assert states([record()], [], [recording(duration_ms=40_000)], stopped={mine: stop(20, began=0)}) == ["arrived"]


def test_a_pause_excuses_what_is_shorter_and_not_what_is_lost() -> None:
    mine, short = record().call_id, recording(duration_ms=MINUTE // 3)
    assert states([record()], paused=[mine]) == ["missing"]
    assert states([record(excuse="paused")]) == ["missing"]
    assert states([record()], [], [short], paused=[mine]) == ["arrived"]
    assert states([record(excuse="paused")], [], [short]) == ["arrived"]
    assert states([record()], paused=[mine], stopped={mine: stop(11, began=10)}) == ["stopped"]
    # Of what was paused before it was stopped nobody knows how much there is.
    assert states([record()], [], [short], paused=[mine], stopped={mine: stop(50, began=0)}) == ["arrived"]


def test_a_file_that_waits_is_not_missing() -> None:
    path = "in/in-201-0821-20261120-090000-1763629200.1.wav"
    assert states([record()], waiting=[path]) == ["waiting"]
    assert states([record()], waiting=["in-201-0821-20261120-090000-1763629999.1.wav"]) == ["missing"]
    assert states([record(**UNNAMED)], [decision()], waiting=[path]) == ["waiting"]
    # Of another call, whose id has this one in it
    longer = [path.replace("1763629200.1", other) for other in ("11763629200.1", "1763629200.12", "1763629200.1x")]
    assert states([record()], waiting=longer) == ["missing"]
    assert states([record()], away=["pbx"]) == ["waiting"]
    assert states([record()], away=["another"]) == ["missing"]


def test_files_that_wait_are_looked_through_once_and_not_for_each_call() -> None:
    looked = 0

    class Path(str):
        __slots__ = ()

        def __contains__(self, part: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(part)  # type: ignore[operator]

    paths = [Path(f"2026/in-201-0821-{1763000000 + one}.7.wav") for one in range(200)]
    lacking = [record(f"{1763000150 + one}.7") for one in range(100)]
    assert states(lacking, waiting=paths) == ["waiting"] * 50 + ["missing"] * 50
    assert looked == 0


def test_the_time_of_grace_begins_when_the_call_ends() -> None:
    ends = START + timedelta(minutes=1)
    assert states([record()], now=ends + GRACE - timedelta(seconds=1)) == ["grace"]
    assert states([record()], now=ends + GRACE) == ["missing"]
    assert states([], [decision()], now=START + GRACE / 2) == ["grace"]


def test_a_decision_of_whose_call_nothing_else_is_known_is_unconfirmed() -> None:
    (one,) = judged([], [decision()])
    assert (one.state, one.started_at, one.call_id) == (CallState.UNCONFIRMED, START, "1763629200.1")
    assert states([], [decision()], [recording()]) == ["arrived"]


def test_the_legs_of_a_queue_are_one_recording_and_those_of_a_transfer_are_two() -> None:
    linked = "1763629200.1"
    rings = [
        record(f"1763629200.{number}", linked_id=linked, recorded_as=linked, answered=False, talk_ms=0)
        for number in (2, 3)
    ]
    queue = [record(linked, linked_id=linked, recording_ms=None), *rings]
    assert states(queue, [], [recording(linked)]) == ["arrived"]
    assert states(queue) == ["missing"]
    transfer = [record(linked, linked_id=linked), record("1763629260.9", linked_id=linked)]
    both = [recording(linked), recording("1763629260.9", linked_id=linked)]
    assert states(transfer, [], both) == ["arrived", "arrived"]
    (first, second) = judged(transfer, [], both[:1])
    assert (first.state, second.state, second.call_id) == (CallState.ARRIVED, CallState.MISSING, "1763629260.9")


def test_a_recording_under_the_id_of_another_leg_is_that_of_the_call() -> None:
    other = recording("1763629260.9", linked_id="1763629200.1")
    assert states([record()], [], [other]) == ["arrived"]
    assert states([record(**UNNAMED)], [decision()], [other]) == ["arrived"]


def test_a_recording_that_no_record_tells_of_is_said_where_records_are_kept() -> None:
    strange = recording("1763629999.7")
    assert states([record()], [], [recording(), strange]) == ["arrived", "unasked", "no-call-record"]
    assert states([], [], [strange]) == ["unasked"]
    fresh = replace(strange, ingested_at=LATER - GRACE / 2)
    assert states([record()], [], [recording(), fresh]) == ["arrived", "unasked"]
    assert states([record()], [], [recording(), recording("")]) == ["arrived"]


@pytest.mark.parametrize(
    ("wanted", "actual", "state"),
    [
        (MINUTE, MINUTE - 5000, "arrived"),
        (MINUTE, MINUTE - 5001, "duration-differs"),
        (MINUTE, MINUTE + 5001, "duration-differs"),
        (60 * MINUTE, 58 * MINUTE, "arrived"),
        (60 * MINUTE, 56 * MINUTE, "duration-differs"),
        (None, 1000, "arrived"),
        (None, 999, "duration-differs"),
    ],
)
def test_lengths_are_compared_where_the_pbx_tells_them(wanted: int | None, actual: int, state: str) -> None:
    (one,) = judged([record(recording_ms=wanted)], [], [recording(duration_ms=actual)])
    assert one.state == state
    if state == "duration-differs":
        assert (one.expected_ms, one.actual_ms) == (wanted or MINUTE, actual)


def test_what_arrived_once_is_not_missing_when_it_is_deleted() -> None:
    (one,) = judged([record(arrived_at=START + timedelta(hours=1))])
    assert (one.state, one.recording_id) == (CallState.ARRIVED, "")
