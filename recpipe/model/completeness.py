"""Was it recorded? What PBXs say of calls and their recordings, and what comparing that with what arrived finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from recpipe.model.recording import Direction

# Days are judged while the records of their calls are kept; what was found then stays for longer.
KEEP_CALL_RECORDS = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What a PBX's call detail record says of one leg, without any number or name of the parties.

    Attributes:
        id: 32 hex digits, derived from all the others, so that a record that is read again is the same.
        talk_ms: how long it was answered.
        answered: whether two parties were connected.
        recording_ms: how long its recording should be; None where the PBX does not tell.
        says_recorded: the PBX says that it began to record.
        recorded_as: the call id that the recording has by its name; "" where the PBX names none.
        excuse: why the PBX keeps no file though it began one.
        arrived_at: when its recording was first found; kept when the recording is deleted.
    """

    id: str
    tenant_id: str
    spool: str
    call_id: str
    linked_id: str
    started_at: datetime
    talk_ms: int
    answered: bool
    recording_ms: int | None
    direction: Direction
    extension: str
    says_recorded: bool
    recorded_as: str
    excuse: str = ""  # "", `too-short`, `discarded`, `stopped` or `paused`
    arrived_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallRecording:
    """A recording as far as it tells which call it is of."""

    id: str
    call_id: str
    linked_id: str
    started_at: datetime
    duration_ms: int
    direction: Direction
    extension: str
    spool: str
    ingested_at: datetime


class CallState(StrEnum):
    """What became of one recording that should be, or should not. The values are stored: never rename one."""

    ARRIVED = "arrived"
    DIFFERS = "duration-differs"  # arrived, much shorter or longer than the PBX says
    UNANSWERED = "unanswered"
    TOO_SHORT = "too-short"  # under the recorder's minimum
    DISCARDED = "discarded"  # by the recorder
    STOPPED = "stopped"  # by a person, before there was enough of it to keep
    WAITING = "waiting"  # in the spool or in quarantine
    GRACE = "grace"  # it may still come
    MISSING = "missing"
    IN_ERROR = "recorded-in-error"  # though the PBX was told to skip the call
    UNCONFIRMED = "unconfirmed"  # to be recorded; neither recording nor call detail record came
    NO_CALL_RECORD = "no-call-record"  # recorded, and no call detail record tells of the call
    SKIPPED = "skipped"  # not recorded, as the PBX was told
    UNASKED = "unasked"  # recorded, and nothing said that it should be, or should not


EXCUSES = (
    CallState.UNANSWERED,
    CallState.TOO_SHORT,
    CallState.DISCARDED,
    CallState.STOPPED,
    CallState.WAITING,
    CallState.GRACE,
)
HERE = (CallState.ARRIVED, CallState.DIFFERS)
# What a person is told of, the gravest first.
FINDINGS = (
    CallState.MISSING,
    CallState.IN_ERROR,
    CallState.DIFFERS,
    CallState.NO_CALL_RECORD,
    CallState.UNCONFIRMED,
)

BY_THE_PBX = "pbx"  # in place of a rule, where the PBX itself says that it recorded


@dataclass(frozen=True, slots=True)
class Judged:
    """One recording that should be there, or is there, and what became of it.

    Attributes:
        rule: that decided, as in `Decision.rule`; `BY_THE_PBX`; "" where nothing said anything.
        records: ids of the call detail records it is about.
        recording_id: of the recording; "" where none came.
        expected_ms, actual_ms: of a duration that differs.
    """

    state: CallState
    rule: str
    call_id: str
    linked_id: str
    started_at: datetime
    direction: Direction
    extension: str
    spool: str
    records: tuple[str, ...] = ()
    recording_id: str = ""
    expected_ms: int | None = None
    actual_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, from when it was found until it was put right."""

    id: str  # 32 hex digits, derived from what and which call
    tenant_id: str
    kind: CallState  # one of FINDINGS
    day: str  # YYYY-MM-DD of the call, in the tenant's zone
    rule: str
    call_id: str
    linked_id: str
    started_at: datetime
    direction: Direction
    extension: str
    spool: str
    recording_id: str
    expected_ms: int | None
    actual_ms: int | None
    opened_at: datetime
    closed_at: datetime | None = None

    @property
    def open_for(self) -> timedelta | None:
        """How long it was open; None while it is."""
        return None if self.closed_at is None else self.closed_at - self.opened_at


@dataclass(frozen=True, slots=True)
class DayCompleteness:
    """What became of the calls of one day and rule."""

    day: str
    rule: str
    counts: Mapping[str, int]  # by the value of a `CallState`
    judged_at: datetime

    def of(self, *states: CallState) -> int:
        """How many are in one of these states."""
        return sum(self.counts.get(state.value, 0) for state in states)

    @property
    def expected(self) -> int:
        """Recordings that should be, whatever became of them."""
        return self.of(*HERE, *EXCUSES, CallState.MISSING, CallState.UNCONFIRMED)

    @property
    def arrived(self) -> int:
        return self.of(*HERE)

    @property
    def excused(self) -> int:
        return self.of(*EXCUSES)
