"""MPEG audio streams of all three layers: where the frames lie, how long they are, constant or variable bit rate.

Every frame is stepped over, in constant memory: what joined files, holes and lost info frames claim is not believed.

Source: ISO/IEC 11172-3 and 13818-3 (frame headers), Xing and LAME info tag, Fraunhofer VBRI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from recpipe.audio import outer_tags
from recpipe.audio.files import ReadsAt

_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBPS_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBPS = {
    (3, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): _KBPS_LOW,
    (2, 3): _KBPS_LOW,
}
_HEADER = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff](?=[^\xf0-\xff])")
_BLOCK_BYTES = 1 << 16
SEARCH_BYTES = 1 << 20  # how far from the start, or from the tags there, a stream may begin
_CHAIN = 4  # frames in a row that are no accident
_LONGEST_FREE = 8192
_MOST_CANDIDATES = 20_000  # headers looked at that turned out to be none, in one file
_MOST_RUNS = 4096
_MAX_FRAME_BYTES = 2881  # MPEG-2.5 at 160 kbps and 8 kHz, padded


class NotMpeg(ValueError):
    """No frames follow each other where the audio should begin."""


class NoAudio(ValueError):
    """There are tags, and nothing else."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame header."""

    version: int  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    layer: int
    sample_rate_hz: int
    bit_rate_bps: int  # 0: free format
    channels: int
    size_bytes: int  # of free format: its padding alone
    guarded: bool  # a CRC follows the header

    @property
    def samples(self) -> int:
        if self.layer == 3 and self.version != 3:
            return 576
        return 384 if self.layer == 1 else 1152

    @property
    def codec(self) -> str:
        return f"mp{self.layer}"

    def like(self, other: Frame) -> bool:
        """Belongs to the same stream: version, layer and sample rate never change within one."""
        return (
            self.version == other.version
            and self.layer == other.layer
            and self.sample_rate_hz == other.sample_rate_hz
            and (self.bit_rate_bps == 0) == (other.bit_rate_bps == 0)
        )


@dataclass(frozen=True, slots=True)
class Mpeg:
    start: int  # first frame, an info frame included
    end: int  # behind the last one; tags follow
    first: Frame
    frames: int  # samples per channel, at the rate of the first frame
    bit_rate_bps: int
    vbr: bool
    truncated: bool
    runs: tuple[tuple[int, int], ...] = ()  # (start, bytes): whole frames without anything between them
    uniform: bool = True  # one version, layer and rate throughout


def parse_frame(header: bytes) -> Frame | None:
    """Read a 4-byte frame header; None when it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, kbps_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or kbps_index == 15 or header[3] & 3 == 2:
        return None
    rate = _RATES_HZ[version][rate_index]
    bit_rate = 1000 * _KBPS[(3 if version == 3 else 2), layer][kbps_index]
    padding = header[2] >> 1 & 1
    if layer == 1:
        size = 4 * (12 * bit_rate // rate + padding)
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bit_rate // rate + padding
    return Frame(version, layer, rate, bit_rate, 1 if header[3] >> 6 == 3 else 2, size, header[1] & 1 == 0)


def measure(source: ReadsAt, search_bytes: int = SEARCH_BYTES) -> Mpeg:
    """Find the audio and its length.

    Args:
        source: the file.
        search_bytes: how far behind the tags the first frame may be; 0: there, or nowhere.

    Raises:
        NotMpeg: this is no MPEG audio stream.
        NoAudio: tags with no audio between them.
    """
    tags = outer_tags.leading(source)
    end = max(tags.end, outer_tags.trailing(source))
    if tags.end and tags.end >= end:
        raise NoAudio
    walk = _Walk(source, end)
    found = walk.synchronise(tags.end, search_bytes + 1)
    if found is None:
        raise NotMpeg
    start, first = found
    head = source.at(start, min(first.size_bytes, end - start))
    info = _info(head, first) if first.layer == 3 and first.bit_rate_bps else None
    if info is None:
        walk.count(start, first)
        return walk.result(start, first, trim=0, steady=None)
    counted, claimed_bytes, trim, steady = info
    actual_bytes = end - start
    walk.count(start + first.size_bytes, first)
    if claimed_bytes > actual_bytes + _MAX_FRAME_BYTES:
        walk.cut = True
    if abs(counted - walk.frames) > 1:
        # Not the info frame of this file any more: of one of those it was joined from, or of what it was cut from.
        return walk.result(start, first, trim=0, steady=None)
    walk.take_in(start, first.size_bytes)
    return walk.result(start, first, trim=trim, steady=steady)


def constant(first: Frame, start: int, end: int) -> Mpeg:
    """The length of a stream that was just made with one bit rate, without a look at it."""
    # Frames of a rate that does not divide evenly differ by a padding byte, so the sum may be one byte short.
    even = first.samples * first.bit_rate_bps % (8 * first.sample_rate_hz) == 0
    bits_by_rate = 8 * (end - start + (0 if even else 1)) * first.sample_rate_hz
    whole, rest = divmod(bits_by_rate, first.bit_rate_bps * first.samples)
    samples = max(1, whole) * first.samples
    return Mpeg(start, end, first, samples, first.bit_rate_bps, vbr=False, truncated=even and rest > 0)


@dataclass(slots=True)
class _Stream:
    """The frames of one version, layer and rate."""

    like: Frame
    free_bytes: int = 0  # of free format: a frame without its padding
    by_header: dict[bytes, list[int]] = field(default_factory=dict)  # first three bytes: size, bit rate, number

    def entry(self, frame: Frame) -> list[int]:
        size = frame.size_bytes + self.free_bytes
        return [size, frame.bit_rate_bps or 8 * self.free_bytes * frame.sample_rate_hz // frame.samples, 0]

    @property
    def frames(self) -> int:
        return sum(number for _, _, number in self.by_header.values())


class _Walk:
    """Steps from frame to frame, over whatever lies between them."""

    def __init__(self, source: ReadsAt, end: int) -> None:
        self._source = source
        self._end = end
        self._candidates = 0
        self._streams: list[_Stream] = []
        self._runs: list[tuple[int, int]] = []
        self.cut = False

    @property
    def frames(self) -> int:
        return sum(stream.frames for stream in self._streams)

    def take_in(self, start: int, size_bytes: int) -> None:
        """Let the info frame belong to the audio: players, and libsndfile, learn from it what to leave out."""
        begin, length = self._runs[0] if self._runs else (0, 0)
        if begin == start + size_bytes:
            self._runs[0] = (start, size_bytes + length)

    def result(self, start: int, first: Frame, *, trim: int, steady: bool | None) -> Mpeg:
        """What was counted.

        Args:
            trim: samples that a player leaves out.
            steady: what an info frame says of the bit rate.
        """
        if not self.frames:
            raise NoAudio
        samples = 0
        rates: set[int] = set()
        bits = 0
        for stream in self._streams:
            rate = stream.like.sample_rate_hz
            samples += (stream.frames * stream.like.samples * first.sample_rate_hz + rate // 2) // rate
            for size, bit_rate, number in stream.by_header.values():
                bits += 8 * size * number
                if number:
                    rates.add(bit_rate)
        constant = steady if steady is not None else len(rates) == 1
        average = bits * first.sample_rate_hz // samples
        samples -= trim if trim < samples else 0
        rate_bps = rates.pop() if constant and len(rates) == 1 else average
        kinds = [stream.like for stream in self._streams if stream.frames]
        uniform = all(kind.like(kinds[0]) for kind in kinds) and len(self._runs) < _MOST_RUNS
        return Mpeg(start, self._end, first, samples, rate_bps, not constant, self.cut, tuple(self._runs), uniform)

    def count(self, position: int, first: Frame) -> None:
        """Step over every frame from `position`, where the stream of `first` goes on."""
        stream = self._stream(first)
        if not first.bit_rate_bps:
            stream.free_bytes = self._free_size(position, first)
        begin = position
        base, window = position, b""
        while position + 4 <= self._end:
            at = position - base
            if at + 4 > len(window):
                base, window, at = position, self._source.at(position, min(_BLOCK_BYTES, self._end - position)), 0
                if len(window) < 4:
                    break
            entry = stream.by_header.get(window[at : at + 3])
            if entry is None:
                frame = parse_frame(window[at : at + 4])
                if frame is None or not frame.like(stream.like):
                    self._run(begin, position)
                    found = self._again(position)
                    if found is None:
                        begin = self._end
                        break
                    position, frame = found
                    begin = position
                    stream = self._stream(frame)
                    if not frame.bit_rate_bps:
                        stream.free_bytes = self._free_size(position, frame)
                    continue
                entry = stream.by_header[window[at : at + 3]] = stream.entry(frame)
            if position + entry[0] > self._end:
                self.cut = True
                break
            entry[2] += 1
            position += entry[0]
        self._run(begin, min(position, self._end))

    def _again(self, position: int) -> tuple[int, Frame] | None:
        """The next frame behind damage, silence or a tag."""
        behind = outer_tags.inside(self._source, position, self._end)
        return self.synchronise(behind, self._end - behind)

    def _stream(self, frame: Frame) -> _Stream:
        for stream in self._streams:
            if frame.bit_rate_bps and stream.like.like(frame):
                return stream
        self._streams.append(_Stream(frame))
        return self._streams[-1]

    def _run(self, begin: int, end: int) -> None:
        if end > begin and len(self._runs) < _MOST_RUNS:
            self._runs.append((begin, end - begin))

    def synchronise(self, begin: int, length: int) -> tuple[int, Frame] | None:
        """The first frame within `length` bytes that others follow.

        At `begin` itself one more will do, or the end of the audio; further on it takes a chain, since noise holds two.
        """
        for at in self._headers(begin, length):
            frame = parse_frame(self._source.at(at, 4))
            if frame is None:
                continue
            self._candidates += 1
            if self._candidates > _MOST_CANDIDATES:
                return None
            chained, ended = self._chained(at, frame)
            if chained >= (2 if at == begin else _CHAIN) or ended:
                return at, frame
        return None

    def _headers(self, begin: int, length: int) -> Iterator[int]:
        position, stop = begin, min(begin + length, self._end)
        while position < stop:
            window = self._source.at(position, min(_BLOCK_BYTES, self._end - position))
            for match in _HEADER.finditer(window):
                if position + match.start() >= stop:
                    return
                yield position + match.start()
            # A header may lie across the edge.
            position += max(1, len(window) - 3)

    def _chained(self, at: int, frame: Frame) -> tuple[int, bool]:
        """How many frames follow each other from here, at most `_CHAIN`, and whether the audio ends behind them."""
        free = 0 if frame.bit_rate_bps else self._free_size(at, frame)
        if not frame.bit_rate_bps and not free:
            return 0, False
        number, like = 0, frame
        while number < _CHAIN:
            number += 1
            at += frame.size_bytes + free
            if at >= self._end:
                return number, at == self._end or number == _CHAIN - 1
            following = parse_frame(self._source.at(at, 4))
            if following is None or not following.like(like):
                break
            frame = following
        return number, False

    def _free_size(self, at: int, frame: Frame) -> int:
        """How long the frames of a free-format stream are without padding, by where the next header is; 0: unknown."""
        window = self._source.at(at, min(_LONGEST_FREE + 4, self._end - at))
        for match in _HEADER.finditer(window, 24):
            size = match.start() - frame.size_bytes
            after = parse_frame(window[match.start() : match.start() + 4])
            if after is None or not after.like(frame):
                continue
            third = parse_frame(self._source.at(at + match.start() + size + after.size_bytes, 4))
            if third is not None and third.like(frame):
                return size
        return 0


def _info(head: bytes, first: Frame) -> tuple[int, int, int, bool] | None:
    """Frames, bytes, samples to trim and "constant rate" as a Xing, Info or VBRI header claims; None without one."""
    if head[36:40] == b"VBRI" and len(head) >= 54:
        return int.from_bytes(head[50:54], "big"), int.from_bytes(head[46:50], "big"), 0, False
    side = (17 if first.channels == 1 else 32) if first.version == 3 else (9 if first.channels == 1 else 17)
    for at in (4 + side, 6 + side) if first.guarded else (4 + side,):
        if head[at : at + 4] not in (b"Xing", b"Info"):
            continue
        flags = int.from_bytes(head[at + 4 : at + 8], "big")
        position = at + 8
        fields = []
        for bit, width in ((1, 4), (2, 4), (4, 100), (8, 4)):
            fields.append(int.from_bytes(head[position : position + 4], "big") if flags & bit else 0)
            position += width if flags & bit else 0
        trim = 0
        if head[position : position + 4] in (b"LAME", b"Lavf", b"Lavc") and len(head) >= position + 24:
            gaps = int.from_bytes(head[position + 21 : position + 24], "big")
            trim = (gaps >> 12) + (gaps & 0xFFF)
        return fields[0], fields[1], trim, head[at : at + 4] == b"Info"
    return None
