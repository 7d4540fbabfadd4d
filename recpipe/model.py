"""The nouns of the write path, one frozen type per stage, and what the catalogue hands back.

    Settled -> Described -> Splice -> (sealed stream) -> StoredObject -> Recording

Units are in the field names; every datetime is aware and UTC unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Generic, Protocol, TypeVar

# --- streams ----------------------------------------------------------------------------------------------


class Readable(Protocol):
    """A stream of bytes, read once from its start."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` from the stream; fewer bytes than asked are normal, 0 means the end."""
        ...


# --- settle -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settled:
    """A spool file that nobody writes to any more."""

    path: Path
    relative: str  # below the spool's root, "/"-separated, as the PBX wrote it
    size_bytes: int
    mtime_ns: int
    inode: int
    # True when it was there before this process started: an earlier process may have stored it already.
    inherited: bool = False


# --- describe ---------------------------------------------------------------------------------------------


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What names, sidecars and call detail records say of a call. Hostile text: data, never markup or a path."""

    started_at: datetime | None = None  # aware, UTC
    timezone: str = "UTC"  # IANA name of the source's zone
    duration_ms: int | None = None  # as the record claims; the bytes decide in the end
    direction: Direction = Direction.UNKNOWN
    caller: str = ""  # raw, as the PBX wrote it
    callee: str = ""
    caller_name: str = ""
    callee_name: str = ""
    extension: str = ""  # our side's extension
    route: str = ""  # queue, ring group, inbound route or recording type
    call_id: str = ""
    linked_id: str = ""  # groups the legs of a transferred call
    channels: str = ""  # what the channels are, such as "customer,agent"
    tenant_hint: str = ""  # domain, account id or the like that names the tenant
    awaits_cdr: bool = False  # the layout promises a call detail record that was not there yet


# --- audio ------------------------------------------------------------------------------------------------


class Container(StrEnum):
    WAV = "wav"
    MP3 = "mp3"


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What the bytes say, whatever their headers claim."""

    container: Container
    codec: str  # pcm_s16le, pcm_alaw, pcm_mulaw, gsm, adpcm_ima, mp3, ...
    sample_rate_hz: int
    channels: int
    duration_ms: int
    frames: int  # samples per channel
    data_offset: int  # first byte of audio in the file
    data_bytes: int  # audio bytes really there
    bit_rate_bps: int = 0
    vbr: bool = False
    flags: tuple[str, ...] = ()  # repaired-header, truncated, ...


@dataclass(frozen=True, slots=True)
class Splice:
    """A recording to be stored: `prefix`, then a byte range of `path`, then `suffix`. Nothing is copied."""

    path: Path
    start: int
    length: int
    prefix: bytes = b""
    suffix: bytes = b""

    @property
    def size_bytes(self) -> int:
        return len(self.prefix) + self.length + len(self.suffix)


# --- store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the store itself reports it."""

    key: str
    size_bytes: int
    sha256: str = ""  # lower-case hex; empty where the store keeps none (then hash what `read` gives)
    modified_at: datetime | None = None


# --- catalogue --------------------------------------------------------------------------------------------


class StoreFormat(StrEnum):
    SOURCE = "source"
    MP3 = "mp3"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str  # random, 32 hex digits
    name: str  # short name: letters, digits, dot, hyphen, underscore
    title: str
    timezone: str
    region: str  # ISO 3166 code, reads national phone numbers; "" reads only +E.164
    encryption: bool
    store_format: StoreFormat
    created_at: datetime
    aliases: tuple[str, ...] = ()  # domains, account ids that mean this tenant
    recording_enabled: bool = False  # the call recording add-on; its disclaimer comes first
    disclaimer_agreed_at: datetime | None = None
    disclaimer_agreed_by: str = ""


class CertificateState(StrEnum):
    UNPROVEN = "unproven"  # waits for the proof that somebody holds the private key
    PROVEN = "proven"
    VOUCHED = "vouched"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class TenantCertificate:
    id: str
    tenant_id: str
    label: str
    der: bytes
    fingerprint: str  # SHA-256 of the DER, lower-case hex
    subject: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool  # built around a bare public key
    state: CertificateState
    added_at: datetime
    decided_at: datetime | None = None  # proven, vouched or retired
    decided_by: str = ""
    challenge: str = ""  # what the proof is compared with (a hash, never the answer)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where the ciphertext lies in a sealed object, so that a player can decrypt a range of it."""

    content_offset: int  # first ciphertext byte
    content_bytes: int  # ciphertext length
    iv: bytes
    fingerprints: tuple[str, ...]  # SHA-256 of each certificate it was sealed for


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of one tenant: the row behind listings, search, FTP names and checksums."""

    id: str  # 32 hex digits, derived from tenant, source name and content
    tenant_id: str
    name: str  # file name people see, unique within its day, ".enc" included when sealed
    day: str  # YYYY-MM-DD in the tenant's zone when it was ingested: its FTP folder for ever
    started_at: datetime
    timezone: str  # zone of the source
    duration_ms: int
    facts: CallFacts
    audio: AudioFacts
    caller_e164: str
    callee_e164: str
    source_name: str  # below the spool, as the PBX wrote it
    source_sha256: str
    content_bytes: int  # what a person has after decrypting (or downloading, when not sealed)
    content_sha256: str
    object_key: str
    stored_bytes: int
    stored_sha256: str
    envelope: Envelope | None
    spool: str
    ingested_at: datetime
    flags: tuple[str, ...] = ()
    peaks: bytes = b""  # waveform, plain recordings only: see audio.peaks

    @property
    def sealed(self) -> bool:
        return self.envelope is not None


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


# --- what lists and searches give ---------------------------------------------------------------------------

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, and where the next ones start."""

    items: tuple[Item, ...]
    next_cursor: str | None = None  # opaque; None on the last page


class NumberMatch(StrEnum):
    EXACT = "exact"  # the same number, however it was written
    ENDING = "ending"
    CONTAINING = "containing"  # three digits or more


@dataclass(frozen=True, slots=True)
class RecordingQuery:
    """What to look for; every part that is set must hold."""

    started_from: datetime | None = None  # inclusive
    started_before: datetime | None = None  # exclusive
    number: str = ""  # caller or callee, as a person types it
    number_match: NumberMatch = NumberMatch.EXACT
    direction: Direction | None = None
    extension: str = ""
    duration_min_ms: int | None = None  # inclusive
    duration_max_ms: int | None = None  # inclusive
    text: str = ""  # in the file name or the name of a party, upper and lower case alike
    call_id: str = ""
    sealed: bool | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class CappedCount:
    count: int
    capped: bool = False  # True: there are more than `count`


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one recording handed to the catalogue."""

    recording: Recording  # as the catalogue has it: the name may differ, and so does the object key of an older row
    new: bool  # False: it was there already
    deleted: bool = False  # it was there once and was deleted: nothing was added, `recording` is what was handed in

    @property
    def object_key(self) -> str:
        """The object that the catalogue speaks of; any other of this recording is to be removed. Empty when deleted."""
        return "" if self.deleted else self.recording.object_key


@dataclass(frozen=True, slots=True)
class DayEntry:
    """What a folder listing needs of a recording."""

    id: str
    name: str
    stored_bytes: int
    stored_sha256: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class DayTotal:
    day: str  # YYYY-MM-DD, the folder
    recordings: int
    stored_bytes: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a deleted recording: enough to prove the deletion, and no number or name."""

    id: str
    tenant_id: str
    day: str
    object_key: str
    stored_sha256: str
    deleted_at: datetime
    deleted_by: str
    reason: str = ""


# --- people, programs and media servers ----------------------------------------------------------------------


class FtpAccountKind(StrEnum):
    READER = "reader"  # reads its tenant's recordings
    UPLOADER = "uploader"  # a media server: writes into one spool, reads nothing


@dataclass(frozen=True, slots=True)
class FtpAccount:
    id: str
    tenant_id: str | None  # None: an uploader whose spool serves several tenants
    username: str
    password_hash: str = field(repr=False)  # Argon2id, PHC string
    created_at: datetime
    kind: FtpAccountKind = FtpAccountKind.READER
    enabled: bool = True
    allowed_networks: tuple[str, ...] = ()  # CIDR; empty: from anywhere
    extension: str = ""  # reader: only this extension's calls
    direction: Direction | None = None  # reader: only calls of this direction
    spool: str = ""  # uploader: label of the spool
    generation: int = 1  # grows with every change: sessions of an older one end
    last_login_at: datetime | None = None


class Role(StrEnum):
    ADMINISTRATOR = "administrator"  # anything
    API = "api"  # programs, by token only
    CLIENT = "client"  # the tenants granted to it
    SERVICE = "service"  # granted tenants and granted actions


class UserStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    PENDING = "pending"  # registered or invited, not approved yet


@dataclass(frozen=True, slots=True)
class User:
    id: str
    username: str  # an e-mail address or a short name; upper and lower case alike
    role: Role
    status: UserStatus
    created_at: datetime
    email: str = ""
    display_name: str = ""
    password_hash: str | None = field(default=None, repr=False)  # Argon2id; None: no password login
    contact: Mapping[str, str] = field(default_factory=dict)
    notifications: Mapping[str, bool] = field(default_factory=dict)
    totp_secret: str = field(default="", repr=False)  # "": no second factor
    totp_step: int = 0  # the last time step whose code was used: none is good twice
    recovery_hashes: tuple[str, ...] = field(default=(), repr=False)  # of the codes not used yet
    last_login_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user may do with a tenant. No actions: whatever its role allows."""

    user_id: str
    tenant_id: str
    actions: tuple[str, ...] = ()  # search, play, download, export, delete, keys, ftp, users


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    user_id: str
    label: str
    prefix: str  # first characters, to recognise it by
    hash: str = field(repr=False)  # SHA-256 of the token, lower-case hex
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebSession:
    id: str  # public: names the session in lists
    hash: str = field(repr=False)  # SHA-256 of the cookie's secret, lower-case hex
    user_id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime  # absolute
    address: str = ""
    user_agent: str = ""
    revoked_at: datetime | None = None


class LinkPurpose(StrEnum):
    INVITATION = "invitation"
    RECOVERY = "recovery"
    SECOND_FACTOR = "second-factor"  # the password was right, the code is still owed


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    id: str
    hash: str = field(repr=False)  # SHA-256 of the secret in the link, lower-case hex
    purpose: LinkPurpose
    user_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


# --- operating it --------------------------------------------------------------------------------------------


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

    name: str  # host and process
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
