"""Files that recpipe itself put into a spool, whole: known as such where no kernel can say that they are closed.

A mark is an empty file in the control folder, named by what tells one file from another. It is made before the file
appears, by whatever process takes the upload, and goes when the file is done.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from recpipe.model import FileIdentity

FOLDER = "whole"
_STALE_SECONDS = 24 * 3600  # a mark of a file that did not come for so long is given up


def vouch(control: Path, file: FileIdentity) -> None:
    """Say that nobody is going to write to this file. Without room for the mark it just takes longer."""
    with contextlib.suppress(OSError):
        os.close(os.open(_mark(control, file), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def is_vouched(control: Path, file: FileIdentity) -> bool:
    """Whether somebody said so."""
    return os.path.lexists(_mark(control, file))


def forget(control: Path, file: FileIdentity) -> None:
    """The file is done."""
    with contextlib.suppress(OSError):
        _mark(control, file).unlink()


def sweep(control: Path) -> None:
    """Remove the marks of files that did not come, or went without us.

    Raises:
        OSError: they cannot be read or removed.
    """
    for mark in (control / FOLDER).iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - mark.lstat().st_mtime > _STALE_SECONDS:
                mark.unlink()


def _mark(control: Path, file: FileIdentity) -> Path:
    return control / FOLDER / f"{file.inode}-{file.size_bytes}-{file.mtime_ns}"
