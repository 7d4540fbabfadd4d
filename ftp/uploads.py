"""The tree a media server sees: a place to put files into one spool, and of the files there only those it just sent."""

from __future__ import annotations

import mimetypes
import posixpath
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from ftp.account_uploads import AccountUploads, HeldUpload
from ftp.listing import Entry
from ftp.upload_transfer import UploadTransfer
from recpipe.errors import Forbidden, NotFound, RecpipeError, SpoolRefused
from recpipe.intake import (
    DEEPEST_FOLDERS,
    Destination,
    IncomingFile,
)
from recpipe.model import ByteStream

# How long a file is held that has no recording's name: long enough for a client that comes again after a night.
_WORKING_SECONDS = 24 * 3600.0
_TEST_SECONDS = 3600.0
_TEST_BYTES = 1024  # what a client writes to see that it can; no recording is as small
_REMEMBERED_FOLDERS = 1000
_PERM = "elcm"  # enter, list, create files, make folders; RFC 3659 section 7.5.5


class ReceivedAlready(RecpipeError):
    """A file that was received cannot be changed by who sent it."""

    def __init__(self) -> None:
        super().__init__("This account can only send new files: what was sent cannot be changed or taken back.")


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

    def open(self, path: str, start: int) -> tuple[ByteStream, int]:
        raise Forbidden("read: it can only upload")

    def open_at_once(self, path: str, start: int) -> tuple[ByteStream, int] | None:
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

    def store(self, path: str, expected_bytes: int | None, client_is_gone: Callable[[], bool]) -> UploadTransfer:
        """Begin a file.

        Args:
            expected_bytes, client_is_gone: as `UploadTransfer`.

        Raises:
            SpoolRefused: the name cannot be taken, or there is no room.
        """
        name = posixpath.basename(path)
        self.require_room(0)
        transfer = partial(UploadTransfer, self.account, expected_bytes, client_is_gone)
        if self._place.is_final_name(name):
            upload, finish = self._begin_final(path)
            return transfer(upload, finish, self._most_bytes, TooLarge(self._most_bytes))
        is_working = self._place.is_working_name(name)
        if not is_working and _is_content(name):
            raise self._place.no_recording(name)
        upload = self._place.hold()

        def hold(size_bytes: int) -> None:
            upload.keep()
            entry = Entry(name, size_bytes, datetime.now(UTC), perm="dfw")
            until = time.monotonic() + (_WORKING_SECONDS if is_working else _TEST_SECONDS)
            self.account.hold(path, HeldUpload(upload, entry, is_working, until))

        if is_working:
            return transfer(upload, hold, self._most_bytes, TooLarge(self._most_bytes))
        return transfer(upload, hold, _TEST_BYTES, self._place.no_recording(name))

    def _begin_final(self, path: str) -> tuple[IncomingFile, Callable[[int], None]]:
        upload = self._place.begin(path.lstrip("/"))

        def finish(size_bytes: int) -> None:
            upload.commit()
            self._note(path, size_bytes)

        return upload, finish

    def rename(self, path: str, to: str) -> None:
        """Give a file that is held its name.

        Raises:
            NotFound: there is none.
            ReceivedAlready: it was received under a recording's name.
            SpoolRefused: the new name cannot be taken; the file is held on under the old one.
        """
        held = self._take(path)
        try:
            if not self._place.is_final_name(posixpath.basename(to)):
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

    def _take(self, path: str) -> HeldUpload:
        if (held := self.account.take(path)) is None:
            self.require_own(path)
            raise NotFound("file")  # somebody else has just had it
        return held

    def _note(self, path: str, size_bytes: int, at: datetime | None = None) -> None:
        self.account.note_received(path, Entry(posixpath.basename(path), size_bytes, at or datetime.now(UTC), perm=""))
        if not size_bytes:
            self._note_empty()


def _is_content(name: str) -> bool:
    kind = mimetypes.guess_type(name)[0] or ""
    return kind.startswith(("audio/", "video/")) or kind in ("image/tiff", "application/pdf")
