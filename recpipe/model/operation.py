"""Operating it: what waits for a person, who did what, what is to change, who lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A spool file that waits for a person: what, why, since when. The original is untouched."""

    id: str
    spool: str
    path: str  # where the file is now
    relative: str
    tenant_id: str | None
    reason: str
    message: str
    held: bool  # True: good file that waits in place; False: moved aside
    first_seen_at: datetime
    last_seen_at: datetime
    attempts: int
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class QuarantineTotal:
    """How many files of one tenant wait for a person, and since when."""

    tenant_id: str | None  # None: nobody knows yet whose they are
    files: int
    since: datetime  # when the oldest was first seen


class Outcome(StrEnum):
    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what, from where, to what, and how it ended. Never a password, key or phone number."""

    at: datetime
    actor: str  # user name, account, "cli:<login>", "pipeline"
    action: str  # "login", "play", "download", "certificate.vouch", ...
    outcome: Outcome
    tenant_id: str | None = None
    address: str = ""
    subject: str = ""  # id of what it was done to
    detail: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A setting as it was and as it is wished: pending until applied or discarded, then history."""

    id: str
    tenant_id: str
    kind: str  # what is changed, such as "tenant" or "route"
    subject: str  # which of that kind; "" where there is one
    old: Mapping[str, object]
    new: Mapping[str, object]
    created_at: datetime
    created_by: str
    applied_at: datetime | None = None
    applied_by: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """The heartbeat of one process, or of one spool it serves."""

    name: str  # host
    role: str  # ingest, web, ftp, jobs
    spool: str  # "" for a process without one
    started_at: datetime
    seen_at: datetime
    files_waiting: int = 0
    last_ingest_at: datetime | None = None
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # its process ended in the middle of it, and it was not run again


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a background job: of the time at which it was due. There is one for each such time."""

    job: str
    due_at: datetime
    state: RunState
    owner: str  # the process that runs it, or ran it last
    attempts: int  # how many processes began it
    started_at: datetime
    leased_until: datetime  # while it runs: nobody else may have it before; in the database's time, as all of these
    ended_at: datetime | None = None
    summary: Mapping[str, int | str] = field(default_factory=dict)  # ids and counts
    error: str = ""

    @property
    def took_ms(self) -> int | None:
        """How long the process took that ended it; None while it runs, and where nobody knows."""
        if self.ended_at is None or self.state is RunState.LOST:
            return None
        return (self.ended_at - self.started_at) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which audit events; every part that is set must hold."""

    at_from: datetime | None = None  # inclusive
    at_before: datetime | None = None  # exclusive
    actor: str = ""
    action: str = ""
    outcome: Outcome | None = None
    subject: str = ""
    call: str = ""  # what was done to this call or to one of its legs
