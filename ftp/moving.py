"""Bytes on their way through a data connection: files and listings out, uploads in, and the wire they go over."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from OpenSSL import SSL

from ftp.uploads import Receiving
from recpipe.model import is_sendable

PIECE_BYTES = 512 * 1024  # asked of the store, and given to the kernel or to OpenSSL, at once
_UPLOAD_BYTES = 256 * 1024
_RECORD_BYTES = 16 * 1024  # at most what TLS gives at once; RFC 8446 section 5.1

# A disk that took so long once is left to workers for so long.
SLOW_SECONDS = 0.1
_SLOW_FOR_SECONDS = 60.0

_own = threading.local()


class HandshakeFailed(Exception):
    """The client and this server do not agree on TLS."""


class DiskFailed(Exception):
    """The spool does not take what was sent."""


class CutOff(Exception):
    """An upload ended before its end."""


class Wire:
    """A connected socket, plain or TLS, for one worker that waits until bytes have gone or come.

    Args:
        sock: non-blocking, and left so.
        context: with which TLS is spoken, as a server; None: in the clear.
        seconds: how long the other side may do nothing.

    Every method raises:
        TimeoutError: for so long nothing moved.
        OSError, SSL.Error: the connection broke.
    """

    def __init__(self, sock: socket.socket, context: SSL.Context | None, seconds: float) -> None:
        self.socket = sock
        self._milliseconds = seconds * 1000
        self._poll: Any = None
        self._cut_off = False
        self._tls: SSL.Connection | None = None
        self._through: Any = sock
        if context is not None:
            self._tls = self._through = SSL.Connection(context, sock)
            self._tls.set_accept_state()

    @property
    def secure(self) -> bool:
        return self._tls is not None

    def shake_hands(self) -> None:
        """Begin TLS where it is spoken.

        Raises:
            HandshakeFailed: the other side wants another kind of TLS, or none.
        """
        if self._tls is None:
            return
        try:
            self._persist(self._tls.do_handshake, select.POLLIN)
        except SSL.SysCallError:
            raise
        except SSL.Error as error:
            raise HandshakeFailed from error

    def send(self, data: Any) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            left = left[self._persist(self._through.send, select.POLLOUT, left) :]

    def send_file(self, send_to: Callable[[int], int]) -> int:
        """Have the kernel send some of a file: `send_to` is given the socket's descriptor."""
        sent: int = self._persist(send_to, select.POLLOUT, self.socket.fileno())
        return sent

    def receive(self) -> bytes:
        """What comes next; empty at the end."""
        try:
            most = _UPLOAD_BYTES if self._tls is None else _RECORD_BYTES
            received: bytes = self._persist(self._through.recv, select.POLLIN, most)
        except SSL.ZeroReturnError:
            return b""
        except SSL.SysCallError as error:
            if error.args[0] == -1:  # the connection ended without a goodbye: `ended_well` tells
                return b""
            raise
        return received

    def say_goodbye(self) -> None:
        """Tell the other side that this was all, without waiting for it to say the same."""
        if self._tls is not None:
            self._tls.set_shutdown(self._tls.get_shutdown() | SSL.RECEIVED_SHUTDOWN)
            with contextlib.suppress(SSL.Error, OSError):
                self._persist(self._tls.shutdown, select.POLLOUT)

    def cut_off(self) -> None:
        """Have whoever waits on this wire find it broken. From another thread."""
        self._cut_off = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    @property
    def ended_well(self) -> bool:
        """Whether the other side ended it, TLS with a goodbye; without, the last bytes may have been taken away."""
        return not self._cut_off and (self._tls is None or bool(self._tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN))

    def _persist(self, call: Callable[..., Any], ready: int, *arguments: Any) -> Any:
        while True:
            try:
                return call(*arguments)
            except SSL.WantReadError:
                self._wait(select.POLLIN)
            except SSL.WantWriteError:
                self._wait(select.POLLOUT)
            except BlockingIOError:
                self._wait(ready)

    def _wait(self, ready: int) -> None:
        if self._poll is None:
            self._poll = select.poll()
        self._poll.register(self.socket, ready)
        if not self._poll.poll(self._milliseconds):
            raise TimeoutError


class Moving(Protocol):
    """What a data connection can be told to move."""

    def move(self, wire: Wire, moved: Callable[[int], None]) -> None:
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

    def move(self, wire: Wire, moved: Callable[[int], None]) -> None:
        """Send the rest.

        Raises:
            EOFError: the object ends before its size.
            RecpipeError, OSError, SSL.Error: as for every `Moving`.
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

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def move(self, wire: Wire, moved: Callable[[int], None]) -> None:
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

    def __init__(self, received: Receiving, expected_bytes: int | None, client_is_gone: Callable[[], bool]) -> None:
        self._received = received
        self._expected_bytes = expected_bytes
        self._client_is_gone = client_is_gone

    def move(self, wire: Wire, moved: Callable[[int], None]) -> None:
        """Take everything that comes, and keep it when it came whole.

        Raises:
            DiskFailed: the disk does not take it.
            CutOff: it did not come whole; nothing was kept.
            SpoolRefused: as `Receiving.commit`.
            OSError, SSL.Error: from the connection.
        """
        while piece := wire.receive():
            try:
                self._received.write(piece)
            except OSError as error:
                raise DiskFailed(str(error)) from error
            moved(len(piece))
        if not wire.ended_well or self._client_is_gone():
            raise CutOff
        wire.say_goodbye()
        self._received.commit(self._expected_bytes)

    def close(self) -> None:
        self._received.close()


class Disk:
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
