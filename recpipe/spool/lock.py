"""Who owns a spool, and whether the owner before left it in good order.

The kernel's lock on the file is what counts. What the file holds is one record of fixed length, overwritten in place,
so that it needs no new block on a full disk and no power cut leaves half of it:

    byte 0      "+" left in good order; anything else: not, and so is a file without a record
    byte 1..    the owner in words, padded with spaces, and a newline

It is never emptied: a crash while a crash is being looked after must not make both forgotten.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

from recpipe import log as logs
from recpipe.errors import SpoolLocked
from recpipe.spool.files import safe_text

_log = logs.get(__name__)

RECORD_BYTES = 256
_CLEAN, _IN_USE = b"+", b"!"


class SpoolLock:
    """The lock file of one spool."""

    def __init__(self) -> None:
        self._handle: int | None = None

    def acquire(self, path: Path, root: Path) -> bool:
        """Become the owner.

        Args:
            path: of the file; made where it is missing.
            root: of the spool, for the message.

        Returns:
            Whether the owner before left it in good order; a file that nobody owned before is.

        Raises:
            SpoolLocked: another live process owns it.
            OSError: the file cannot be made or locked.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle, made = os.open(path, flags), False
        except FileNotFoundError:
            handle, made = os.open(path, flags | os.O_CREAT, 0o600), True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, RECORD_BYTES, 1).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise SpoolLocked(root, safe_text(owner)) from None
        except OSError:
            os.close(handle)
            raise
        self._handle = handle
        in_order = made or os.pread(handle, 1, 0) == _CLEAN
        return self._mark_in_use(handle) and in_order

    def release(self, *, in_order: bool) -> None:
        """Let another process have it. Not owning it is no error."""
        if self._handle is None:
            return
        try:
            if in_order:
                _overwrite(self._handle, _CLEAN)
        except OSError as error:
            _log.warning("spool lock not marked", why=error.strerror, effect="the next start looks as after a crash")
        finally:
            os.close(self._handle)
            self._handle = None

    def _mark_in_use(self, handle: int) -> bool:
        """Write the record; False where the file system takes none, and the lock is held all the same."""
        owner = f"process {os.getpid()} on {socket.gethostname()}".encode()[: RECORD_BYTES - 2]
        try:
            _overwrite(handle, _IN_USE + owner.ljust(RECORD_BYTES - 2) + b"\n")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            _log.warning("spool lock not marked", why=error.strerror, effect="the next start looks as after a crash")
            if os.pread(handle, 1, 0) == _CLEAN:  # copy on write: there is no room even for what is there already
                os.ftruncate(handle, 0)
            return False
        return True


def _overwrite(handle: int, record: bytes) -> None:
    os.pwrite(handle, record, 0)
    os.fsync(handle)
