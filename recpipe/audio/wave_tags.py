"""Chunks of a tagged WAV file: LIST/INFO, bext, `id3 `, and headers with sizes that are right."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recpipe.audio import id3, outer_tags, wave_format
from recpipe.audio.files import Bytes, Part
from recpipe.audio.riff import Chunk, Riff
from recpipe.model import Splice

_TAIL_LIMIT = 4 << 20  # more than this behind the audio stays where it is and is not merged with
_FRONT_LIMIT = 8 << 20  # the same for what is in front of the RIFF header
_INFO_LIMIT = 256
_ALL_ONES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Origin:
    """What a bext chunk says."""

    description: str
    originator: str
    reference: str
    at: datetime | None  # aware, in the zone of the source


def plan(
    path: Path, source: Bytes, found: Riff, info: Mapping[bytes, str], frames: id3.Frames, origin: Origin
) -> Splice:
    """See `tags.plan`. `found` has a data and a fmt chunk, or `probe` would have refused it."""
    data = found.data
    assert data is not None
    pad = data.size % 2
    tail_start = min((chunk.start - (0 if chunk.damaged else 8) for chunk in found.tail), default=data.end)
    tail_bytes = source.size_bytes - tail_start if found.tail else 0
    in_place = tail_bytes > _TAIL_LIMIT
    if (in_place and (found.followed or tail_start != data.end + pad)) or found.start > _FRONT_LIMIT:
        # No way to put the missing pad byte or a chunk header in, or to take away what is in front, without reading
        # megabytes; the file is well kept as it is.
        return Splice(path, 0, source.size_bytes)
    merged = _Merged(source, info, frames)
    before = [] if merged.took_front(found.start) else [_chunk(b"JUNK", source.at(0, found.start))]
    head = merged.without_tags(found.head)
    tail = () if in_place else merged.without_tags(found.tail)
    form = wave_format.parse(source.at(next(c.start for c in found.head if c.id == b"fmt "), 64))
    frame_count = form.frames(data.size)
    for chunk in head:
        body = source.at(chunk.start, chunk.size)
        if chunk.id == b"fmt ":
            body = wave_format.corrected(body, form)
        elif chunk.id == b"fact" and found.repaired and len(body) >= 4:
            body = struct.pack("<I", min(frame_count, _ALL_ONES)) + body[4:]
        before.append(_chunk(chunk.id, body))
    linear = form.codec.startswith("pcm_s") or form.codec == "pcm_u8"
    if linear and not any(chunk.id == b"bext" for chunk in (*head, *tail)):
        before.append(_chunk(b"bext", _bext(origin, form)))
    after = [_chunk(chunk.id, source.at(chunk.start, chunk.size)) for chunk in tail]
    # libsndfile completes a broken last GSM block with whatever follows it: our tags would be heard as a crackle.
    (before if form.codec == "gsm" else after).extend(merged.chunks())
    length = source.size_bytes - data.start if in_place else data.size
    suffix = bytes(length % 2) + b"".join(after)
    return Splice(
        path, data.start, length, _header(found.form, b"".join(before), data, length, suffix, frame_count), suffix
    )


def _header(form: bytes, chunks: bytes, data: Chunk, length: int, suffix: bytes, frames: int) -> bytes:
    """Everything in front of the audio; RF64 where it was, or where 32 bits do not hold the sizes."""
    total = 4 + len(chunks) + 8 + length + len(suffix)
    if form == b"RIFF" and total <= _ALL_ONES:
        return b"RIFF" + struct.pack("<I", total) + b"WAVE" + chunks + b"data" + struct.pack("<I", data.size)
    sizes = _chunk(b"ds64", struct.pack("<QQQI", total + 36, data.size, frames, 0))
    start = (b"RF64" if form == b"RIFF" else form) + struct.pack("<I", _ALL_ONES) + b"WAVE"
    return start + sizes + chunks + b"data" + struct.pack("<I", _ALL_ONES)


class _Merged:
    """The tags of the recorder and ours, as one LIST/INFO and one `id3 ` chunk."""

    def __init__(self, source: Bytes, info: Mapping[bytes, str], frames: id3.Frames) -> None:
        self._source = source
        self._info = {name: _text(value) for name, value in info.items() if value}
        self._kept: dict[bytes, bytes] = {}
        self._frames = frames
        self._id3: bytes | None = None

    def took_front(self, size: int) -> bool:
        """Take the tags in front of the RIFF header into the merge; False where they must be kept as bytes."""
        if not size:
            return True
        front = self._source.at(0, size)
        merged = id3.merge(front, self._frames) if front[:3] == b"ID3" and size <= id3.MERGE_LIMIT else None
        if merged is None or outer_tags.leading(Part(self._source, 0, size)).end != size:
            return False
        self._id3 = merged
        return True

    def without_tags(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """The chunks that are kept as they are; the others are taken into the merge."""
        return tuple(chunk for chunk in chunks if not self._took(chunk))

    def chunks(self) -> list[bytes]:
        entries = {**self._info, **self._kept}
        body = b"INFO" + b"".join(_chunk(name, value) for name, value in sorted(entries.items()))
        tag = self._id3 or id3.build(self._frames)
        return [_chunk(b"LIST", body), _chunk(b"id3 ", tag)]

    def _took(self, chunk: Chunk) -> bool:
        if chunk.id == b"LIST":
            entries = _info_entries(self._source.at(chunk.start, chunk.size))
            if entries is None:
                return False
            self._kept = {**entries, **self._kept}
            return True
        if chunk.id in (b"id3 ", b"ID3 ") and self._id3 is None and chunk.size <= id3.MERGE_LIMIT:
            self._id3 = id3.merge(self._source.at(chunk.start, chunk.size), self._frames)
            return self._id3 is not None
        return False


def _info_entries(body: bytes) -> dict[bytes, bytes] | None:
    """What a LIST/INFO chunk holds; None for another LIST, or one that is damaged or repeats itself."""
    if body[:4] != b"INFO":
        return None
    entries: dict[bytes, bytes] = {}
    position = 4
    while position + 8 <= len(body):
        name, size = struct.unpack("<4sI", body[position : position + 8])
        if position + 8 + size > len(body) or name in entries or len(entries) >= _INFO_LIMIT:
            return None
        entries[name] = body[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return entries


def _text(value: str) -> bytes:
    return value.encode("utf-8") + b"\0"


def _chunk(chunk_id: bytes, body: bytes) -> bytes:
    return chunk_id + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _bext(origin: Origin, form: wave_format.WaveFormat) -> bytes:
    """Version 1, since loudness was not measured. Source: EBU Tech 3285 v2, section 2.3."""

    def ascii_text(text: str, size: int) -> bytes:
        return text.encode("ascii", "replace")[:size].ljust(size, b"\0")

    at = origin.at
    since_midnight = 0 if at is None else (at.hour * 3600 + at.minute * 60 + at.second) * form.sample_rate_hz
    bits = 8 * form.block_bytes // form.channels
    mode = {1: "mono", 2: "stereo"}.get(form.channels, "multitrack")
    history = f"A=PCM,F={form.sample_rate_hz},W={bits},M={mode},T={origin.originator}\r\n"
    return (
        ascii_text(origin.description, 256)
        + ascii_text(origin.originator, 32)
        + ascii_text(origin.reference, 32)
        + ascii_text("" if at is None else f"{at:%Y-%m-%d}", 10)
        + ascii_text("" if at is None else f"{at:%H:%M:%S}", 8)
        + struct.pack("<QH", since_midnight, 1)
        + bytes(64 + 190)
        + history.encode("ascii", "replace")
    )
