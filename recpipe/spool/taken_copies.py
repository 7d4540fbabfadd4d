"""Which files of a spool are stored and stay where they are: the PBX goes on with them, and none is stored twice.

A file is known by what stays the same when a PBX renames it (size, time of last write, inode), so a mailbox may number
its messages anew. What is forgotten, as when the control folder is lost, is read once more and found in the catalogue.

    taken       a line each: SIZE MTIME_NS INODE
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from recpipe import durable
from recpipe import log as logs
from recpipe.model import FileIdentity

FILE = "taken"
_EFFECT = "each is read once more and found in the catalogue"
_log = logs.get(__name__)


class TakenCopies:
    """Those of one spool. Methods may be called from several threads.

    Args:
        control: gives the control folder.
        label: the spool's name in logs.
    """

    def __init__(self, control: Callable[[], Path], label: str) -> None:
        self._control = control
        self._label = label
        self._read: set[FileIdentity] | None = None  # what earlier processes noted, and this one
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._known())

    def has(self, file: FileIdentity) -> bool:
        """Whether it is stored, whatever it is called by now."""
        with self._lock:
            return file in self._known()

    def _known(self) -> set[FileIdentity]:
        if self._read is None:
            written = ""
            try:
                written = (self._control() / FILE).read_text("ascii", "replace")
            except FileNotFoundError:
                pass
            except OSError as error:
                _log.warning("stored files not known", spool=self._label, why=error.strerror or "", effect=_EFFECT)
            self._read = set(_identities(written.splitlines()))
        return self._read

    def add(self, file: FileIdentity) -> None:
        """It is stored and committed. Where the disk does not take the note, it is read again after a restart."""
        line = f"{_line(file)}\n".encode("ascii")
        with self._lock:
            if file in (known := self._known()):
                return
            known.add(file)
            try:
                handle = os.open(self._control() / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    # After a write that was cut short, so that its end is not taken for the beginning of this one.
                    os.write(handle, b"\n" + line)
                finally:
                    os.close(handle)
            except OSError as error:
                _log.warning("stored file not noted", spool=self._label, why=error.strerror or "")

    def keep_only(self, there: Collection[FileIdentity]) -> None:
        """Forget what the PBX has removed since.

        Args:
            there: all files of the spool.

        Raises:
            OSError: the disk does not take it; nothing is forgotten then.
        """
        with self._lock:
            left = (known := self._known()).intersection(there)
            if len(left) == len(known):
                return
            durable.replace(self._control() / FILE, "".join(f"{_line(one)}\n" for one in left).encode("ascii"))
            self._read = left


def _line(file: FileIdentity) -> str:
    return f"{file.size_bytes} {file.mtime_ns} {file.inode}"


def _identities(lines: Iterable[str]) -> Iterable[FileIdentity]:
    for line in lines:
        parts = line.split()
        if len(parts) == 3 and all(part.isascii() and part.removeprefix("-").isdecimal() for part in parts):
            yield FileIdentity(*map(int, parts))
