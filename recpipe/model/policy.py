"""Which calls are to be recorded: rules of routes and extensions, questions of a PBX, and what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from recpipe.model.recording import Direction


class Verdict(StrEnum):
    """What a rule says, and what a PBX is told. The values are stored and sent: never rename one."""

    RECORD = "record"
    SKIP = "skip"
    DEFAULT = "default"  # of a rule: it says nothing; as an answer: do as the PBX itself is set


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """A number that people outside call."""

    number: str  # E.164 where it is a valid number, else as the PBX writes it
    name: str = ""
    timezone: str = ""  # "": that of the tenant
    recording: Verdict = Verdict.DEFAULT
    locked: bool = False  # nobody may start or stop it by hand, and no unlocked rule says otherwise


@dataclass(frozen=True, slots=True)
class Extension:
    """Somebody at the PBX."""

    extension: str
    name: str = ""
    office: str = ""
    outbound: Verdict = Verdict.DEFAULT
    inbound: Verdict = Verdict.DEFAULT
    internal: Verdict = Verdict.DEFAULT
    locked: bool = False  # as of a route; holds for all three


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """What holds for a whole tenant.

    Attributes:
        otherwise: for calls of which no route and no extension says anything.
        unanswered: what its PBXs do when they ask and get no answer in time; built into their configuration.
        beep_seconds: how often recorded parties hear a tone; 0: never.
        announcement: a sound of the PBX that is played before recording begins; "": none.
    """

    otherwise: Verdict = Verdict.DEFAULT
    unanswered: Verdict = Verdict.DEFAULT
    beep_seconds: int = 0
    announcement: str = ""


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """All that decides for one tenant, as it was applied last."""

    tenant_id: str
    version: int = 0  # grows with every Apply; 0: nothing was ever applied
    applied_at: datetime | None = None
    service: ServicePolicy = ServicePolicy()
    routes: Mapping[str, InboundRoute] = field(default_factory=dict)  # by number
    extensions: Mapping[str, Extension] = field(default_factory=dict)  # by extension
    enabled: bool = True  # the call recording add-on
    region: str = ""  # in which national numbers are read


@dataclass(frozen=True, slots=True)
class CallAsked:
    """A call as a PBX describes it when it asks."""

    direction: Direction
    route: str = ""  # the number that was called, as the PBX writes it
    extensions: tuple[str, ...] = ()  # who takes part at the PBX, in the order in which the call reaches them


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is to be done with a call, and which rule says so."""

    verdict: Verdict
    rule: str  # `route:NUMBER`, `extension:EXTENSION:DIRECTION`, `service`, `add-on-off`
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a PBX was told of one call. Never who called.

    Attributes:
        arrived_at: when its recording was deleted, which had been there; None: it was not, as far as is known.
    """

    id: str  # 32 hex digits, in the order of time
    tenant_id: str
    at: datetime
    asker: str  # which PBX asked
    call_id: str
    linked_id: str
    direction: Direction
    extension: str  # the first that was named
    verdict: Verdict
    rule: str
    policy_version: int
    arrived_at: datetime | None = None


class SeenKind(StrEnum):
    ROUTE = "route"
    EXTENSION = "extension"


@dataclass(frozen=True, slots=True)
class Seen:
    """A number or an extension of which PBXs asked and no rule speaks."""

    kind: SeenKind
    subject: str
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Asker:
    """A PBX that asks, and what it was answered last."""

    name: str
    asked_at: datetime
    policy_version: int
