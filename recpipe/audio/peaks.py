"""The waveform of a recording, small enough to keep in its row.

Format, version 1: byte 0 is 1; byte 1 the number of channels; bytes 2-3 the number of points, little-endian; then for
each channel in turn, for each point in turn, the lowest and the highest sample as two signed bytes (full scale is 128).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from recpipe.model import AudioFacts, ByteStream

_VERSION = 1
_HEADER = struct.Struct("<BBH")
MAX_POINTS = 0xFFFF


class PeaksMalformed(ValueError):
    """These bytes are not what `compute` makes."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """One tuple of (lowest, highest) pairs a channel; values from -128 to 127."""

    channels: tuple[tuple[tuple[int, int], ...], ...]


def compute(source: Path | ByteStream, audio: AudioFacts, points: int = 1000) -> bytes:
    """Draw the waveform in constant memory.

    Args:
        source: as for `decode.blocks`.
        points: columns wanted, 1 to 65535; a recording with fewer samples has one a sample.

    Returns:
        The format above: 4 + 2 * points * channels bytes.

    Raises:
        SourceChanged, Undecodable: as `decode.blocks`.
    """
    if not 1 <= points <= MAX_POINTS:
        raise ValueError(f"points must be between 1 and {MAX_POINTS}, not {points}")
    import numpy as np  # 25 MB, which who shows waveforms, and draws none, does not need

    from recpipe.audio.decode import blocks

    frames = audio.frames
    points = min(points, frames)
    lowest = np.full((points, audio.channels), 32767, np.int16)
    highest = np.full((points, audio.channels), -32768, np.int16)
    edges = -(-np.arange(points + 1, dtype=np.int64) * frames // points)  # first frame of each point
    position = 0
    for block in blocks(source, audio):
        end = position + len(block)
        first = int(np.searchsorted(edges, position, side="right")) - 1
        last = int(np.searchsorted(edges, end, side="left"))
        starts = np.maximum(edges[first:last] - position, 0)
        into = slice(first, last)
        lowest[into] = np.minimum(lowest[into], np.minimum.reduceat(block, starts, axis=0))
        highest[into] = np.maximum(highest[into], np.maximum.reduceat(block, starts, axis=0))
        position = end
    pairs = np.stack((lowest, highest), axis=-1).astype(np.int32)
    # Rounded, so that the noise of a silent line is drawn as silence and not as -1.
    scaled = np.clip((pairs + 128) >> 8, -128, 127).astype(np.int8)
    packed: bytes = _HEADER.pack(_VERSION, audio.channels, points) + scaled.transpose(1, 0, 2).tobytes()
    return packed


def decode(packed: bytes) -> Peaks:
    """Unpack what `compute` made.

    Raises:
        PeaksMalformed: it is something else.
    """
    if len(packed) < _HEADER.size:
        raise PeaksMalformed("too short for a waveform")
    version, channels, points = _HEADER.unpack_from(packed)
    if version != _VERSION or len(packed) != _HEADER.size + 2 * channels * points:
        raise PeaksMalformed(f"not a waveform of version {_VERSION}")
    values = struct.unpack(f"{2 * channels * points}b", packed[_HEADER.size :])
    pairs = tuple(zip(values[::2], values[1::2], strict=True))
    return Peaks(tuple(pairs[channel * points : (channel + 1) * points] for channel in range(channels)))
