"""What a WAVE `fmt ` chunk says, and how many samples a number of bytes holds in each codec."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recpipe.audio.stream import SAMPLE_BYTES
from recpipe.audio.wave_codecs import registered_name

EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_MAX_CHANNELS = 16
_MAX_RATE_HZ = 384_000
_MAX_BLOCK = 1 << 14  # of ADPCM; its samples must be counted in 16 bits
GSM_BLOCK_BYTES = 65  # two frames of 33 bytes, packed without their magic nibbles (wav49)
GSM_BLOCK_FRAMES = 320
_MS_COEFFICIENTS = (256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232)
_ALL_ONES = 0xFFFFFFFF
_AU_ENCODINGS = {
    "pcm_s8": 2, "pcm_s16be": 3, "pcm_s24be": 4, "pcm_s32be": 5, "pcm_f32be": 6, "pcm_f64be": 7,
}  # fmt: skip


class UnsupportedFormat(ValueError):
    """No audio can have these parameters; `str()` says which."""


@dataclass(frozen=True, slots=True)
class WaveFormat:
    codec: str
    channels: int
    sample_rate_hz: int
    block_bytes: int
    block_frames: int  # samples per channel in one block
    # False: a codec that is only known by name. One "block" is then what the header calls a second, 0 bytes where it
    # does not say.
    known: bool = True

    def frames(self, data_bytes: int) -> int:
        """Samples per channel in so many bytes; an unfinished last block counts as far as it can be decoded."""
        if not self.known:
            return data_bytes * self.block_frames // self.block_bytes if self.block_bytes else 0
        blocks, rest = divmod(data_bytes, self.block_bytes)
        frames = blocks * self.block_frames
        if self.codec == "adpcm_ima" and rest > 4 * self.channels:
            frames += 1 + (rest - 4 * self.channels) // (4 * self.channels) * 8
        return frames

    @property
    def byte_rate(self) -> int:
        return self.sample_rate_hz * self.block_bytes // self.block_frames


def parse(fmt: bytes) -> WaveFormat:
    """Read the body of a `fmt ` chunk. Block sizes of PCM-like codecs are computed, since headers get them wrong.

    Raises:
        UnsupportedFormat: no channels, or no samples in a second.
    """
    if len(fmt) < 16:
        raise UnsupportedFormat("a format header that is too short")
    tag, channels, rate, bytes_a_second, block_align, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == EXTENSIBLE and len(fmt) >= 40 and fmt[26:40] == _GUID_TAIL:
        tag = struct.unpack("<H", fmt[24:26])[0]
    if not channels:
        raise UnsupportedFormat("no channels")
    if not 1 <= rate < 1 << 31:
        raise UnsupportedFormat(f"a sample rate of {rate} Hz")
    named = WaveFormat(registered_name(tag), channels, rate, bytes_a_second, rate, known=False)
    if channels > _MAX_CHANNELS or rate > _MAX_RATE_HZ:
        return named

    def sampled(codec: str, sample_bytes: int) -> WaveFormat:
        return WaveFormat(codec, channels, rate, sample_bytes * channels, 1)

    match tag, bits:
        case 1, _ if 1 <= bits <= 32:
            # 12 or 20 bits stand left-justified in the whole bytes they need. Source: mmreg.h, WAVEFORMATEX.
            sample_bytes = 4 if bits % 8 and block_align == 4 * channels else -(-bits // 8)
            return sampled("pcm_u8" if sample_bytes == 1 else f"pcm_s{8 * sample_bytes}le", sample_bytes)
        case 3, (32 | 64):
            return sampled(f"pcm_f{bits}le", bits // 8)
        case 6, _:
            return sampled("pcm_alaw", 1)
        case 7, _:
            return sampled("pcm_mulaw", 1)
        case 0x31, _ if channels == 1:
            return WaveFormat("gsm", 1, rate, GSM_BLOCK_BYTES, GSM_BLOCK_FRAMES)
        case 0x11, _ if (
            channels <= 2 and 4 * channels < block_align <= _MAX_BLOCK and block_align % (4 * channels) == 0
        ):
            frames = (block_align - 4 * channels) // (4 * channels) * 8 + 1
            return WaveFormat("adpcm_ima", channels, rate, block_align, frames)
        case 2, _ if channels <= 2 and 7 * channels < block_align <= _MAX_BLOCK:
            return WaveFormat("adpcm_ms", channels, rate, block_align, (block_align - 7 * channels) * 2 // channels + 2)
        case _:
            return named


def corrected(fmt: bytes, form: WaveFormat) -> bytes:
    """The chunk body with its byte rate and block size set right where they can be computed; else as it is."""
    if form.block_frames != 1 or not form.known:
        return fmt
    return fmt[:8] + struct.pack("<IH", form.byte_rate, form.block_bytes) + fmt[14:]


def sampled_header(codec: str, channels: int, rate: int, data_bytes: int) -> bytes:
    """A header that libsndfile reads, for samples without one: WAVE for little-endian ones, AU for the others."""
    if codec in _AU_ENCODINGS:
        size = min(data_bytes, _ALL_ONES)
        return struct.pack(">4s5I", b".snd", 24, size, _AU_ENCODINGS[codec], rate, channels)
    form = WaveFormat(codec, channels, rate, SAMPLE_BYTES.get(codec, 0) * channels, 1)
    if codec == "gsm":
        form = WaveFormat(codec, 1, rate, GSM_BLOCK_BYTES, GSM_BLOCK_FRAMES)
    return canonical(form, data_bytes)


def canonical(form: WaveFormat, data_bytes: int) -> bytes:
    """A whole WAVE header for so many bytes of audio, and nothing a reader could stumble over."""
    tag, bits, extra = {
        "pcm_u8": (1, 8, b""),
        "pcm_s16le": (1, 16, b""),
        "pcm_s24le": (1, 24, b""),
        "pcm_s32le": (1, 32, b""),
        "pcm_f32le": (3, 32, b""),
        "pcm_f64le": (3, 64, b""),
        "pcm_alaw": (6, 8, b""),
        "pcm_mulaw": (7, 8, b""),
        "gsm": (0x31, 0, struct.pack("<H", GSM_BLOCK_FRAMES)),
        "adpcm_ima": (0x11, 4, struct.pack("<H", form.block_frames)),
        "adpcm_ms": (2, 4, struct.pack("<HH14h", form.block_frames, 7, *_MS_COEFFICIENTS)),
    }[form.codec]
    fmt = struct.pack("<HHIIHH", tag, form.channels, form.sample_rate_hz, form.byte_rate, form.block_bytes, bits)
    if extra:
        fmt += struct.pack("<H", len(extra)) + extra
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt
    if tag != 1:
        chunks += b"fact" + struct.pack("<II", 4, min(form.frames(data_bytes), _ALL_ONES))
    total = 4 + len(chunks) + 8 + data_bytes + data_bytes % 2
    if total <= _ALL_ONES:
        return b"RIFF" + struct.pack("<I", total) + b"WAVE" + chunks + b"data" + struct.pack("<I", data_bytes)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, total + 36, data_bytes, form.frames(data_bytes), 0)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + chunks + b"data\xff\xff\xff\xff"
