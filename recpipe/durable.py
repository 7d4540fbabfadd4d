"""Files and folders that survive a power cut: written aside, forced to disk, then named.

Source: rename(2), link(2), flock(2); fsync(2): a name is durable only when its folder was forced to disk too.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
_NO_RENAME_TO_FREE = (errno.EINVAL, errno.ENOSYS, errno.EPERM)  # old kernels, some file systems, some sandboxes
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # of some network file systems


def replace(path: Path, content: bytes) -> None:
    """Write a file (0600) in place of the one that may be there: at any moment one of them is there, whole."""
    with _aside(path, content) as aside:
        aside.replace(path)
    sync_folder(path.parent)


def create(path: Path, content: bytes) -> bool:
    """Write a file (0600) that is not there yet: of several writers the first wins.

    Returns:
        Whether it was this one.
    """
    with _aside(path, content) as aside:
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            try:
                rename_to_free(aside, path)
            except FileExistsError:
                return False
    sync_folder(path.parent)
    return True


def rename_to_free(source: Path, target: Path) -> None:
    """Rename to a name that nothing has, where no hard link can be made.

    It is one step where kernel and file system know it (renameat2). Elsewhere an empty file holds the name meanwhile.

    Raises:
        FileExistsError: something is called `target`.
        OSError: as rename(2).
    """
    if _renamed_at_once(source, target):
        return
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        source.rename(target)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _renamed_at_once(source: Path, target: Path) -> bool:
    """False where it cannot be done so; nothing was changed then."""
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    if (number := ctypes.get_errno()) in _NO_RENAME_TO_FREE:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def make_folders(folder: Path, mode: int = 0o755) -> None:
    """Like `mkdir -p`, and what was made survives a power cut."""
    if folder.is_dir():
        return
    make_folders(folder.parent, mode)
    with suppress(FileExistsError):
        folder.mkdir(mode)
    sync_folder(folder.parent)


def sync_folder(folder: Path, *, required: bool = False) -> None:
    """Force the names in a folder to disk.

    Args:
        required: raise the error of a file system that cannot do it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if required or error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def open_held(folder: Path) -> tuple[Path, int]:
    """Make a temporary file (0600) to write to; its lock tells `sweep` of any process that its writer lives.

    Returns:
        Its path and descriptor. The lock goes when the last descriptor of it is closed, or with the process.
    """
    while True:
        path = folder / secrets.token_hex(16)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return path, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # swept between open(2) and flock(2)


def sweep(folder: Path) -> None:
    """Remove the files of `open_held` that killed processes left."""
    for leftover in folder.iterdir():
        with suppress(OSError):  # held by its writer, or for the next sweep
            handle = os.open(leftover, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(handle)


@contextmanager
def _aside(path: Path, content: bytes) -> Iterator[Path]:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        yield aside
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


_renameat2: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # of glibc from 2.28 on
