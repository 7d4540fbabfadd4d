"""Blocking sends and receives over a data connection, plain or TLS, for workers."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

from ftp.tls import SessionSecrets

_READ_BYTES = 256 * 1024  # asked of the socket at once
_RECORD_BYTES = 16 * 1024  # at most what TLS gives at once; RFC 8446 section 5.1


class HandshakeFailed(Exception):
    """The client and this server do not agree on TLS."""


class DataSocket:
    """A connected socket, plain or TLS, for one worker that waits until bytes have gone or come.

    Args:
        sock: non-blocking, and left so.
        context: with which TLS is spoken, as a server; None: in the clear.
        seconds: how long the other side may do nothing.
        receives: the other side sends, and may never read: nothing is said after the handshake before it has ended.
            TLS 1.3 sends session tickets there. A client that closes with them unread resets the connection, and its
            kernel throws away what it has not yet sent: the end of an upload.

    Every method raises:
        TimeoutError: for so long nothing moved.
        OSError, SSL.Error: the connection broke.
    """

    def __init__(
        self, sock: socket.socket, context: SSL.Context | None, seconds: float, *, receives: bool = False
    ) -> None:
        self.socket = sock
        self.secrets = SessionSecrets()
        self._milliseconds = seconds * 1000
        self._poll: Any = None
        self._cut_off = False
        self._tls: SSL.Connection | None = None
        self._in_memory = False  # OpenSSL reads and writes memory, and the bytes are carried to and fro here
        self._through: Any = sock
        if context is not None:
            self._in_memory = receives
            self._tls = self._through = SSL.Connection(context, None if receives else sock)
            self._tls.set_accept_state()
            self.secrets.watch(self._tls)

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
            self._retry(self._tls.do_handshake, select.POLLIN, answering=True)
            if self._tls.get_protocol_version_name() != "TLSv1.3":
                self._send_pending_tls()  # its last flight; that of TLS 1.3 holds nothing but tickets
        except SSL.SysCallError:
            raise
        except SSL.Error as error:
            with contextlib.suppress(OSError):
                self._send_pending_tls()  # the alert that says why
            raise HandshakeFailed from error

    def send(self, data: Any) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            left = left[self._retry(self._through.send, select.POLLOUT, left) :]
            self._send_pending_tls()

    def send_file(self, send_to: Callable[[int], int]) -> int:
        """Have the kernel send some of a file: `send_to` is given the socket's descriptor."""
        sent: int = self._retry(send_to, select.POLLOUT, self.socket.fileno())
        return sent

    def receive(self) -> bytes:
        """Receive the next bytes; empty at the end."""
        try:
            most = _READ_BYTES if self._tls is None else _RECORD_BYTES
            received: bytes = self._retry(self._through.recv, select.POLLIN, most)
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
                self._retry(self._tls.shutdown, select.POLLOUT)
                self._send_pending_tls()

    def cut_off(self) -> None:
        """Break the connection under the worker that waits on it. From another thread."""
        self._cut_off = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    @property
    def ended_well(self) -> bool:
        """Whether the other side ended it, TLS with a goodbye; without, the last bytes may have been taken away."""
        return not self._cut_off and (self._tls is None or bool(self._tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN))

    def _retry(self, call: Callable[..., Any], ready: int, *arguments: Any, answering: bool = False) -> Any:
        while True:
            try:
                return call(*arguments)
            except SSL.WantReadError:
                if self._in_memory:
                    self._feed_tls(answering)
                else:
                    self._wait(select.POLLIN)
            except SSL.WantWriteError:
                self._wait(select.POLLOUT)
            except BlockingIOError:
                self._wait(ready)

    def _feed_tls(self, answering: bool) -> None:
        """Feed received bytes to OpenSSL; where `answering`, send first the bytes that it has ready."""
        assert self._tls is not None, "only TLS is done in memory"
        if answering:
            self._send_pending_tls()
        piece: bytes = self._retry(self.socket.recv, select.POLLIN, _READ_BYTES)
        if piece:
            self._tls.bio_write(piece)
        else:
            self._tls.bio_shutdown()

    def _send_pending_tls(self) -> None:
        """Send the bytes that OpenSSL has ready for the other side."""
        while self._in_memory and self._tls is not None:
            try:
                left = memoryview(self._tls.bio_read(_READ_BYTES))
            except SSL.WantReadError:
                return
            while left:
                left = left[self._retry(self.socket.send, select.POLLOUT, left) :]

    def _wait(self, ready: int) -> None:
        if self._poll is None:
            self._poll = select.poll()
        self._poll.register(self.socket, ready)
        if not self._poll.poll(self._milliseconds):
            raise TimeoutError
