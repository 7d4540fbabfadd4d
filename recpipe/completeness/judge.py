"""What became of each recording that should be there. No I/O, no clock: the same knowledge, the same judgement.

A recording should be there where a PBX was told `record`, or where its call detail record says that it began one. All
that is known of one call, by its ids and its linked id, is looked at together: after a transfer the recording lies
under the id of another leg. Nothing is joined by time or number.

One recording is expected of a call; several where its records name several files. What arrived counts as arrived
whatever excuse there is; without it the first of these that is true is said: nobody answered, under the recorder's
minimum, discarded by the recorder, stopped before there was enough of it to keep, waiting in the spool or quarantine,
the time of grace, missing. Of what a person stopped later, or paused, there is a file: it may be shorter, not away.

An alarm must be believed. So a decision without any call detail record is `unconfirmed`, not missing: nobody may have
answered. And lengths are compared only where the PBX tells how long the recording is, not how long a caller waited.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from recpipe.model import (
    BY_THE_PBX,
    CallEventKind,
    CallRecord,
    CallRecording,
    CallState,
    Decision,
    Direction,
    Judged,
    Verdict,
)

GRACE = timedelta(hours=24)
TOLERANCE_MS = 5_000
TOLERANCE_PART = 0.05
SHORTEST_TALK_MS = 1_000  # below this no recorder promises a file
LEAST_KEPT = timedelta(seconds=3)  # FreeSWITCH throws away what is shorter, unless it is told otherwise
_EMPTY_MS = 1_000
_SURELY_HEARD_MS = 10_000
_WORD = re.compile(r"[A-Za-z0-9]+")

_Teller = CallRecord | CallRecording | Decision


@dataclass(frozen=True, slots=True)
class Stop:
    """When a person first stopped a recording, and when it had begun; None where nobody told."""

    at: datetime
    began: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of the calls of one tenant in some stretch of time.

    Attributes:
        waiting: paths of files that wait in quarantine or are held, as the PBX named them.
        away: labels of spools that nobody serves at the moment, whose files may lie there.
        stopped: by the ids of calls whose recording a person stopped.
        paused: ids of calls whose recording a person paused.
    """

    records: Sequence[CallRecord] = ()
    decisions: Sequence[Decision] = ()
    recordings: Sequence[CallRecording] = ()
    waiting: Sequence[str] = ()
    away: Collection[str] = ()
    stopped: Mapping[str, Stop] = field(default_factory=dict)
    paused: Collection[str] = ()


@dataclass(slots=True)
class _Call:
    """What belongs to one call."""

    records: list[CallRecord] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    recordings: list[CallRecording] = field(default_factory=list)


def judge(known: Known, now: datetime, grace: timedelta = GRACE) -> list[Judged]:
    """What became of everything that should be, or is, recorded; in the order in which calls became known."""
    told, waiting = {record.spool for record in known.records}, _Waiting(known.waiting)
    return [one for call in _calls(known) for one in _Judge(call, known, told, waiting, now, grace).judged()]


class _Waiting:
    """Paths that wait, found by what stands in them. There may be ten thousand, and as many calls that lack one."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths, self._by_word = tuple(paths), dict[str, list[str]]()
        for path in self._paths:
            for word in set(_WORD.findall(path)):
                self._by_word.setdefault(word, []).append(path)

    def names(self, one_id: str) -> bool:
        """Whether a path has this id in it, and not as a part of a longer one: `1.2` is not in `11.25`."""
        by_word = [self._by_word.get(word, ()) for word in _WORD.findall(one_id)]
        paths = min(by_word, key=len) if by_word else self._paths
        whole = re.compile(rf"(?<![A-Za-z0-9]){re.escape(one_id)}(?![A-Za-z0-9])")
        return any(whole.search(path) for path in paths)


class _Judge:
    """One call before the judge."""

    def __init__(
        self, call: _Call, known: Known, told: Collection[str], waiting: _Waiting, now: datetime, grace: timedelta
    ) -> None:
        self._call = call
        self._known = known
        self._told = told
        self._waiting = waiting
        self._now = now
        self._grace = grace
        latest = {one.call_id: one for one in call.decisions}  # asked again, the later answer counts
        asked = list(latest.values())
        self._record = next((one for one in asked if one.verdict is Verdict.RECORD), None)
        self._skip = next((one for one in asked if one.verdict is Verdict.SKIP), None)

    def judged(self) -> Iterator[Judged]:
        call = self._call
        if self._record is None and self._skip is not None:
            if not call.recordings:
                yield self._about(CallState.SKIPPED, self._skip.rule, call.records)
            for recording in call.recordings:
                yield self._about(CallState.IN_ERROR, self._skip.rule, call.records, recording)
            return
        rule = self._record.rule if self._record is not None else BY_THE_PBX
        units, left = self._units(), list(call.recordings)
        found: dict[str, CallRecording] = {}
        for key in units:
            mine = next((one for one in left if one.call_id == key), None) if key else None
            if mine is not None:
                found[key] = mine
                left.remove(mine)
        for key in units:
            if key not in found and left:
                found[key] = left.pop(0)
        for key, records in units.items():
            yield self._expected(rule, key, records, found.get(key))
        for recording in left:
            yield self._about(CallState.UNASKED, "", call.records, recording)
        if not call.records:
            for recording in call.recordings:
                if recording.spool in self._told and self._now - recording.ingested_at >= self._grace:
                    yield self._about(CallState.NO_CALL_RECORD, "", (), recording)

    def _units(self) -> dict[str, list[CallRecord]]:
        """The recordings that should be, by the call id in the name of each, with the records that tell of it."""
        units: dict[str, list[CallRecord]] = {}
        for record in self._call.records:
            if record.says_recorded:
                units.setdefault(record.recorded_as, []).append(record)
        if len(units) > 1 and "" in units:  # told without a name: it may be any of those that have one
            del units[""]
        if not units and self._record is not None:
            units[""] = list(self._call.records)
        return units

    def _expected(self, rule: str, key: str, records: Sequence[CallRecord], recording: CallRecording | None) -> Judged:
        if recording is not None:
            wanted = self._lacking_ms(key, records, recording.duration_ms)
            if wanted is not None:
                return self._about(CallState.DIFFERS, rule, records, recording, wanted)
            return self._about(CallState.ARRIVED, rule, records, recording)
        told = () if key else self._call.decisions  # one recording is told of, whatever its name
        if any(one.arrived_at is not None for one in (*records, *told)):
            return self._about(CallState.ARRIVED, rule, records)
        return self._about(self._absent(key, records), rule, records, key=key)

    def _absent(self, key: str, records: Sequence[CallRecord]) -> CallState:
        """Why a recording is not there."""
        answered = [one for one in records if one.answered]
        if records and not answered:
            return CallState.UNANSWERED
        for excuse in (CallState.TOO_SHORT, CallState.DISCARDED):
            if answered and all(one.excuse == excuse for one in answered):
                return excuse
        if self._stopped_at_once(key, records):
            return CallState.STOPPED
        if answered and sum(one.talk_ms for one in answered) < SHORTEST_TALK_MS:
            return CallState.TOO_SHORT
        if any(self._waiting.names(one) for one in self._ids(key, records) if one):
            return CallState.WAITING
        if any(one.spool in self._known.away for one in records):
            return CallState.WAITING
        ends = [one.started_at + timedelta(milliseconds=one.talk_ms) for one in records]
        if self._now - max([*ends, *(one.at for one in self._call.decisions)]) < self._grace:
            return CallState.GRACE
        return CallState.MISSING if records else CallState.UNCONFIRMED

    def _lacking_ms(self, key: str, records: Sequence[CallRecord], actual_ms: int) -> int | None:
        """As `_wanted_ms`, but shorter where a person wanted less: no shorter than until they stopped it."""
        wanted = _wanted_ms(records, actual_ms)
        if wanted is None or actual_ms > wanted:
            return wanted
        if self._paused(key, records):
            return None
        stops = self._stops(key, records)
        began = [one.at - one.began for one in stops if one.began is not None]
        if len(began) < len(stops) or not stops:
            return None if stops or any(one.excuse == CallState.STOPPED for one in records) else wanted
        kept_ms = min(wanted, min(began) // timedelta(milliseconds=1))
        return kept_ms if _differs(kept_ms, actual_ms) and actual_ms < kept_ms else None

    def _stopped_at_once(self, key: str, records: Sequence[CallRecord]) -> bool:
        """Whether a person stopped it before there was enough of it for any recorder to keep.

        It counts from when the recording began, or where nobody told from when the call did, which is longer.
        """
        stops = self._stops(key, records)
        calls = [one.started_at for one in records] or [one.at for one in self._call.decisions]
        return bool(stops) and all(abs(one.at - (one.began or min(calls))) < LEAST_KEPT for one in stops)

    def _stops(self, key: str, records: Sequence[CallRecord]) -> list[Stop]:
        known = self._known.stopped
        return [known[one] for one in sorted(self._ids(key, records)) if one in known]

    def _paused(self, key: str, records: Sequence[CallRecord]) -> bool:
        """Whether a person paused it: it is shorter than the call, as they wanted it, and it has to be there."""
        return any(one.excuse == CallEventKind.PAUSED for one in records) or not self._ids(key, records).isdisjoint(
            self._known.paused
        )

    def _ids(self, key: str, records: Sequence[CallRecord]) -> set[str]:
        return {key} if key else {one.call_id for one in records} | {one.call_id for one in self._call.decisions}

    def _about(
        self,
        state: CallState,
        rule: str,
        records: Sequence[CallRecord],
        recording: CallRecording | None = None,
        wanted_ms: int | None = None,
        key: str = "",
    ) -> Judged:
        """A judgement, named after the recording that came or should have come, else after the first answered leg."""
        leg = next((one for one in records if one.answered), records[0] if records else None)
        decision = self._record or self._skip
        tellers: list[_Teller] = [one for one in (recording, leg, decision) if one is not None]
        began = leg or recording
        return Judged(
            state=state,
            rule=rule,
            call_id=key or next((one.call_id for one in tellers if one.call_id), ""),
            linked_id=next((one.linked_id for one in tellers if one.linked_id), ""),
            started_at=began.started_at if began is not None else self._call.decisions[0].at,
            direction=next((one.direction for one in tellers), Direction.UNKNOWN),
            extension=next((one.extension for one in tellers if one.extension), ""),
            spool=next((one.spool for one in tellers if not isinstance(one, Decision)), ""),
            records=tuple(one.id for one in records if one.arrived_at is None),
            recording_id=recording.id if recording is not None else "",
            expected_ms=wanted_ms,
            actual_ms=recording.duration_ms if recording is not None and wanted_ms is not None else None,
        )


def _wanted_ms(records: Sequence[CallRecord], actual_ms: int) -> int | None:
    """How long a recording should have been that is of another length; None where it is as it should be.

    Where several legs may be in it, or the PBX does not tell, only one that is empty is.
    """
    answered = [one for one in records if one.answered]
    if len(answered) == 1 and (wanted := answered[0].recording_ms) is not None:
        return wanted if _differs(wanted, actual_ms) else None
    talked = sum(one.talk_ms for one in answered)
    return talked if actual_ms < _EMPTY_MS and talked >= _SURELY_HEARD_MS else None


def _differs(wanted_ms: int, actual_ms: int) -> bool:
    return abs(wanted_ms - actual_ms) > max(TOLERANCE_MS, TOLERANCE_PART * wanted_ms)


def _calls(known: Known) -> Iterable[_Call]:
    """All that is known, call by call: what shares an id belongs together."""
    leader: dict[str, str] = {}

    def find(one: str) -> str:
        while (above := leader.setdefault(one, one)) != one:
            leader[one] = one = leader[above]
        return one

    def ids(thing: _Teller) -> list[str]:
        more = [thing.recorded_as] if isinstance(thing, CallRecord) else []
        return [one for one in (thing.call_id, thing.linked_id, *more) if one]

    everything: list[_Teller] = [*known.records, *known.decisions, *known.recordings]
    for thing in everything:
        found = ids(thing)
        for other in found[1:]:
            leader[find(other)] = find(found[0])
    calls: dict[str, _Call] = {}
    for record in known.records:
        calls.setdefault(find(ids(record)[0]), _Call()).records.append(record)
    for decision in known.decisions:
        if found := ids(decision):
            calls.setdefault(find(found[0]), _Call()).decisions.append(decision)
    for recording in known.recordings:
        if found := ids(recording):
            calls.setdefault(find(found[0]), _Call()).recordings.append(recording)
    return calls.values()
