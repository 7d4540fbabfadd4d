"""The JSON of the API: what is taken and what is given. Field names are promises; add, never rename."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from keys.certificate import Certificate
from recpipe.access.accounts import Account
from recpipe.access.principal import Action
from recpipe.model import (
    AuditEvent,
    CertificateState,
    Direction,
    FtpAccount,
    FtpAccountKind,
    Outcome,
    Quarantined,
    Recording,
    Role,
    StoreFormat,
    Tenant,
    TenantCertificate,
    Token,
    UserStatus,
)


def _clean(text: str) -> str:
    if any(c < " " or "\ud800" <= c <= "\udfff" or c == "\x7f" for c in text):
        raise ValueError("control characters and lone surrogates are not taken")
    return text


Line = Annotated[str, Field(max_length=255), AfterValidator(_clean)]  # one line of text


class Given(BaseModel):
    """Base of what is given."""

    model_config = ConfigDict(frozen=True)


class Taken(BaseModel):
    """Base of what is taken: a field that is not known is an error, not a wish that goes unheard."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Item = TypeVar("Item")


class Listed(Given, Generic[Item]):
    """A list, or one page of it."""

    items: list[Item]
    next: str | None = Field(None, description="pass it as `cursor` for the next page; null on the last")


class ProblemDocument(Given):
    """Every error. Source: RFC 9457."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:recpipe:problem:not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no such recording.",
                }
            ]
        },
    )

    type: str = Field(description="decide on this: `urn:recpipe:problem:` and a word")
    title: str
    status: int
    detail: str | None = Field(None, description="what happened and what to do next, for a person")
    reason: str | None = Field(None, description="of a conflict or a refused certificate: a stable word")
    field: str | None = Field(None, description="which part of the input")
    advice: str | None = None
    retry_after_seconds: int | None = None
    errors: list[dict[str, str]] | None = Field(None, description="of input that does not fit: where, and why")


# --- recordings -------------------------------------------------------------------------------------------------


class EnvelopeGiven(Given):
    """Where the ciphertext lies, so that a range of it can be decrypted."""

    content_offset: int = Field(description="first byte of the ciphertext in the file")
    content_bytes: int = Field(description="its length")
    iv: str = Field(description="initialisation vector, lower-case hex")
    fingerprints: list[str] = Field(description="SHA-256 of each certificate it was sealed for")


class RecordingGiven(Given):
    """One recording. Texts are as the PBX wrote them: treat them as data, never as markup."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b",
                    "tenant": "acme",
                    "tenant_id": "0b54c3f7a2d94e6f9c1e8d7a6b5c4d3e",
                    "name": "in-201-02079460958-20250327-092517-1743042317.12.mp3.enc",
                    "day": "2025-03-27",
                    "started_at": "2025-03-27T09:25:17Z",
                    "timezone": "Europe/London",
                    "duration_seconds": 61.52,
                    "direction": "inbound",
                    "caller": "02079460958",
                    "callee": "201",
                    "caller_e164": "+442079460958",
                    "callee_e164": "",
                    "caller_name": "Erin Doyle",
                    "callee_name": "",
                    "extension": "201",
                    "route": "in",
                    "call_id": "1743042317.12",
                    "linked_id": "",
                    "channels": "",
                    "sealed": True,
                    "media_type": "application/octet-stream",
                    "size_bytes": 124800,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "content_size_bytes": 123928,
                    "content_sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
                    "media_url": "/api/v1/recordings/5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b/media",
                    "envelope": {
                        "content_offset": 872,
                        "content_bytes": 123928,
                        "iv": "000102030405060708090a0b0c0d0e0f",
                        "fingerprints": ["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"],
                    },
                    "flags": [],
                }
            ]
        },
    )

    id: str
    tenant: str = Field(description="short name")
    tenant_id: str
    name: str = Field(description="file name, `.enc` included when sealed")
    day: str = Field(description="YYYY-MM-DD: its folder over FTP")
    started_at: datetime = Field(description="UTC")
    timezone: str = Field(description="zone of the PBX")
    duration_seconds: float
    direction: Direction
    caller: str = Field(description="as the PBX wrote it")
    callee: str
    caller_e164: str = Field(description="E.164 where it is certain, else empty")
    callee_e164: str
    caller_name: str
    callee_name: str
    extension: str
    route: str
    call_id: str
    linked_id: str = Field(description="the same for all legs of a transferred call")
    channels: str
    sealed: bool
    media_type: str = Field(description="of what `media_url` gives")
    size_bytes: int = Field(description="of what `media_url` gives")
    sha256: str = Field(description="of what `media_url` gives")
    content_size_bytes: int = Field(description="after decrypting; the same as `size_bytes` when not sealed")
    content_sha256: str
    media_url: str
    envelope: EnvelopeGiven | None
    flags: list[str] = Field(description="such as `repaired-header`, `truncated`")

    @classmethod
    def of(cls, recording: Recording, tenant: str) -> RecordingGiven:
        facts, envelope = recording.facts, recording.envelope
        return cls.model_construct(
            id=recording.id,
            tenant=tenant,
            tenant_id=recording.tenant_id,
            name=recording.name,
            day=recording.day,
            started_at=recording.started_at,
            timezone=recording.timezone,
            duration_seconds=recording.duration_ms / 1000,
            direction=facts.direction,
            caller=facts.caller,
            callee=facts.callee,
            caller_e164=recording.caller_e164,
            callee_e164=recording.callee_e164,
            caller_name=facts.caller_name,
            callee_name=facts.callee_name,
            extension=facts.extension,
            route=facts.route,
            call_id=facts.call_id,
            linked_id=facts.linked_id,
            channels=facts.channels,
            sealed=recording.sealed,
            media_type=media_type(recording),
            size_bytes=recording.stored_bytes,
            sha256=recording.stored_sha256,
            content_size_bytes=recording.content_bytes,
            content_sha256=recording.content_sha256,
            media_url=f"/api/v1/recordings/{recording.id}/media",
            envelope=None
            if envelope is None
            else EnvelopeGiven.model_construct(
                content_offset=envelope.content_offset,
                content_bytes=envelope.content_bytes,
                iv=envelope.iv.hex(),
                fingerprints=list(envelope.fingerprints),
            ),
            flags=list(recording.flags),
        )


def media_type(recording: Recording) -> str:
    """Of the stored bytes. An envelope stays plain bytes: mail programs must not take the file for a message."""
    if recording.sealed:
        return "application/octet-stream"
    return "audio/mpeg" if recording.audio.container.value == "mp3" else "audio/wav"


class RecordingList(Given):
    """One page of a search."""

    items: list[RecordingGiven]
    next: str | None = Field(description="pass it as `cursor` for the next page; null on the last")
    count: int | None = Field(description="how many there are in all, counted no further than 1,000; null if not asked")
    count_capped: bool = Field(description="true: there are more than `count`")


class Selection(Taken):
    """Recordings to be packed."""

    ids: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] = Field(
        min_length=1, max_length=1000, examples=[["5f0c9a5e3b7d4e1f8a6b2c1d0e9f8a7b"]]
    )


class UploadGiven(Given):
    """A file that is safe in a spool and will be ingested."""

    spool: str
    name: str = Field(description="path in the spool")
    size_bytes: int
    sha256: str


# --- tenants and their keys -----------------------------------------------------------------------------------


class TenantGiven(Given):
    """One tenant."""

    id: str
    name: str
    title: str
    timezone: str
    region: str
    encryption: bool = Field(description="new recordings are sealed")
    store_format: StoreFormat
    aliases: list[str] = Field(description="domains and account ids that mean this tenant")
    recording_enabled: bool
    disclaimer_agreed_at: datetime | None
    disclaimer_agreed_by: str
    created_at: datetime

    @classmethod
    def of(cls, tenant: Tenant) -> TenantGiven:
        return cls.model_validate(tenant, from_attributes=True)


class TenantWanted(Taken):
    """A new tenant."""

    name: Line = Field(min_length=1, examples=["acme"])
    title: Line = ""
    timezone: Line = Field("UTC", examples=["Europe/London"])
    region: Line = Field("", description="ISO 3166 code that national numbers are read in", examples=["GB"])
    store_format: StoreFormat = StoreFormat.SOURCE
    aliases: list[Line] = Field([], max_length=100)


class TenantChange(Taken):
    """What is left out stays."""

    title: Line | None = None
    timezone: Line | None = None
    region: Line | None = None
    store_format: StoreFormat | None = None
    aliases: list[Line] | None = Field(None, max_length=100)


class Switch(Taken):
    """On or off."""

    on: bool


class RecordingSwitch(Switch):
    """Call recording; the disclaimer must be agreed to once."""

    agreed: bool = False


class Pasted(Taken):
    """A certificate or public key, PEM or DER in base64, with whatever was pasted around it."""

    pasted: str = Field(
        max_length=200_000, examples=["-----BEGIN CERTIFICATE-----\nMIID...\n-----END CERTIFICATE-----"]
    )


class CertificateWanted(Pasted):
    """A new certificate of a tenant."""

    label: Line = Field("", max_length=100)
    vouch: bool = Field(False, description="an administrator answers for the key in place of the proof")


class Answer(Taken):
    """The code that was inside challenge.enc."""

    answer: str = Field(min_length=1, max_length=1000)


class WarningGiven(Given):
    """Something to know about a certificate that is taken all the same."""

    code: str
    message: str


class CheckedGiven(Given):
    """What a pasted certificate is."""

    fingerprint: str
    subject: str
    issuer: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool
    warnings: list[WarningGiven]

    @classmethod
    def of(cls, vetted: Certificate) -> CheckedGiven:
        return cls.model_validate(vetted, from_attributes=True)


class CertificateGiven(Given):
    """One certificate of a tenant."""

    id: str
    label: str
    state: CertificateState
    fingerprint: str = Field(description="SHA-256 of the DER form, lower-case hex")
    subject: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool = Field(description="made around a bare public key")
    added_at: datetime
    decided_at: datetime | None
    decided_by: str

    @classmethod
    def of(cls, held: TenantCertificate) -> CertificateGiven:
        return cls.model_validate(held, from_attributes=True)


class AddedGiven(Given):
    """A certificate that was added, and the proof that is still owed."""

    certificate: CertificateGiven
    warnings: list[WarningGiven]
    challenge: str | None = Field(description="base64 of challenge.enc; null when vouched for")


# --- the others -------------------------------------------------------------------------------------------------


class AuditGiven(Given):
    """One event."""

    at: datetime
    actor: str
    action: str
    outcome: Outcome
    tenant_id: str | None
    address: str
    subject: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, happened: AuditEvent) -> AuditGiven:
        return cls.model_validate(happened, from_attributes=True)


class QuarantinedGiven(Given):
    """One file that waits for a person."""

    id: str
    spool: str
    relative: str = Field(description="path in the spool, as the PBX wrote it")
    tenant_id: str | None
    reason: str
    message: str
    held: bool = Field(description="true: waits in place; false: moved aside")
    first_seen_at: datetime
    last_seen_at: datetime
    attempts: int
    size_bytes: int

    @classmethod
    def of(cls, entry: Quarantined) -> QuarantinedGiven:
        return cls.model_validate(entry, from_attributes=True)


class RetriedGiven(Given):
    """What a retry did."""

    entry: QuarantinedGiven
    back_in_spool: bool = Field(description="false: it had never left, and is tried again by itself")


class FtpAccountGiven(Given):
    """One FTP account. Its password is shown once, when it is made."""

    id: str
    tenant_id: str | None
    username: str
    kind: FtpAccountKind
    enabled: bool
    allowed_networks: list[str]
    extension: str
    direction: Direction | None
    spool: str
    created_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, account: FtpAccount) -> FtpAccountGiven:
        return cls.model_validate(account, from_attributes=True)


class FtpAccountWanted(Taken):
    """A new FTP account; without a password one is made."""

    username: Line = Field(min_length=1, examples=["acme-office"])
    password: str | None = Field(None, max_length=256)
    kind: FtpAccountKind = FtpAccountKind.READER
    spool: Line = Field("", description="of an uploader: where it writes")
    allowed_networks: list[Line] = Field([], max_length=50, examples=[["192.0.2.0/24"]])
    extension: Line = Field("", max_length=100, description="of a reader: only this extension's calls")
    direction: Direction | None = None


class FtpAccountChange(Taken):
    """What is left out stays. Live sessions of the account end."""

    enabled: bool | None = None
    allowed_networks: list[Line] | None = Field(None, max_length=50)
    extension: Line | None = Field(None, max_length=100)
    direction: Direction | None = Field(None, description="null takes the limit away")


class PasswordWanted(Taken):
    """A new password; without one it is made."""

    password: str | None = Field(None, max_length=256)


class FtpPasswordGiven(Given):
    """An account, and its password if it was made: shown this once."""

    account: FtpAccountGiven
    password: str | None


class GrantGiven(Given):
    """What a user may do with a tenant; no actions: whatever its role allows."""

    tenant_id: str
    actions: list[str]


class GrantWanted(Taken):
    """What a user shall be allowed."""

    tenant: Line = Field(description="name or id", examples=["acme"])
    actions: list[Action] = Field([], max_length=20, description="none: whatever the role allows")


class UserWanted(Taken):
    """A new user."""

    username: Line = Field(min_length=1, examples=["ann@example.com"])
    role: Role
    grants: list[GrantWanted] = Field([], max_length=1000)
    password: str | None = Field(None, max_length=256)
    generate: bool = Field(False, description="make a password")
    email: Line = ""
    display_name: Line = ""
    status: UserStatus = UserStatus.ACTIVE


class UserChange(Taken):
    """What is left out stays."""

    role: Role | None = None
    status: UserStatus | None = None
    grants: list[GrantWanted] | None = Field(None, max_length=1000)
    email: Line | None = None
    display_name: Line | None = None


class UserGiven(Given):
    """One user."""

    id: str
    username: str
    role: Role
    status: UserStatus
    email: str
    display_name: str
    second_factor: bool
    created_at: datetime
    last_login_at: datetime | None
    grants: list[GrantGiven]

    @classmethod
    def of(cls, account: Account) -> UserGiven:
        user = account.user
        return cls(
            id=user.id,
            username=user.username,
            role=user.role,
            status=user.status,
            email=user.email,
            display_name=user.display_name,
            second_factor=bool(user.totp_secret),
            created_at=user.created_at,
            last_login_at=user.last_login_at,
            grants=[GrantGiven(tenant_id=g.tenant_id, actions=list(g.actions)) for g in account.grants],
        )


class UserPasswordGiven(Given):
    """A user, and its password if it was made: shown this once."""

    user: UserGiven
    password: str | None


class Ended(Given):
    """How many web sessions were ended."""

    sessions: int


class MayGiven(Given):
    """What the caller may do with a tenant."""

    tenant: str
    tenant_id: str
    actions: list[Action]


class MeGiven(Given):
    """Who the caller is."""

    name: str
    role: Role | None
    tenants: list[MayGiven]


class TokenWanted(Taken):
    """A new token."""

    label: Line = Field(min_length=1, max_length=100, examples=["nightly export"])
    scopes: list[Line] = Field(
        min_length=1,
        max_length=100,
        description="actions, and optionally `tenant:ID` and `spool:NAME`",
        examples=[["search"]],
    )
    expires_at: datetime | None = None


class TokenGiven(Given):
    """One API token. The token itself is shown once, when it is made."""

    id: str
    user_id: str
    label: str
    prefix: str = Field(description="first characters, to recognise it by")
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: Token) -> TokenGiven:
        return cls.model_validate(token, from_attributes=True)


class NewTokenGiven(Given):
    """A token: `secret` is shown this once."""

    token: TokenGiven
    secret: str = Field(description="send it as `Authorization: Bearer ...`")
