"""Transfers out: files and listings; and what a data connection asks of a transfer, in or out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ftp.data_socket import DataSocket
from recpipe.model import ByteStream, is_sendable

PIECE_BYTES = 512 * 1024  # asked of the store, and given to the kernel or to OpenSSL, at once

# A disk that took so long once is left to workers for so long.
SLOW_SECONDS = 0.1
_SLOW_FOR_SECONDS = 60.0

_own = threading.local()


class Transfer(Protocol):
    """Something that a data connection moves.

    Attributes:
        outcome: what to tell the client when all of it has moved.
    """

    outcome: str

    def move(self, data_socket: DataSocket, moved: Callable[[int], None]) -> None:
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

    def __init__(self, stream: ByteStream, size_bytes: int) -> None:
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

    def move(self, data_socket: DataSocket, moved: Callable[[int], None]) -> None:
        """Send the rest.

        Raises:
            EOFError: the object ends before its size.
            RecpipeError, OSError, SSL.Error: as for every `Transfer`.
        """
        if self.sendable and not data_socket.secure:
            while sent := data_socket.send_file(self.send_to):
                moved(sent)
            return
        piece = _buffer()
        while self._left:
            count = self._stream.readinto(piece[: self._left])
            if not count:
                raise EOFError(self._left)
            self._left -= count
            data_socket.send(piece[:count])
            moved(count)
        data_socket.say_goodbye()

    def close(self) -> None:
        self._stream.close()


class Listing:
    """Blocks of bytes that are made as they are sent."""

    outcome = "Transfer complete."

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def move(self, data_socket: DataSocket, moved: Callable[[int], None]) -> None:
        for block in self._blocks:
            data_socket.send(block)
            moved(len(block))
        data_socket.say_goodbye()

    def close(self) -> None:
        """Nothing is open between two blocks."""


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
