"""What the readers of single containers find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from recpipe.model import Container


class Malformed(ValueError):
    """It begins like this container, and holds no audio that could be told; `str()` says what is missing."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The audio of one file.

    Raises:
        Malformed: no channels, or no samples in a second.
    """

    container: Container
    codec: str
    sample_rate_hz: int
    channels: int
    frames: int  # samples per channel; 0 where nobody says
    start: int  # first byte of audio
    size: int
    bit_rate_bps: int = 0
    truncated: bool = False
    drawn: bool = True  # False: not decoded, whatever the codec

    def __post_init__(self) -> None:
        if not 1 <= self.sample_rate_hz < 1 << 31 or not 1 <= self.channels < 1 << 16:
            raise Malformed(f"sound; it has {self.channels} channels of {self.sample_rate_hz} samples a second")

    def inside(self, begin: int, file_bytes: int) -> Self:
        """The same, counted from the start of a file in which it begins at `begin`, and no longer than that."""
        start = min(self.start + begin, file_bytes)
        return replace(self, start=start, size=max(0, min(self.size, file_bytes - start)))


def pcm(
    container: Container, codec: str, rate: int, channels: int, start: int, claimed: int, file_bytes: int
) -> Stream:
    """A stream of samples of one size, as much of it as is there."""
    sample_bytes = SAMPLE_BYTES[codec]
    size = max(0, min(claimed, file_bytes - start))
    return Stream(
        container,
        codec,
        rate,
        channels,
        frames=size // max(1, sample_bytes * channels),
        start=start,
        size=size,
        bit_rate_bps=8 * sample_bytes * channels * rate,
        truncated=size < claimed < ALL,
    )


ALL = 1 << 62  # bytes: "to the end of the file"
# Bytes of one sample of one channel.
SAMPLE_BYTES = {
    "pcm_u8": 1, "pcm_s8": 1, "pcm_alaw": 1, "pcm_mulaw": 1,
    **{f"pcm_s{bits}{order}": bits // 8 for bits in (16, 24, 32) for order in ("le", "be")},
    **{f"pcm_f{bits}{order}": bits // 8 for bits in (32, 64) for order in ("le", "be")},
}  # fmt: skip
