"""What moves through a data connection: files and listings out, uploads in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from OpenSSL import SSL

from ftp.data_socket import DataSocket
from ftp.uploads import Receiving
from recpipe.errors import RecpipeError
from recpipe.model import is_sendable

PIECE_BYTES = 512 * 1024  # asked of the store, and given to the kernel or to OpenSSL, at once

_HEARD_OUT_BYTES = 8 * 1024 * 1024  # of an upload that is refused

# A disk that took so long once is left to workers for so long.
SLOW_SECONDS = 0.1
_SLOW_FOR_SECONDS = 60.0

_own = threading.local()


class DiskFailed(Exception):
    """The spool does not take what was sent."""


class CutOff(Exception):
    """An upload ended before its end."""


class Transfer(Protocol):
    """What a data connection can be told to move.

    Attributes:
        outcome: what to tell the client when all of it has moved.
    """

    outcome: str

    def move(self, wire: DataSocket, moved: Callable[[int], None]) -> None:
        """Move everything; whoever calls it closes this afterwards. In a worker's thread.

        Args:
            moved: called with the number of bytes that have gone or come, as they do.

        Raises:
            RecpipeError: from catalogue, store or spool.
            OSError, SSL.Error: from the connection.
        """
        ...

    def close(self) -> None:
        """Let go of what was opened and not moved. May wait; closing twice does nothing."""
        ...


class Download:
    """A stored file from some byte on.

    Attributes:
        sendable: the kernel can send it.
    """

    outcome = "Transfer complete."

    def __init__(self, stream: BinaryIO, size_bytes: int) -> None:
        self._stream: Any = stream
        self._left = size_bytes
        self.sendable = is_sendable(stream)

    def send_to(self, sock: int) -> int:
        """Have the kernel send the next piece; 0 at the end.

        Raises:
            EOFError: the object ends before its size.
            BlockingIOError: the socket takes nothing now.
            OSError: from the socket.
        """
        if not self._left:
            return 0
        sent: int = self._stream.send_to(sock, min(PIECE_BYTES, self._left))
        if not sent:
            raise EOFError(self._left)
        self._left -= sent
        return sent

    def waits(self, then: Callable[[], None]) -> bool:
        """As `Sendable.waits`, of the next piece; of a file that has none, whether its end has to wait."""
        waits: bool = self._stream.waits(min(PIECE_BYTES, self._left), then)
        return waits

    def move(self, wire: DataSocket, moved: Callable[[int], None]) -> None:
        """Send the rest.

        Raises:
            EOFError: the object ends before its size.
            RecpipeError, OSError, SSL.Error: as for every `Transfer`.
        """
        if self.sendable and not wire.secure:
            while sent := wire.send_file(self.send_to):
                moved(sent)
            return
        piece = _buffer()
        while self._left:
            count = self._stream.readinto(piece[: self._left])
            if not count:
                raise EOFError(self._left)
            self._left -= count
            wire.send(piece[:count])
            moved(count)
        wire.say_goodbye()

    def close(self) -> None:
        self._stream.close()


class Listing:
    """Blocks of bytes that are made as they are sent."""

    outcome = "Transfer complete."

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def move(self, wire: DataSocket, moved: Callable[[int], None]) -> None:
        for block in self._blocks:
            wire.send(block)
            moved(len(block))
        wire.say_goodbye()

    def close(self) -> None:
        """Nothing is open between two blocks."""


class Upload:
    """A file on its way in.

    Args:
        expected_bytes: what the client announced.
        client_is_gone: asked at the end: whether the client was killed, so that the end was none.
    """

    outcome = "Transfer complete."

    def __init__(self, received: Receiving, expected_bytes: int | None, client_is_gone: Callable[[], bool]) -> None:
        self._received = received
        self._expected_bytes = expected_bytes
        self._client_is_gone = client_is_gone

    def move(self, wire: DataSocket, moved: Callable[[int], None]) -> None:
        """Take everything that comes, and keep it when it came whole.

        Whole is what its sender ended: TLS with a goodbye, the control connection still there. Without, it is whole
        where it says itself how long it is: by ALLO, or by its own header.

        Raises:
            DiskFailed: the disk does not take it.
            CutOff: it did not come whole; nothing was kept.
            SpoolRefused: as `Receiving.write` and `Receiving.commit`.
            OSError, SSL.Error: from the connection.
        """
        received = self._received
        try:
            while piece := wire.receive():
                try:
                    received.write(piece)
                except OSError as error:
                    raise DiskFailed(str(error)) from error
                except RecpipeError:
                    self._hear_out(wire)
                    raise
                moved(len(piece))
        except (ConnectionError, SSL.Error):
            if not received.has_all(self._expected_bytes):
                raise
        else:
            ended_well = wire.ended_well and not self._client_is_gone()
            if not ended_well and not received.has_all(self._expected_bytes):
                raise CutOff
        wire.say_goodbye()
        received.commit(self._expected_bytes)
        if not received.size_bytes:
            self.outcome = "The file was empty: nothing was kept."

    def _hear_out(self, wire: DataSocket) -> None:
        """Take what is under way of a file that is refused: closing on it would be a reset, and the reply be lost."""
        left = _HEARD_OUT_BYTES
        with contextlib.suppress(TimeoutError, OSError, SSL.Error):
            while left > 0 and (piece := wire.receive()):
                left -= len(piece)
            wire.say_goodbye()

    def close(self) -> None:
        self._received.close()


class LatencyGauge:
    """The folder of a store, of which the loop reads as long as that takes no time. `with disk:` around each read."""

    def __init__(self) -> None:
        self._began_at = self._quick_from = 0.0

    @property
    def is_quick(self) -> bool:
        return time.monotonic() >= self._quick_from

    def __enter__(self) -> None:
        self._began_at = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        now = time.monotonic()
        if now - self._began_at > SLOW_SECONDS:
            self._quick_from = now + _SLOW_FOR_SECONDS


def _buffer() -> memoryview:
    """This thread's. Making a new one for each file costs as much as reading it."""
    if not hasattr(_own, "buffer"):
        _own.buffer = memoryview(bytearray(PIECE_BYTES))
    found: memoryview = _own.buffer
    return found
