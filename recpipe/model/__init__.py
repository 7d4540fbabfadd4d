"""The nouns: frozen types that stages and doors hand to each other.

Units are in the field names; every datetime is aware and UTC unless it says otherwise.
"""

from __future__ import annotations

from recpipe.model.formats import AUDIO_ENDINGS, FORMATS, UNKNOWN_TYPE, Container, FileFormat
from recpipe.model.lists import (
    Added,
    CappedCount,
    DayEntry,
    DayTotal,
    Item,
    NumberMatch,
    Page,
    RecordingQuery,
    Tombstone,
)
from recpipe.model.operation import AuditEvent, AuditQuery, Change, Node, Outcome, Quarantined, QuarantineTotal
from recpipe.model.people import (
    FtpAccount,
    FtpAccountKind,
    Grant,
    LinkPurpose,
    OneTimeLink,
    Role,
    Token,
    User,
    UserStatus,
    WebSession,
)
from recpipe.model.recording import (
    AudioFacts,
    CallFacts,
    Direction,
    Envelope,
    FileIdentity,
    Readable,
    Recording,
    Sendable,
    Settled,
    Splice,
    StoredObject,
    is_sendable,
)
from recpipe.model.tenant import CertificateState, StoreFormat, Tenant, TenantCertificate

__all__ = [
    "AUDIO_ENDINGS",
    "FORMATS",
    "UNKNOWN_TYPE",
    "Added",
    "AudioFacts",
    "AuditEvent",
    "AuditQuery",
    "CallFacts",
    "CappedCount",
    "CertificateState",
    "Change",
    "Container",
    "DayEntry",
    "DayTotal",
    "Direction",
    "Envelope",
    "FileFormat",
    "FileIdentity",
    "FtpAccount",
    "FtpAccountKind",
    "Grant",
    "Item",
    "LinkPurpose",
    "Node",
    "NumberMatch",
    "OneTimeLink",
    "Outcome",
    "Page",
    "QuarantineTotal",
    "Quarantined",
    "Readable",
    "Recording",
    "RecordingQuery",
    "Role",
    "Sendable",
    "Settled",
    "Splice",
    "StoreFormat",
    "StoredObject",
    "Tenant",
    "TenantCertificate",
    "Token",
    "Tombstone",
    "User",
    "UserStatus",
    "WebSession",
    "is_sendable",
]
