"""The commands that move files, and the data connections they need."""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from ftp.commands import Commands
from ftp.data import Download, plain_address
from ftp.uploads import DropBox
from recpipe import metrics
from recpipe.access.principal import Principal

if TYPE_CHECKING:
    from ftp.server import FtpGateway


class Transfers(Commands):
    """A control connection that can send and take files."""

    gateway: FtpGateway
    principal: Principal | None
    last_active: float
    _announced_bytes: int | None

    # pyftpdlib's own, which has no types.
    data_channel: Any
    socket: Any
    remote_ip: str
    _closed: bool
    _restart_position: int
    _out_dtp_queue: Any
    _in_dtp_queue: Any
    _dtp_acceptor: Any
    _dtp_connector: Any

    def ftp_RETR(self, path: str) -> None:
        start, self._restart_position = self._restart_position, 0
        if not self.ready_for_data():
            return
        turn = self.gateway.turn
        with turn.aside():
            stream, size_bytes = self.tree.open(path, start)
        try:
            self.push_dtp_data(Download(stream, size_bytes, turn), isproducer=True, file=_Named(stream), cmd="RETR")
        except BaseException:
            stream.close()
            raise

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: str | None = None) -> None:
        if self.data_channel is not None:
            self.data_channel.cmd = cmd  # pyftpdlib says it afterwards, when all may be over
        super().push_dtp_data(data, isproducer, file, cmd)

    def ftp_STOR(self, path: str, mode: str = "w") -> None:
        if self._restart_position:
            self._restart_position = 0
            self.respond("550 Uploads start at the beginning: send the whole file.")
            return
        if not self.ready_for_data():
            return
        assert isinstance(self.tree, DropBox), "anybody else was refused"
        with self.gateway.turn.aside():
            received = self.tree.store(path, self._arrived)
        if self.data_channel is not None:
            self.respond("125 Send it.")
            self.data_channel.file_obj = received
            self.data_channel.enable_receiving("i", "STOR")
        else:
            self.respond("150 Send it.")
            self._in_dtp_queue = (received, "STOR")

    def ftp_ALLO(self, line: str) -> None:
        size = line.split(" ")[0]
        self._announced_bytes = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else None
        self.respond("202 There is room.")

    def ftp_REST(self, line: str) -> None:
        # Also in ASCII mode: nothing is ever converted, so an offset means the same in both.
        if not (line.isascii() and line.isdigit() and len(line) < 20):
            self.respond("501 REST needs a number of bytes.")
            return
        self._restart_position = int(line)
        self.respond(f"350 The next transfer starts at byte {self._restart_position}.")

    def ftp_ABOR(self, line: str) -> None:
        pending = self.drop_pending()
        if self.data_channel is not None:
            self.data_channel._error = True  # no goodbye: a half file must not look whole
        super().ftp_ABOR(line)
        if pending:
            self._restart_position = 0

    def _arrived(self, size_bytes: int) -> None:
        assert self.principal is not None
        self.gateway.note_upload(self.principal, size_bytes)

    def take_announced(self) -> int | None:
        """What ALLO said of the upload that is finished now."""
        announced, self._announced_bytes = self._announced_bytes, None
        return announced

    def ready_for_data(self) -> bool:
        if (self.data_channel is not None and self.data_channel.busy) or self._pending:
            self.respond("450 One transfer at a time: wait for its end, or send ABOR.")
            return False
        if self.data_channel is None and not self.awaits_data_connection:
            self.respond("425 Send PASV, EPSV, PORT or EPRT first.")
            return False
        return True

    @property
    def _pending(self) -> bool:
        return self._out_dtp_queue is not None or self._in_dtp_queue is not None

    def drop_pending(self) -> bool:
        """Close what waits for a data connection; whether anything did."""
        if self._closed:
            return False
        pending = self._pending
        if self._out_dtp_queue is not None and self._out_dtp_queue[2] is not None:
            self._out_dtp_queue[2].close()
        if self._in_dtp_queue is not None:
            self._in_dtp_queue[0].close()
        self._out_dtp_queue = self._in_dtp_queue = None
        return pending

    def _shutdown_connecting_dtp(self) -> None:
        self.drop_pending()
        super()._shutdown_connecting_dtp()

    def _make_epasv(self, extmode: bool = False) -> None:
        if not extmode and ":" in plain_address(self.socket.getsockname()[0]):
            self.respond("425 PASV speaks IPv4 only. Send EPSV.")
            return
        super()._make_epasv(extmode)
        if self._dtp_acceptor is not None and self._dtp_acceptor._closed:
            self._dtp_acceptor = None

    def _make_eport(self, ip: str, port: int) -> None:
        wanted, peer = plain_address(ip), plain_address(self.remote_ip)
        if wanted == peer:
            ip = peer if self.remote_ip.startswith("::ffff:") else self.remote_ip
        super()._make_eport(ip, port)

    def _on_dtp_close(self) -> None:
        channel = self.data_channel
        if channel is not None and channel.cmd:  # else nothing was asked for over it
            labels = channel.cmd, "complete" if channel.transfer_finished else "broken"
            metrics.FTP_TRANSFERS.labels(*labels).inc()
            metrics.FTP_BYTES.labels(*labels).inc(channel.get_transmitted_bytes())
        super()._on_dtp_close()
        self.last_active = time.monotonic()

    def peer_is_gone(self) -> bool:
        """Whether the client's side of the control connection is closed, as when the client was killed."""
        raw = self.socket
        if isinstance(raw, SSL.Connection):
            with socket.socket(fileno=os.dup(raw.fileno())) as raw:
                return _at_end(raw)
        return _at_end(raw)

    @property
    def awaits_data_connection(self) -> bool:
        acceptor, connector = self._dtp_acceptor, self._dtp_connector
        return (acceptor is not None and not acceptor._closed) or (connector is not None and not connector._closed)


class _Named:
    """A stream as pyftpdlib's bookkeeping wants it."""

    name = ""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def close(self) -> None:
        self._stream.close()


def _at_end(raw: socket.socket) -> bool:
    try:
        return raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
