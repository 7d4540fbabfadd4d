"""Which calls are recorded, as the API gives it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from recpipe.model import Verdict
from recpipe.policy.desk import VALID_SECONDS, Answer
from recpipe.web.schemas.base import ResponseModel


class DecisionResponse(ResponseModel):
    """What is to be done with a call."""

    decision: Verdict = Field(description="default: do as the PBX itself is set")
    decision_id: str
    rule: str = Field(description="which rule says so", examples=["route:+442079460958", "extension:201:outbound"])
    policy_version: int = Field(description="grows with every Apply; 0 where nothing was ever applied")
    lock: bool = Field(description="nobody may start or stop the recording by hand")
    beep_seconds: int = Field(description="how often recorded parties hear a tone; 0: never")
    announcement: str = Field(description="a sound of the PBX to play before recording begins; empty: none")
    valid_seconds: int = Field(description="how long this holds for calls like it")
    as_of: datetime = Field(description="when the policy was read; older than seconds while the database is away")

    @classmethod
    def of(cls, answer: Answer) -> DecisionResponse:
        service = answer.policy.service
        return cls(
            decision=answer.ruling.verdict,
            decision_id=answer.decision_id,
            rule=answer.ruling.rule,
            policy_version=answer.policy.version,
            lock=answer.ruling.locked,
            beep_seconds=service.beep_seconds,
            announcement=service.announcement,
            valid_seconds=VALID_SECONDS,
            as_of=answer.read_at,
        )
