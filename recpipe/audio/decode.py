"""Samples out of any recording, block by block. The only user of soundfile.

libsndfile never sees the file's own headers and tags, which may lie or be made to hurt: it reads a header of ours
followed by the audio bytes. That reads unfinalised files too, and streams that cannot seek.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from recpipe import log
from recpipe.audio import codecs, mpeg, ogg, riff, wave_format
from recpipe.audio.files import Bytes, Part, open_regular
from recpipe.errors import RecpipeError, SourceChanged
from recpipe.model import AudioFacts, ByteStream, Container

Samples = NDArray[np.int16]
BLOCK_FRAMES = 1 << 16
_SKIP_BYTES = 1 << 16
_EARLY_BYTES = 1 << 16
_HEADERLESS = {"gsm": "GSM610", codecs.VOX: "VOX_ADPCM"}


class Undecodable(RecpipeError):
    """libsndfile makes no sound of it, although others may: it is kept without what needs its samples.

    Args:
        codec: what it is, as far as is known.
    """

    def __init__(self, codec: str) -> None:
        super().__init__(f"The recording cannot be decoded as {codec}. It is stored as it is, without a waveform.")
        self.codec = codec


def blocks(source: Path | ByteStream, audio: AudioFacts) -> Iterator[Samples]:
    """Decode a recording.

    Args:
        source: the file, or a stream that stands at byte 0 of it and is only read forward (WAV only). Not closed.
        audio: the facts of exactly this file: those of `probe` for a spool file, of `tags.stored` for a stored one.

    Yields:
        Arrays of shape (frames, channels), altogether exactly `audio.frames` frames: what a damaged file lacks is
        silence, so that positions keep their meaning.

    Raises:
        SourceChanged: the file is shorter than it was.
        Undecodable: libsndfile cannot decode it.
    """
    if isinstance(source, Path):
        fd, _ = open_regular(source)
        try:
            with open(fd, "rb", closefd=False, buffering=0) as stream:
                yield from _decoded(stream, audio, source)
        finally:
            os.close(fd)
    else:
        yield from _decoded(source, audio, None)


def _decoded(stream: ByteStream, audio: AudioFacts, path: Path | None) -> Iterator[Samples]:
    if not codecs.decoded(audio.container, audio.codec) or codecs.NO_WAVEFORM in audio.flags:
        raise Undecodable(audio.codec)
    body, form = _opened(stream, audio, path)
    left = audio.frames
    try:
        with log.native_silence():
            sound = _Forward(body, **form)
        with sound:
            if sound.channels != audio.channels:
                raise Undecodable(audio.codec)
            scaled = audio.codec.startswith("pcm_f") or audio.codec in ("vorbis", "opus")
            while left > 0:
                want = min(BLOCK_FRAMES, left)
                with log.native_silence():
                    got = sound.read(want, dtype="float32" if scaled else "int16", always_2d=True)
                body.check()
                if scaled:
                    got = np.clip(np.nan_to_num(got) * 32767.0, -32768, 32767).astype(np.int16)
                if not len(got):
                    break
                left -= len(got)
                yield got
    except soundfile.SoundFileError as error:
        body.check()
        raise Undecodable(audio.codec) from error
    while left > 0:
        want = min(BLOCK_FRAMES, left)
        left -= want
        yield np.zeros((want, audio.channels), np.int16)


def _opened(stream: ByteStream, audio: AudioFacts, path: Path | None) -> tuple[_Virtual, dict[str, str | int]]:
    """What libsndfile is to read, and what it must be told since no header does."""
    if codecs.is_mpeg(audio.codec):
        return _Virtual(b"", _frames(stream, audio, path), stream, path), {}
    if audio.container is Container.OGG:
        return _Virtual(b"", [(audio.data_offset, audio.data_bytes)], stream, path), {}
    if audio.container is Container.RAW and audio.codec in _HEADERLESS:
        form: dict[str, str | int] = {"samplerate": audio.sample_rate_hz, "channels": 1, "format": "RAW"}
        form["subtype"] = _HEADERLESS[audio.codec]
        return _Virtual(b"", [(audio.data_offset, audio.data_bytes)], stream, path), form
    begin, size = audio.data_offset, audio.data_bytes
    if audio.container is Container.FLAC:
        header, begin = _flac(stream, audio, path)
        size -= begin - audio.data_offset
    elif audio.container is Container.WAV:
        header = wave_format.canonical(_format(_exactly(stream, begin), audio, path), size)
    else:
        _exactly(stream, begin)
        header = wave_format.sampled_header(audio.codec, audio.channels, audio.sample_rate_hz, size)
    # libsndfile looks past the header and comes back, which a stream cannot do.
    early = _exactly(stream, min(_EARLY_BYTES, size))
    return _Virtual(header + early, [(begin + len(early), size - len(early))], stream, path), {}


def _flac(stream: ByteStream, audio: AudioFacts, path: Path | None) -> tuple[bytes, int]:
    """The STREAMINFO block alone, and where the first frame is: covers and comments are not libsndfile's to read."""
    if not isinstance(stream, io.FileIO):
        raise Undecodable(audio.codec)
    source = Bytes(stream.fileno(), os.fstat(stream.fileno()).st_size)
    info, begin = source.at(audio.data_offset + 4, 38), ogg.first_flac_frame(source, audio.data_offset)
    if not begin or len(info) < 38:
        raise Undecodable(audio.codec)
    stream.seek(begin)
    return b"fLaC" + bytes((0x80 | info[0],)) + info[1:], begin


def _frames(stream: ByteStream, audio: AudioFacts, path: Path | None) -> list[tuple[int, int]]:
    """Where the MPEG frames lie: libmpg123 gives up over what is between them, and says so on standard error."""
    if path is None or not isinstance(stream, io.FileIO):
        return [(audio.data_offset, audio.data_bytes)]
    source = Part(Bytes(stream.fileno(), os.fstat(stream.fileno()).st_size), audio.data_offset, audio.data_bytes)
    try:
        found = mpeg.measure(source)
    except (mpeg.NotMpeg, mpeg.NoAudio) as error:
        raise SourceChanged(path) from error
    if not found.uniform:
        raise Undecodable(audio.codec)
    return [(audio.data_offset + start, size) for start, size in found.runs]


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on and on: soundfile seeks after every block otherwise, and libmpg123 loses its bit reservoir over it."""

    def seekable(self) -> bool:
        return False


def _exactly(stream: ByteStream, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class _Head:
    """A file of which only the front is at hand."""

    def __init__(self, head: bytes, size_bytes: int) -> None:
        self._head = head
        self.size_bytes = size_bytes

    def at(self, offset: int, length: int, /) -> bytes:
        return self._head[offset : offset + length]


def _format(head: bytes, audio: AudioFacts, path: Path | None) -> wave_format.WaveFormat:
    """The format header once more: facts do not hold the block size of ADPCM."""
    try:
        source = _Head(head, audio.data_offset + audio.data_bytes)
        found = riff.walk(source, riff.locate(source))
        fmt = next(chunk for chunk in found.head if chunk.id == b"fmt ")
        form = wave_format.parse(head[fmt.start : fmt.end])
    except (riff.NotRiff, wave_format.UnsupportedFormat, StopIteration):
        form = None
    if form is None or form.codec != audio.codec or form.channels != audio.channels:
        raise SourceChanged(path or Path("the stream"))
    return form


class _Virtual:
    """A header and parts of the stream as the file libsndfile reads. Errors cannot pass through C: see `check`."""

    def __init__(self, header: bytes, parts: list[tuple[int, int]], stream: ByteStream, path: Path | None) -> None:
        self._header = header
        self._parts = parts  # (place in the stream, bytes), in order
        self._starts = list(accumulate((size for _, size in parts), initial=len(header)))
        self._size = self._starts[-1]
        self._stream = stream
        self._path = path
        self._position = 0
        self._at = parts[0][0] if header else 0  # where the stream stands
        self._error: Exception | None = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        view = memoryview(buffer).cast("B")
        try:
            return self._fill(view)
        except (OSError, RecpipeError) as error:
            self._error = error
            return 0

    def _fill(self, view: memoryview) -> int:
        filled = 0
        if self._position < len(self._header):
            part = self._header[self._position : self._position + len(view)]
            view[: len(part)] = part
            filled = len(part)
        wanted = min(len(view), self._size - self._position)
        while filled < wanted:
            which = bisect_right(self._starts, self._position + filled) - 1
            place, size = self._parts[which]
            into = self._position + filled - self._starts[which]
            self._go(place + into)
            part = self._stream.read(min(wanted - filled, size - into)) or b""
            if not part:
                raise SourceChanged(self._path or Path("the stream"))
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._at += len(part)
        self._position += filled
        return filled

    def _go(self, target: int) -> None:
        if target == self._at:
            return
        if isinstance(self._stream, io.FileIO):
            self._stream.seek(target)
            self._at = target
        while self._at < target:
            skipped = len(self._stream.read(min(_SKIP_BYTES, target - self._at)) or b"")
            if not skipped:
                return
            self._at += skipped
        if self._at > target:
            raise OSError("a stream that was read already cannot be read again")
