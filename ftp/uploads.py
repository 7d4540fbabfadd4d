"""What a media server sees: a place to put files into one spool, and of the files there only those it just sent."""

from __future__ import annotations

import mimetypes
import posixpath
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from ftp.account_uploads import AccountUploads, Held
from ftp.listing import Entry
from recpipe.errors import Forbidden, NotFound, RecpipeError, SpoolRefused
from recpipe.intake import Destination, IncomingFile
from recpipe.spool.files import Kind, kind_of, safe_text
from recpipe.spool.folder import DEEPEST_FOLDERS

# How long a file is held that has no recording's name: long enough for a client that comes again after a night.
_WORKING_SECONDS = 24 * 3600.0
_TEST_SECONDS = 3600.0
_TEST_BYTES = 1024  # what a client writes to see that it can; no recording is as small
_REMEMBERED_FOLDERS = 1000
# NAME.wav.gz is a finished file that nobody will rename, and that cannot be read.
_PACKED = frozenset(
    {".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".enc", ".gpg", ".pgp", ".asc", ".p7m", ".age"}
)
_HEAD_BYTES = 12  # of a WAV file: RIFF, the size of what follows, WAVE
_PERM = "elcm"  # enter, list, create files, make folders; RFC 3659 section 7.5.5


class ReceivedAlready(RecpipeError):
    """A file that was received cannot be changed by who sent it."""

    def __init__(self) -> None:
        super().__init__("This account can only send new files: what was sent cannot be changed or taken back.")


class WrongSize(SpoolRefused):
    """Another number of bytes came than was announced."""


class TooLarge(SpoolRefused):
    """A file is larger than an upload may be."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"A file may have at most {most_bytes} bytes here: nothing was kept.")


class DropBox:
    """One upload session. Folders are whatever is named: they appear in the spool with the first file in them.

    A file whose name is a recording's or a sidecar's goes into the spool. Others are held aside for a while: under a
    working name, until they are renamed; tests of the account, until they are deleted.

    Args:
        note_empty: called for each file that came empty.
    """

    def __init__(
        self, place: Destination, account: AccountUploads, most_bytes: int, note_empty: Callable[[], None]
    ) -> None:
        self.account = account
        self._place = place
        self._most_bytes = most_bytes
        self._note_empty = note_empty
        self._folders: set[str] = set()

    def stat(self, path: str) -> Entry:
        if (sent := self.account.find(path)) is not None:
            return sent
        name = posixpath.basename(path)
        # A name with a suffix is asked for to see whether it is there, one without to go into it.
        is_file = path != "/" and path not in self._folders and posixpath.splitext(name)[1]
        if is_file or path.count("/") > DEEPEST_FOLDERS:
            raise NotFound("file")
        return Entry(name or "/", 0, datetime.now(UTC), is_folder=True, perm=_PERM)

    def entries(self, path: str) -> Iterator[Entry]:
        return self.account.in_folder(path)

    def open(self, path: str, start: int) -> tuple[BinaryIO, int]:
        raise Forbidden("read: it can only upload")

    def open_at_once(self, path: str, start: int) -> tuple[BinaryIO, int] | None:
        return None

    def sha256(self, path: str) -> str:
        raise Forbidden("read: it can only upload")

    # --- what changes something ---------------------------------------------------------------------------

    def require_room(self, size_bytes: int) -> None:
        """Go on only where a file of this size could be taken now.

        Raises:
            TooLarge, OverQuota, SpoolFull: it could not.
        """
        if size_bytes > self._most_bytes:
            raise TooLarge(self._most_bytes)
        self.account.require_left(size_bytes)
        self._place.require_room(size_bytes)

    def make_folder(self, path: str) -> None:
        """Raises:
        SpoolRefused: it lies too deep.
        """
        if path.count("/") > DEEPEST_FOLDERS:
            raise SpoolRefused(f"Folders may be at most {DEEPEST_FOLDERS} deep.")
        if len(self._folders) < _REMEMBERED_FOLDERS:
            self._folders.add(path)

    def remove_folder(self, path: str) -> None:
        """Raises:
        SpoolRefused: something was sent into it.
        """
        if self.account.has_below(path):
            raise SpoolRefused("This folder is not empty.")
        self._folders.discard(path)

    def store(self, path: str) -> Receiving:
        """Begin a file.

        Raises:
            SpoolRefused: the name cannot be taken, or there is no room.
        """
        name = posixpath.basename(path)
        self.require_room(0)
        if _is_final(name):
            return self._store_final(path)
        is_working = _is_working_name(name)
        not_a_test = SpoolRefused(
            f"{safe_text(name)} is no recording: its name must end in .wav, .mp3, .gsm or as other audio does."
        )
        if not is_working and _is_audio(name):
            raise not_a_test
        upload = self._place.hold()

        def hold(size_bytes: int) -> None:
            upload.keep()
            entry = Entry(name, size_bytes, datetime.now(UTC), perm="dfw")
            until = time.monotonic() + (_WORKING_SECONDS if is_working else _TEST_SECONDS)
            self.account.hold(path, Held(upload, entry, is_working, until))

        if is_working:
            return Receiving(upload, self.account, hold, self._most_bytes, TooLarge(self._most_bytes))
        return Receiving(upload, self.account, hold, _TEST_BYTES, not_a_test)

    def _store_final(self, path: str) -> Receiving:
        upload = self._place.begin(path.lstrip("/"))

        def finish(size_bytes: int) -> None:
            upload.commit()
            self._note(path, size_bytes)

        return Receiving(upload, self.account, finish, self._most_bytes, TooLarge(self._most_bytes))

    def rename(self, path: str, to: str) -> None:
        """Give a file that is held its name.

        Raises:
            NotFound: there is none.
            ReceivedAlready: it was received under a recording's name.
            SpoolRefused: the new name cannot be taken; the file is held on under the old one.
        """
        held = self._take(path)
        try:
            if not _is_final(posixpath.basename(to)):
                held.entry = held.entry._replace(name=posixpath.basename(to))
                self.account.hold(to, held)
                return
            if held.entry.size_bytes:
                held.upload.name(to.lstrip("/"))
        except RecpipeError:
            self.account.hold(path, held)
            raise
        held.upload.commit(held.stated_at)
        self._note(to, held.entry.size_bytes, held.stated_at)

    def delete(self, path: str) -> None:
        """Throw away a file that is held.

        Raises:
            NotFound, ReceivedAlready: as `rename`.
        """
        self._take(path).upload.abort()

    def require_own(self, path: str) -> None:
        """Raises:
        NotFound, ReceivedAlready: as `rename`.
        """
        if self.account.has_received(path):
            raise ReceivedAlready
        if self.account.find(path) is None:
            raise NotFound("file")

    def _take(self, path: str) -> Held:
        if (held := self.account.take(path)) is None:
            self.require_own(path)
            raise NotFound("file")  # somebody else has just had it
        return held

    def _note(self, path: str, size_bytes: int, at: datetime | None = None) -> None:
        self.account.note_received(path, Entry(posixpath.basename(path), size_bytes, at or datetime.now(UTC), perm=""))
        if not size_bytes:
            self._note_empty()


class Receiving:
    """A file on its way in, as the data channel writes it. Closing it without `commit` throws it away.

    Args:
        finish: called with its size when all of it is there; what it raises is raised by `commit`.
        most_bytes: it may have.
        too_large: what to raise where it has more.
    """

    def __init__(
        self,
        upload: IncomingFile,
        account: AccountUploads,
        finish: Callable[[int], None],
        most_bytes: int,
        too_large: SpoolRefused,
    ) -> None:
        self._upload = upload
        self._account = account
        self._finish = finish
        self._most_bytes = most_bytes
        self._too_large = too_large
        self._head = b""
        self.size_bytes = 0
        self._counted_bytes = 0  # of the account's day
        self.closed = False

    def write(self, data: bytes) -> int:
        """Take the next bytes.

        Raises:
            TooLarge, OverQuota, SpoolFull: they are too many.
            OSError: the disk does not take them.
        """
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise self._too_large
        self._account.count(len(data))
        self._counted_bytes += len(data)
        return self._upload.write(data)

    def has_all(self, expected_bytes: int | None) -> bool:
        """Whether the size is the one that was announced, or, where none was, that in the header of a WAV file."""
        if expected_bytes is None and self._head[:4] == b"RIFF" and self._head[8:] == b"WAVE":
            expected_bytes = 8 + int.from_bytes(self._head[4:8], "little")
        return expected_bytes == self.size_bytes

    def commit(self, expected_bytes: int | None) -> None:
        """Make it durable and give it its name.

        Args:
            expected_bytes: what the client announced with ALLO.

        Raises:
            WrongSize: not as many came.
            SpoolRefused: another file has the name; the disk is full.
        """
        self.closed = True
        try:
            if expected_bytes is not None and expected_bytes != self.size_bytes:
                raise WrongSize(
                    f"{expected_bytes} bytes were announced, {self.size_bytes} came: nothing was kept. Send it again."
                )
            self._finish(self.size_bytes)
        except BaseException:
            self._abort()
            raise

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._abort()

    def _abort(self) -> None:
        self._upload.abort()
        self._account.give_back(self._counted_bytes)


def _is_final(name: str) -> bool:
    return kind_of(name) in (Kind.RECORDING, Kind.SIDECAR)


def _is_working_name(name: str) -> bool:
    """Whether clients name so what they will rename: `.in.NAME`, `NAME.wav.1a2b.partial`, `NAME.wav_`."""
    if kind_of(name) in (Kind.TEMPORARY, Kind.HIDDEN) or _is_final(name.rstrip("_-$!#")):
        return True
    stem, suffix = posixpath.splitext(name)
    return kind_of(stem) is Kind.RECORDING and suffix.lower() not in _PACKED


def _is_audio(name: str) -> bool:
    return (mimetypes.guess_type(name)[0] or "").startswith(("audio/", "video/"))
