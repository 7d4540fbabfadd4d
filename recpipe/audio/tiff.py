"""TIFF as fax machines and gateways write it: pages of one bit, in Group 3 or Group 4. Counted without decoding one.

Source: TIFF 6.0 (sections 2, 8, 10, 11); RFC 3949 (File Format for Internet Fax).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recpipe.audio.files import Bytes

MOST_PAGES = 1_000
MOST_PIXELS = 64 * 1024 * 1024  # of a page: a metre and a half of the finest resolution
MOST_SIDE = 65_000
_MOST_ENTRIES = 512
_MOST_STRIPS = 65_536
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _COUNTS = 256, 257, 258, 259, 273, 277, 279
_CODECS = {2: "t4", 3: "t4", 4: "t6"}  # the ITU's names of Group 3 and Group 4
_SIZES = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG
_FORMATS = {1: "B", 2: "H", 4: "I"}


class NotTiff(ValueError):
    """It does not begin as one."""


class Refused(ValueError):
    """It does, and cannot be taken; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Tiff:
    pages: int
    codec: str  # of the first page


def walk(source: Bytes) -> Tiff:
    """Go through all pages, and see that what each of them claims lies in the file.

    Raises:
        NotTiff, Refused: as they say.
    """
    head = source.at(0, 8)
    if head[:4] not in (b"II*\0", b"MM\0*"):
        raise NotTiff
    if len(head) < 8:
        raise Refused("it ends within its header")
    order = "<" if head.startswith(b"II") else ">"
    at, seen, codecs = struct.unpack(f"{order}I", head[4:])[0], set[int](), list[str]()
    while at:
        if at in seen:
            raise Refused("its pages go round in a circle")
        if len(codecs) >= MOST_PAGES:
            raise Refused(f"it has more than {MOST_PAGES:,} pages")
        seen.add(at)
        codec, at = _page(source, order, at, len(codecs) + 1)
        codecs.append(codec)
    if not codecs:
        raise Refused("it has no page")
    return Tiff(len(codecs), codecs[0])


def _page(source: Bytes, order: str, at: int, number: int) -> tuple[str, int]:
    """The codec of a page, and where the next one is described; 0 behind the last."""
    (count,) = _numbers(source, order, at, 2, 1, number)
    if count > _MOST_ENTRIES:
        raise Refused(f"page {number} is described by {count:,} entries, which no fax has")
    entries = source.at(at + 2, 12 * count)
    if len(entries) < 12 * count:
        raise Refused(f"the file ends within the description of page {number}")
    said = {tag: (kind, values, place) for tag, kind, values, place in struct.iter_unpack(f"{order}HHI4s", entries)}

    def values(tag: int, default: int | None, most: int = 1) -> tuple[int, ...]:
        if tag not in said:
            if default is None:
                raise Refused(f"page {number} lacks what describes it (TIFF tag {tag})")
            return (default,)
        kind, many, place = said[tag]
        if kind not in _SIZES or not 1 <= many <= most:
            raise Refused(f"page {number} is described in a way that no fax is (TIFF tag {tag})")
        size = _SIZES[kind]
        if size * many <= 4:
            return struct.unpack(f"{order}{many}{_FORMATS[size]}", place[: size * many])
        return _numbers(source, order, struct.unpack(f"{order}I", place)[0], size, many, number)

    (width,), (length,) = values(_WIDTH, None), values(_LENGTH, None)
    if not (0 < width <= MOST_SIDE and 0 < length <= MOST_SIDE and width * length <= MOST_PIXELS):
        raise Refused(f"page {number} is {width:,} by {length:,} pixels, which no fax is")
    (compression,) = values(_COMPRESSION, 1)
    if compression not in _CODECS or values(_BITS, 1) != (1,) or values(_SAMPLES, 1) != (1,):
        raise Refused(f"page {number} is neither Group 3 nor Group 4 (TIFF compression {compression})")
    offsets, counts = values(_OFFSETS, None, _MOST_STRIPS), values(_COUNTS, None, _MOST_STRIPS)
    if len(offsets) != len(counts) or any(
        start + size > source.size_bytes for start, size in zip(offsets, counts, strict=True)
    ):
        raise Refused(f"page {number} claims more than the file has")
    (following,) = _numbers(source, order, at + 2 + 12 * count, 4, 1, number)
    return _CODECS[compression], following


def _numbers(source: Bytes, order: str, at: int, size: int, many: int, page: int) -> tuple[int, ...]:
    data = source.at(at, size * many)
    if len(data) < size * many:
        raise Refused(f"the file ends within the description of page {page}")
    return struct.unpack(f"{order}{many}{_FORMATS[size]}", data)
