"""Reads a splice as one stream: prefix, a range of the source file, suffix. The file goes straight into the buffer."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from recpipe.audio.files import open_regular
from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity, Settled, Splice


class SpliceReader:
    """A stream of exactly `splice.size_bytes` bytes.

    Args:
        splice: what to read.
        settled: the file as it was settled; where given, another size, mtime or inode is a changed source, looked at
            when the file is opened and again behind its last byte.

    Raises:
        SourceChanged: also by the reads: the file is gone, became shorter, or is not the one that was settled.
        Unfit: `not-a-file`.
    """

    def __init__(self, splice: Splice, settled: Settled | None = None) -> None:
        self._splice = splice
        self._settled = settled
        self._position = 0
        self._fd, status = open_regular(splice.path)
        try:
            self._check(status)
        except SourceChanged:
            self.close()
            raise

    @property
    def size_bytes(self) -> int:
        return self._splice.size_bytes

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`; fewer bytes than asked are normal, 0 means the end."""
        view = buffer if buffer.format == "B" and buffer.ndim == 1 else buffer.cast("B")
        filled = 0
        while filled < len(view):
            count = self._some(view[filled:])
            if count == 0:
                break
            filled += count
        return filled

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end; all that is left where it is negative."""
        left = self._splice.size_bytes - self._position
        buffer = bytearray(left if size < 0 else min(size, left))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _some(self, view: memoryview) -> int:
        splice = self._splice
        into_body = self._position - len(splice.prefix)
        if into_body < 0:
            return self._copy(splice.prefix, self._position, view)
        if into_body >= splice.length:
            return self._copy(splice.suffix, into_body - splice.length, view)
        if self._fd < 0:
            raise ValueError("read of a closed SpliceReader")
        wanted = min(len(view), splice.length - into_body)
        count = os.preadv(self._fd, [view[:wanted]], splice.start + into_body)
        if count == 0:
            raise SourceChanged(splice.path)
        self._position += count
        if into_body + count == splice.length:
            self._check(os.fstat(self._fd))
        return count

    def _copy(self, source: bytes, start: int, view: memoryview) -> int:
        count = min(len(view), len(source) - start)
        view[:count] = memoryview(source)[start : start + count]
        self._position += count
        return count

    def _check(self, status: os.stat_result) -> None:
        wanted = self._settled
        if status.st_size < self._splice.start + self._splice.length or (
            wanted is not None and FileIdentity.of(status) != wanted.identity
        ):
            raise SourceChanged(self._splice.path)
