"""Tells a spool that is not mounted from one that is new: both are an empty folder.

Which mount a spool lay on is noted in the data dir. Where its control folder is gone and its path has fallen back to a
mount above, nothing is made there: what came into the folder below a mount point would be hidden by the next mount.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from recpipe.errors import SpoolRefused

_ESCAPED = re.compile(rb"\\([0-7]{3})")  # blanks and backslashes in the table


class SpoolMount:
    """The mount that one spool lies on.

    Args:
        root: of the spool, absolute.
        marker: the file in its control folder that shows that it is there.
        notes: a folder of the data dir.
    """

    def __init__(self, root: Path, marker: Path, notes: Path) -> None:
        self._root = root
        self._marker = marker
        self._note = notes / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]

    def check(self) -> None:
        """Return where the spool may be used, or made.

        Raises:
            SpoolRefused: it is not mounted.
        """
        try:
            if self._marker.exists():
                return
            noted, now = Path(os.fsdecode(self._note.read_bytes())), mount_of(self._root)
        except OSError:  # never noted; what cannot be looked at is refused by whoever needs it
            return
        if noted != now and noted.is_relative_to(now):
            raise SpoolRefused(
                f"The spool {self._root} is not mounted: it lay on {noted}. Mount it, and it is served at once; if it "
                f"moved to this disk on purpose, delete {self._note}."
            )

    def note(self) -> Path:
        """Remember the mount it lies on now, which is returned. A data dir that is full costs the memory, no more."""
        mount = mount_of(self._root)
        with contextlib.suppress(OSError):
            self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._note.write_bytes(os.fsencode(mount))
        return mount


def mount_of(path: Path) -> Path:
    """The mount point that a path, be it there or not, lies on.

    Source: proc_pid_mountinfo(5); `os.path.ismount` does not see bind mounts within one file system.
    """
    real = Path(os.path.realpath(path))
    with Path("/proc/self/mountinfo").open("rb") as table:
        points = {_ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), line.split(b" ", 5)[4]) for line in table}
    return next(folder for folder in (real, *real.parents) if os.fsencode(folder) in points or folder == folder.parent)
