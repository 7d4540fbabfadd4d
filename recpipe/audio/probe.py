"""What a file is and how long it is, from its bytes: never from its name, and not from headers that lie."""

from __future__ import annotations

from pathlib import Path

from recpipe.audio import codecs, containers, mpeg, outer_tags, raw, riff, wave_format
from recpipe.audio.files import Bytes, Part, reading
from recpipe.audio.stream import Malformed, Stream
from recpipe.errors import Unfit
from recpipe.model import AudioFacts, Container

EMPTY_BYTES = 44  # a bare WAV header: what recorders leave of a call that nobody answered
_FMT_BYTES = 64
_MPEG_IN_WAVE = ("mpeg", "mpeglayer3")


def probe(path: Path, name: str = "") -> AudioFacts:
    """Find out container, codec, rate, channels, and the audio that is really there.

    Reads a few kilobytes, whatever the size of the file; only frames and pages without an index are all stepped over.
    The ending of the name counts for headerless telephone audio alone, which has nothing else.

    Args:
        name: the file's own name, where `path` leads to it by a descriptor.

    Returns:
        The facts. `flags` may hold `repaired-header` (size fields are wrong; `tags.plan` sets them right in the stored
        copy), `truncated` (there is less audio than was promised), `bytes-behind-audio` (both size fields agree, and
        the file goes on: kept, and not played) and those of `codecs`.

    Raises:
        Unfit: `empty-recording`, `not-audio`, `unsupported-audio` or `not-a-file`.
        SourceChanged: the file is gone.
    """
    with reading(path) as source:
        return survey(source, name or path.name)


def survey(source: Bytes, name: str) -> AudioFacts:
    """`probe` for an open file; `name` is for messages, and for what is told by its ending."""
    if not source.size_bytes:
        raise _empty(name)
    tags = outer_tags.leading(source)
    try:
        what, found = containers.identify(source, tags.end)
        if found is None and source.at(0, 4) not in riff.FORMS:
            found = raw.headerless(source, name)
    except Malformed as error:
        what, lacking = error.args
        raise Unfit(
            "unsupported-audio",
            f"{name} begins like {what}, and lacks {lacking}. Look whether it was written and copied whole; play it "
            "with VLC or ffmpeg, and discard it if it is no recording.",
        ) from error
    if found is not None:
        return _of_stream(found, name)
    if source.size_bytes <= EMPTY_BYTES:
        raise _empty(name)
    # What begins here is what it is; what only comes somewhat later must be looked for, WAV first: its start is longer.
    for search_bytes in (0, riff.SEARCH_BYTES):
        try:
            return wave(source, riff.walk(source, riff.locate(source, search_bytes=search_bytes)), name)
        except riff.NotRiff:
            pass
        try:
            return mpeg_audio(mpeg.measure(source, search_bytes))
        except mpeg.NoAudio as error:
            raise _empty(name) from error
        except mpeg.NotMpeg:
            pass
    if tags.overlong:
        raise Unfit(
            "not-audio",
            f"{name} begins with a tag that claims more than the file has, and holds no audio that could be found. "
            "Look whether it was copied whole.",
        )
    raise Unfit(
        "not-audio", f"{name} is no audio that recpipe knows. Look at it, and discard it if it is no recording."
    )


def wave(source: Bytes, found: riff.Riff, name: str) -> AudioFacts:
    """`probe` for a RIFF file that was walked already."""
    fmt = next((chunk for chunk in found.head if chunk.id == b"fmt "), None)
    if fmt is None:
        raise Unfit("not-audio", f"{name} starts like a WAV file, but has no format header. Look at what wrote it.")
    try:
        form = wave_format.parse(source.at(fmt.start, min(fmt.size, _FMT_BYTES)))
    except wave_format.UnsupportedFormat as error:
        raise _unsupported(name, f"WAV with {error}") from error
    hidden = found.head[-1].end - found.start >= riff.HEAD_LIMIT or len(found.head) >= riff.MAX_CHUNKS
    if found.data is None and hidden:
        raise _unsupported(name, "WAV whose audio is hidden behind more headers than any recorder writes")
    if found.data is None or not found.data.size:
        raise _empty(name)
    frames, bit_rate, drawn = form.frames(found.data.size), 8 * form.byte_rate, True
    if form.codec in _MPEG_IN_WAVE:
        try:
            inside = mpeg.measure(Part(source, found.data.start, found.data.size))
            frames, bit_rate, drawn = inside.frames, inside.bit_rate_bps, inside.uniform
            frames = frames * form.sample_rate_hz // inside.first.sample_rate_hz
        except (mpeg.NotMpeg, mpeg.NoAudio):
            drawn = False
    if form.known and not frames:
        raise _empty(name)
    flags = {
        "repaired-header": found.repaired,
        "truncated": found.truncated,
        "bytes-behind-audio": found.followed,
        codecs.NO_WAVEFORM: not drawn or not codecs.decoded(Container.WAV, form.codec),
        codecs.NO_DURATION: not frames,
    }
    return AudioFacts(
        container=Container.WAV,
        codec=form.codec,
        sample_rate_hz=form.sample_rate_hz,
        channels=form.channels,
        duration_ms=_milliseconds(frames, form.sample_rate_hz),
        frames=frames,
        data_offset=found.data.start,
        data_bytes=found.data.size,
        bit_rate_bps=bit_rate,
        flags=tuple(flag for flag, on in flags.items() if on),
    )


def mpeg_audio(found: mpeg.Mpeg) -> AudioFacts:
    """`probe` for MPEG audio that was measured already."""
    flags = {"truncated": found.truncated, codecs.NO_WAVEFORM: not found.uniform}
    return AudioFacts(
        container=Container.MP3,
        codec=found.first.codec,
        sample_rate_hz=found.first.sample_rate_hz,
        channels=found.first.channels,
        duration_ms=_milliseconds(found.frames, found.first.sample_rate_hz),
        frames=found.frames,
        data_offset=found.start,
        data_bytes=found.end - found.start,
        bit_rate_bps=found.bit_rate_bps,
        vbr=found.vbr,
        flags=tuple(flag for flag, on in flags.items() if on),
    )


def _of_stream(found: Stream, name: str) -> AudioFacts:
    drawn = found.drawn and codecs.decoded(found.container, found.codec)
    if not found.size or (drawn and not found.frames and found.codec != "flac"):
        raise _empty(name)
    flags = {
        "truncated": found.truncated,
        codecs.NO_WAVEFORM: not drawn or not found.frames,
        codecs.NO_DURATION: not found.frames,
    }
    return AudioFacts(
        container=found.container,
        codec=found.codec,
        sample_rate_hz=found.sample_rate_hz,
        channels=found.channels,
        duration_ms=_milliseconds(found.frames, found.sample_rate_hz),
        frames=found.frames,
        data_offset=found.start,
        data_bytes=found.size,
        bit_rate_bps=found.bit_rate_bps,
        flags=tuple(flag for flag, on in flags.items() if on),
    )


def _milliseconds(frames: int, rate_hz: int) -> int:
    return (1000 * frames + rate_hz // 2) // rate_hz


def _empty(name: str) -> Unfit:
    return Unfit("empty-recording", f"{name} holds no audio: the call was not answered, or the recorder failed.")


def _unsupported(name: str, what: str) -> Unfit:
    return Unfit(
        "unsupported-audio",
        f"{name} is {what}. No player makes sound of that: let whoever runs the PBX look at what wrote it.",
    )
