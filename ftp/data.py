"""Data connections: how bytes leave and arrive, and that nothing stays open behind them."""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import Any, Protocol

from OpenSSL import SSL

from ftp.data_socket import DataSocket, HandshakeFailed
from ftp.pyftpdlib_seam import Watched
from ftp.replies import reply_to
from ftp.services import Services
from ftp.transfer import Download, Transfer
from ftp.upload_transfer import CutOff, DiskFailed, UploadTransfer
from recpipe import log, metrics
from recpipe.errors import RecpipeError

_log = log.get(__name__)

_PIECES_A_TURN = 8  # sent before other sessions have their turn


class Superseded(Exception):
    """The client asked for another data connection in the middle of a transfer."""


class NotResumed(Exception):
    """A data connection over TLS that does not resume the session of the control connection: perhaps a thief's."""


class Control(Protocol):
    """The control connection, as its data connection sees it."""

    services: Services
    account: str  # for logs
    connected: bool
    remote_ip: str
    socket: Any

    @property
    def private(self) -> bool:
        """Whether data connections speak TLS."""
        ...

    @property
    def uploads(self) -> bool:
        """Whether the account sends files; else it fetches them."""
        ...

    def may_use(self, data_socket: DataSocket, verb: str) -> bool:
        """Whether a data connection is certainly the client's own, as far as the settings require it."""
        ...

    def note_refusal(self, error: BaseException) -> None:
        """Count and log that a file was not taken."""
        ...

    def drop_awaited(self) -> bool:
        """Let go of what waits for a data connection; whether anything did."""
        ...

    def data_closed(self) -> None:
        """Go on without the data connection."""
        ...

    def respond(self, resp: str) -> None:
        """Send a reply."""
        ...

    def close_when_done(self) -> None:
        """Close once all replies are sent."""
        ...


class DataChannel(Watched):
    """One data connection, plain or TLS. Of the loop's thread; while a worker moves bytes, the socket is the worker's.

    What pyftpdlib asks of its own `DTPHandler` is here as far as a session uses it.

    Attributes:
        transfer: what is sent or received over it; None: nothing was asked for yet.
        moved_at: monotonic seconds: when bytes moved last.
    """

    connected = True

    def __init__(self, sock: socket.socket, cmd_channel: Control) -> None:
        super().__init__(sock.fileno())
        self.socket = sock
        self.transfer: Transfer | None = None
        self.tot_bytes_sent = self.tot_bytes_received = 0
        self.began_at = self.moved_at = time.monotonic()
        self._control = cmd_channel
        self._services = cmd_channel.services
        self._loop = cmd_channel.services.loop
        self._verb = ""
        self._data_socket: DataSocket | None = None
        self._at_work = False  # a worker has the socket
        self._worker_closes = False  # and the transfer, which the worker closes
        self._shaken: bool | BaseException = False  # hands: not yet, well, or why not
        self._registered = self._closed = False
        sock.setblocking(False)
        if cmd_channel.private:
            # Some clients shake hands before they ask for anything, others when a transfer was answered.
            self._data_socket = self._make_data_socket(cmd_channel.services.tls)
            self._loop.register(self._fileno, self, self._loop.READ)
            self._registered = True

    def begin(self, transfer: Transfer, verb: str) -> None:
        """Move something over this connection, answer on the other one, and close."""
        self.transfer, self._verb = transfer, verb
        self.moved_at = time.monotonic()
        if self._data_socket is None:
            if isinstance(transfer, Download) and transfer.sendable and self._services.gauge.is_quick:
                self._send()
                return
            self._data_socket, self._shaken = self._make_data_socket(None), True
        if self._shaken:
            self._start()
        elif not self._at_work:
            self._shake_hands()

    def _make_data_socket(self, context: SSL.Context | None) -> DataSocket:
        idle_seconds = self._services.settings.ftp_idle_seconds
        return DataSocket(self.socket, context, idle_seconds, receives=self._control.uploads)

    # --- what pyftpdlib asks --------------------------------------------------------------------------------

    def transfer_in_progress(self) -> bool:
        return self.transfer is not None

    def get_elapsed_time(self) -> float:
        return time.monotonic() - self.began_at

    def close(self) -> None:
        """Close, whatever is still on its way: it looks as incomplete to the client as it is."""
        self._finish(CutOff())

    # --- by the kernel --------------------------------------------------------------------------------------

    def _send(self) -> None:
        transfer: Any = self.transfer
        try:
            for _ in range(_PIECES_A_TURN):
                if self._closed:
                    return
                if transfer.waits(partial(self._loop.call_soon, self._send)):
                    self._stay_out()
                    return
                with self._services.gauge:
                    sent = transfer.send_to(self._fileno)
                if not sent:
                    self._end(None)
                    return
                self.tot_bytes_sent += sent
                self.moved_at = time.monotonic()
        except BlockingIOError:
            pass
        except Exception as error:
            self._end(error)
            return
        if not self._registered:
            self._loop.register(self._fileno, self, self._loop.WRITE)
            self._registered = True

    def _stay_out(self) -> None:
        if self._registered:
            self._loop.unregister(self._fileno)
            self._registered = False

    def readable(self) -> bool:
        return self._data_socket is not None and not self._at_work

    def writable(self) -> bool:
        return self._data_socket is None

    def handle_read_event(self) -> None:
        self._shake_hands()  # the client began

    def handle_write_event(self) -> None:
        self._send()

    def handle_close(self) -> None:
        self._end(ConnectionResetError())

    def handle_error(self) -> None:
        _log.exception("transfer failed", account=self._control.account)
        self.close()

    # --- by a worker ----------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        assert self._data_socket is not None, "there is TLS"
        self._stay_out()
        self._at_work = True
        self._loop.run_in_worker(self._data_socket.shake_hands, self._have_shaken)

    def _have_shaken(self, _nothing: None, error: BaseException | None) -> None:
        self._at_work = False
        self._shaken = error or True
        if self._closed:
            self.socket.close()
        elif self.transfer is not None:
            self._start()

    def _start(self) -> None:
        data_socket, transfer = self._data_socket, self.transfer
        assert data_socket is not None and transfer is not None, "something was asked for"
        if isinstance(self._shaken, BaseException):
            self._end(self._shaken)
        elif not self._control.may_use(data_socket, self._verb):
            self._end(NotResumed())
        else:
            self._at_work = self._worker_closes = True
            self._loop.run_in_worker(partial(self._work, data_socket, transfer), self._worked)

    def _work(self, data_socket: DataSocket, transfer: Transfer) -> None:
        try:
            transfer.move(data_socket, self._count)
        finally:
            transfer.close()

    def _count(self, moved_bytes: int) -> None:
        if isinstance(self.transfer, UploadTransfer):
            self.tot_bytes_received += moved_bytes
        else:
            self.tot_bytes_sent += moved_bytes

    def _worked(self, _nothing: None, error: BaseException | None) -> None:
        self._at_work = False
        if self._closed:
            self.socket.close()
        else:
            self._end(error)

    # --- the end ------------------------------------------------------------------------------------------

    @property
    def stalled_for(self) -> float:
        """Seconds for which the kernel could send nothing; a worker looks after its own time."""
        return 0.0 if self._at_work or self.transfer is None else time.monotonic() - self.moved_at

    def give_up(self) -> None:
        """End a transfer whose client takes nothing."""
        self._end(TimeoutError())

    def supersede(self) -> None:
        """Make way for another connection; the client is told of a transfer that this ends."""
        if self.transfer is not None:
            self._end(Superseded())
        else:
            self.close()

    def _end(self, error: BaseException | None) -> None:
        if not self._closed:
            assert self.transfer is not None, "it ends when something was asked for"
            self._finish(error, f"226 {self.transfer.outcome}" if error is None else self._reply_to(error))
            if isinstance(error, TimeoutError):
                self._control.close_when_done()

    def _finish(self, error: BaseException | None, reply: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        self._stay_out()
        if self._at_work:
            assert self._data_socket is not None, "it is what is worked with"
            self._data_socket.cut_off()  # the worker finds out, and the last to use the socket closes it
        else:
            self.socket.close()
        if self.transfer is not None and not self._worker_closes:
            if error is None:
                self.transfer.close()
            else:  # what is given up half-way may wait for the audit log
                self._loop.workers.run(self.transfer.close)
        if self.transfer is not None:
            moved_bytes = self.tot_bytes_sent + self.tot_bytes_received
            metrics.count_transfer(self._verb, "complete" if error is None else "broken", moved_bytes)
            if error is not None and isinstance(self.transfer, UploadTransfer):
                self._control.note_refusal(error)
        if reply:
            self._control.respond(reply)
        self._control.data_closed()

    def _reply_to(self, error: BaseException) -> str:
        account = self._control.account
        match error:
            case RecpipeError():
                # Operators are told of uploads by `note_refusal`.
                say = _log.info if isinstance(self.transfer, UploadTransfer) else _log.warning
                say("transfer failed", account=account, error=type(error).__name__)
                return reply_to(error)
            case DiskFailed():
                _log.error("transfer failed", account=account, error=str(error))
                return "452 The disk does not take the file. Send it again later."
            case EOFError():
                _log.error("stored object is too short", account=account)
                return "451 The stored recording is damaged: its end is missing. Tell your provider its name."
            case TimeoutError():
                return "421 Nothing moved over the data connection. Goodbye."
            case CutOff():
                return "426 The upload was cut off: nothing was kept. Send it again."
            case Superseded():
                return "426 The transfer was ended: you asked for another data connection."
            case NotResumed():
                _log.info("data connection without the control connection's TLS session refused", account=account)
                return (
                    "522 The data connection must resume the TLS session of the control connection: switch session "
                    "reuse on in your client."
                )
            case HandshakeFailed():
                return "522 The TLS handshake failed: the client must speak TLS 1.2 and trust the certificate."
            case OSError() | SSL.Error():
                _log.info("data connection lost", account=account, error=type(error).__name__)
                return "426 The data connection broke; the transfer is incomplete."
            case _:
                _log.error("transfer failed", account=account, exc_info=error)
                return "451 The transfer failed; the log says why. Try again."
