"""What the first bytes of a recording say of its being finished, where nobody else can say."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

_LOOK_BYTES = 4096  # where the `data` chunk begins in practice: 44, 78, 128; tags in front of it are small
_OPEN_ENDED = (0, 0xFFFFFFFF)  # what recorders write for a size that is not known yet
_RIFF = (b"RIFF", b"RIFX", b"RF64", b"BW64")


class Inside(StrEnum):
    EMPTY = "empty"  # nothing, or a header and no audio
    UNFINISHED = "unfinished"  # the sizes in it are not those of the file
    SOUND = "sound"  # nothing speaks against it


def look(path: Path | str) -> Inside:
    """Judge a file by its beginning. One that cannot be read is `SOUND`: who reads it next says why."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return Inside.SOUND
    try:
        return judge(os.pread(handle, _LOOK_BYTES, 0), os.fstat(handle).st_size)
    except OSError:
        return Inside.SOUND
    finally:
        os.close(handle)


def judge(beginning: bytes, size_bytes: int) -> Inside:
    """Judge by the first bytes and the size of the file.

    Source: the sizes of RIFF and `data` are 0 (Asterisk, PJSIP, libsndfile) or 0xFFFFFFFF (libavformat, so
    rtpengine) until the file is closed. RF64 keeps its own in `ds64` and has 0xFFFFFFFF for good (EBU Tech 3306).
    """
    if not size_bytes:
        return Inside.EMPTY
    if beginning[:4] not in _RIFF or beginning[8:12] != b"WAVE":
        return Inside.SOUND
    order = "big" if beginning[:4] == b"RIFX" else "little"
    wide = beginning[:4] in (b"RF64", b"BW64")
    riff = int.from_bytes(beginning[4:8], order)  # type: ignore[arg-type]
    place = 12
    while place + 8 <= len(beginning):
        length = int.from_bytes(beginning[place + 4 : place + 8], order)  # type: ignore[arg-type]
        if beginning[place : place + 4] == b"data":
            if place + 8 >= size_bytes:
                return Inside.EMPTY
            if wide:
                return Inside.SOUND
            open_ended = riff in _OPEN_ENDED or length in _OPEN_ENDED
            return Inside.UNFINISHED if open_ended or place + 8 + length > size_bytes else Inside.SOUND
        place += 8 + length + length % 2
    return Inside.EMPTY if size_bytes <= len(beginning) else Inside.SOUND
