"""Objects as files below one folder: the embedded store. Durable when `put` returns, whatever happens to the power.

A new object is written to a temporary file in `.partial`, forced to disk, then hard-linked to its name. A link never
replaces what is there, so a name shows either nothing or one whole object, and two writers cannot both win.

Source: link(2), fsync(2) (a new name is durable only when its folder was forced to disk too).
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recpipe import durable
from recpipe.errors import ObjectDamaged, ObjectExists, ObjectMissing, StoreError, StoreRejected, StoreUnavailable
from recpipe.model import ByteStream, Readable, StoredObject
from recpipe.store.base import Note
from recpipe.store.body import check_range, expect_end, expect_length, fill, sha256_of
from recpipe.store.layout import check_key, check_prefix

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 256 * 1024
PARTIAL = ".partial"  # no key has a segment that starts with a dot

# What a person can cure by freeing space or mending the disk; the same call succeeds afterwards.
_PASSING = {
    errno.ENOENT,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_ADVICE = {
    errno.ENOENT: "It has gone away: mount its disk again, or restart recpipe to make a new one.",
    errno.ENOSPC: "The file system is full: free space or enlarge it; what waits is stored then.",
    errno.EDQUOT: "The quota is used up: raise it or free space; what waits is stored then.",
    errno.EIO: "The disk reported an error: look at the kernel's log and the health of the disk.",
    errno.EACCES: "Give the user that runs recpipe the ownership of the folder.",
    errno.EPERM: "Give the user that runs recpipe the ownership of the folder.",
    errno.EROFS: "The file system is mounted read-only: remount it for writing.",
}


class DirectoryStore:
    """A `Store` in a folder: files are 0600, folders 0700. Several processes may share it; thread-safe.

    The note of an object is a file beside it, `.NAME.note`: a backup of the folder needs the dot files too.
    `head` and `list` give no SHA-256: one that was written down at `put` would hide that a file rotted since.
    A key cannot be both an object and the start of another's path (`a` and `a/b`): the later one is rejected.

    Args:
        root: the folder; made when it is missing. Temporary files that a crash left in it are removed.

    Raises:
        StoreRejected: the folder cannot be made or used.
        StoreUnavailable: its disk is full or failing.
    """

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partial = self._root / PARTIAL
        # Folders that are known to be on disk with their whole path; see `_settle_folder`.
        self._durable: set[Path] = set()
        self._durable_lock = threading.Lock()
        with _translated(self._root):
            _make_folders(self._partial)
            durable.sweep(self._partial)

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        """As `Store.put`. The SHA-256 is of what the kernel was given; fsync(2) vouches that it is on the disk."""
        target = self._path(key)
        with _translated(self._partial):
            partial, fd = durable.open_held(self._partial)
        try:
            sha256 = _copy(body, fd, size_bytes, partial)
            with _translated(partial):
                os.fsync(fd)
                written = os.fstat(fd)
            if written.st_size != size_bytes:
                raise ObjectDamaged(key, f"{written.st_size} bytes reached the disk instead of {size_bytes}")
            with _translated(target):
                if not self._link(partial, target):
                    same = self._same(key, size_bytes, sha256)
                    if note is not None and not _read_note(target):  # a full disk took the object and not its note
                        _write_note(target, note(sha256))
                    return same
                if note is not None:
                    _write_note(target, note(sha256))
                self._settle_folder(target.parent)
            return StoredObject(key, size_bytes, sha256, _when(written))
        finally:
            with suppress(OSError):  # what cannot be removed now is swept at the next start
                partial.unlink()
            os.close(fd)

    def read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
        path = f"{self._root}/{check_key(key)}"  # a Path takes longer to make than a file to open
        check_range(start, length)
        fd = self._open(key, path)
        try:
            with _translated(path):
                size = _regular(fd, key).st_size
        except BaseException:
            os.close(fd)
            raise
        end = size if length is None else min(size, start + length)
        # Not buffered: reads are large, and what sits in a buffer cannot be sent by the kernel.
        return _FileRange(fd, path, start, max(start, end))

    def head(self, key: str) -> StoredObject:
        path = self._path(key)
        fd = self._open(key, path)
        try:
            with _translated(path):
                status = _regular(fd, key)
        finally:
            os.close(fd)
        return StoredObject(key, status.st_size, "", _when(status), _read_note(path))

    def rewrite_note(self, key: str, note: bytes) -> None:
        """As `RewritesNotes.rewrite_note`."""
        path = self._path(key)
        with _translated(path):
            partial, fd = durable.open_held(self._partial)
            try:
                os.write(fd, note)
                os.fsync(fd)
                if path.exists():
                    partial.rename(_note_path(path))
                    if not path.exists():  # deleted just now, and its note with it
                        _note_path(path).unlink(missing_ok=True)
            finally:
                partial.unlink(missing_ok=True)
                os.close(fd)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _translated(path):
            with suppress(FileNotFoundError, NotADirectoryError):
                _note_path(path).unlink()
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                self._still_there()
            except IsADirectoryError:
                return  # the start of other keys, not an object
            else:
                # Without it a power cut could bring back what was deleted for good reason.
                durable.sync_folder(path.parent, required=True)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        self._still_there()
        return self._walk(self._root, "", prefix)

    def presign(self, key: str, *, seconds: int, download_name: str, media_type: str) -> str | None:
        check_key(key)
        return None

    # --- names --------------------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _open(self, key: str, path: Path | str) -> int:
        with _translated(path):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except (FileNotFoundError, NotADirectoryError):
                self._still_there()
                raise ObjectMissing(key) from None

    def _still_there(self) -> None:
        """Tell a missing object from a missing disk.

        Raises:
            StoreUnavailable: the whole folder is gone.
        """
        if not self._partial.is_dir():
            raise StoreUnavailable(
                f"The object folder {self._root} is gone. Mount its disk again, or restart recpipe to make a new one."
            )

    def _same(self, key: str, size_bytes: int, sha256: str) -> StoredObject:
        """What is under `key` already, when it is the same."""
        there = self.head(key)
        if there.size_bytes != size_bytes or sha256_of(self.read(key)) != sha256:
            raise ObjectExists(key)
        # Its writer may not have come as far as this before it died.
        self._settle_folder(self._path(key).parent)
        return StoredObject(key, size_bytes, sha256, there.modified_at)

    @staticmethod
    def _link(partial: Path, target: Path) -> bool:
        """Give the finished file its name; False when the name is taken."""
        try:
            try:
                os.link(partial, target)
            except FileNotFoundError:
                _make_folders(target.parent)
                os.link(partial, target)
        except (FileExistsError, NotADirectoryError) as error:
            if target.is_file():
                return False
            raise StoreRejected(
                f"An object cannot be stored at {target}: a folder is in its place, or a file where its folder should "
                "be. Nothing was overwritten."
            ) from error
        return True

    def _settle_folder(self, folder: Path) -> None:
        """Force a folder's names to disk, and once per process those of every folder above it.

        A folder seen here may have been made by another thread, or by a process that died, before its own name was
        forced to disk; only a folder whose whole path this process has forced is taken on trust.
        """
        durable.sync_folder(folder, required=True)
        with self._durable_lock:
            known = folder in self._durable
        if known:
            return
        for above in folder.parents:
            if not above.is_relative_to(self._root):
                break
            durable.sync_folder(above, required=True)
        with self._durable_lock:
            if len(self._durable) >= 50_000:  # bounds the memory; forgetting costs a few more fsyncs
                self._durable.clear()
            self._durable.add(folder)

    # --- folders ------------------------------------------------------------------------------------------

    def _walk(self, folder: Path, above: str, prefix: str) -> Iterator[StoredObject]:
        with _translated(folder):
            try:
                with os.scandir(folder) as entries:
                    found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries if not e.name.startswith(".")]
            except FileNotFoundError:
                return
        # "a-b" sorts before "a/b" as a key, so a folder has to sort with its slash.
        for name in sorted(name + "/" if is_folder else name for name, is_folder in found):
            key = above + name
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(folder / name, key, prefix)
            elif key.startswith(prefix):
                with _translated(folder / name):
                    try:
                        status = (folder / name).lstat()
                    except FileNotFoundError:  # deleted meanwhile
                        continue
                if stat.S_ISREG(status.st_mode):
                    yield StoredObject(key, status.st_size, "", _when(status))


class _FileRange(io.RawIOBase):
    """A byte range of an open file, which it owns."""

    def __init__(self, fd: int, path: str, start: int, end: int) -> None:
        super().__init__()
        self._fd = fd
        self._path = path
        self._at = start
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")[: self._end - self._at]
        if not view:
            return 0
        with _translated(self._path):
            count = os.preadv(self._fd, [view], self._at)
        self._at += count
        return count

    def send_to(self, sock: int, most: int) -> int:
        count = os.sendfile(sock, self._fd, self._at, min(most, self._end - self._at))
        self._at += count
        return count

    def waits(self, most: int, then: Callable[[], None]) -> bool:
        return False

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


def _copy(body: Readable, fd: int, size_bytes: int, partial: Path) -> str:
    """Write `size_bytes` of `body`; their SHA-256 in hex."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(CHUNK_BYTES, max(size_bytes, 1))))
    written = 0
    while written < size_bytes:
        count = fill(body, buffer[: size_bytes - written])
        if count < min(len(buffer), size_bytes - written):
            expect_length(written + count, size_bytes)
        digest.update(buffer[:count])
        rest = buffer[:count]
        with _translated(partial):
            while rest:
                rest = rest[os.write(fd, rest) :]
        written += count
    expect_end(body, size_bytes)
    return digest.hexdigest()


def _note_path(target: Path) -> Path:
    """Where the note of an object is: a dot name, which no key has."""
    return target.with_name(f".{target.name}.note")


def _write_note(target: Path, note: bytes) -> None:
    # Not forced to disk: it is for the day when the catalogue is lost, and a torn one is known by its tag.
    fd = os.open(_note_path(target), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, note)
    finally:
        os.close(fd)


def _read_note(target: Path) -> bytes:
    try:
        return _note_path(target).read_bytes()
    except OSError:
        return b""


def _regular(fd: int, key: str) -> os.stat_result:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ObjectMissing(key)
    return status


def _when(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _make_folders(folder: Path) -> None:
    """Like `mkdir -p`, but 0700 for every folder that is made; pathlib gives that mode to the last alone."""
    missing = [folder, *folder.parents]
    while missing and missing[-1].exists():
        missing.pop()
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _translated(path: Path | str) -> Iterator[None]:
    """Turn what the operating system says of our own files into store errors."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Check the folder, its owner and its disk.")
        kind: type[StoreError] = StoreUnavailable if error.errno in _PASSING else StoreRejected
        raise kind(f"The object folder cannot be used: {error.strerror} ({path}). {advice}") from error
