"""Our own folder inside one that others may write to: `.recpipe` in the spool, or the spool's `state_dir`.

Whoever may write to the spool can rename it and put a folder of their own in its place, with links in it that lead to
our data. So it is opened once, checked to be ours alone, and reached through its descriptor ever after.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path

from recpipe.durable import make_folders, sync_folder
from recpipe.errors import SpoolRefused
from recpipe.pinned import path_to
from recpipe.spool import sent_sidecars, whole

FOLDERS = ("quarantine", "incoming", "scratch", "removing", "aside", whole.FOLDER, sent_sidecars.FOLDER)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ControlFolder:
    """The folder and those in it. Thread-safe; it stays open until `close`, or until the object is no longer used.

    Args:
        path: its name, as people and the catalogue know it. Its last part is not followed where it is a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1
        self._pinned = Path()
        self._closing: list[weakref.finalize[[int], ControlFolder]] = []
        self._lock = threading.Lock()

    def open(self, folder: str = "") -> Path:
        """A pinned path of the folder, made with all that belongs in it where it is missing.

        Args:
            folder: the one in it that is wanted, so that the others are not looked at; "": all of them.

        Raises:
            SpoolRefused: it, or a folder in it, is not ours alone, or cannot be made.
        """
        with self._lock:
            if self._handle < 0 or not self._has((folder,) if folder else FOLDERS):
                self._open()
            return self._pinned

    def close(self) -> None:
        """Let go of it, so that its file system can be unmounted; paths that were handed out are void."""
        with self._lock:
            self._handle = -1
            for close in self._closing:
                close()
            self._closing.clear()

    def shown(self, pinned: Path) -> Path:
        """What people are told of a path below `open()`."""
        return self.path / pinned.relative_to(self._pinned)

    def within(self, shown: Path) -> str:
        """The path below this folder of what `shown` gave; "" where it is none."""
        below = shown.is_relative_to(self.path) and ".." not in shown.parts
        return str(shown.relative_to(self.path)) if below and shown != self.path else ""

    def _has(self, folders: Iterable[str]) -> bool:
        """Whether nobody removed it, or one of these folders in it, since it was opened."""
        if os.fstat(self._handle).st_nlink == 0:
            return False
        try:
            return all(stat.S_ISDIR(os.lstat(name, dir_fd=self._handle).st_mode) for name in folders)
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        try:
            make_folders(self.path.parent)
            handle = _own(self.path, None, self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            for name in FOLDERS:
                os.close(_own(Path(name), handle, self.path / name))
        except BaseException as error:
            os.close(handle)
            if isinstance(error, OSError):
                raise _unusable(self.path, error) from error
            raise
        self._handle, self._pinned = handle, path_to(handle)
        # Not closed before `close`: a path that was handed out must not lead to what gets the same number later.
        self._closing.append(weakref.finalize(self, os.close, handle))


def _own(path: Path, above: int | None, shown: Path) -> int:
    """Open a folder of ours, made where there is none.

    Raises:
        SpoolRefused: it is somebody else's, or others may write to it.
        OSError: it cannot be made or opened.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700, dir_fd=above)
        sync_folder(shown.parent if above is None else path_to(above))
    try:
        handle = os.open(path, _FOLDER, dir_fd=above)
    except NotADirectoryError:  # O_DIRECTORY and O_NOFOLLOW: what a link leads to is not asked
        raise _foreign(shown, "is a link or a file, and belongs to whoever put it there") from None
    status = os.fstat(handle)
    trouble = ""
    if status.st_uid != os.geteuid():
        trouble = f"belongs to user {status.st_uid}, not to user {os.geteuid()} who runs recpipe"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        trouble = f"belongs to recpipe, but others may write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    if trouble:
        os.close(handle)
        raise _foreign(shown, trouble)
    return handle


def _foreign(path: Path, trouble: str) -> SpoolRefused:
    return SpoolRefused(
        f"{path} {trouble}. recpipe keeps nothing in a folder that others control: look who made it, move it away, or "
        "run recpipe as its owner; where a share gives all files to one user, set state_dir of this spool."
    )


def _unusable(path: Path, error: OSError) -> SpoolRefused:
    return SpoolRefused(f"{path} cannot be used: {error.strerror}. Let this user write to the spool, or mount it.")
