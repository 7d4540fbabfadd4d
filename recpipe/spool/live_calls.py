"""Remembers what rtpengine says of its calls while they last, until their recordings are stored.

rtpengine removes a call's .meta file when the call ends, seconds before its recorder closes the recording. So the
files are read while they are there, and what they say is kept in the spool's control folder:

    calls/SHA256_OF_CALL_ID   {"call_id", "metadata", "seen_at"}

A note goes a day after the call, but not while a recording of the call is in the spool or in quarantine.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from recpipe import log as logs
from recpipe.durable import sync_folder
from recpipe.model import CallFacts, FileIdentity
from recpipe.settings import Spool
from recpipe.spool import rtpengine_meta, rtpengine_names
from recpipe.spool.beneath import Beneath

_log = logs.get(__name__)

FOLDER = "calls"
LOOK_SECONDS = 0.5  # a call that was shorter, with the ringing, goes unread
KEPT_SECONDS = 24 * 3600
_TIDY_SECONDS = 3600.0
_MOST_FILES = 100_000
_LONGEST_NOTE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Note:
    """What is remembered of a call."""

    call_id: str
    metadata: str  # as the proxy passed it
    seen_at: float  # seconds since 1970: when its .meta file was there first


class LiveCalls:
    """The calls of one spool. Thread-safe.

    Args:
        spool: with its `meta_dir`.
        control: its control folder, which need not be there yet.
    """

    def __init__(self, spool: Spool, control: Path) -> None:
        assert spool.meta_dir is not None
        self._spool = spool
        self._meta_dir = spool.meta_dir
        self._control = control
        self._below = Beneath(control)
        self._read: dict[str, FileIdentity] = {}  # by file name: how it looked when it was read
        self._unsaved: dict[str, Note] = {}
        self._tidied_at = time.monotonic()
        self._complaint = ""
        self._forbidden = False
        self._lock = threading.Lock()

    def look(self) -> None:
        """Read the .meta files that are new or have changed. What cannot be read or kept is tried again next time."""
        self._forbidden = False
        complaint = ""
        there = {}
        try:
            with os.scandir(self._meta_dir) as entries:
                for entry in islice(entries, _MOST_FILES):
                    if entry.name.endswith(".meta") and (state := self._follow(entry)) is not None:
                        there[entry.name] = state
        except OSError as error:
            complaint = f"{self._meta_dir} cannot be read: {error.strerror}"
        self._read = there
        if self._forbidden:
            complaint = f"files in {self._meta_dir} may not be read; put this user into rtpengine's group"
        if self._unsaved:
            complaint = f"notes of calls cannot be written to {self._control / FOLDER}"
        if complaint and complaint != self._complaint:
            _log.warning(
                "calls not followed", spool=self._spool.label, why=complaint, effect="recordings may lack their parties"
            )
        self._complaint = complaint
        if time.monotonic() - self._tidied_at > _TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            self.forget_old()

    def facts(self, call_ids: Iterable[str], now: datetime) -> tuple[CallFacts, datetime] | None:
        """What the proxy said of the first of these calls that is known, and when the call was seen first."""
        for call_id in call_ids:
            if (note := self._note(call_id)) is not None:
                facts = rtpengine_meta.facts_of(note.metadata, self._spool.timezone, now)
                seen_at = datetime.fromtimestamp(note.seen_at, UTC).replace(microsecond=0)
                return replace(facts, call_id=call_id, linked_id=facts.linked_id or call_id), seen_at
        return None

    def forget_old(self) -> None:
        """Remove the notes of calls that are over for long and have no recording left to store."""
        try:
            with self._below.folder(FOLDER) as folder:
                before = time.time() - KEPT_SECONDS
                old = {one.name for one in folder.iterdir() if one.lstat().st_mtime < before}
                if old:
                    for name in old - set(self._needed()):
                        (folder / name).unlink(missing_ok=True)
        except OSError:
            pass  # no call yet, or the spool is away

    def _follow(self, entry: os.DirEntry[str]) -> FileIdentity | None:
        """How the file looks that has been read; None where it has to be read again."""
        try:
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._forbidden = self._forbidden or isinstance(error, PermissionError)
            return None  # or the call has ended, or it is a link
        try:
            status = os.fstat(handle)
            state = FileIdentity.of(status)
            if not stat.S_ISREG(status.st_mode) or self._read.get(entry.name) == state:
                return state
            call_id, metadata = rtpengine_meta.read(os.pread(handle, rtpengine_meta.LIMIT_BYTES, 0))
        except OSError:
            return None
        finally:
            os.close(handle)
        saved = not call_id or self._remember(Note(call_id, metadata, min(time.time(), status.st_mtime)))
        return state if saved else None

    def _remember(self, fresh: Note) -> bool:
        key, known = _key(fresh.call_id), self._note(fresh.call_id)
        note = fresh
        if known is not None:
            note = replace(known, metadata=fresh.metadata or known.metadata)
            if note == known and key not in self._unsaved:
                return True
        try:
            self._write(key, note)
        except OSError:
            with self._lock:
                self._unsaved[key] = note
            return False
        with self._lock:
            self._unsaved.pop(key, None)
        return True

    def _note(self, call_id: str) -> Note | None:
        key = _key(call_id)
        with self._lock:
            if (note := self._unsaved.get(key)) is not None:
                return note
        try:
            handle = self._below.open(f"{FOLDER}/{key}", os.O_RDONLY)
            with os.fdopen(handle, "rb") as stream:
                note = Note(**json.loads(stream.read(_LONGEST_NOTE_BYTES)))
        except (OSError, ValueError, TypeError):  # none, or none of ours
            return None
        return note if note.call_id == call_id else None

    def _write(self, key: str, note: Note) -> None:
        with self._below.parent(f"{FOLDER}/{key}", make_mode=0o700) as path:
            fresh = path.with_name(f"{key}.new")
            with fresh.open("w") as out:
                json.dump({name: getattr(note, name) for name in Note.__slots__}, out)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(path)
            sync_folder(path.parent)

    def _needed(self) -> Iterator[str]:
        """Keys of the calls that last, and of those whose recordings are in the spool."""
        names = {name.removesuffix(".meta") + "-mix.wav" for name in self._read}
        for top in (self._spool.path, self._control):
            for _, _, files in os.walk(top):
                names.update(files)
        for name in names:
            parts = rtpengine_names.split(name)
            if parts is not None and (self._spool.single_streams or not parts.ssrc):
                yield from map(_key, parts.call_ids)


def _key(call_id: str) -> str:
    return hashlib.sha256(call_id.encode()).hexdigest()
