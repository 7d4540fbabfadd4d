"""Ogg (Opus, Vorbis, Speex, FLAC) and bare FLAC: length by the positions that their pages and headers hold.

Source: RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), Vorbis I section 4.2.2, Speex manual section 7, RFC 9639 (FLAC).
"""

from __future__ import annotations

from dataclasses import dataclass

from recpipe.audio.files import ReadsAt
from recpipe.audio.stream import Malformed, Stream
from recpipe.model import Container

_BLOCK_BYTES = 1 << 16
_MOST_PAGES = 4_000_000
_RESYNC_BYTES = 1 << 16
_OPUS_HZ = 48_000
_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
# libogg holds a whole packet in memory. Covers in comments are large; nothing that is heard is.
_LONGEST_PACKET_BYTES = 1 << 20
_UNSET = (1 << 64) - 1


@dataclass(slots=True)
class _Logical:
    """One of the streams that a file is chained or woven from."""

    codec: str
    rate_hz: int
    channels: int
    ticks_hz: int  # of the positions of its pages
    skipped: int = 0  # ticks that a player leaves out at the start
    last: int = 0


def ogg(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: no stream in it is audio.
    """
    streams: dict[int, _Logical] = {}
    played: list[_Logical] = []
    position = pages = unfinished = longest = 0
    window, base, clean = b"", 0, True
    while pages < _MOST_PAGES:
        if position - base + 27 + 255 > len(window):
            window, base = source.at(position, _BLOCK_BYTES), position
        page = window[position - base : position - base + 27]
        if len(page) < 27:
            break
        if page[:4] != b"OggS":
            following = source.at(position + 1, _RESYNC_BYTES).find(b"OggS")
            clean = False
            if following < 0:
                break
            position += 1 + following
            continue
        pages += 1
        table = window[position - base + 27 : position - base + 27 + page[26]]
        body = sum(table)
        longest = max(longest, unfinished + body)
        # A packet ends with the first segment of less than 255 bytes, maybe pages later.
        unfinished = unfinished + body if table and min(table) == 255 else _tail(table)
        serial = int.from_bytes(page[14:18], "little")
        if page[5] & 2:
            begun = _identified(source.at(position + 27 + page[26], 80))
            streams.pop(serial, None)
            if begun is not None:
                streams[serial] = begun
                played.append(begun)
        granule = int.from_bytes(page[6:14], "little")
        if serial in streams and granule != _UNSET:
            streams[serial].last = max(streams[serial].last, granule)
        position += 27 + page[26] + body
    if not played:
        raise Malformed("a stream of audio")
    first = played[0]
    frames = 0
    for one in played:
        frames += max(0, one.last - one.skipped) * first.rate_hz // one.ticks_hz
    seconds = frames / first.rate_hz
    return Stream(
        Container.OGG,
        first.codec,
        first.rate_hz,
        first.channels,
        frames,
        start=0,
        size=source.size_bytes,
        bit_rate_bps=round(8 * source.size_bytes / seconds) if seconds else 0,
        truncated=position > source.size_bytes or not clean,
        # libsndfile plays the first stream of several alone.
        drawn=len(played) == 1 and longest <= _LONGEST_PACKET_BYTES,
    )


def _tail(table: bytes) -> int:
    """Bytes of the packet that goes on in the next page."""
    size = 0
    for segment in reversed(table):
        if segment < 255:
            break
        size += segment
    return size


def _identified(packet: bytes) -> _Logical | None:
    if packet[:8] == b"OpusHead" and len(packet) >= 19:
        # What it was made from; decoders give one of their own rates.
        made_from = int.from_bytes(packet[12:16], "little")
        rate = made_from if made_from in _OPUS_RATES_HZ else _OPUS_HZ
        return _Logical("opus", rate, packet[9], _OPUS_HZ, int.from_bytes(packet[10:12], "little"))
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        rate, channels = int.from_bytes(packet[12:16], "little"), packet[11]
        return _Logical("vorbis", rate, channels, rate) if rate and channels else None
    if packet[:8] == b"Speex   " and len(packet) >= 52:
        rate, channels = int.from_bytes(packet[36:40], "little"), int.from_bytes(packet[48:52], "little")
        return _Logical("speex", rate, channels, rate) if rate and channels else None
    if packet[:5] == b"\x7fFLAC" and len(packet) >= 51:
        rate, channels, _ = _stream_info(packet[17:51])
        return _Logical("flac", rate, channels, rate) if rate and channels else None
    return None


def flac(source: ReadsAt) -> Stream:
    """Raises:
    Malformed: its first block is no STREAMINFO.
    """
    head = source.at(4, 38)
    if len(head) < 38 or head[0] & 0x7F != 0:
        raise Malformed("its STREAMINFO block")
    rate, channels, frames = _stream_info(head[4:38])
    seconds = frames / rate if rate else 0
    return Stream(
        Container.FLAC,
        "flac",
        rate,
        channels,
        frames,
        start=0,
        size=source.size_bytes,
        bit_rate_bps=round(8 * source.size_bytes / seconds) if seconds else 0,
    )


def first_flac_frame(source: ReadsAt, begin: int) -> int:
    """Where the audio of a FLAC file begins, behind all of its metadata; 0 where that cannot be told."""
    position = begin + 4
    for _ in range(512):
        header = source.at(position, 4)
        if len(header) < 4:
            return 0
        position += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            return position
    return 0


def _stream_info(block: bytes) -> tuple[int, int, int]:
    """Rate, channels and samples per channel (0: unknown)."""
    packed = int.from_bytes(block[10:18], "big")
    return packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
