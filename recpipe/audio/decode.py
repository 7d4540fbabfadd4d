"""Samples out of any recording, block by block. The only user of soundfile.

libsndfile never sees the file's own headers and tags, which may lie or be made to hurt: it reads a header of ours
followed by the audio bytes. That reads unfinalised files too, and streams that cannot seek.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from recpipe.audio import riff, wave_format
from recpipe.audio.files import open_regular
from recpipe.errors import RecpipeError, SourceChanged, Unfit
from recpipe.model import AudioFacts, Container

Samples = NDArray[np.int16]
BLOCK_FRAMES = 1 << 16
_SKIP_BYTES = 1 << 16
_EARLY_BYTES = 1 << 16


def blocks(source: Path | BinaryIO, audio: AudioFacts) -> Iterator[Samples]:
    """Decode a recording.

    Args:
        source: the file, or a stream that stands at byte 0 of it and is only read forward (WAV only). Not closed.
        audio: the facts of exactly this file: those of `probe` for a spool file, of `tags.stored` for a stored one.

    Yields:
        Arrays of shape (frames, channels), altogether exactly `audio.frames` frames: what a damaged file lacks is
        silence, so that positions keep their meaning.

    Raises:
        SourceChanged: the file is shorter than it was.
        Unfit: `unsupported-audio`, libsndfile cannot decode it.
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


def _decoded(stream: BinaryIO | io.FileIO, audio: AudioFacts, path: Path | None) -> Iterator[Samples]:
    header, size = b"", audio.data_bytes
    if audio.container is Container.WAV:
        head = _exactly(stream, audio.data_offset)
        header = wave_format.canonical(_format(head, audio, path), audio.data_bytes)
        size += len(header)
        # libsndfile looks past the header and comes back, which a stream cannot do.
        header += _exactly(stream, min(_EARLY_BYTES, audio.data_bytes))
    body = _Virtual(header, size, audio.data_offset + audio.data_bytes, stream, path)
    left = audio.frames
    try:
        with _Forward(body) as sound:
            scaled = audio.codec.startswith("pcm_f")
            while left > 0:
                want = min(BLOCK_FRAMES, left)
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
        name = "The recording" if path is None else path.name
        raise Unfit("unsupported-audio", f"{name} cannot be decoded as {audio.codec}: {error}") from error
    while left > 0:
        want = min(BLOCK_FRAMES, left)
        left -= want
        yield np.zeros((want, audio.channels), np.int16)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on and on: soundfile seeks after every block otherwise, and libmpg123 loses its bit reservoir over it."""

    def seekable(self) -> bool:
        return False


def _exactly(stream: BinaryIO | io.FileIO, size: int) -> bytes:
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
        found = riff.walk(_Head(head, audio.data_offset + audio.data_bytes))
        fmt = next(chunk for chunk in found.head if chunk.id == b"fmt ")
        form = wave_format.parse(head[fmt.start : fmt.end])
    except (riff.NotRiff, wave_format.UnsupportedFormat, StopIteration):
        form = None
    if form is None or form.codec != audio.codec or form.channels != audio.channels:
        raise SourceChanged(path or Path("the stream"))
    return form


class _Virtual:
    """Header and audio as the file libsndfile reads. Errors cannot pass through C, so they wait for `check`."""

    def __init__(self, header: bytes, size: int, end: int, stream: BinaryIO | io.FileIO, path: Path | None) -> None:
        self._header = header
        self._stream = stream
        self._path = path
        self._size = size
        self._rest = end - (size - len(header))  # where in the file the bytes behind `header` are
        self._position = 0
        self._at = self._rest if header else 0  # where the stream stands
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
            self._go(self._rest + self._position + filled - len(self._header))
            part = self._stream.read(wanted - filled) or b""
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
        if self._path is not None:
            self._stream.seek(target)
            self._at = target
        while self._at < target:
            skipped = len(self._stream.read(min(_SKIP_BYTES, target - self._at)) or b"")
            if not skipped:
                return
            self._at += skipped
        if self._at > target:
            raise OSError("a stream that was read already cannot be read again")
