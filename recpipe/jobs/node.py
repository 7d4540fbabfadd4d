"""Which node this is: a name that outlives the process, and that no two living processes have."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from pathlib import Path

from recpipe.errors import RecpipeError

FILE = "jobs.lock"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class JobsLocked(RecpipeError):
    """Another live process runs the background jobs of this data dir."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"Another process runs the background jobs of {data_dir} already. Leave them out here with --role, or "
            "give this process a data_dir of its own."
        )


class NodeLock:
    """Holds the name of the node in a data dir, until `release` or the end of the process (however it ends)."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._handle: int | None = None

    def acquire(self) -> str:
        """The node's name, made at the first start.

        Raises:
            JobsLocked: another live process holds it.
            RecpipeError: the file cannot be made or locked.
        """
        path = self._data_dir / FILE
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise RecpipeError(f"{path} cannot be made: {error.strerror}. Check data_dir.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if isinstance(error, BlockingIOError):
                raise JobsLocked(self._data_dir) from None
            raise RecpipeError(f"{path} cannot be locked: {error.strerror}. Check data_dir.") from error
        self._handle = handle
        name = os.pread(handle, 200, 0).decode("utf-8", "replace").strip()
        if not _NAME.fullmatch(name):
            host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60] or "node"
            name = f"{host}-{secrets.token_hex(4)}"
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{name}\n".encode(), 0)
            os.fsync(handle)
        return name

    def release(self) -> None:
        """Let another process have the name. Not holding it is no error."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
