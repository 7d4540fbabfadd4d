"""A tolerant walk over RIFF files: finds the audio whatever the size fields claim.

Recorders crash, disks fill up and pipes cannot seek back, so sizes of 0, of 0xFFFFFFFF, beyond the end of the file, and
missing pad bytes all occur. The samples are there all the same. Bounded against hostile input: at most MAX_CHUNKS
chunks are looked at, the audio must begin within HEAD_LIMIT, and no chunk body is read.

Source: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, WAVE), EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from recpipe.audio import outer_tags
from recpipe.audio.files import ReadsAt

MAX_CHUNKS = 512
HEAD_LIMIT = 1 << 20
_RESYNC_BYTES = 1 << 16
# What writes to a pipe claims about this much (sox 0x7FFFFFxx, ffmpeg 0xFFFFFFFF): "unknown", not "cut short".
_UNKNOWN_SIZE = 0x7FFF0000
_ALL_ONES = 0xFFFFFFFF
# Tags of other formats that careless taggers glue behind a WAV file: no audio, although no chunk either.
_FOREIGN_TAILS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")
FORMS = (b"RIFF", b"RF64", b"BW64")
_START = re.compile(rb"(?:RIFF|RF64|BW64)....WAVE", re.DOTALL)
_START_BYTES = 12
SEARCH_BYTES = 1 << 20  # how far from the start, or from the tags there, a file may begin
_TAIL_IDS = frozenset((b"LIST", b"id3 ", b"ID3 ", b"bext", b"fact", b"cue ", b"iXML", b"axml", b"_PMX", b"afsp"))


class NotRiff(ValueError):
    """There is no RIFF/WAVE header at the start."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`size` body bytes are really there, from `start`; a stretch that is no chunk at all appears as `JUNK`."""

    id: bytes
    start: int
    size: int
    damaged: bool = False  # no chunk header of its own in the file

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Riff:
    """Where everything is. `head` and `tail` lie before and after the audio, `ds64` left out."""

    start: int  # of the RIFF header; what is in front of it is no part of the WAVE file
    form: bytes  # RIFF, RF64 or BW64
    head: tuple[Chunk, ...]
    data: Chunk | None
    tail: tuple[Chunk, ...]
    repaired: bool  # sizes or padding were wrong
    truncated: bool  # the header promised more audio than there is
    followed: bool = False  # bytes that are neither audio nor a chunk come behind the audio

    def first(self, chunk_id: bytes) -> Chunk | None:
        return next((chunk for chunk in (*self.head, *self.tail) if chunk.id == chunk_id), None)


def locate(source: ReadsAt, *, behind: int | None = None, search_bytes: int = SEARCH_BYTES) -> int:
    """Where a WAVE file begins: at the start, behind tags that do not belong there, or behind other bytes.

    Args:
        behind: where to begin to look; by default behind the tags in front.
        search_bytes: how far to look.

    Raises:
        NotRiff: nowhere.
    """
    position = outer_tags.leading(source).end if behind is None else behind
    found = _START.search(source.at(position, search_bytes + _START_BYTES))
    if found is None:
        raise NotRiff
    return position + found.start()


def walk(source: ReadsAt, begin: int = 0) -> Riff:
    """Find the chunks of the WAVE file at `begin`.

    Raises:
        NotRiff: there are no 12 bytes of a RIFF, RF64 or BW64 header of form WAVE.
    """
    start = source.at(begin, _START_BYTES)
    if not _START.match(start):
        raise NotRiff
    form = start[:4]
    riff_end = begin + 8 + int.from_bytes(start[4:8], "little")
    wide_data: int | None = None
    head: list[Chunk] = []
    repaired = False
    position = begin + _START_BYTES
    while len(head) < MAX_CHUNKS and position < begin + HEAD_LIMIT:
        header = source.at(position, 8)
        if len(header) < 8:
            break
        chunk_id, claimed = struct.unpack("<4sI", header)
        if chunk_id == b"data":
            if claimed == _ALL_ONES and wide_data is not None:
                claimed = wide_data
            data, tail, wrong, truncated, followed = _audio(source, position + 8, claimed, riff_end)
            if form == b"RIFF" and not followed:
                wrong = wrong or abs(riff_end - source.size_bytes) > 1
            return Riff(begin, form, tuple(head), data, tail, repaired or wrong or truncated, truncated, followed)
        if not _plausible(source, position):
            repaired = True
            found = source.at(position, _RESYNC_BYTES).find(b"data")
            if found < 0:
                break
            head.append(Chunk(b"JUNK", position, found, damaged=True))
            position += found
            continue
        chunk = Chunk(chunk_id, position + 8, claimed)
        if chunk_id == b"ds64" and form != b"RIFF" and claimed >= 24:
            wide_riff, wide_data = struct.unpack("<QQ", source.at(chunk.start, 16))
            riff_end = begin + 8 + wide_riff
            repaired = repaired or abs(riff_end - source.size_bytes) > 1
        else:
            head.append(chunk)
        position, padded = _after(source, chunk)
        repaired = repaired or not padded
    return Riff(begin, form, tuple(head), None, (), repaired, truncated=False)


def _plausible(source: ReadsAt, position: int) -> bool:
    """Four printable characters, and a body that ends inside the file."""
    header = source.at(position, 8)
    if len(header) < 8:
        return False
    return (
        all(0x20 <= byte < 0x7F for byte in header[:4])
        and header[:4] != b"    "
        and position + 8 + int.from_bytes(header[4:], "little") <= source.size_bytes
    )


def _after(source: ReadsAt, chunk: Chunk) -> tuple[int, bool]:
    """Where the next chunk begins, and whether the pad byte of an odd chunk is where it belongs."""
    if chunk.size % 2 == 0:
        return chunk.end, True
    if chunk.end >= source.size_bytes:
        return chunk.end, False
    if not _plausible(source, chunk.end + 1) and _plausible(source, chunk.end):
        return chunk.end, False
    return chunk.end + 1, True


def _audio(
    source: ReadsAt, start: int, claimed: int, riff_end: int
) -> tuple[Chunk, tuple[Chunk, ...], bool, bool, bool]:
    """The data chunk as it is, what follows it, and whether the header was wrong, or promised too much, or all is
    well and something follows that is no part of the file."""
    available = source.size_bytes - start
    everything = Chunk(b"data", start, available)
    if claimed > available:
        unknown = claimed >= _UNKNOWN_SIZE
        return everything, (), True, not unknown, False
    if claimed == available:
        # The last pad byte of the file is the one that is most often left out, and nobody misses it.
        return everything, (), False, False, False
    data = Chunk(b"data", start, claimed)
    position, padded = _after(source, data)
    if claimed and position >= source.size_bytes:
        return data, (), False, False, False
    tail, clean = _chain(source, position)
    if tail:
        return data, tail, not (clean and padded), False, False
    rest = source.at(data.end, 8)
    if rest.startswith(_FOREIGN_TAILS) or rest[:4] in _TAIL_IDS:
        return data, (_junk(source, data.end),), True, False, False
    if claimed and riff_end in (data.end, data.end + claimed % 2):
        # Both sizes say that the audio ends here, as every player believes.
        return data, (_junk(source, riff_end),), False, False, True
    # Nothing that could be a chunk follows: the recorder died between two updates of its header.
    return everything, (), True, False, False


def _junk(source: ReadsAt, start: int) -> Chunk:
    return Chunk(b"JUNK", start, source.size_bytes - start, damaged=True)


def _chain(source: ReadsAt, position: int) -> tuple[tuple[Chunk, ...], bool]:
    """The chunks from `position` to the end of the file; what is left over becomes `JUNK`, and is not clean."""
    chunks: list[Chunk] = []
    clean = True
    while position < source.size_bytes:
        if len(chunks) >= MAX_CHUNKS or not _plausible(source, position):
            if chunks:
                chunks.append(_junk(source, position))
            return tuple(chunks), False
        chunk = Chunk(source.at(position, 4), position + 8, int.from_bytes(source.at(position + 4, 4), "little"))
        chunks.append(chunk)
        position, padded = _after(source, chunk)
        clean = clean and (padded or chunk.end == source.size_bytes)
    return tuple(chunks), clean
