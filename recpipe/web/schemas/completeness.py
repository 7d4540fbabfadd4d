"""Was it recorded? Days and findings as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from recpipe.model import CallState, DayCompleteness, Direction, Finding
from recpipe.web.schemas.base import ResponseModel


class CompletenessDayResponse(ResponseModel):
    """What became of the calls of one day and rule."""

    day: str = Field(description="YYYY-MM-DD, in the tenant's zone")
    rule: str = Field(
        description="`route:NUMBER`, `extension:EXTENSION:DIRECTION` or `service` where recpipe was asked; `pbx` where "
        "the PBX itself says that it recorded; empty where nothing said anything"
    )
    expected: int = Field(description="recordings that should be there: arrived, excused, missing and unconfirmed")
    arrived: int = Field(description="those with another length than the PBX says among them")
    excused: int = Field(
        description="unanswered, too short, discarded, stopped at once, waiting, or within the time of grace"
    )
    missing: int
    recorded_in_error: int = Field(description="recorded though the PBX was told to skip the call")
    no_call_record: int = Field(description="recorded, and no call detail record tells of the call")
    duration_differs: int
    unconfirmed: int = Field(description="to be recorded; neither recording nor call detail record came")
    counts: dict[str, int] = Field(description="every state by its word")
    judged_at: datetime

    @classmethod
    def of(cls, one: DayCompleteness) -> Self:
        return cls(
            day=one.day,
            rule=one.rule,
            expected=one.expected,
            arrived=one.arrived,
            excused=one.excused,
            missing=one.of(CallState.MISSING),
            recorded_in_error=one.of(CallState.IN_ERROR),
            no_call_record=one.of(CallState.NO_CALL_RECORD),
            duration_differs=one.of(CallState.DIFFERS),
            unconfirmed=one.of(CallState.UNCONFIRMED),
            counts=dict(one.counts),
            judged_at=one.judged_at,
        )


class FindingResponse(ResponseModel):
    """Something that is not as it should be, from when it was found until it was put right."""

    id: str
    kind: CallState
    day: str
    rule: str
    call_id: str
    linked_id: str
    started_at: datetime
    direction: Direction
    extension: str
    spool: str = Field(description="whose call detail record or recording tells of it")
    recording_id: str | None = Field(description="of the recording, where there is one")
    expected_ms: int | None = Field(description="of a length that differs: as the PBX says")
    actual_ms: int | None = Field(description="of a length that differs: as it is")
    opened_at: datetime
    closed_at: datetime | None
    open_seconds: int | None = Field(description="how long it was open; null while it is")

    @classmethod
    def of(cls, one: Finding) -> Self:
        return cls(
            id=one.id,
            kind=one.kind,
            day=one.day,
            rule=one.rule,
            call_id=one.call_id,
            linked_id=one.linked_id,
            started_at=one.started_at,
            direction=one.direction,
            extension=one.extension,
            spool=one.spool,
            recording_id=one.recording_id or None,
            expected_ms=one.expected_ms,
            actual_ms=one.actual_ms,
            opened_at=one.opened_at,
            closed_at=one.closed_at,
            open_seconds=None if one.open_for is None else int(one.open_for.total_seconds()),
        )


class CompletenessResponse(ResponseModel):
    """Counts by day and rule, and one page of findings."""

    days: list[CompletenessDayResponse]
    findings: list[FindingResponse]
    next: str | None = Field(None, description="pass it as `cursor` for the next page of findings; null on the last")
