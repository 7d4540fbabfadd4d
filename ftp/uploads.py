"""What a media server sees: a place to put files into one spool, and of the files there only those it just sent."""

from __future__ import annotations

import posixpath
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from ftp.listing import Entry
from recpipe.errors import Forbidden, NotFound, SpoolRefused
from recpipe.model import Tenant
from recpipe.settings import Spool
from recpipe.spool.folder import SpoolFolder, Upload

FROM_PATH, FROM_FACTS = "from-path", "from-facts"

# Of its own uploads a session remembers so many, for clients that ask SIZE after STOR to see that all has arrived.
_REMEMBERED = 1000
_HEAD_BYTES = 12  # of a WAV file: RIFF, the size of what follows, WAVE
_PERM = "elcm"  # enter, list, create files, make folders; RFC 3659 section 7.5.5


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """A spool that media servers may upload into."""

    folder: SpoolFolder
    tenant: str  # as the spool's setting: a tenant's name, "from-path" or "from-facts"

    @classmethod
    def of(cls, spool: Spool) -> UploadTarget:
        return cls(SpoolFolder(spool), spool.tenant)

    def prefix_for(self, tenant: Tenant | None) -> str:
        """The folder of the spool that is the root of an account.

        Args:
            tenant: the account's; None for a media server that serves all tenants of the spool.

        Raises:
            Forbidden: a tenant's own media server would write other tenants' recordings here.
        """
        if tenant is None:
            return ""
        if self.tenant == FROM_PATH:
            return tenant.name + "/"
        if self.tenant in (tenant.name, *tenant.aliases):
            return ""
        raise Forbidden("upload into a spool that is not its own tenant's")


class DropBox:
    """One upload session. Folders are whatever is named: they appear in the spool with the first file in them."""

    def __init__(self, target: UploadTarget, prefix: str) -> None:
        self._target = target
        self._prefix = prefix
        self._sent: OrderedDict[str, Entry] = OrderedDict()

    def stat(self, path: str) -> Entry:
        if (sent := self._sent.get(path)) is not None:
            return sent
        name = posixpath.basename(path)
        # A name with a suffix is asked for to see whether it is there, one without to go into it.
        if path != "/" and posixpath.splitext(name)[1]:
            raise NotFound("file")
        return Entry(name or "/", 0, datetime.now(UTC), is_folder=True, perm=_PERM)

    def entries(self, path: str) -> Iterator[Entry]:
        return (entry for sent, entry in list(self._sent.items()) if posixpath.dirname(sent) == path)

    def open(self, path: str, start: int) -> tuple[BinaryIO, int]:
        raise Forbidden("read: it can only upload")

    def open_at_once(self, path: str, start: int) -> tuple[BinaryIO, int] | None:
        return None

    def sha256(self, path: str) -> str:
        raise Forbidden("read: it can only upload")

    def store(self, path: str, arrived: Callable[[int], None]) -> Receiving:
        """Begin a file.

        Args:
            arrived: called with its size once it is durable.

        Raises:
            SpoolRefused: the name cannot be taken.
        """
        upload = self._target.folder.accept_upload(self._prefix + path.lstrip("/"))

        def note(size_bytes: int) -> None:
            self._sent[path] = Entry(posixpath.basename(path), size_bytes, datetime.now(UTC), perm="")
            while len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)
            arrived(size_bytes)

        return Receiving(upload, note)


class Receiving:
    """A file on its way in, as the data channel writes it. Closing it without `commit` throws it away."""

    name = ""

    def __init__(self, upload: Upload, arrived: Callable[[int], None]) -> None:
        self._upload = upload
        self._arrived = arrived
        self._head = b""
        self.size_bytes = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        self.size_bytes += len(data)
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
            SpoolRefused: nothing was sent, or not all of it; another file has the name; the disk is full.
        """
        self.closed = True
        with self._upload:
            if not self.size_bytes:
                raise SpoolRefused("The file is empty: nothing was kept. Send the recording itself.")
            if expected_bytes is not None and expected_bytes != self.size_bytes:
                raise SpoolRefused(
                    f"{expected_bytes} bytes were announced, {self.size_bytes} came: nothing was kept. Send it again."
                )
            self._upload.commit()
        self._arrived(self.size_bytes)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._upload.abort()
