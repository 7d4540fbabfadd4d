"""Streams as they are given out: each one checked, or written down, by the time its last byte leaves."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable
from typing import Any

from recpipe.access.audit import PendingEvent
from recpipe.errors import CatalogueError, ObjectDamaged
from recpipe.model import ByteStream, Recording, is_sendable


class ReadEvent:
    """The audit event of a read."""

    __slots__ = ("__weakref__", "_forget", "_writing")

    def __init__(self, writing: PendingEvent, forget: Callable[[], None]) -> None:
        self._writing = writing
        self._forget = forget

    @property
    def is_settled(self) -> bool:
        return self._writing.done

    def then(self, call: Callable[[], None]) -> None:
        """As `PendingEvent.then`."""
        self._writing.then(call)

    def settle(self) -> None:
        """Return when the event is durable.

        Raises:
            CatalogueUnavailable: it is not kept; the next read of the same counts as the first again.
        """
        try:
            self._writing.wait()
        except BaseException:
            self._forget()
            raise


def recorded(stream: ByteStream, size_bytes: int, noted: ReadEvent) -> ByteStream:
    """`stream`, whose last byte is given out when the event of its reading is durable.

    Args:
        size_bytes: how many it will give.
    """
    return (_RecordedFile if is_sendable(stream) else _Recorded)(stream, size_bytes, noted)


def verified(stream: ByteStream, recording: Recording) -> ByteStream:
    """`stream`, which holds the whole stored recording, raising ObjectDamaged at its end when it is another one."""
    return io.BufferedReader(_Verified(stream, recording), buffer_size=256 * 1024)


class _Recorded(io.RawIOBase):
    def __init__(self, stream: ByteStream, size_bytes: int, noted: ReadEvent) -> None:
        self._stream: Any = stream  # in _RecordedFile, Sendable as well
        self._left = size_bytes
        self._noted: ReadEvent | None = noted

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count: int = self._stream.readinto(buffer)
        self._given(count, len(buffer))
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None else size
        piece: bytes = self._stream.read(size)
        self._given(len(piece), size)
        return piece

    def readall(self) -> bytes:
        return self.read()

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            with contextlib.suppress(CatalogueError):  # the trail has logged it, and what was given was not all
                self._settle()
        super().close()

    def __del__(self) -> None:
        # Dropped unclosed, perhaps by a collector that runs amid the trail's own writing: to wait for that here would
        # be to wait forever. The event is written all the same.
        self._noted = None
        super().__del__()

    def _given(self, count: int, asked: int) -> None:
        self._left -= count
        if self._left <= 0 or (asked and not count):
            self._settle()

    def _settle(self) -> None:
        if self._noted is not None:
            self._noted.settle()
            self._noted = None


class _RecordedFile(_Recorded):
    def send_to(self, sock: int, most: int) -> int:
        if self._left <= most:
            # Once it is sent it is given out, so the last piece waits before.
            self._settle()
        count: int = self._stream.send_to(sock, most)
        self._left -= count
        return count

    def waits(self, most: int, then: Callable[[], None]) -> bool:
        if self._noted is None or self._left > most or self._noted.is_settled:
            return False
        self._noted.then(then)
        return True


class _Verified(io.RawIOBase):
    def __init__(self, stream: ByteStream, recording: Recording) -> None:
        self._stream = stream
        self._recording = recording
        self._sha256 = hashlib.sha256()
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._stream.readinto(buffer)
        if count:
            self._sha256.update(memoryview(buffer)[:count])
            self._seen += count
            return count
        expected = self._recording
        if len(buffer) and self._seen != expected.stored_bytes:
            raise ObjectDamaged(expected.object_key, f"{self._seen:,} bytes instead of {expected.stored_bytes:,}")
        if len(buffer) and self._sha256.hexdigest() != expected.stored_sha256:
            raise ObjectDamaged(expected.object_key, "its SHA-256 is another one")
        return 0

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
