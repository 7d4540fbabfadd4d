"""Other forms of a recording: MP3 for tenants who store that, PCM for browsers. The only user of lameenc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import lameenc
import numpy as np
from numpy.typing import NDArray

from recpipe.audio import mpeg, wave_format
from recpipe.audio.decode import Samples, blocks
from recpipe.model import AudioFacts, ByteStream, Container

_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_QUALITY = 5  # 2 takes twice as long, and speech at 16 kbps does not show it


def to_mp3(
    source: Path | ByteStream,
    audio: AudioFacts,
    out: BinaryIO,
    *,
    bit_rate_kbps: int = 16,
    sample_rate_hz: int = 8_000,
) -> AudioFacts:
    """Encode a WAV recording as MP3, constant bit rate, in constant memory.

    Two channels stay two (the parties of a call) at twice the bit rate; more become one.

    Args:
        source: as for `decode.blocks`.
        audio: its facts.
        out: written to from where it stands; not closed.
        bit_rate_kbps: for each channel; LAME takes the nearest that exists at the rate.
        sample_rate_hz: upper limit; a recording with less keeps its rate, or the nearest that MP3 has.

    Returns:
        The facts of what was written, offsets counted from where `out` stood.

    Raises:
        SourceChanged, Undecodable: as `decode.blocks`.
        ValueError: a bit rate that MP3 does not have.
    """
    if not 8 <= bit_rate_kbps <= 160:
        raise ValueError(f"bit_rate_kbps must be between 8 and 160, not {bit_rate_kbps}")
    channels = audio.channels if audio.channels <= 2 else 1
    rate = max((rate for rate in _RATES_HZ if rate <= min(audio.sample_rate_hz, sample_rate_hz)), default=_RATES_HZ[0])
    encoder: Any = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(channels)
    encoder.set_bit_rate(bit_rate_kbps * channels)
    encoder.set_in_sample_rate(audio.sample_rate_hz)
    encoder.set_out_sample_rate(rate)
    encoder.set_quality(_QUALITY)
    pcm = _mixed(blocks(source, audio), channels)
    if rate < audio.sample_rate_hz:
        pcm = _narrowed(pcm, audio.sample_rate_hz, rate)
    head, written = b"", 0
    for piece in _encoded(encoder, pcm):
        head = (head + piece)[:4]
        written += len(piece)
        out.write(piece)
    return _facts(head, written)


def playback_bytes(audio: AudioFacts) -> int:
    """Exact length of what `playback` gives, for a Content-Length."""
    form, data_bytes = _pcm16(audio)
    return len(wave_format.canonical(form, data_bytes)) + data_bytes


def playback(source: Path | ByteStream, audio: AudioFacts) -> Iterator[bytes]:
    """The recording as a PCM16 WAV of the same rate and channels, block by block.

    Raises:
        SourceChanged, Undecodable: as `decode.blocks`.
    """
    yield wave_format.canonical(*_pcm16(audio))
    for block in blocks(source, audio):
        yield block.astype("<i2", copy=False).tobytes()


def _pcm16(audio: AudioFacts) -> tuple[wave_format.WaveFormat, int]:
    block = 2 * audio.channels
    return wave_format.WaveFormat("pcm_s16le", audio.channels, audio.sample_rate_hz, block, 1), audio.frames * block


def _mixed(pcm: Iterator[Samples], channels: int) -> Iterator[Samples]:
    for block in pcm:
        yield block if block.shape[1] == channels else block.mean(axis=1, keepdims=True).astype(np.int16)


def _narrowed(pcm: Iterator[Samples], from_hz: int, to_hz: int) -> Iterator[Samples]:
    """Take away what the lower rate cannot hold: from 44.1 kHz, LAME's own resampler lets 6% of a 6 kHz tone through.

    A windowed-sinc low-pass, flat to 0.42 of the new rate and 50 dB down at half of it.
    """
    half = int(np.ceil(1.65 * from_hz / (0.08 * to_hz)))
    at = np.arange(-half, half + 1)
    taps = np.sinc(2 * 0.46 * to_hz / from_hz * at) * np.hamming(2 * half + 1)
    taps /= taps.sum()
    kept: NDArray[np.float64] | None = None
    channels = 1
    for block in pcm:
        channels = block.shape[1]
        kept = np.zeros((half, channels)) if kept is None else kept
        joined: NDArray[np.float64] = np.concatenate((kept, block.astype(np.float64)))
        kept = joined[-2 * half :]
        if len(joined) > 2 * half:
            yield _filtered(joined, taps)
    if kept is not None:
        joined = np.concatenate((kept, np.zeros((half, channels))))
        if len(joined) > 2 * half:
            yield _filtered(joined, taps)


def _filtered(samples: NDArray[np.float64], taps: NDArray[np.float64]) -> Samples:
    columns = [np.convolve(samples[:, channel], taps, "valid") for channel in range(samples.shape[1])]
    return np.clip(np.rint(np.stack(columns, axis=1)), -32768, 32767).astype(np.int16)


def _encoded(encoder: Any, pcm: Iterator[Samples]) -> Iterator[bytes]:
    for block in pcm:
        yield bytes(encoder.encode(block.astype("<i2", copy=False).tobytes()))
    yield bytes(encoder.flush())


def _facts(head: bytes, written: int) -> AudioFacts:
    """The facts of a constant stream without an info frame, which is what lameenc writes."""
    first = mpeg.parse_frame(head)
    assert first is not None
    found = mpeg.constant(first, 0, written)
    return AudioFacts(
        container=Container.MP3,
        codec="mp3",
        sample_rate_hz=first.sample_rate_hz,
        channels=first.channels,
        duration_ms=(1000 * found.frames + first.sample_rate_hz // 2) // first.sample_rate_hz,
        frames=found.frames,
        data_offset=0,
        data_bytes=written,
        bit_rate_bps=found.bit_rate_bps,
    )
