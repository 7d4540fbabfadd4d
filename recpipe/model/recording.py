"""What becomes of a call on its way in: one frozen type per stage, and the row at the end.

Settled -> CallFacts, AudioFacts -> Splice -> (sealed stream) -> StoredObject -> Recording
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeGuard, runtime_checkable

from recpipe.model.call_events import Masked
from recpipe.model.formats import Container


class Readable(Protocol):
    """A stream of bytes, read once from its start."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` from the stream; fewer bytes than asked are normal, 0 means the end."""
        ...


class ByteStream(Protocol):
    """An open stream of bytes, read once and closed: what `Store.read` gives, and all that is made of it.

    `typing.BinaryIO` has no `readinto`, and much that no stream of a store has.
    """

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes, b"" at the end; all that is left where it is negative."""
        ...

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        """As `Readable.readinto`."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@runtime_checkable
class Sendable(Protocol):
    """What a stream over a file can also do: go to a socket without passing through this process."""

    def send_to(self, sock: int, most: int) -> int:
        """Send what comes next, as `readinto` would give it.

        Args:
            sock: descriptor of a connected socket, which may be non-blocking.
            most: bytes.

        Returns:
            Bytes sent; 0 at the end of the stream.

        Raises:
            BlockingIOError: the socket takes nothing at the moment.
            OSError: sendfile(2) failed, most likely since the other side is gone.
        """
        ...

    def waits(self, most: int, then: Callable[[], None]) -> bool:
        """Whether sending so many bytes would first wait for something else than the file.

        Args:
            then: called, where it would, as soon as it no longer does; by any thread.
        """
        ...


def is_sendable(stream: object) -> TypeGuard[Sendable]:
    """Whether a stream is `Sendable`, ten times as fast as `isinstance` says so."""
    return hasattr(stream, "send_to")


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What stays the same while nobody writes to a file, and tells it from one that took its name."""

    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    @classmethod
    def at(cls, path: Path) -> FileIdentity:
        """Look at a file.

        Raises:
            FileNotFoundError: there is none, or it is not a regular file (a symbolic link is not).
            OSError: its folder cannot be read.
        """
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
        return cls.of(status)


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

    @property
    def identity(self) -> FileIdentity:
        return FileIdentity(self.size_bytes, self.mtime_ns, self.inode)


class RecordingKind(StrEnum):
    """What was kept; the values are in the catalogue."""

    CALL = "call"
    VOICEMAIL = "voicemail"  # a message that somebody left
    CONFERENCE = "conference"  # a room of many
    FAX = "fax"  # pages, and no sound


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What names, sidecars and call detail records say of a call. Hostile text: data, never markup or a path.

    A text is read from patterns, sidecars, metadata and upload queries, tagged, kept and given out under its name here:
    `TEXT_FACTS` lists them.
    """

    started_at: datetime | None = None  # aware, UTC
    timezone: str = "UTC"  # IANA name of the source's zone
    duration_ms: int | None = None  # as the record claims; the bytes decide in the end
    direction: Direction = Direction.UNKNOWN
    caller: str = ""  # raw, as the PBX wrote it
    callee: str = ""
    caller_name: str = ""
    callee_name: str = ""
    extension: str = ""  # our side's extension: who answered, or who called out
    more_extensions: tuple[str, ...] = ()  # others of ours that took part: a colleague who was called, a transfer
    route: str = ""  # queue, ring group, inbound route or recording type
    call_id: str = ""
    linked_id: str = ""  # groups the legs of a transferred call
    channels: str = ""  # what the channels are, such as "customer,agent"
    tenant_hint: str = ""  # domain, account id or the like that names the tenant
    kind: RecordingKind = RecordingKind.CALL
    mailbox: str = ""  # of a voicemail message
    conference: str = ""  # name or number of the room
    station_id: str = ""  # what the other fax machine calls itself
    started_by: str = ""  # who began the recording, where a person did
    masked: Masked = ()  # where there is silence for a caller's card number or the like
    # Its start was read from a local time and nothing else, which the end of summer time makes twice. Not kept.
    start_is_local: bool = False
    awaits_cdr: bool = False  # the layout promises a call detail record that was not there yet


# Texts of a call, under their names in `CallFacts`. Two are none of these: the zone is checked and has a default, and
# the tenant's hint is called `tenant` outside and shown nowhere.
TEXT_FACTS = tuple(
    one.name for one in fields(CallFacts) if one.type == "str" and one.name not in ("timezone", "tenant_hint")
)


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
    pages: int = 0  # of a fax, which has no audio
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


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the store itself reports it."""

    key: str
    size_bytes: int
    sha256: str = ""  # lower-case hex; empty where the store keeps none (then hash what `read` gives)
    modified_at: datetime | None = None
    note: bytes = b""  # what `put` was given to keep beside it; `head` alone says it


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

    @property
    def call(self) -> str:
        """The id of the call that it is a leg of."""
        return call_of(self.tenant_id, self.spool, self.facts.linked_id, self.facts.call_id, self.id)


# Asterisk's ids, of which only those with a system name are one server's alone; and UUIDs.
# Source: Asterisk, main/channel_internal_api.c (`uniqueid` is [systemname-]epoch.sequence); RFC 9562 section 4.
BARE_UNIQUE_ID = r"[0-9]{9,10}[.][0-9]{1,10}"
UNIQUE_ID = rf"(?:[A-Za-z0-9_.-]+-)?{BARE_UNIQUE_ID}|[0-9A-Fa-f]{{8}}(?:-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}"
_BARE_UNIQUE_ID = re.compile(BARE_UNIQUE_ID)
_UNIQUE_ID = re.compile(UNIQUE_ID)


def call_of(tenant_id: str, spool: str, linked_id: str, call_id: str, recording_id: str) -> str:
    """The id of the call that a recording is a leg of: 32 hex digits, the same for all its legs and for ever.

    Derived from what links them: the linked id, or the call id where it is one that no other call has. An id that says
    nothing of the PBX it comes from links within one spool alone. A recording without either is a call by itself, and
    no two are ever joined for their time and numbers.
    """
    linked = linked_id or (call_id if _UNIQUE_ID.fullmatch(call_id) else "")
    if not linked:
        return recording_id
    place = spool if _BARE_UNIQUE_ID.fullmatch(linked) else ""
    said = "\n".join((tenant_id, place, linked))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Marks:
    """What people said of a call. Never in a recording: it stays what it was, and is deleted with the call."""

    starred: bool = False
    reviewed_at: datetime | None = None  # None: nobody said that it was listened to and is done with
    reviewed_by: str = ""  # name of a user, as the audit log has it
    note: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call with its legs, which are recordings of one tenant."""

    id: str
    tenant_id: str
    legs: tuple[Recording, ...]  # those that may be seen, in the order in which they began: never empty
    leg_count: int  # of all that may be seen; more than there are in `legs` where those are very many
    marks: Marks = Marks()

    @property
    def started_at(self) -> datetime:
        return self.legs[0].started_at
