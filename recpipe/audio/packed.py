"""Streams of packed frames: AAC in ADTS, AMR; and the header of Windows Media (ASF).

Source: ISO/IEC 14496-3 section 1.A.2 (ADTS), RFC 4867 section 5 (AMR), Microsoft "Advanced Systems Format" 1.20.03.
"""

from __future__ import annotations

from recpipe.audio import wave_format
from recpipe.audio.files import ReadsAt
from recpipe.audio.stream import Malformed, Stream
from recpipe.model import Container

_BLOCK_BYTES = 1 << 16
_AAC_RATES_HZ = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
)  # fmt: skip
_AAC_SAMPLES = 1024
_AAC_CHAIN = 3
# Bytes of a frame by its type, the type's own byte included; 0: reserved.
_AMR_NB = (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1)
_AMR_WB = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)


def adts(source: ReadsAt, begin: int = 0) -> Stream | None:
    """AAC that begins at `begin`; None where no three frames follow each other there."""
    position, frames, audio = begin, 0, b""
    window, base = b"", begin
    while True:
        if position - base + 7 > len(window):
            window, base = source.at(position, _BLOCK_BYTES), position
        head = window[position - base : position - base + 7]
        size = _adts_bytes(head)
        if not size or (audio and head[2] & 0xFC != audio[2] & 0xFC):
            break
        audio = audio or head
        frames += 1
        position += size
    if frames < _AAC_CHAIN:
        return None
    rate = _AAC_RATES_HZ[audio[2] >> 2 & 15]
    channels = (audio[2] & 1) << 2 | audio[3] >> 6
    samples = frames * _AAC_SAMPLES
    size = min(position, source.size_bytes) - begin
    bit_rate = 8 * size * rate // samples
    cut = position > source.size_bytes
    return Stream(Container.AAC, "aac", rate, channels or 2, samples, begin, size, bit_rate, truncated=cut)


def _adts_bytes(head: bytes) -> int:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 >= len(_AAC_RATES_HZ):
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0


def amr(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: there is no frame behind its first line.
    """
    wide = source.at(0, 9) == b"#!AMR-WB\n"
    table = _AMR_WB if wide else _AMR_NB
    start = position = 9 if wide else 6
    frames, base, window = 0, 0, b""
    while position < source.size_bytes:
        if position - base + 1 > len(window):
            window, base = source.at(position, _BLOCK_BYTES), position
        size = table[window[position - base] >> 3 & 15]
        if not size:
            break
        frames += 1
        position += size
    if not frames:
        raise Malformed("a frame")
    rate = 16_000 if wide else 8_000
    samples = frames * rate // 50
    size = source.size_bytes - start
    cut = position > source.size_bytes
    return Stream(
        Container.AMR, "amr_wb" if wide else "amr_nb", rate, 1, samples, start, size, 8 * size * 50 // frames,
        truncated=cut,
    )  # fmt: skip


_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_ASF_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
ASF_MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def asf(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: there is no audio stream.
    """
    header_bytes = int.from_bytes(source.at(16, 8), "little")
    position, length, form = 30, 0, None
    for _ in range(256):
        head = source.at(position, 24)
        size = int.from_bytes(head[16:], "little")
        if len(head) < 24 or size < 24 or position >= header_bytes:
            break
        if head[:16] == _ASF_FILE:
            body = source.at(position + 24, 64)
            # In units of 100 ns, what is buffered before the start (in ms) included.
            length = int.from_bytes(body[40:48], "little") - 10_000 * int.from_bytes(body[56:64], "little")
        elif head[:16] == _ASF_STREAM and source.at(position + 24, 16) == _ASF_AUDIO:
            form = source.at(position + 24 + 54, 64)
        position += size
    if form is None:
        raise Malformed("an audio stream")
    try:
        found = wave_format.parse(form)
    except wave_format.UnsupportedFormat as error:
        raise Malformed(f"an audio stream that makes sense; it has {error}") from error
    length = length if 0 < length < 1 << 53 else 0
    return Stream(
        Container.ASF, found.codec, found.sample_rate_hz, found.channels, length * found.sample_rate_hz // 10**7,
        header_bytes, max(0, source.size_bytes - header_bytes), 8 * found.byte_rate, drawn=False,
    )  # fmt: skip
