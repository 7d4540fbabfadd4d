"""Data connections: who may open them, how bytes leave and arrive, and that nothing stays open behind them."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import pyftpdlib.ioloop  # noqa: F401 - first: it silences the deprecation of asyncore, which the next lines import
from OpenSSL import SSL
from pyftpdlib.exceptions import _FileReadWriteError
from pyftpdlib.handlers import TLS_DTPHandler
from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
from pyftpdlib.ioloop import _ERRNOS_DISCONNECTED, Acceptor

from ftp.replies import reply_to
from ftp.turns import Turn
from ftp.uploads import Receiving
from recpipe import log
from recpipe.errors import RecpipeError
from recpipe.model import is_sendable

if TYPE_CHECKING:
    from ftp.handler import Session

_log = log.get(__name__)

READ_BYTES = 512 * 1024  # asked of the store at once
_TLS_BYTES = 128 * 1024  # a call into OpenSSL, during which other threads run
_PIECES_A_TURN = 8  # sent before the control connection is looked at again, for ABOR
_CONNECT_SECONDS = 30


class PassivePorts:
    """The ports of the configured range, each listening at most once. Thread-safe.

    Args:
        ports: empty: whatever is free.
    """

    def __init__(self, ports: range) -> None:
        self._ports = ports
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def listen(self, family: int, host: str) -> socket.socket | None:
        """A listening socket on a random free port; None when there is none.

        Source: RFC 2577 section 5 (predictable ports let others steal a connection).
        """
        if not self._ports:
            return _listening(family, host, 0)
        first = secrets.randbelow(len(self._ports))
        for step in range(len(self._ports)):
            port = self._ports[(first + step) % len(self._ports)]
            with self._lock:
                if port in self._taken:
                    continue
                self._taken.add(port)
            found = _listening(family, host, port)
            if found is not None:
                return found
            self.release(port)
        return None

    def release(self, port: int) -> None:
        with self._lock:
            self._taken.discard(port)


class Passive(PassiveDTP):  # type: ignore[misc]  # pyftpdlib has no types
    """PASV and EPSV: one connection, from the control connection's peer and nobody else."""

    timeout = _CONNECT_SECONDS

    def __init__(self, cmd_channel: Session, extmode: bool = False) -> None:
        self.cmd_channel = cmd_channel
        self.log = cmd_channel.log
        self.log_exception = cmd_channel.log_exception
        self._port = 0
        self._ports = cmd_channel.gateway.passive_ports
        Acceptor.__init__(self, ioloop=cmd_channel.ioloop)
        control = cmd_channel.socket
        host = control.getsockname()[0]
        listening = self._ports.listen(control.family, host)
        if listening is None:
            cmd_channel.respond("425 No passive port is free. Try again in a minute.")
            self._closed = True
            return
        self._port = listening.getsockname()[1]
        self.set_socket(listening)
        self.accepting = True
        if extmode:
            cmd_channel.respond(f"229 Entering extended passive mode (|||{self._port}|).")
        else:
            announced = cmd_channel.gateway.settings.ftp_masquerade_address or plain_address(host)
            numbers = ",".join([*announced.split("."), str(self._port // 256), str(self._port % 256)])
            cmd_channel.respond(f"227 Entering passive mode ({numbers}).")
        self.call_later(self.timeout, self.handle_timeout)

    def __repr__(self) -> str:
        return f"<passive port {self._port}>"  # as for `Session`

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        if self.cmd_channel.remote_ip != addr[0]:
            # No reply: it would let strangers write lines into the dialogue of the client.
            _log.warning("foreign data connection refused", address=str(addr[0]), peer=self.cmd_channel.remote_ip)
            sock.close()
            return
        super().handle_accepted(sock, addr)

    def handle_timeout(self) -> None:
        _give_up(self)

    def close(self) -> None:
        super().close()
        if self._port:
            self._ports.release(self._port)
            self._port = 0


class Active(ActiveDTP):  # type: ignore[misc]
    """PORT and EPRT; the address and port were checked by the handler."""

    timeout = _CONNECT_SECONDS

    def handle_timeout(self) -> None:
        _give_up(self)


class DataChannel(TLS_DTPHandler):  # type: ignore[misc]
    """One data connection, plain or TLS."""

    file_obj: Any
    _resp: Any
    _error: bool
    _closed: bool

    ac_in_buffer_size = 256 * 1024
    ac_out_buffer_size = READ_BYTES

    def __init__(self, sock: socket.socket, cmd_channel: Session) -> None:
        self.timeout = cmd_channel.gateway.settings.ftp_idle_seconds
        self.busy = False
        self._turn = cmd_channel.gateway.turn
        super().__init__(sock, cmd_channel)
        if cmd_channel._prot:
            self.ac_out_buffer_size = _TLS_BYTES

    def __repr__(self) -> str:
        return "<data connection>"  # as for `Session`

    # --- what may take a while ------------------------------------------------------------------------------

    def send(self, data: Any) -> int:
        if not self._ssl_requested:
            return super().send(data)  # type: ignore[no-any-return]
        with self._turn.aside():
            return super().send(data)  # type: ignore[no-any-return]

    def handle_read_event(self) -> None:
        with self._turn.aside():
            super().handle_read_event()

    def _do_ssl_handshake(self) -> None:
        with self._turn.aside():
            super()._do_ssl_handshake()

    # --- how bytes move -------------------------------------------------------------------------------------

    def use_sendfile(self) -> bool:
        return False

    def modify_ioloop_events(self, events: int, logdebug: bool = False) -> None:
        if self._ssl_accepting and self._ssl_want_read:
            # pyftpdlib waits for a writable socket as well, which it always is: the loop would spin through the
            # whole handshake.
            events = self.ioloop.READ
        super().modify_ioloop_events(events, logdebug)

    def push_with_producer(self, producer: Any) -> None:
        self.busy = True
        super().push_with_producer(producer)

    def enable_receiving(self, type: str, cmd: str) -> None:
        self.busy = True
        # Whatever TYPE says: a recording whose line ends were "corrected" is destroyed.
        super().enable_receiving("i", cmd)

    def initiate_send(self) -> None:
        for _ in range(_PIECES_A_TURN):
            before = self.tot_bytes_sent
            self._send_piece()
            if self._closed or not self.producer_fifo or self.tot_bytes_sent == before or self._turn.is_wanted:
                return

    def _send_piece(self) -> None:
        first = self.producer_fifo[0] if self.producer_fifo else None
        if not isinstance(first, Download) or not first.sendable or self._ssl_requested:
            super().initiate_send()
            return
        try:
            with self._turn.aside():
                sent = first.send_to(self._fileno, self.ac_out_buffer_size)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in _ERRNOS_DISCONNECTED:
                raise
            self.handle_close()
            return
        self.tot_bytes_sent += sent
        if not sent:
            del self.producer_fifo[0]
            super().initiate_send()

    # --- the end ------------------------------------------------------------------------------------------

    def handle_timeout(self) -> None:
        stalled = self.get_transmitted_bytes() <= self._lastdata
        if stalled or self._ssl_closing:
            self._error = True  # no goodbye: this client does not listen
        super().handle_timeout()

    def handle_error(self) -> None:
        # Called inside an except clause, by asyncore's rules.
        self._error = True  # TLS is cut off without a goodbye: what was sent must not look whole
        try:
            raise
        except RecpipeError as error:
            _log.warning("transfer failed", account=self.cmd_channel.account, error=type(error).__name__)
            self._resp = (reply_to(error), None)
        except _FileReadWriteError as error:
            _log.error("transfer failed", account=self.cmd_channel.account, error=str(error))
            self._resp = ("452 The disk does not take the file. Send it again later.", None)
        except EOFError:
            _log.error("stored object is too short", account=self.cmd_channel.account)
            self._resp = ("451 The stored recording is damaged: its end is missing. Tell your provider its name.", None)
        except (OSError, SSL.Error) as error:
            _log.info("data connection lost", account=self.cmd_channel.account, error=type(error).__name__)
            self._resp = ("426 The data connection broke; the transfer is incomplete.", None)
        except Exception:
            _log.exception("transfer failed", account=self.cmd_channel.account)
            self._resp = ("451 The transfer failed; the log says why. Try again.", None)
        self.transfer_finished = False
        self.close()

    def close(self) -> None:
        if self._closed:
            return
        received = self.file_obj if isinstance(self.file_obj, Receiving) else None
        if received is not None and not received.closed:
            self._finish(received)
        if self.transfer_finished:
            super().close()
        else:
            with self._turn.aside():  # what is given up half-way may wait for the audit log
                super().close()

    def _said_goodbye(self) -> bool:
        """Whether TLS ended as it should; without that, the last bytes may have been taken away on the way."""
        return bool(self.socket.get_shutdown() & SSL.RECEIVED_SHUTDOWN)

    def _finish(self, received: Receiving) -> None:
        """Keep a file that came whole, before anything is answered; throw away any other."""
        whole = self.transfer_finished and not self._error and (not self._ssl_requested or self._said_goodbye())
        if not whole or self.cmd_channel.peer_is_gone():
            received.close()
            self.transfer_finished = False
            if not self._resp or self._resp[0].startswith("226"):
                self._resp = ("426 The upload was cut off: nothing was kept. Send it again.", None)
            return
        try:
            with self._turn.aside():
                received.commit(self.cmd_channel.take_announced())
        except RecpipeError as error:
            self.transfer_finished = False
            self._resp = (reply_to(error), None)


class Download:
    """A stored file as the data channel takes it: sent by the kernel, or one buffer, filled when it was sent.

    Attributes:
        sendable: the kernel can send it.
    """

    def __init__(self, stream: BinaryIO, size_bytes: int, turn: Turn) -> None:
        self._stream: Any = stream
        self._left = size_bytes
        self._turn = turn
        self._buffer: memoryview | None = None
        self.sendable = is_sendable(stream)

    def send_to(self, sock: int, most: int) -> int:
        """Send the next bytes; 0 at the end.

        Raises:
            EOFError: the object ends before its size.
            OSError: from the socket.
        """
        if not self._left:
            return 0
        sent: int = self._stream.send_to(sock, min(most, self._left))
        if not sent:
            raise EOFError(self._left)
        self._left -= sent
        return sent

    def more(self) -> memoryview:
        """The next bytes; empty at the end.

        Raises:
            StoreError: the store fails.
            EOFError: the object ends before its size.
        """
        if not self._left:
            return memoryview(b"")
        if self._buffer is None:
            self._buffer = memoryview(bytearray(min(READ_BYTES, self._left)))
        with self._turn.aside():
            count = self._stream.readinto(self._buffer[: self._left])
        if not count:
            raise EOFError(self._left)
        self._left -= count
        return self._buffer[:count]


class Blocks:
    """An iterator of non-empty blocks as the data channel takes it."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def more(self) -> bytes:
        return next(self._blocks, b"")


@functools.lru_cache(1024)
def plain_address(host: str) -> str:
    """An address without what a dual-stack socket puts before IPv4. Text that is none stays as it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _give_up(waiting: Passive | Active) -> None:
    session: Session = waiting.cmd_channel
    waiting.close()
    # 421 would be the end of the session; a client that only asked for a port needs no answer.
    if session.connected and (session.drop_pending() or isinstance(waiting, Active)):
        session.respond(f"425 No data connection could be made within {_CONNECT_SECONDS} seconds.")


def _listening(family: int, host: str, port: int) -> socket.socket | None:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setblocking(False)
        found.bind((host, port))
        found.listen(1)
    except OSError:
        with contextlib.suppress(OSError):
            found.close()
        return None
    return found
