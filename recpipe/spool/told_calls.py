"""What call detail records tell of calls, whether recordings came or not, as the readers of both PBXs give it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from datetime import datetime

from recpipe.model import CallRecord, Direction


@dataclass(frozen=True, slots=True)
class ToldCall:
    """One leg, as its record tells of it; like `CallRecord`, before it is known whose it is.

    Attributes:
        tenant_hint: domain or account that names the tenant; "" where none does.
        recording_name: name of the file that the PBX says it records into; "" where it names none.
    """

    tenant_hint: str
    call_id: str
    linked_id: str
    started_at: datetime
    talk_ms: int
    answered: bool
    recording_ms: int | None
    direction: Direction
    extension: str
    says_recorded: bool
    recording_name: str
    excuse: str = ""


def record_of(told: ToldCall, tenant_id: str, spool: str, recorded_as: str) -> CallRecord:
    """What is kept of it."""
    made = CallRecord(
        id="",
        tenant_id=tenant_id,
        spool=spool,
        call_id=told.call_id,
        linked_id=told.linked_id,
        started_at=told.started_at,
        talk_ms=told.talk_ms,
        answered=told.answered,
        recording_ms=told.recording_ms,
        direction=told.direction,
        extension=told.extension,
        says_recorded=told.says_recorded,
        recorded_as=recorded_as,
        excuse=told.excuse,
    )
    said = "\0".join(str(getattr(made, field.name)) for field in fields(CallRecord))
    return replace(made, id=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32])
