"""Tags that taggers put in front of and behind any file, whatever is in it: ID3v2, APEv2, Lyrics3, ID3v1.

Source: ID3v2.4.0 structure section 3.1, APEv2 (hydrogenaudio), Lyrics3 v2.00.
"""

from __future__ import annotations

from dataclasses import dataclass

from recpipe.audio.files import ReadsAt

_MOST_TAGS = 8


@dataclass(frozen=True, slots=True)
class Leading:
    """Where the tags in front end; `overlong` when one claims more than the file has: then behind its header."""

    end: int
    overlong: bool = False


def leading(source: ReadsAt) -> Leading:
    """The ID3v2 and APEv2 tags at the start of a file."""
    position = 0
    for _ in range(_MOST_TAGS):
        header = source.at(position, 32)
        if header[:3] == b"ID3" and len(header) >= 10 and not any(byte & 0x80 for byte in header[6:10]):
            size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
            whole, first = 10 + size + (10 if header[5] & 0x10 else 0), 10
        elif header[:8] == b"APETAGEX" and len(header) == 32:
            whole, first = 32 + int.from_bytes(header[12:16], "little"), 32
        else:
            break
        if position + whole > source.size_bytes:
            return Leading(position + first, overlong=True)
        position += whole
    return Leading(position)


def trailing(source: ReadsAt) -> int:
    """Where ID3v1, Lyrics3 and APEv2 tags at the end of a file begin; its size where there are none."""
    end = source.size_bytes
    if end >= 128 and source.at(end - 128, 3) == b"TAG":
        end -= 128
    if end >= 15 and source.at(end - 9, 9) == b"LYRICS200":
        digits = source.at(end - 15, 6)
        if digits.isdigit() and int(digits) + 15 <= end:
            end -= int(digits) + 15
    footer = source.at(end - 32, 32) if end >= 32 else b""
    if footer[:8] == b"APETAGEX":
        size = int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
        if 32 <= size <= end:
            end -= size
    return end


def inside(source: ReadsAt, position: int, end: int) -> int:
    """Behind a tag that stands between two joined streams; `position` where none does."""
    header = source.at(position, 10)
    if header[:3] == b"ID3" and len(header) == 10 and not any(byte & 0x80 for byte in header[6:]):
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        behind = position + 10 + size
    elif header[:3] == b"TAG":
        behind = position + 128
    else:
        return position
    return behind if behind <= end else position
