"""What the beginning of a WAV says of its being finished, as each recorder leaves it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from recpipe.spool import header
from recpipe.spool.header import Inside


def wav(
    audio: int, riff: int | None = None, data: int | None = None, before: bytes = b"", kind: bytes = b"RIFF"
) -> bytes:
    order = ">" if kind == b"RIFX" else "<"
    body = b"fmt " + struct.pack(order + "IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + before
    body += b"data" + struct.pack(order + "I", audio if data is None else data) + bytes(audio)
    return kind + struct.pack(order + "I", 4 + len(body) if riff is None else riff) + b"WAVE" + body


LAVF = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + bytes(18)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", Inside.EMPTY),
        (wav(0), Inside.EMPTY),  # a header alone, 44 bytes
        (wav(0, 0xFFFFFFFF, 0xFFFFFFFF, LAVF), Inside.EMPTY),
        (wav(0)[:30], Inside.EMPTY),
        (wav(8000), Inside.SOUND),
        (wav(8000, kind=b"RIFX"), Inside.SOUND),
        (wav(8000, before=LAVF), Inside.SOUND),
        (wav(8000) + LAVF, Inside.SOUND),
        (wav(8000, 0, 0), Inside.UNFINISHED),  # PJSIP, Asterisk, libsndfile
        (wav(8000, 0xFFFFFFFF, 0xFFFFFFFF, LAVF), Inside.UNFINISHED),  # libavformat: rtpengine
        (wav(8000, data=0), Inside.UNFINISHED),
        (wav(8000, data=8001), Inside.UNFINISHED),  # cut short, or sizes written ahead
        (wav(8000, 0xFFFFFFFF, 0xFFFFFFFF, b"ds64" + struct.pack("<I", 28) + bytes(28), b"RF64"), Inside.SOUND),
        (b"\xff\xfb\x90\xc4" + bytes(413), Inside.SOUND),  # MP3 has no end to look for
    ],
)
def test_the_beginning_tells_empty_and_unfinished_from_sound(tmp_path: Path, data: bytes, said: Inside) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert header.look(path) is said


def test_what_cannot_be_read_is_left_to_who_reads_it_next(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere")
    assert header.look(tmp_path / "gone.wav") is Inside.SOUND
    assert header.look(tmp_path / "link.wav") is Inside.SOUND
