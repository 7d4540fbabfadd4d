"""ID3v2.4 tags in memory. The only user of mutagen, which reads what was there and writes the two together."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UTF8 = b"\3"
MERGE_LIMIT = 4 << 20  # larger tags are kept beside ours instead of being read


@dataclass(frozen=True, slots=True)
class Frames:
    """What to write; empty values are left out."""

    text: Mapping[str, str]  # four-letter frame name: value; kept as it is where the recorder wrote one
    comment: str
    user: Mapping[str, str]  # description: value of a TXXX frame; ours alone, so it replaces


def build(frames: Frames) -> bytes:
    """A tag with these frames and nothing else.

    By hand, because it is one for every file and the library takes ten times as long; a test compares the two.

    Source: ID3v2.4.0 structure sections 3.1 and 4, native frames sections 4.2, 4.2.6 and 4.10.
    """
    parts = [_frame(name, value.encode()) for name, value in frames.text.items() if value]
    if frames.comment:
        parts.append(_frame("COMM", b"eng\0" + frames.comment.encode()))
    parts += [_frame("TXXX", f"{name}\0{value}".encode()) for name, value in frames.user.items() if value]
    body = b"".join(parts)
    return b"ID3\4\0\0" + _syncsafe(len(body)) + body


def _frame(name: str, body: bytes) -> bytes:
    return name.encode("ascii") + _syncsafe(len(body) + 1) + b"\0\0" + _UTF8 + body


def _syncsafe(size: int) -> bytes:
    return bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))


def merge(old: bytes, frames: Frames) -> bytes | None:
    """A tag with every frame of `old` and these.

    Args:
        old: ID3v2 tag of any version, from its first byte; more bytes may follow. Empty: as `build`.

    Returns:
        The tag; None where `old` cannot be read safely and is better kept as it is.
    """
    if not old:
        return build(frames)
    if _compressed(old):
        return None
    import mutagen.id3  # few recordings come with a tag

    library: Any = mutagen.id3  # typed by halves only
    try:
        tag = library.ID3(io.BytesIO(old), load_v1=False)
        if tag.size < len(old) and old[tag.size : tag.size + 3] == b"ID3":
            return None
        return _write(library, tag, frames)
    except (mutagen.MutagenError, ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError):
        return None


def _write(library: Any, tag: Any, frames: Frames) -> bytes:
    utf8 = library.Encoding.UTF8
    for name, value in frames.text.items():
        if value and not tag.getall(name):
            tag.add(library.Frames[name](encoding=utf8, text=value))
    if frames.comment and not tag.getall("COMM"):
        tag.add(library.COMM(encoding=utf8, lang="eng", desc="", text=frames.comment))
    for description, value in frames.user.items():
        if value:
            tag.add(library.TXXX(encoding=utf8, desc=description, text=value))
    out = io.BytesIO()
    tag.save(out, v1=0, v2_version=4, padding=lambda _: 0)
    made: bytes = out.getvalue()
    return made


def _compressed(old: bytes) -> bool:
    """Whether any frame could be zlib data: a small tag would unpack to gigabytes inside the library.

    Sizes are read both as the standard says and as old writers had it; what looks compressed either way counts.
    """
    version = old[3] if len(old) > 3 else 0
    if version not in (3, 4):
        return False
    body = old[10:]
    if version == 3 and old[5] & 0x80:
        body = body.replace(b"\xff\x00", b"\xff")
    start = 0
    if old[5] & 0x40:
        start = int.from_bytes(body[:4], "big") + (4 if version == 3 else 0)
    mask = 0x80 if version == 3 else 0x08
    return any(_any_flag(body, start, mask, bits) for bits in ((8,) if version == 3 else (7, 8)))


def _any_flag(body: bytes, position: int, mask: int, bits: int) -> bool:
    while position + 10 <= len(body) and body[position : position + 4].isalnum():
        if body[position + 9] & mask:
            return True
        size = 0
        for byte in body[position + 4 : position + 8]:
            size = size << bits | byte & (1 << bits) - 1
        position += 10 + size
    return False
