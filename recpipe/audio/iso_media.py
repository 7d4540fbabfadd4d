"""MP4, M4A, 3GP: the first audio track, and how long it is, also where it is written in fragments.

Source: ISO/IEC 14496-12 sections 4.2, 8.4 and 8.8; 14496-14 section 5.6 (esds is not read).
"""

from __future__ import annotations

from collections.abc import Iterator

from recpipe.audio.files import ReadsAt
from recpipe.audio.stream import Malformed, Stream
from recpipe.model import Container

_MOST_BOXES = 200_000
_CODECS = {
    "mp4a": "aac", "opus": "opus", "samr": "amr_nb", "sawb": "amr_wb", "alac": "alac", "flac": "flac", ".mp3": "mp3",
    "ulaw": "pcm_mulaw", "alaw": "pcm_alaw", "sowt": "pcm_s16le", "twos": "pcm_s16be",
}  # fmt: skip

Box = tuple[bytes, int, int]  # type, first byte of the body, size of the body


def iso_media(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: there is no audio track, as in a file whose writer died before it wrote the index.
    """
    left = iter(range(_MOST_BOXES))
    movie, data, fragments = None, None, []
    for box in _boxes(source, 0, source.size_bytes, left):
        if box[0] == b"moov":
            movie = box
        elif box[0] == b"mdat" and data is None:
            data = box
        elif box[0] == b"moof":
            fragments.append(box)
    if movie is None:
        raise Malformed("its index (moov); its writer did not finish it")
    for track in _all(source, movie, b"trak", left):
        media = _one(source, track, b"mdia", left)
        handler = media and _one(source, media, b"hdlr", left)
        if media is None or handler is None or source.at(handler[1] + 8, 4) != b"soun":
            continue
        length = _one(source, media, b"mdhd", left)
        table = _one(source, _one(source, _one(source, media, b"minf", left), b"stbl", left), b"stsd", left)
        if length is None or table is None:
            continue
        entry = source.at(table[1] + 8, 36)
        scale, ticks = _mdhd(source.at(length[1], 32))
        header = _one(source, track, b"tkhd", left)
        if not ticks and header is not None and fragments:
            wide = source.at(header[1], 1) == b"\1"
            number = source.at(header[1] + (20 if wide else 12), 4)
            ticks = sum(_fragment(source, box, number, left) for box in fragments)
        channels, rate = int.from_bytes(entry[24:26]), int.from_bytes(entry[32:34]) or scale
        kind = entry[4:8].decode("ascii", "replace").lower()
        frames = ticks * rate // scale if scale else 0
        return Stream(
            Container.MP4,
            _CODECS.get(kind) or (kind.strip() if kind.isprintable() else "unknown"),
            rate,
            channels or 1,
            frames if frames < 1 << 48 else 0,
            start=data[1] if data else 0,
            size=data[2] if data else source.size_bytes,
            bit_rate_bps=8 * source.size_bytes * scale // ticks if ticks else 0,
            truncated=data is not None and data[1] + data[2] > source.size_bytes,
        )
    raise Malformed("an audio track")


def _mdhd(body: bytes) -> tuple[int, int]:
    """Ticks a second, and in all."""
    if body[:1] == b"\1":
        return int.from_bytes(body[20:24]), int.from_bytes(body[24:32])
    return int.from_bytes(body[12:16]), int.from_bytes(body[16:20])


def _fragment(source: ReadsAt, moof: Box, track: bytes, left: Iterator[int]) -> int:
    """Ticks of a track in one fragment."""
    total = 0
    for run_of in _all(source, moof, b"traf", left):
        header = _one(source, run_of, b"tfhd", left)
        if header is None:
            continue
        head = source.at(header[1], 40)
        if head[4:8] != track:
            continue
        flags = int.from_bytes(head[1:4])
        at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
        usual = int.from_bytes(head[at : at + 4]) if flags & 8 else 0
        for run in _all(source, run_of, b"trun", left):
            head = source.at(run[1], 8)
            flags, samples = int.from_bytes(head[1:4]), int.from_bytes(head[4:8])
            if not flags & 0x100:
                total += min(samples, 1 << 24) * usual
                continue
            width = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
            begin = run[1] + 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
            table = source.at(begin, min(samples * width, run[2], 1 << 20))
            total += sum(int.from_bytes(table[n : n + 4]) for n in range(0, len(table), width))
    return total


def _boxes(source: ReadsAt, position: int, end: int, left: Iterator[int]) -> Iterator[Box]:
    for _ in left:
        head = source.at(position, 16)
        if position >= end or len(head) < 8:
            return
        size, kind, header = int.from_bytes(head[:4]), head[4:8], 8
        if size == 1 and len(head) == 16:
            size, header = int.from_bytes(head[8:]), 16
        elif size == 0:
            size = end - position
        if size < header:
            return
        yield kind, position + header, size - header
        position += size


def _all(source: ReadsAt, parent: Box | None, kind: bytes, left: Iterator[int]) -> Iterator[Box]:
    if parent is not None:
        for box in _boxes(source, parent[1], min(parent[1] + parent[2], source.size_bytes), left):
            if box[0] == kind:
                yield box


def _one(source: ReadsAt, parent: Box | None, kind: bytes, left: Iterator[int]) -> Box | None:
    return next(_all(source, parent, kind, left), None)
