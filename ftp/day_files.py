"""The files that a day's folder has beside its recordings, made as they are read: SHA256SUMS and CALLS.csv."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from ftp.listing import Entry
from recpipe.access.principal import Principal
from recpipe.csv_rows import BOM, csv_text
from recpipe.model import CallEntry, DayEntry
from recpipe.recordings.reader import Reader, checksum_line

CHECKSUMS = "SHA256SUMS"
CALLS = "CALLS.csv"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADING = BOM + csv_text([("call", "linked_id", "started_at", "name")])
# 32 hex digits of the call, 20 characters of time, eight quotes, three commas, a line break.
_ROW_BYTES = 65
# Lines of which each is a cell as it stands; what is not certainly one is left to who writes them.
_CELLS = re.compile(r"(?:(?!0[0-9]+\n|[0-9]{12,}\n)[0-9A-Za-z_.(\[~-][ !#-:<-{}~]*\n|\n)*")
_MARKED = re.compile(r"^-", re.MULTILINE)


class DayFile(NamedTuple):
    """One of the files.

    Attributes:
        size_of: how many bytes some recordings of the folder take up in it.
        lines: the text of it, piece by piece.
    """

    name: str
    heading_bytes: int
    size_of: Callable[[list[DayEntry]], int]
    lines: Callable[[Reader, Principal, str], Iterator[str]]


class Measure:
    """Size and time of a file of a folder, summed up while the folder's entries go by."""

    def __init__(self, file: DayFile) -> None:
        self._file = file
        self._rows_bytes = 0
        self._latest = _EPOCH

    def add(self, some: list[DayEntry]) -> None:
        self._rows_bytes += self._file.size_of(some)
        self._latest = max(self._latest, max(found.started_at for found in some))

    def entry(self, day: str) -> Entry | None:
        """The line of a listing; None where the folder is empty."""
        if not self._rows_bytes:
            return None
        size_bytes = self._file.heading_bytes + self._rows_bytes
        return Entry(self._file.name, size_bytes, self._latest, unique=f"{self._file.name}-{day}")


def _size_of_checksums(some: list[DayEntry]) -> int:
    names = "".join([found.name for found in some])
    if names.isascii() and names.isprintable() and "\\" not in names:
        # 64 hex digits, two spaces, the name, a line break.
        return 67 * len(some) + len(names)
    return sum(len(checksum_line(found).encode("utf-8", "replace")) for found in some)


def _checksum_lines(reader: Reader, principal: Principal, day: str) -> Iterator[str]:
    return map(checksum_line, reader.in_day(principal, day))


def _size_of_calls(some: list[DayEntry]) -> int:
    cells = "\n".join([f"{found.name}\n{found.linked_id}" for found in some]) + "\n"
    if cells.isascii() and _CELLS.fullmatch(cells) and not _MARKED.search(cells):
        return (_ROW_BYTES - 2) * len(some) + len(cells)
    written = csv_text((found.linked_id, found.name) for found in some)
    # Two cells of each row are missing here, and their commas.
    return len(written.encode("utf-8", "replace")) + (32 + 20 + 4 + 2) * len(some)


def _call_rows(reader: Reader, principal: Principal, day: str) -> Iterator[str]:
    yield _HEADING
    for found in reader.calls_in_day(principal, day):
        yield _row(found)


def _row(found: CallEntry) -> str:
    started_at = f"{found.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return csv_text([(found.call, found.linked_id, started_at, found.name)])


class Lines(io.RawIOBase):
    """Text as a stream of bytes, made as it is read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # the stubs name a wider Buffer
        if not self._left:
            self._left = memoryview(next(self._lines, "").encode("utf-8", "replace"))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


DAY_FILES = {
    file.name: file
    for file in (
        DayFile(CALLS, len(_HEADING.encode()), _size_of_calls, _call_rows),
        DayFile(CHECKSUMS, 0, _size_of_checksums, _checksum_lines),
    )
}
