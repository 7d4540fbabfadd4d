"""Reading spool files without trusting them: regular files only, few and bounded reads."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from recpipe.errors import SourceChanged, Unfit
from recpipe.pinned import is_pinned

HEAD_BYTES = 4096  # holds every header a recorder writes, so that most files cost one read


def open_regular(path: Path) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; the caller closes the descriptor.

    A link could name any file of this machine and a FIFO would block for ever, so neither is followed or waited for;
    a pinned path is the one exception.

    Raises:
        Unfit: `not-a-file`, it is a link, a folder, a device or a FIFO.
        SourceChanged: it is gone.
    """
    try:
        no_link = 0 if is_pinned(path) else os.O_NOFOLLOW
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | no_link)
    except FileNotFoundError as error:
        raise SourceChanged(path) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_a_file(path) from error
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise _not_a_file(path)
    return fd, status


def _not_a_file(path: Path) -> Unfit:
    return Unfit(
        "not-a-file",
        f"{path.name} is a link or a special file, and only regular files are taken. Put the recording itself here.",
    )


class ReadsAt(Protocol):
    """What `Bytes` does."""

    size_bytes: int

    def at(self, offset: int, length: int, /) -> bytes: ...


class Part:
    """Some bytes of a source, counted from its first one."""

    __slots__ = ("_source", "_start", "size_bytes")

    def __init__(self, source: ReadsAt, start: int, size_bytes: int) -> None:
        self._source = source
        self._start = start
        self.size_bytes = size_bytes

    def at(self, offset: int, length: int, /) -> bytes:
        return self._source.at(self._start + offset, max(0, min(length, self.size_bytes - offset)))


class Bytes:
    """Positioned reads of one open file; its first 4 KiB are read once."""

    __slots__ = ("_fd", "_head", "size_bytes")

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self.size_bytes = size_bytes
        self._head = os.pread(fd, min(HEAD_BYTES, size_bytes), 0)

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        end = offset + length
        if end <= len(self._head):
            return self._head[offset:end]
        if offset >= self.size_bytes:
            return b""
        return os.pread(self._fd, min(length, self.size_bytes - offset), offset)


@contextmanager
def reading(path: Path) -> Iterator[Bytes]:
    """Open `path` for positioned reads.

    Raises:
        Unfit, SourceChanged: as `open_regular`.
    """
    fd, status = open_regular(path)
    try:
        yield Bytes(fd, status.st_size)
    finally:
        os.close(fd)
