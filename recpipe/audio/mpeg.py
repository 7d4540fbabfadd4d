"""MPEG layer III streams: where the audio lies, how long it is, constant or variable bit rate.

Small files are measured by a few reads; a variable bit rate whose own header is missing or does not fit the file is
counted frame by frame, in constant memory.

Source: ISO/IEC 11172-3 and 13818-3 (frame headers), ID3v2.4 structure, Xing and LAME info tag, Fraunhofer VBRI.
"""

from __future__ import annotations

from dataclasses import dataclass

from recpipe.audio.riff import ReadsAt

_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SEARCH_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 16
_MAX_FRAME_BYTES = 2881  # MPEG-2.5 at 160 kbps and 8 kHz, padded


class NotMpeg(ValueError):
    """No two layer III frames follow each other where the audio should begin."""


class NoAudio(ValueError):
    """There are tags, and nothing else."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame header."""

    version: int  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    sample_rate_hz: int
    bit_rate_bps: int
    channels: int
    size_bytes: int
    guarded: bool  # a CRC follows the header

    @property
    def samples(self) -> int:
        return 1152 if self.version == 3 else 576

    def like(self, other: Frame) -> bool:
        """Belongs to the same stream: version and sample rate never change within one."""
        return self.version == other.version and self.sample_rate_hz == other.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Mpeg:
    start: int  # first frame, an info frame included
    end: int  # behind the last one; tags follow
    first: Frame
    frames: int  # samples per channel
    bit_rate_bps: int
    vbr: bool
    truncated: bool


def parse_frame(header: bytes) -> Frame | None:
    """Read a 4-byte frame header; None when it is none (free format and other layers included)."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version = header[1] >> 3 & 3
    rate_index, kbps_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or rate_index == 3 or kbps_index in (0, 15) or header[3] & 3 == 2:
        return None
    rate = _RATES_HZ[version][rate_index]
    bit_rate = 1000 * (_KBPS_1 if version == 3 else _KBPS_2)[kbps_index]
    size = (144 if version == 3 else 72) * bit_rate // rate + (header[2] >> 1 & 1)
    return Frame(version, rate, bit_rate, 1 if header[3] >> 6 == 3 else 2, size, header[1] & 1 == 0)


def skip_id3v2(source: ReadsAt) -> int:
    """First byte behind the ID3v2 tags at the start of the file."""
    position = 0
    for _ in range(8):
        header = source.at(position, 10)
        if len(header) < 10 or header[:3] != b"ID3" or any(byte & 0x80 for byte in header[6:]):
            break
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        position += 10 + size + (10 if header[5] & 0x10 else 0)
    return min(position, source.size_bytes)


def measure(source: ReadsAt) -> Mpeg:
    """Find the audio and its length.

    Raises:
        NotMpeg: this is no layer III stream.
        NoAudio: tags with no audio between them.
    """
    begin = skip_id3v2(source)
    end = max(begin, _before_tail_tags(source))
    if begin and begin >= end:
        raise NoAudio
    start, first = _synchronise(source, begin, end, None)
    if first is None:
        raise NotMpeg
    head = source.at(start, min(first.size_bytes, end - start))
    info = _info(head, first)
    if info is not None:
        counted, claimed_bytes, trim, steady = info
        actual_bytes = end - start
        rate = 8 * actual_bytes * first.sample_rate_hz // max(1, counted * first.samples)
        fits = abs(claimed_bytes - actual_bytes) <= _MAX_FRAME_BYTES if claimed_bytes else True
        if fits and counted and 6_000 <= rate <= 330_000:
            samples = counted * first.samples
            samples -= trim if trim < samples else 0
            return Mpeg(start, end, first, samples, first.bit_rate_bps if steady else rate, not steady, False)
        return _counted(source, start, start + first.size_bytes, end, first, cut=claimed_bytes > actual_bytes)
    if not _steady(source, start, end, first):
        return _counted(source, start, start, end, first, cut=False)
    return constant(first, start, end)


def constant(first: Frame, start: int, end: int) -> Mpeg:
    """The length of a stream whose frames all have the bit rate of `first`."""
    # Frames of a rate that does not divide evenly differ by a padding byte, so the sum may be one byte short.
    even = first.samples * first.bit_rate_bps % (8 * first.sample_rate_hz) == 0
    bits_by_rate = 8 * (end - start + (0 if even else 1)) * first.sample_rate_hz
    whole, rest = divmod(bits_by_rate, first.bit_rate_bps * first.samples)
    samples = max(1, whole) * first.samples
    return Mpeg(start, end, first, samples, first.bit_rate_bps, vbr=False, truncated=even and rest > 0)


def _before_tail_tags(source: ReadsAt) -> int:
    """Where ID3v1, APEv2 and Lyrics3 tags begin, or the end of the file."""
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


def _synchronise(source: ReadsAt, begin: int, end: int, like: Frame | None) -> tuple[int, Frame | None]:
    """The first frame from `begin` on that another one follows (or that ends exactly with the audio)."""
    window = source.at(begin, min(_SEARCH_BYTES, end - begin))
    at = window.find(b"\xff")
    while at >= 0:
        frame = parse_frame(window[at : at + 4])
        if frame is not None and (like is None or frame.like(like)):
            following = begin + at + frame.size_bytes
            after = parse_frame(source.at(following, 4)) if following < end else None
            if following == end or (after is not None and after.like(frame)):
                return begin + at, frame
        at = window.find(b"\xff", at + 1)
    return begin, None


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


def _steady(source: ReadsAt, start: int, end: int, first: Frame) -> bool:
    """Whether frames at the start and in three other places all have one bit rate."""
    places = [start, *(start + (end - start) * part // 4 for part in (1, 2, 3))]
    for place in places:
        position, frame = _synchronise(source, place, end, first) if place != start else (place, first)
        for _ in range(4):
            if frame is None:
                break
            if frame.bit_rate_bps != first.bit_rate_bps:
                return False
            position += frame.size_bytes
            frame = parse_frame(source.at(position, 4)) if position + 4 <= end else None
    return True


def _counted(source: ReadsAt, start: int, position: int, end: int, first: Frame, *, cut: bool) -> Mpeg:
    """Count every frame from `position`, over damage where there is some."""
    count = audio_bytes = 0
    rates: set[int] = set()
    base, window = position, b""
    while position + 4 <= end:
        if not base <= position <= base + len(window) - 4:
            base, window = position, source.at(position, min(_BLOCK_BYTES, end - position))
        frame = parse_frame(window[position - base : position - base + 4])
        if frame is None or not frame.like(first):
            found, again = _synchronise(source, position + 1, end, first)
            if again is None:
                if position + _SEARCH_BYTES >= end:
                    break
                position += _SEARCH_BYTES
            else:
                position = found
            continue
        if position + frame.size_bytes > end:
            cut = True
            break
        count += 1
        audio_bytes += frame.size_bytes
        rates.add(frame.bit_rate_bps)
        position += frame.size_bytes
    if not count:
        raise NoAudio
    average = 8 * audio_bytes * first.sample_rate_hz // (count * first.samples)
    return Mpeg(start, end, first, count * first.samples, average, vbr=len(rates) > 1, truncated=cut)
