"""The tree a tenant sees: `/YYYY/MM/DD/NAME`, read from the catalogue. Nothing here touches a disk."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import itertools
import posixpath
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

from ftp.day_files import DAY_FILES, DayFile, Lines, Measure
from ftp.listing import Entry
from recpipe.access.principal import Action, Principal
from recpipe.errors import InputInvalid, NotFound, RecpipeError
from recpipe.model import ByteStream, DayEntry, Recording
from recpipe.recordings.reader import Reader

# A client asks SIZE, MDTM and RETR of one file in a row. Short, so that what was deleted is gone within a second.
_REMEMBERED_SECONDS = 0.5
_LONGEST_NAME = 1024
_PIECE_BYTES = 64 * 1024  # of a file beside the recordings
_ENTRIES_AT_ONCE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR, _PART = re.compile(r"[0-9]{4}", re.ASCII), re.compile(r"[0-9]{2}", re.ASCII)
_HOSTILE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_MAGIC = re.compile(r"[*?[]")


class IsFolder(RecpipeError):
    """A file was asked for, and there is a folder."""

    def __init__(self) -> None:
        super().__init__("This is a folder: name a file in it.")


class Tree(Protocol):
    """A tree of files and folders, as the commands ask for it. Paths are absolute and normal: see `absolute`.

    Raises:
        NotFound: there is no such thing, or it is somebody else's: the same answer.
        RecpipeError: catalogue or store do not answer.
    """

    def stat(self, path: str) -> Entry:
        """The file or folder at a path."""
        ...

    def entries(self, path: str) -> Iterator[Entry]:
        """The entries of a folder, read piece by piece; the folder is known to be there before the first is read."""
        ...

    def open(self, path: str, start: int) -> tuple[ByteStream, int]:
        """A file from byte `start`, and how many bytes will come. Close the stream."""
        ...

    def open_at_once(self, path: str, start: int) -> tuple[ByteStream, int] | None:
        """As `open`, where nothing has to be waited for; None where `open` has to be asked."""
        ...

    def sha256(self, path: str) -> str:
        """Checksum of a file's bytes, in hex."""
        ...


class RecordingTree:
    """The recordings of one reader account. For one session: not thread-safe."""

    def __init__(self, reader: Reader, principal: Principal) -> None:
        self._reader = reader
        self._principal = principal
        self._last: tuple[str, float, Recording] | None = None

    def stat(self, path: str) -> Entry:
        parts = _parts(path)
        if len(parts) == 4:
            if (file := DAY_FILES.get(parts[3])) is not None:
                return self._day_file_entry(file, _day(parts))
            return _entry_of_recording(self._recording(path, parts))
        self._require_folder(parts)
        return _folder(parts[-1] if parts else "/", parts)

    def entries(self, path: str) -> Iterator[Entry]:
        parts = _parts(path)
        self._require_folder(parts)
        if len(parts) == 3:
            return self._day_entries(_day(parts))
        if not parts:
            return iter([_folder(year, [year]) for year in self._reader.years(self._principal)])
        if len(parts) == 1:
            found = self._reader.months(self._principal, parts[0])
        else:
            found = self._reader.days(self._principal, "-".join(parts))
        return (_folder(each[-2:], each.split("-")) for each in found)

    def open(self, path: str, start: int) -> tuple[ByteStream, int]:
        parts = _parts(path)
        if len(parts) != 4:
            self._require_folder(parts)
            raise IsFolder
        if (file := DAY_FILES.get(parts[3])) is not None:
            return self._open_day_file(file, _day(parts), start)
        return self._open(self._recording(path, parts), start)

    def open_at_once(self, path: str, start: int) -> tuple[ByteStream, int] | None:
        parts = _parts(path)
        if not self._reader.opens_at_once or len(parts) != 4:
            return None
        found = self._remembered(path) or self._reader.known_by_name(self._principal, _day(parts), parts[3])
        return self._open(found, start) if found is not None else None

    def sha256(self, path: str) -> str:
        parts = _parts(path)
        if len(parts) != 4:
            raise NotFound("recording")
        if (file := DAY_FILES.get(parts[3])) is not None:
            digest = hashlib.sha256()
            with self._open_day_file(file, _day(parts), 0)[0] as stream:
                while piece := stream.read(_PIECE_BYTES):
                    digest.update(piece)
            return digest.hexdigest()
        return self._recording(path, parts).stored_sha256

    # --- inside -------------------------------------------------------------------------------------------

    def _open(self, recording: Recording, start: int) -> tuple[ByteStream, int]:
        stream = self._reader.open(self._principal, recording, start, action=Action.DOWNLOAD)
        return stream, recording.stored_bytes - start

    def _recording(self, path: str, parts: list[str]) -> Recording:
        found = self._remembered(path)
        if found is None:
            now = time.monotonic()
            found = self._reader.by_name(self._principal, _day(parts), parts[3])
            self._last = (path, now, found)
        return found

    def _remembered(self, path: str) -> Recording | None:
        if self._last is None or self._last[0] != path or time.monotonic() - self._last[1] >= _REMEMBERED_SECONDS:
            return None
        return self._last[2]

    def _require_folder(self, parts: list[str]) -> None:
        """Raise NotFound unless this folder holds something that the account may see."""
        if len(parts) == 1:
            known = parts[0] in self._reader.years(self._principal)
        elif len(parts) == 2:
            known = "-".join(parts) in self._reader.months(self._principal, parts[0])
        elif len(parts) == 3:
            known = "-".join(parts) in self._reader.days(self._principal, "-".join(parts[:2]))
        else:
            known = not parts
        if not known:
            raise NotFound("folder")

    def _day_entries(self, day: str) -> Iterator[Entry]:
        measures = [Measure(file) for file in DAY_FILES.values()]
        for some in self._in_day(day):
            for measure in measures:
                measure.add(some)
            for id, name, stored_bytes, _, started_at, _ in some:
                yield Entry(name, stored_bytes, started_at, False, "r", id)
        # Last, since only now their sizes are known without having read the folder twice.
        yield from filter(None, (measure.entry(day) for measure in measures))

    def _in_day(self, day: str) -> Iterator[list[DayEntry]]:
        """The recordings of a folder, some at a time."""
        found = self._reader.in_day(self._principal, day)
        while some := list(itertools.islice(found, _ENTRIES_AT_ONCE)):
            yield some

    def _day_file_entry(self, file: DayFile, day: str) -> Entry:
        measure = Measure(file)
        for some in self._in_day(day):
            measure.add(some)
        entry = measure.entry(day)
        if entry is None:
            raise NotFound("folder")
        return entry

    def _open_day_file(self, file: DayFile, day: str, start: int) -> tuple[ByteStream, int]:
        size = self._day_file_entry(file, day).size_bytes
        if start > size:
            raise InputInvalid("offset", f"The file has {size} bytes; the offset is outside it.")
        stream = io.BufferedReader(Lines(file.lines(self._reader, self._principal, day)), _PIECE_BYTES)
        left = start
        while left > 0 and (skipped := len(stream.read(min(left, _PIECE_BYTES)))):
            left -= skipped
        return stream, size - start


def absolute(working: str, path: str) -> str:
    """A path as the client wrote it, made absolute and normal; `..` never leads above the root."""
    joined = posixpath.normpath(posixpath.join("/", working, path))
    return "/" + joined.lstrip("/")


def matching(tree: Tree, path: str) -> tuple[str, Iterator[Entry]]:
    """The entries that LIST or NLST of a path shows: a folder's entries, one file, or those that fit a shell pattern.

    Returns:
        What to put before each name in NLST, and the entries.

    Raises:
        NotFound: nothing is there. A pattern that fits nothing gives an empty listing.
    """
    folder, pattern = posixpath.split(path)
    try:
        entry = tree.stat(path)
    except NotFound:
        if not _MAGIC.search(pattern) or _MAGIC.search(folder):
            raise
        fits = re.compile(fnmatch.translate(pattern)).match
        return folder.rstrip("/") + "/", (each for each in tree.entries(folder) if fits(each.name))
    return "", tree.entries(path) if entry.is_folder else iter((entry,))


def _parts(path: str) -> list[str]:
    """Year, month, day and name of a path that could be one of ours.

    Raises:
        NotFound: it could not.
    """
    parts = [part for part in path.split("/") if part]
    shaped = (
        len(parts) <= 4
        and all(_YEAR.fullmatch(part) for part in parts[:1])
        and all(_PART.fullmatch(part) for part in parts[1:3])
        and all(len(part) <= _LONGEST_NAME and not _HOSTILE.search(part) for part in parts[3:])
    )
    if not shaped:
        raise NotFound("file or folder")
    return parts


def _day(parts: list[str]) -> str:
    return "-".join(parts[:3])


def _folder(name: str, parts: list[str]) -> Entry:
    padded = [int(part) for part in parts] + [1, 1, 1]
    try:
        starts = datetime(padded[0], padded[1], padded[2], tzinfo=UTC) if parts else _EPOCH
    except ValueError:
        starts = _EPOCH
    return Entry(name, 0, starts, is_folder=True, perm="el", unique="folder-" + "-".join(parts))


def _entry_of_recording(recording: Recording) -> Entry:
    return Entry(recording.name, recording.stored_bytes, recording.started_at, unique=recording.id)
