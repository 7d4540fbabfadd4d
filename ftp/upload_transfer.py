"""A file that is sent to the gateway, from the data connection into the spool."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from OpenSSL import SSL

from ftp.account_uploads import AccountUploads
from ftp.data_socket import DataSocket
from recpipe.errors import RecpipeError, SpoolRefused
from recpipe.intake import IncomingFile

_DRAINED_BYTES = 8 * 1024 * 1024  # of an upload that is refused
_HEAD_BYTES = 12  # of a WAV file: RIFF, the size of what follows, WAVE


class DiskFailed(Exception):
    """The spool does not take what was sent."""


class CutOff(Exception):
    """An upload ended before its end."""


class WrongSize(SpoolRefused):
    """Another number of bytes came than was announced."""


class UploadTransfer:
    """Receives one file, counts it for its account, and keeps it only where it came whole.

    Args:
        expected_bytes: announced by the client with ALLO.
        client_is_gone: asked at the end: whether the client was killed, so that the end was none.
        finish: called with the size when all of it is there; what it raises is raised by `move`.
        most_bytes: the file may have.
        too_large: raised where it has more.

    Attributes:
        outcome: the reply when all of it has moved.
    """

    def __init__(
        self,
        account: AccountUploads,
        expected_bytes: int | None,
        client_is_gone: Callable[[], bool],
        upload: IncomingFile,
        finish: Callable[[int], None],
        most_bytes: int,
        too_large: SpoolRefused,
    ) -> None:
        self._account = account
        self._expected_bytes = expected_bytes
        self._client_is_gone = client_is_gone
        self._upload = upload
        self._finish = finish
        self._most_bytes = most_bytes
        self._too_large = too_large
        self._head = b""
        self._size_bytes = 0
        self._counted_bytes = 0  # of the account's day
        self._closed = False
        self.outcome = "Transfer complete."

    def move(self, data_socket: DataSocket, moved: Callable[[int], None]) -> None:
        """Take everything that comes, and keep it when it came whole.

        An upload is whole when its sender ended it: TLS with a close_notify, the control connection still there.
        Otherwise it is whole where it says itself how long it is: by ALLO, or by its own header.

        Raises:
            DiskFailed: the disk does not take it.
            CutOff: it did not come whole; nothing was kept.
            WrongSize: as many bytes as were announced did not come.
            TooLarge, OverQuota, SpoolFull: it is too large.
            SpoolRefused: another file has the name.
            OSError, SSL.Error: from the connection.
        """
        try:
            while piece := data_socket.receive():
                try:
                    self._write(piece)
                except OSError as error:
                    raise DiskFailed(str(error)) from error
                except RecpipeError:
                    _drain(data_socket)
                    raise
                moved(len(piece))
        except (ConnectionError, SSL.Error):
            if not self._has_all():
                raise
        else:
            ended_well = data_socket.ended_well and not self._client_is_gone()
            if not ended_well and not self._has_all():
                raise CutOff
        data_socket.say_goodbye()
        self._commit()
        if not self._size_bytes:
            self.outcome = "The file was empty: nothing was kept."

    def close(self) -> None:
        """Throw away what was not kept."""
        if not self._closed:
            self._closed = True
            self._abort()

    def _write(self, data: bytes) -> None:
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        self._size_bytes += len(data)
        if self._size_bytes > self._most_bytes:
            raise self._too_large
        self._account.count(len(data))
        self._counted_bytes += len(data)
        self._upload.write(data)

    def _has_all(self) -> bool:
        """Whether the size is the one that was announced, or, where none was, that in the header of a WAV file."""
        expected_bytes = self._expected_bytes
        if expected_bytes is None and self._head[:4] == b"RIFF" and self._head[8:] == b"WAVE":
            expected_bytes = 8 + int.from_bytes(self._head[4:8], "little")
        return expected_bytes == self._size_bytes

    def _commit(self) -> None:
        self._closed = True
        try:
            if self._expected_bytes is not None and self._expected_bytes != self._size_bytes:
                raise WrongSize(
                    f"{self._expected_bytes} bytes were announced, {self._size_bytes} came: nothing was kept. "
                    "Send it again."
                )
            self._finish(self._size_bytes)
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        self._upload.abort()
        self._account.give_back(self._counted_bytes)


def _drain(data_socket: DataSocket) -> None:
    """Take what is under way of a file that is refused: closing on it would be a reset, and the reply be lost."""
    left = _DRAINED_BYTES
    with contextlib.suppress(TimeoutError, OSError, SSL.Error):
        while left > 0 and (piece := data_socket.receive()):
            left -= len(piece)
        data_socket.say_goodbye()
