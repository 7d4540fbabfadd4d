"""Matroska and WebM: the first audio track, and how long it is.

A file that was written live has no length and clusters of unknown size; then the blocks say how far it goes.

Source: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recpipe.audio.files import ReadsAt
from recpipe.audio.stream import Malformed, Stream
from recpipe.model import Container

_MOST_ELEMENTS = 500_000
_MASTERS_READ = 1 << 20  # of what describes a file
_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_ENTRY, _TYPE, _CODEC, _AUDIO = 0xAE, 0x83, 0x86, 0xE1
_RATE, _CHANNELS = 0xB5, 0x9F
_TIMESTAMP, _SIMPLE, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_AUDIO_TRACK = b"\2"
_DOCTYPE = 0x4282
_CODECS = {
    "A_OPUS": "opus", "A_VORBIS": "vorbis", "A_FLAC": "flac", "A_MPEG/L3": "mp3", "A_MPEG/L2": "mp2",
    "A_PCM/INT/LIT": "pcm", "A_PCM/INT/BIG": "pcm", "A_PCM/FLOAT/IEEE": "pcm",
}  # fmt: skip


def matroska(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: there is no audio track.
    """
    segment = next((start for name, start, _ in _elements(source, 0, source.size_bytes) if name == _SEGMENT), None)
    if segment is None:
        raise Malformed("a segment")
    scale, ticks, track, start = 1_000_000, 0.0, b"", segment
    walked = _elements(source, segment, source.size_bytes)
    for name, begin, size in walked:
        if name == _INFO:
            inside = dict(_read(source, begin, size))
            scale = int.from_bytes(inside.get(_SCALE, b"")) or scale
            ticks = _float(inside.get(_DURATION, b""))
        elif name == _TRACKS and not track:
            entries = (body for found, body in _read(source, begin, size) if found == _ENTRY)
            track = next((body for body in entries if dict(_inside(body)).get(_TYPE, b"")[-1:] == _AUDIO_TRACK), b"")
        elif name == _CLUSTER:
            start = begin
            if track and not ticks:
                ticks = _last_block(source, begin)
            break
    if not track:
        raise Malformed("an audio track")
    facts = dict(_inside(track))
    audio = dict(_inside(facts.get(_AUDIO, b"")))
    rate, channels = int(_float(audio.get(_RATE, b"")) or 8000), int.from_bytes(audio.get(_CHANNELS, b"\1"))
    name_of = facts.get(_CODEC, b"").rstrip(b"\0").decode("ascii", "replace")
    seconds = ticks * scale / 1e9
    seconds = seconds if 0 <= seconds < 1e8 else 0.0
    document = dict(_read(source, *_header(source))).get(_DOCTYPE, b"")
    return Stream(
        Container.WEBM if document.rstrip(b"\0") == b"webm" else Container.MATROSKA,
        _CODECS.get(name_of) or name_of.removeprefix("A_").lower()[:40] or "unknown",
        rate,
        channels,
        round(seconds * rate),
        start=start,
        size=source.size_bytes - start,
        bit_rate_bps=round(8 * source.size_bytes / seconds) if seconds else 0,
    )


def _header(source: ReadsAt) -> tuple[int, int]:
    _, start, size = next(_elements(source, 0, source.size_bytes))
    return start, size


def _last_block(source: ReadsAt, first_cluster: int) -> float:
    """Where the last block of any cluster stands; clusters of unknown size are read as if they were flat."""
    cluster = last = 0
    for name, begin, size in _elements(source, first_cluster, source.size_bytes, enter=(_CLUSTER, _GROUP)):
        if name == _TIMESTAMP:
            cluster = int.from_bytes(source.at(begin, min(size, 8)))
        elif name in (_SIMPLE, _BLOCK):
            head = source.at(begin, 12)
            width = _width(head[:1])
            if width and len(head) >= width + 2:
                last = max(last, cluster + struct.unpack(">h", head[width : width + 2])[0])
    return float(last)


def _elements(source: ReadsAt, position: int, end: int, enter: tuple[int, ...] = ()) -> Iterator[tuple[int, int, int]]:
    """Id, first byte and size of each element; what is in those of `enter` comes as if it stood beside them."""
    for _ in range(_MOST_ELEMENTS):
        head = source.at(position, 12)
        id_width = _width(head[:1])
        if not id_width or id_width > 4 or position >= end:
            return
        name = int.from_bytes(head[:id_width])
        size_width = _width(head[id_width : id_width + 1])
        if not size_width or len(head) < id_width + size_width:
            return
        size = int.from_bytes(head[id_width : id_width + size_width]) & ((1 << 7 * size_width) - 1)
        start = position + id_width + size_width
        if size == (1 << 7 * size_width) - 1 or start + size > end:
            size = end - start
            yield name, start, size
            if name not in enter:
                return
            position = start
            continue
        yield name, start, size
        position = start if name in enter else start + size


def _read(source: ReadsAt, start: int, size: int) -> list[tuple[int, bytes]]:
    return _inside(source.at(start, min(size, _MASTERS_READ)))


def _inside(body: bytes) -> list[tuple[int, bytes]]:
    held = _Held(body)
    return [(name, body[start : start + size]) for name, start, size in _elements(held, 0, len(body))]


class _Held:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.size_bytes = len(body)

    def at(self, offset: int, length: int, /) -> bytes:
        return self._body[offset : offset + length]


def _width(first: bytes) -> int:
    """Of a number whose first byte this is: as many bytes as zeros lead it, and one."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def _float(value: bytes) -> float:
    if len(value) not in (4, 8):
        return 0.0
    number: float = struct.unpack(">f" if len(value) == 4 else ">d", value)[0]
    return number if 0 <= number < 1e18 else 0.0
