"""Containers around plain samples: AU, AIFF, W64, big-endian RIFF, CAF.

Few and bounded reads; what sizes claim beyond the end of the file is not believed.

Source: Sun audio(4) (AU), Apple "AIFF-C" draft 1991, Sony "Wave64" 1.0, Apple Core Audio Format Specification 1.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recpipe.audio import wave_format
from recpipe.audio.files import ReadsAt
from recpipe.audio.stream import ALL, SAMPLE_BYTES, Malformed, Stream, pcm
from recpipe.model import Container

_MOST_CHUNKS = 512

_AU_CODECS = {
    1: "pcm_mulaw", 2: "pcm_s8", 3: "pcm_s16be", 4: "pcm_s24be", 5: "pcm_s32be", 6: "pcm_f32be", 7: "pcm_f64be",
    27: "pcm_alaw",
}  # fmt: skip
_AU_NAMES = {23: "g721", 24: "g722", 25: "g723_24", 26: "g723_40"}
_AU_RATES = {23: 4, 24: 8, 25: 3, 26: 5}  # bits a sample


def au(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: the header is not whole.
    """
    header = source.at(0, 24)
    if len(header) < 24:
        raise Malformed("its header")
    start, claimed, encoding, rate, channels = struct.unpack(">5I", header[4:])
    claimed = ALL if claimed == 0xFFFFFFFF else claimed
    if (codec := _AU_CODECS.get(encoding)) is not None:
        return pcm(Container.AU, codec, rate, channels, start, claimed, source.size_bytes)
    size = max(0, min(claimed, source.size_bytes - start))
    bits = _AU_RATES.get(encoding, 0)
    frames = 8 * size // (bits * channels) if bits and channels else 0
    name = _AU_NAMES.get(encoding, f"au_{encoding}")
    return Stream(Container.AU, name, rate, channels, frames, start, size, bits * rate * channels)


def aiff(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: it lacks the COMM or the SSND chunk.
    """
    common, sound = b"", None
    for name, start, size in _chunks(source, 12, ">", 2):
        if name == b"COMM":
            common = source.at(start, 22)
        elif name == b"SSND":
            shift = int.from_bytes(source.at(start, 4), "big")
            sound = (start + 8 + shift, size - 8 - shift)
        if common and sound:
            break
    if len(common) < 18 or sound is None:
        raise Malformed("the COMM or the SSND chunk")
    channels, frames, bits = struct.unpack(">hIh", common[:8])
    rate = _extended(common[8:18])
    kind = common[18:22] if source.at(8, 4) == b"AIFC" else b"NONE"
    codec = _aiff_codec(kind, bits)
    if codec in SAMPLE_BYTES:
        return pcm(Container.AIFF, codec, rate, channels, *sound, source.size_bytes)
    frames = 64 * frames if kind == b"ima4" else frames  # there it counts packets
    return Stream(Container.AIFF, codec, rate, channels, frames, sound[0], max(0, min(sound[1], source.size_bytes)))


def _aiff_codec(kind: bytes, bits: int) -> str:
    whole = 8 * -(-bits // 8)
    if kind in (b"NONE", b"twos", b"in24", b"in32") and 1 <= bits <= 32:
        return "pcm_s8" if whole == 8 else f"pcm_s{whole}be"
    if kind == b"sowt" and 9 <= bits <= 32:
        return f"pcm_s{whole}le"
    named = {
        b"raw ": "pcm_u8", b"fl32": "pcm_f32be", b"FL32": "pcm_f32be", b"fl64": "pcm_f64be", b"FL64": "pcm_f64be",
        b"ulaw": "pcm_mulaw", b"ULAW": "pcm_mulaw", b"alaw": "pcm_alaw", b"ALAW": "pcm_alaw", b"ima4": "adpcm_ima_qt",
        b"GSM ": "gsm", b"agsm": "gsm",
    }  # fmt: skip
    return named.get(kind) or _printable(kind)


def _extended(ten: bytes) -> int:
    """An 80-bit IEEE 754 number, as far as a sample rate needs it."""
    exponent = (int.from_bytes(ten[:2], "big") & 0x7FFF) - 16383
    mantissa = int.from_bytes(ten[2:], "big")
    return mantissa >> (63 - exponent) if 0 <= exponent < 32 else 0


_W64_FMT = b"fmt " + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_DATA = b"data" + _W64_FMT[4:]


def w64(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: it lacks the fmt or the data chunk, or a codec that is read.
    """
    position, fmt = 40, b""
    for _ in range(_MOST_CHUNKS):
        header = source.at(position, 24)
        if len(header) < 24:
            break
        size = int.from_bytes(header[16:], "little")
        if header[:16] == _W64_DATA:
            return _waved(Container.W64, fmt, position + 24, max(0, size - 24), source.size_bytes)
        if header[:16] == _W64_FMT:
            fmt = source.at(position + 24, 64)
        if size < 24:
            break
        position += size + -size % 8
    raise Malformed("the data chunk")


def rifx(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: it lacks the fmt or the data chunk.
    """
    fmt = b""
    for name, start, size in _chunks(source, 12, ">", 2):
        if name == b"fmt ":
            fmt = struct.pack("<HHIIHH", *struct.unpack(">HHIIHH", source.at(start, 16).ljust(16, b"\0")))
        elif name == b"data":
            return _waved(Container.RIFX, fmt, start, size or ALL, source.size_bytes, swapped=True)
    raise Malformed("the data chunk")


def _waved(
    container: Container, fmt: bytes, start: int, claimed: int, file_bytes: int, *, swapped: bool = False
) -> Stream:
    try:
        form = wave_format.parse(fmt)
    except wave_format.UnsupportedFormat as error:
        raise Malformed(f"a format header that makes sense; it has {error}") from error
    codec = form.codec
    if swapped and codec.startswith("pcm_") and codec.endswith("le"):
        codec = f"{codec[:-2]}be"
    if codec in SAMPLE_BYTES:
        return pcm(container, codec, form.sample_rate_hz, form.channels, start, claimed, file_bytes)
    size = max(0, min(claimed, file_bytes - start))
    return Stream(
        container, codec, form.sample_rate_hz, form.channels, form.frames(size), start, size, 8 * form.byte_rate,
        drawn=codec == "gsm",
    )  # fmt: skip


def caf(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: it lacks the desc or the data chunk.
    """
    description, frames, sound = b"", 0, None
    position = 8
    for _ in range(_MOST_CHUNKS):
        header = source.at(position, 12)
        if len(header) < 12:
            break
        name, size = struct.unpack(">4sq", header)
        start = position + 12
        if name == b"desc":
            description = source.at(start, 32)
        elif name == b"pakt":
            frames = int.from_bytes(source.at(start, 24)[8:16], "big")
        elif name == b"data":
            sound = (start + 4, ALL if size < 0 else size - 4)
        if size < 0:
            break
        position = start + size
    if len(description) < 32 or sound is None:
        raise Malformed("the desc or the data chunk")
    rate, kind, flags, packet_bytes, packet_frames, channels, bits = struct.unpack(">d4s5I", description)
    if not 1 <= rate < 1 << 31:
        raise Malformed("a sample rate")
    codec = {b"ulaw": "pcm_mulaw", b"alaw": "pcm_alaw", b"aac ": "aac", b"ima4": "adpcm_ima_qt"}.get(kind)
    if kind == b"lpcm" and bits in ((32, 64) if flags & 1 else (8, 16, 24, 32)):
        codec = "pcm_s8" if bits == 8 else f"pcm_{'f' if flags & 1 else 's'}{bits}{'le' if flags & 2 else 'be'}"
    codec = codec or _printable(kind)
    if codec in SAMPLE_BYTES:
        return pcm(Container.CAF, codec, int(rate), channels, *sound, source.size_bytes)
    size = max(0, min(sound[1], source.size_bytes - sound[0]))
    if not frames and packet_bytes:
        frames = size // packet_bytes * packet_frames
    return Stream(Container.CAF, codec, int(rate), channels, frames, sound[0], size)


def _chunks(source: ReadsAt, position: int, order: str, align: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of each chunk."""
    for _ in range(_MOST_CHUNKS):
        header = source.at(position, 8)
        if len(header) < 8:
            return
        name, size = struct.unpack(f"{order}4sI", header)
        yield name, position + 8, size
        position += 8 + size + size % align


def _printable(kind: bytes) -> str:
    text = kind.decode("ascii", "replace").strip().lower()
    return text if text.isprintable() and text.isascii() and text else f"0x{kind.hex()}"
