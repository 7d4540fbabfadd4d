"""Operating it: what waits for a person, who did what, what is to change, who lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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

    name: str  # host; with the role jobs, the name kept in the data dir
    role: str  # ingest, web, ftp, jobs
    spool: str  # "" for a process without one
    started_at: datetime
    seen_at: datetime
    files_waiting: int = 0
    last_ingest_at: datetime | None = None
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which audit events; every part that is set must hold."""

    at_from: datetime | None = None  # inclusive
    at_before: datetime | None = None  # exclusive
    actor: str = ""
    action: str = ""
    outcome: Outcome | None = None
    subject: str = ""
