"""The commands that move files, and the data connections they need."""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

import os
import socket
import time

from OpenSSL import SSL

from ftp.commands import Commands
from ftp.listener import Listener
from ftp.loop import in_worker
from ftp.services import Services
from ftp.transfer import Download, Transfer
from recpipe.addresses import plain_address


class TransferCommands(Commands):
    """A control connection that can send and take files.

    Attributes:
        last_active: monotonic seconds of the last command or end of a transfer.
    """

    def __init__(self, conn: socket.socket, listener: Listener, services: Services) -> None:
        self.services = services
        self.last_active = time.monotonic()
        self._awaited: tuple[Transfer, str] | None = None  # what begins with the next data connection
        super().__init__(conn, listener, services.loop)

    def ftp_PROT(self, line: str) -> None:
        before = self.private
        super().ftp_PROT(line)
        if self.private is not before:
            self.stop_connecting()  # it was made under other rules
            if self.data_channel is not None and not self.data_channel.transfer_in_progress():
                self.data_channel.close()

    async def ftp_RETR(self, path: str) -> None:
        start, self.restart_position = self.restart_position, 0
        if not self.ready_for_data():
            return
        tree, opened = self.tree, None
        gauge = self.services.gauge
        if gauge.is_quick:
            with gauge:
                opened = tree.open_at_once(path, start)
        download = Download(*opened) if opened else await in_worker(lambda: Download(*tree.open(path, start)))
        self.begin_transfer(download, "RETR")

    def ftp_REST(self, line: str) -> None:
        # Also in ASCII mode: nothing is ever converted, so an offset means the same in both.
        if not (line.isascii() and line.isdigit() and len(line) < 20):
            self.respond("501 REST needs a number of bytes.")
            return
        self.restart_position = int(line)
        self.respond(f"350 The next transfer starts at byte {self.restart_position}.")

    def ftp_ABOR(self, line: str) -> None:
        if self.drop_awaited():
            self.restart_position = 0
        super().ftp_ABOR(line)

    def ftp_QUIT(self, line: str) -> None:
        if self.data_channel is not None and not self.data_channel.transfer_in_progress():
            self.data_channel.close()  # else the goodbye would wait for a transfer that was never asked for
        super().ftp_QUIT(line)

    # --- data connections -----------------------------------------------------------------------------------

    def ready_for_data(self) -> bool:
        if (self.data_channel is not None and self.data_channel.transfer_in_progress()) or self._awaited is not None:
            self.respond("450 One transfer at a time: wait for its end, or send ABOR.")
            return False
        if self.data_channel is None and not self.awaits_data_connection:
            self.respond("425 Send PASV, EPSV, PORT or EPRT first.")
            return False
        return True

    def begin_transfer(self, transfer: Transfer, verb: str) -> None:
        if self.data_channel is not None:
            self.respond("125 The data connection is open. Here it comes.")
            self.data_channel.begin(transfer, verb)
        else:
            self.respond("150 Open the data connection.")
            self._awaited = (transfer, verb)

    def drop_awaited(self) -> bool:
        """Let go of what waits for a data connection; whether anything did."""
        if self._awaited is None:
            return False
        transfer, self._awaited = self._awaited[0], None
        self.services.loop.workers.run(transfer.close)
        return True

    def data_connected(self) -> None:
        super().data_connected()
        if self._awaited is not None:
            awaited, self._awaited = self._awaited, None
            self.data_channel.begin(*awaited)

    def data_closed(self) -> None:
        super().data_closed()
        self.last_active = time.monotonic()

    def flush_account(self) -> None:
        self.drop_awaited()
        super().flush_account()

    def stop_connecting(self) -> None:
        self.drop_awaited()
        super().stop_connecting()

    def _make_way(self) -> None:
        """Before another data connection is made: end what there is, and say so."""
        if self.data_channel is not None:
            self.data_channel.supersede()
        elif self.drop_awaited():
            self.respond("426 The transfer was ended: you asked for another data connection.")

    def open_passive(self, *, extended: bool) -> None:
        if not extended and ":" in plain_address(self.socket.getsockname()[0]):
            self.respond("425 PASV speaks IPv4 only. Send EPSV.")
            return
        self._make_way()
        super().open_passive(extended=extended)

    def open_active(self, ip: str, port: int) -> None:
        wanted, peer = plain_address(ip), plain_address(self.remote_ip)
        if wanted == peer:
            ip = self.remote_ip if ":" in peer else peer  # an IPv6 address may need its zone
        self._make_way()
        super().open_active(ip, port)

    def peer_is_gone(self) -> bool:
        """Whether the client's side of the control connection is closed, as when the client was killed. Thread-safe."""
        raw = self.socket
        if isinstance(raw, SSL.Connection):
            with socket.socket(fileno=os.dup(raw.fileno())) as raw:
                return _at_end(raw)
        return _at_end(raw)


def _at_end(raw: socket.socket) -> bool:
    try:
        return raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
