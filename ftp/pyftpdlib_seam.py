"""pyftpdlib as the gateway uses it, under public names and with types. No other module of this package imports it.

pyftpdlib calls its extension points "private" as often as not. Every such name is in this file alone, and
tests/unit/ftp/test_pyftpdlib_seam.py says which of them an update of pyftpdlib has changed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Any

import pyftpdlib.ioloop  # first: it silences the deprecation of asyncore, which the next lines import
from OpenSSL import SSL
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
from pyftpdlib.ioloop import Acceptor

COMMANDS: dict[str, dict[str, Any]] = TLS_FTPHandler.proto_cmds


class EventLoop(pyftpdlib.ioloop.IOLoop):  # type: ignore[misc]  # pyftpdlib has no types
    """An event loop over epoll(7), which calls the methods of `Watched`."""


class Watched:
    """Something with a file descriptor that an event loop watches."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno  # by which a loop that is closed sorts what it watches

    def readable(self) -> bool:
        """Whether `handle_read_event` is to be called when the descriptor can be read."""
        return True

    def writable(self) -> bool:
        """Whether `handle_write_event` is to be called when the descriptor can be written."""
        return False


class Server:
    """The attributes that a control connection asks of its server."""

    backlog = 5
    ip_map: tuple[str, ...] = ()

    def _accept_new_cons(self) -> bool:
        return True  # a session has one data connection, and the census limits sessions


class ControlConnection(TLS_FTPHandler):  # type: ignore[misc]
    """A control connection: reads lines, parses commands and calls the method `ftp_COMMAND` of each."""

    # pyftpdlib's own, which has no types.
    ac_in_buffer: bytes
    attempted_logins: int
    authenticated: bool
    connected: bool
    data_channel: Any
    producer_fifo: Any
    remote_ip: str
    remote_port: int
    socket: Any
    username: str
    _dtp_acceptor: Any
    _dtp_connector: Any
    _extra_feats: list[str]
    _ssl_established: bool

    def __init__(self, conn: socket.socket, server: Server, loop: EventLoop) -> None:
        super().__init__(conn, server, loop)

    def describe(self, facts: Sequence[str], default_facts: Sequence[str], features: Sequence[str]) -> None:
        """Say what FEAT and OPTS MLST show, and that the type is binary."""
        self._current_type = "i"
        self._current_facts = list(default_facts)
        self._available_facts = list(facts)
        self._extra_feats = [*self._extra_feats, *features]

    # --- state ----------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return bool(self._closed)

    @property
    def closes_when_done(self) -> bool:
        """Whether it closes as soon as all replies are sent."""
        return bool(self._closing)

    @property
    def facts(self) -> list[str]:
        """The facts that MLSD and MLST show, as OPTS chose them."""
        chosen: list[str] = self._current_facts
        return chosen

    @property
    def restart_position(self) -> int:
        """The byte at which the next transfer starts."""
        return int(self._restart_position)

    @restart_position.setter
    def restart_position(self, byte: int) -> None:
        self._restart_position = byte

    @property
    def rename_from(self) -> str | None:
        """The path that RNFR named."""
        path: str | None = self._rnfr
        return path

    @rename_from.setter
    def rename_from(self, path: str | None) -> None:
        self._rnfr = path

    def flush_account(self) -> None:
        super().flush_account()
        self._current_type = "i"

    # --- TLS ------------------------------------------------------------------------------------------------

    @property
    def secure(self) -> bool:
        """Whether the TLS handshake is done."""
        return self._ssl_established

    @property
    def in_handshake(self) -> bool:
        return bool(self._ssl_accepting)

    @property
    def private(self) -> bool:
        """Whether data connections speak TLS."""
        return bool(self._prot)

    def protect_data(self) -> None:
        """Act as if PBSZ 0 and PROT P were sent."""
        self._pbsz = self._prot = True

    def mark_broken(self) -> None:
        """Close without a goodbye: nothing is known of the connection's state any more."""
        self._error = True

    def close(self) -> None:
        if self._closed:
            return
        if self._ssl_established and not self._error:
            # One goodbye, without waiting for the other's: a client that is gone must not hold the session.
            with contextlib.suppress(SSL.Error, OSError):
                self.socket.shutdown()
        self._ssl_established = False
        super().close()

    # --- the data connection --------------------------------------------------------------------------------

    @property
    def awaits_data_connection(self) -> bool:
        """Whether a data connection is waited for."""
        return any(each is not None and not each._closed for each in (self._dtp_acceptor, self._dtp_connector))

    def open_passive(self, *, extended: bool) -> None:
        """Wait for the client's data connection, and tell it the port."""
        super()._make_epasv(extended)
        if self._dtp_acceptor is not None and self._dtp_acceptor._closed:
            self._dtp_acceptor = None

    def open_active(self, ip: str, port: int) -> None:
        """Connect to the client."""
        super()._make_eport(ip, port)

    def stop_connecting(self) -> None:
        """Wait for no data connection any more."""
        super()._shutdown_connecting_dtp()

    def data_connected(self) -> None:
        """Go on with `data_channel`, which has just been connected."""
        self._dtp_connector = None  # its socket is the data channel's now
        super()._on_dtp_connection()

    def data_closed(self) -> None:
        """Go on without `data_channel`, which has just been closed."""
        super()._on_dtp_close()

    def _make_epasv(self, extmode: bool = False) -> None:
        self.open_passive(extended=extmode)

    def _make_eport(self, ip: str, port: int) -> None:
        self.open_active(ip, port)

    def _shutdown_connecting_dtp(self) -> None:
        self.stop_connecting()

    def _on_dtp_connection(self) -> None:
        self.data_connected()

    # --- logs -----------------------------------------------------------------------------------------------

    def log(self, msg: str, logfun: Any = None) -> None:
        """Drop a line of pyftpdlib's own: file names carry phone numbers."""

    def logline(self, msg: str, logfun: Any = None) -> None:
        """As `log`."""

    def logerror(self, msg: str) -> None:
        """As `log`."""

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """As `log`."""


class DataAcceptor(PassiveDTP):  # type: ignore[misc]
    """A listening socket for one data connection.

    Args:
        cmd_channel: the control connection; pyftpdlib's name for it.
        listening: None: there is none, and this is closed from the beginning.
    """

    def __init__(self, cmd_channel: Any, listening: socket.socket | None) -> None:
        self.cmd_channel = cmd_channel
        self.log = cmd_channel.log
        self.log_exception = cmd_channel.log_exception
        Acceptor.__init__(self, ioloop=cmd_channel.ioloop)  # PassiveDTP's own would choose a port
        if listening is None:
            self._closed = True
            return
        self.set_socket(listening)
        self.accepting = True
        self.call_later(self.timeout, self.handle_timeout)


class DataConnector(ActiveDTP):  # type: ignore[misc]
    """A socket that connects to the client."""

    def handle_write(self) -> None:
        """Do nothing: once it is connected, the socket is the data channel's."""
