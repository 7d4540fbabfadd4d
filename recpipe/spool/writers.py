"""Does anybody hold a file open? The kernel is asked; where it cannot say, the answer is `UNKNOWN` and time decides.

Three witnesses, the best first:

1. A lease (fcntl F_SETLEASE) is granted only while nobody has the file open in a way that conflicts with it: the
   write lease while nobody has it open at all, the read lease while nobody has it open for writing. It goes by inode,
   so it sees writers of every user, container and memory map, and stays right after a rename. The kernel grants it to
   the file's owner and to processes with CAP_LEASE.
2. inotify: a file whose birth was seen is open until CLOSE_WRITE comes, and again when it changes after that.
3. /proc/*/fd says who writes among the processes that we may look into, and nothing of the others.

A lease that is granted is given back at once. Should somebody open the file in those microseconds, the kernel makes
him wait for that and sends us a signal, which is SIGIO (and deadly) unless another one is chosen.

Source: fcntl(2) "Leases", inotify(7), proc_pid_fd(5). Network file systems answer for this machine alone, and some
answer EAGAIN for want of a delegation (nfs4_setlease, cifs_setlease), so none of them is asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recpipe.model import FileIdentity
from recpipe.spool import whole
from recpipe.spool.files import may_be_recording
from recpipe.spool.settle import Writer

# Types in /proc/self/mountinfo whose files nobody can open without this kernel knowing.
LOCAL_FILE_SYSTEMS = frozenset(
    ("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3", "overlay", "ramfs",
     "reiserfs", "tmpfs", "vfat", "xfs", "zfs")
)  # fmt: skip
_IGNORED_UNLESS_CAUGHT = signal.SIGURG
_PROC_FRESH_SECONDS = 10.0  # one pass over /proc answers all questions of this time
_LONGEST_CALL_SECONDS = 24 * 3600.0  # after this a birth without CLOSE_WRITE is an event that was lost
_REMEMBERED_BIRTHS = 100_000


class Writers:
    """Answers for the files of one spool. Methods may be called from several threads.

    Args:
        remote_writers: the files are written by other machines, over a share that this one exports: the kernel sees
            the file server come and go, not the writer.
        control: the control folder, where uploads are vouched for.
    """

    def __init__(self, remote_writers: bool = False, control: Path | None = None) -> None:
        self._remote = remote_writers
        self._control = control
        self._local: dict[int, bool] = {}  # by st_dev
        self._births = Births()
        self._processes = _Processes()

    @property
    def births(self) -> Births:
        """To be told what the watcher's events say."""
        return self._births

    def of(self, path: Path | str, relative: str, seen: FileIdentity) -> Writer:
        """Ask everybody. `seen` is how the file looked just before."""
        answer, local = self.by_lease(path)
        if answer is Writer.UNKNOWN and local:
            answer = self._births.of(relative, seen)
        if answer is Writer.UNKNOWN and self._processes.write_to(path):
            answer = Writer.OPEN
        if answer is Writer.UNKNOWN and self._control is not None and whole.is_vouched(self._control, seen):
            answer = Writer.CLOSED
        return answer

    def done(self, seen: FileIdentity) -> None:
        """It is stored, or somewhere else by now."""
        if self._control is not None:
            whole.forget(self._control, seen)

    def of_moved(self, path: Path) -> Writer:
        """Ask the kernel and the processes about a file that events told of under another name, if at all."""
        answer, _ = self.by_lease(path)
        return Writer.OPEN if answer is Writer.UNKNOWN and self._processes.write_to(path) else answer

    def by_lease(self, path: Path | str) -> tuple[Writer, bool]:
        """Ask the kernel alone. Cheap: five system calls.

        Returns:
            The answer, and whether the file lies on a local file system, so that events tell of all its writers.
        """
        if self._remote:
            return Writer.UNKNOWN, False
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except BlockingIOError:
            return Writer.OPEN, True  # somebody has a lease of his own (a file server): he is asked to give it back
        except FileNotFoundError:
            return Writer.OPEN, False  # gone, or its spool is: nothing to be taken, and worth asking again soon
        except PermissionError:
            return Writer.UNKNOWN, self._is_local_folder(Path(path).parent)
        except OSError:
            return Writer.UNKNOWN, False
        try:
            if not self._is_local(handle):
                return Writer.UNKNOWN, False
            fcntl.fcntl(handle, fcntl.F_SETSIG, _IGNORED_UNLESS_CAUGHT)
            for lease, answer in ((fcntl.F_WRLCK, Writer.CLOSED), (fcntl.F_RDLCK, Writer.READ)):
                with contextlib.suppress(BlockingIOError):
                    fcntl.fcntl(handle, fcntl.F_SETLEASE, lease)
                    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
                    return answer, True
            return Writer.OPEN, True
        except OSError:  # EACCES: not ours, and no CAP_LEASE; EINVAL: this file system has no leases
            return Writer.UNKNOWN, True
        finally:
            os.close(handle)

    def _is_local_folder(self, folder: Path) -> bool:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return self._is_local(handle)
        finally:
            os.close(handle)

    def _is_local(self, handle: int) -> bool:
        device = os.fstat(handle).st_dev
        if device not in self._local:
            self._local[device] = not self._remote and file_system(handle) in LOCAL_FILE_SYSTEMS
        return self._local[device]


def file_system(handle: int) -> str:
    """The type of file system that an open file lies on, as /proc/self/mountinfo names it; "" if it does not."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        details = Path(f"/proc/self/fdinfo/{handle}").read_text()
        mount = next(line.split()[1] for line in details.splitlines() if line.startswith("mnt_id:"))
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split(" ", 1)[0] == mount:
                return line.partition(" - ")[2].split()[0]
    return ""


@dataclass(slots=True)
class _Birth:
    at: float  # monotonic
    closed: bool = False
    closed_as: FileIdentity | None = None  # how it looked then, where somebody looked


class Births:
    """What events tell of the files that came into being while they were watched, under whatever name."""

    def __init__(self) -> None:
        self._births: dict[str, _Birth] = {}
        self._lock = threading.Lock()

    def born(self, relative: str) -> None:
        """It was created, by somebody who has it open."""
        with self._lock:
            self._births.pop(relative, None)
            self._births[relative] = _Birth(time.monotonic())
            if len(self._births) > _REMEMBERED_BIRTHS:
                del self._births[next(iter(self._births))]

    def closed(self, relative: str, seen: FileIdentity | None) -> None:
        """It was closed after writing; `seen` is how it looked after that."""
        with self._lock:
            birth = self._births.get(relative)
            if birth is not None:
                birth.closed, birth.closed_as = True, seen

    def moved(self, relative: str, target: str, seen: FileIdentity | None) -> None:
        """It has a new name."""
        with self._lock:
            self._births.pop(target, None)
            birth = self._births.pop(relative, None)
            if birth is not None:
                self._births[target] = birth
                if birth.closed and birth.closed_as is None:
                    birth.closed_as = seen

    def gone(self, relative: str) -> None:
        """There is no such file any more."""
        with self._lock:
            self._births.pop(relative, None)

    def of(self, relative: str, seen: FileIdentity) -> Writer:
        """Whether it is still open, as far as events tell."""
        with self._lock:
            birth = self._births.get(relative)
            if birth is None:
                return Writer.UNKNOWN
            if birth.closed and birth.closed_as is not None:
                if birth.closed_as == seen:
                    return Writer.CLOSED
                if (birth.closed_as.size_bytes, birth.closed_as.inode) == (seen.size_bytes, seen.inode):
                    return Writer.UNKNOWN  # another time: set by its name, or written over by who has it open again
            return Writer.OPEN if time.monotonic() - birth.at < _LONGEST_CALL_SECONDS else Writer.UNKNOWN


class _Processes:
    """Recordings that processes have open for writing, as far as we may look into them."""

    def __init__(self) -> None:
        self._files: set[tuple[int, int]] = set()
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def write_to(self, path: Path | str) -> bool:
        with self._lock:
            if time.monotonic() - self._read_at > _PROC_FRESH_SECONDS:
                self._files = set(_written())
                self._read_at = time.monotonic()
            if not self._files:
                return False
        try:
            status = os.lstat(path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) in self._files


def _written() -> Iterator[tuple[int, int]]:
    for process in _entries("/proc"):
        if not process.isdigit():
            continue
        for number in _entries(f"/proc/{process}/fd"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                link = Path(f"/proc/{process}/fd/{number}")
                # Only what may be a recording is looked at: stat() of what lies on a dead mount would hang.
                target = link.readlink()
                if not target.is_absolute() or not may_be_recording(target.name):
                    continue
                flags = Path(f"/proc/{process}/fdinfo/{number}").read_text().partition("flags:")[2].split()[0]
                if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
                    status = link.stat()  # through the descriptor, whatever became of the name
                    yield status.st_dev, status.st_ino


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:  # another user's, or ended meanwhile
        return []
