"""Opens what lies below a folder that others may write to: through no symbolic link, and never outside of it.

Whoever may write to a spool can turn any part of a path into a link, or a file into a FIFO, between two system calls
that name it. So each path is walked once, by the kernel, and what was opened is used through its descriptor:
`recpipe.pinned` makes a path of it for code that wants one.

Source: openat2(2) for RESOLVE_BENEATH, path_resolution(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from recpipe.durable import sync_folder
from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity
from recpipe.pinned import path_to

_SYS_OPENAT2 = 437  # the same on every architecture but Alpha
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 100  # openat2 says EAGAIN where something was renamed while it looked


class NotBeneath(OSError):
    """The path leads through a link, or is no plain path below its folder."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Beneath:
    """The way into one folder. Thread-safe; holds nothing open.

    Args:
        root: a folder whose own path is trusted, links in it included; what is below it is not. It is opened for each
            call, so a file system that is mounted there later is seen.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, relative: str, flags: int) -> int:
        """Open a file or folder; the caller closes the descriptor. A FIFO is not waited for.

        Args:
            relative: "/"-separated, below the root; "" for the root itself.
            flags: as for open(2); O_CLOEXEC, O_NOFOLLOW and, but for O_PATH, O_NONBLOCK are added.

        Raises:
            NotBeneath: a part of the path is a symbolic link, or it is no plain path.
            OSError: as open(2).
        """
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | (0 if flags & os.O_PATH else os.O_NONBLOCK | os.O_NOCTTY)
        if not relative:
            return os.open(self.root, flags & ~os.O_NOFOLLOW)
        _check_plain(relative)
        top = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _open_below(top, relative, flags)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV):
                raise NotBeneath(errno.ELOOP, "a symbolic link is not followed", relative) from None
            raise
        finally:
            os.close(top)

    def status(self, relative: str) -> os.stat_result:
        """The status of what has this name, a link itself included.

        Raises:
            NotBeneath: a folder on the way is a link.
            OSError: as lstat(2).
        """
        handle = self.open(relative, os.O_PATH)
        try:
            return os.fstat(handle)
        finally:
            os.close(handle)

    @contextmanager
    def folder(self, relative: str, *, make_mode: int | None = None) -> Iterator[Path]:
        """A pinned path of a folder: names right below it are in that very folder.

        Args:
            make_mode: make the folders that are missing, with these permissions; what was made survives a power cut.

        Raises:
            NotBeneath, OSError: as `open`.
        """
        handle = self.open(relative, _FOLDER) if make_mode is None else self._made(relative, make_mode)
        try:
            yield path_to(handle)
        finally:
            os.close(handle)

    @contextmanager
    def parent(self, relative: str, *, make_mode: int | None = None) -> Iterator[Path]:
        """A name right below its pinned folder; what has this name may be anything, or nothing yet.

        Raises:
            SourceChanged: its folder is gone, or a link by now, and was not to be made.
            NotBeneath, OSError: as `folder`.
        """
        _check_plain(relative)
        above, _, name = relative.rpartition("/")
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(self.folder(above, make_mode=make_mode))
            except OSError as error:
                if make_mode is None and _is_gone(error):
                    raise SourceChanged(self.root / relative) from error
                raise
            yield folder / name

    @contextmanager
    def file(self, relative: str, identity: FileIdentity) -> Iterator[Path]:
        """A pinned path of a regular file that is open for reading while the context lasts.

        Raises:
            SourceChanged: another file is there, or none, or something that is no regular file.
            OSError: it may not be read, or the disk fails.
        """
        try:
            handle = self.open(relative, os.O_RDONLY)
        except OSError as error:
            if _is_gone(error):
                raise SourceChanged(self.root / relative) from error
            raise
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or FileIdentity.of(status) != identity:
                raise SourceChanged(self.root / relative)
            yield path_to(handle)
        finally:
            os.close(handle)

    def _made(self, relative: str, mode: int) -> int:
        handle = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if relative:
            _check_plain(relative)
        for part in relative.split("/") if relative else ():
            above = handle
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, mode, dir_fd=above)
                    sync_folder(path_to(above))
                handle = os.open(part, _FOLDER, dir_fd=above)
            except NotADirectoryError:
                raise NotBeneath(errno.ELOOP, "a symbolic link is not followed", relative) from None
            finally:
                os.close(above)
        return handle


def _is_gone(error: OSError) -> bool:
    """Whether the file that was meant is not there any more; ENXIO and ENODEV: a FIFO, socket or device is."""
    gone = (errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV)
    return isinstance(error, NotBeneath) or error.errno in gone


def _check_plain(relative: str) -> None:
    if any(part in ("", ".", "..") for part in relative.split("/")) or "\0" in relative:
        raise NotBeneath(errno.EINVAL, "no plain path", relative)


def _open_below(top: int, relative: str, flags: int) -> int:
    if not _has_openat2():
        return _open_by_parts(top, relative, flags)
    how = _OpenHow(flags, 0, _RESOLVE)
    name = os.fsencode(relative)
    for _ in range(_TRIES):
        handle = _libc.syscall(_SYS_OPENAT2, top, name, ctypes.byref(how), ctypes.sizeof(how))
        if handle >= 0:
            return int(handle)
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            raise OSError(number, os.strerror(number), relative)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), relative)


def _open_by_parts(top: int, relative: str, flags: int) -> int:
    """The same without openat2(2): kernels before 5.6, and sandboxes that do not know it."""
    *folders, name = relative.split("/")
    opened = [top]
    try:
        for folder in folders:
            opened.append(os.open(folder, _FOLDER, dir_fd=opened[-1]))
        return os.open(name, flags, dir_fd=opened[-1])
    finally:
        for handle in opened[1:]:
            os.close(handle)


_libc = ctypes.CDLL(None, use_errno=True)
_openat2: bool | None = None


def _has_openat2() -> bool:
    global _openat2  # a fact of the kernel, asked once a process
    if _openat2 is None:
        how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE)
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        handle = _libc.syscall(_SYS_OPENAT2, top, b".", ctypes.byref(how), ctypes.sizeof(how))
        if handle >= 0:
            os.close(handle)
        os.close(top)
        _openat2 = handle >= 0
    return _openat2
