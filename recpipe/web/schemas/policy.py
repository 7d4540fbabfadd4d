"""Which calls are recorded, as the API gives it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from recpipe.model import Asker, Change, Seen, Verdict
from recpipe.policy.desk import VALID_SECONDS, Answer
from recpipe.policy.values import LONGEST_SUBJECT, MOST_RULES
from recpipe.tenants.changes import Kind
from recpipe.tenants.routing import Rule, Rules
from recpipe.web.schemas.base import RequestModel, ResponseModel, SingleLine


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


class _Said(ResponseModel):
    pending: bool = Field(description="it is shown as it will be once its change is applied")
    removed: bool = Field(description="it will be gone then")


class RouteResponse(_Said):
    """An inbound route."""

    number: str = Field(examples=["+442079460958"])
    name: str
    timezone: str
    recording: Verdict
    locked: bool

    @classmethod
    def of(cls, rule: Rule) -> RouteResponse:
        return cls(number=rule.subject, pending=rule.pending, removed=rule.removed, **rule.values)


class ExtensionResponse(_Said):
    """An extension."""

    extension: str = Field(examples=["201"])
    name: str
    office: str
    outbound: Verdict
    inbound: Verdict
    internal: Verdict
    locked: bool

    @classmethod
    def of(cls, rule: Rule) -> ExtensionResponse:
        return cls(extension=rule.subject, pending=rule.pending, removed=rule.removed, **rule.values)


class RouteRule(RequestModel):
    """What a route says; what is left out is `default`, or empty."""

    name: SingleLine = Field("", examples=["Hotline"])
    timezone: SingleLine = Field("", examples=["Europe/London"])
    recording: Verdict = Field(Verdict.DEFAULT, examples=["record"])
    locked: bool = Field(False, description="nobody starts or stops the recording by hand")


class ExtensionRule(RequestModel):
    """What an extension says; what is left out is `default`, or empty."""

    name: SingleLine = Field("", examples=["Ann"])
    office: SingleLine = Field("", examples=["London"])
    outbound: Verdict = Field(Verdict.DEFAULT, examples=["record"])
    inbound: Verdict = Verdict.DEFAULT
    internal: Verdict = Verdict.DEFAULT
    locked: bool = Field(False, description="nobody starts or stops the recording by hand")


class RouteChange(RequestModel):
    """What is left out stays as it is."""

    name: SingleLine | None = None
    timezone: SingleLine | None = None
    recording: Verdict | None = None
    locked: bool | None = None


class ExtensionChange(RequestModel):
    """What is left out stays as it is."""

    name: SingleLine | None = None
    office: SingleLine | None = None
    outbound: Verdict | None = None
    inbound: Verdict | None = None
    internal: Verdict | None = None
    locked: bool | None = None


class RouteItem(RouteChange):
    """One of many; what is left out stays, and of a new one is `default`, or empty."""

    number: SingleLine = Field(min_length=1, examples=["+442079460958"])
    remove: bool = False


class ExtensionItem(ExtensionChange):
    """One of many; what is left out stays, and of a new one is `default`, or empty."""

    extension: SingleLine = Field(min_length=1, max_length=LONGEST_SUBJECT, examples=["201"])
    remove: bool = False


class RouteItems(RequestModel):
    """Many routes at once: all of them are saved, or none."""

    items: list[RouteItem] = Field(min_length=1, max_length=MOST_RULES)


class ExtensionItems(RequestModel):
    """Many extensions at once: all of them are saved, or none."""

    items: list[ExtensionItem] = Field(min_length=1, max_length=MOST_RULES)


class SavedResponse(ResponseModel):
    """What became of many."""

    changed: int = Field(description="rules that are now to be other than before; they wait for `apply`")


class AskerResponse(ResponseModel):
    """A PBX that asked."""

    name: str
    asked_at: datetime
    policy_version: int = Field(description="of which it was told")

    @classmethod
    def of(cls, asker: Asker) -> AskerResponse:
        return cls.model_validate(asker, from_attributes=True)


class ServicePolicyResponse(ResponseModel):
    """What holds for all calls of a tenant, and what is in force."""

    otherwise: Verdict = Field(description="of calls of which no rule says something")
    unanswered: Verdict = Field(description="what a PBX does without an answer")
    beep_seconds: int = Field(description="how often recorded parties hear a tone; 0: never")
    announcement: str
    pending: bool = Field(description="these are shown as they will be once their change is applied")
    add_on: bool = Field(description="call recording is on; while it is off `record` is told as `default`")
    policy_version: int = Field(description="grows with every Apply; 0 where nothing was ever applied")
    applied_at: datetime | None
    asked_by: list[AskerResponse] = Field(description="the PBXs that asked, and of which version they were told")

    @classmethod
    def of(cls, rules: Rules) -> ServicePolicyResponse:
        policy = rules.policy
        return cls(
            **rules.service.values,
            pending=rules.service.pending,
            add_on=policy.enabled,
            policy_version=policy.version,
            applied_at=policy.applied_at,
            asked_by=[AskerResponse.of(one) for one in rules.askers],
        )


class ServicePolicyChange(RequestModel):
    """What is left out stays as it is."""

    otherwise: Verdict | None = None
    unanswered: Verdict | None = None
    beep_seconds: int | None = Field(None, ge=0, le=300, description="5 to 300, or 0: never")
    announcement: SingleLine | None = None


class SeenResponse(ResponseModel):
    """A number or extension that was seen while no rule speaks of it."""

    subject: str
    first_seen_at: datetime
    last_seen_at: datetime

    @classmethod
    def of(cls, seen: Seen) -> SeenResponse:
        return cls.model_validate(seen, from_attributes=True)


class ChangeResponse(ResponseModel):
    """A rule as it was and as it is wished; without values where there is none."""

    id: str
    kind: Kind
    subject: str = Field(description="the number or extension; empty for what holds for all calls")
    old: dict[str, str | int | bool]
    new: dict[str, str | int | bool]
    saved_at: datetime
    saved_by: str
    applied_at: datetime | None
    applied_by: str

    @classmethod
    def of(cls, change: Change) -> ChangeResponse:
        return cls(
            id=change.id,
            kind=Kind(change.kind),
            subject=change.subject,
            old=dict(change.old),
            new=dict(change.new),
            saved_at=change.created_at,
            saved_by=change.created_by,
            applied_at=change.applied_at,
            applied_by=change.applied_by,
        )


class ApplyRequest(RequestModel):
    """Which changes become effective, all of them or none."""

    changes: list[SingleLine] | None = Field(
        None, max_length=MOST_RULES * 2 + 1, description="ids of those that were looked at; left out: all that wait"
    )


class AppliedResponse(ResponseModel):
    """What became effective."""

    applied: int
