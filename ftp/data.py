"""Data connections: who may open them, how bytes leave and arrive, and that nothing stays open behind them."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pyftpdlib.ioloop  # noqa: F401 - first: it silences the deprecation of asyncore, which the next lines import
from OpenSSL import SSL
from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
from pyftpdlib.ioloop import Acceptor

from ftp.data_socket import DataSocket, HandshakeFailed
from ftp.replies import reply_to
from ftp.transfer import CutOff, DiskFailed, Download, Transfer, Upload
from recpipe import log, metrics
from recpipe.addresses import plain_address
from recpipe.errors import RecpipeError

if TYPE_CHECKING:
    from ftp.session import Session

_log = log.get(__name__)

_PIECES_A_TURN = 8  # sent before other sessions have their turn
_CONNECT_SECONDS = 30


class Superseded(Exception):
    """The client asked for another data connection in the middle of a transfer."""


class NotResumed(Exception):
    """A data connection over TLS that does not resume the session of the control connection: perhaps a thief's."""


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

    def handle_write(self) -> None:
        """Once it is connected, the socket is the data channel's."""

    def handle_timeout(self) -> None:
        _give_up(self)


class DataChannel:
    """One data connection, plain or TLS. Of the loop's thread; while a worker moves bytes, the socket is the worker's.

    What pyftpdlib asks of its own `DTPHandler` is here as far as a `Session` uses it.

    Attributes:
        moving: what is sent or received over it; None: nothing was asked for yet.
        moved_at: monotonic seconds: when bytes moved last.
    """

    connected = True

    def __init__(self, sock: socket.socket, cmd_channel: Session) -> None:
        self.socket = sock
        self.moving: Transfer | None = None
        self.tot_bytes_sent = self.tot_bytes_received = 0
        self.began_at = self.moved_at = time.monotonic()
        self._session = cmd_channel
        self._loop = cmd_channel.gateway.loop
        self._fileno = sock.fileno()
        self._verb = ""
        self._wire: DataSocket | None = None
        self._at_work = False  # a worker has the socket
        self._moves = False  # and what is moved, which it closes
        self._shaken: bool | BaseException = False  # hands: not yet, well, or why not
        self._registered = self._closed = False
        sock.setblocking(False)
        if cmd_channel.private:
            # Some clients shake hands before they ask for anything, others when a transfer was answered.
            self._wire = self._make_wire(cmd_channel.gateway.tls)
            self._loop.register(self._fileno, self, self._loop.READ)
            self._registered = True

    def begin(self, moving: Transfer, verb: str) -> None:
        """Move something over this connection, answer on the other one, and close."""
        self.moving, self._verb = moving, verb
        self.moved_at = time.monotonic()
        if self._wire is None:
            if isinstance(moving, Download) and moving.sendable and self._session.gateway.disk.is_quick:
                self._send()
                return
            self._wire, self._shaken = self._make_wire(None), True
        if self._shaken:
            self._start()
        elif not self._at_work:
            self._shake_hands()

    def _make_wire(self, context: SSL.Context | None) -> DataSocket:
        session = self._session
        return DataSocket(self.socket, context, session.gateway.settings.ftp_idle_seconds, receives=session.uploads)

    # --- what pyftpdlib asks --------------------------------------------------------------------------------

    def transfer_in_progress(self) -> bool:
        return self.moving is not None

    def get_elapsed_time(self) -> float:
        return time.monotonic() - self.began_at

    def close(self) -> None:
        """Close, whatever is still on its way: it looks as incomplete to the client as it is."""
        self._finish(CutOff())

    # --- by the kernel --------------------------------------------------------------------------------------

    def _send(self) -> None:
        moving: Any = self.moving
        try:
            for _ in range(_PIECES_A_TURN):
                if self._closed:
                    return
                if moving.waits(partial(self._loop.call, self._send)):
                    self._stay_out()
                    return
                with self._session.gateway.disk:
                    sent = moving.send_to(self._fileno)
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
        return self._wire is not None and not self._at_work

    def writable(self) -> bool:
        return self._wire is None

    def handle_read_event(self) -> None:
        self._shake_hands()  # the client began

    def handle_write_event(self) -> None:
        self._send()

    def handle_close(self) -> None:
        self._end(ConnectionResetError())

    def handle_error(self) -> None:
        _log.exception("transfer failed", account=self._session.account)
        self.close()

    # --- by a worker ----------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        assert self._wire is not None, "there is TLS"
        self._stay_out()
        self._at_work = True
        self._loop.aside(self._wire.shake_hands, self._have_shaken)

    def _have_shaken(self, _nothing: None, error: BaseException | None) -> None:
        self._at_work = False
        self._shaken = error or True
        if self._closed:
            self.socket.close()
        elif self.moving is not None:
            self._start()

    def _start(self) -> None:
        wire, moving = self._wire, self.moving
        assert wire is not None and moving is not None, "something was asked for"
        if isinstance(self._shaken, BaseException):
            self._end(self._shaken)
        elif not self._session.may_use(wire, self._verb):
            self._end(NotResumed())
        else:
            self._at_work = self._moves = True
            self._loop.aside(partial(self._work, wire, moving), self._worked)

    def _work(self, wire: DataSocket, moving: Transfer) -> None:
        try:
            moving.move(wire, self._count)
        finally:
            moving.close()

    def _count(self, moved_bytes: int) -> None:
        if isinstance(self.moving, Upload):
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
        return 0.0 if self._at_work or self.moving is None else time.monotonic() - self.moved_at

    def give_up(self) -> None:
        """End a transfer whose client takes nothing."""
        self._end(TimeoutError())

    def supersede(self) -> None:
        """Make way for another connection; the client is told of a transfer that this ends."""
        if self.moving is not None:
            self._end(Superseded())
        else:
            self.close()

    def _end(self, error: BaseException | None) -> None:
        if not self._closed:
            assert self.moving is not None, "it ends when something was asked for"
            self._finish(error, f"226 {self.moving.outcome}" if error is None else self._reply_to(error))
            if isinstance(error, TimeoutError):
                self._session.close_when_done()

    def _finish(self, error: BaseException | None, reply: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        self._stay_out()
        if self._at_work:
            assert self._wire is not None, "it is what is worked with"
            self._wire.cut_off()  # the worker finds out, and the last to use the socket closes it
        else:
            self.socket.close()
        if self.moving is not None and not self._moves:
            if error is None:
                self.moving.close()
            else:  # what is given up half-way may wait for the audit log
                self._loop.workers.run(self.moving.close)
        if self.moving is not None:
            moved_bytes = self.tot_bytes_sent + self.tot_bytes_received
            metrics.count_transfer(self._verb, "complete" if error is None else "broken", moved_bytes)
            if error is not None and isinstance(self.moving, Upload):
                self._session.note_refusal(error)
        if reply:
            self._session.respond(reply)
        self._session._on_dtp_close()

    def _reply_to(self, error: BaseException) -> str:
        account = self._session.account
        match error:
            case RecpipeError():
                say = _log.info if isinstance(self.moving, Upload) else _log.warning  # of uploads operators are told
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


def _give_up(waiting: Passive | Active) -> None:
    session: Session = waiting.cmd_channel
    waiting.close()
    # 421 would be the end of the session; a client that only asked for a port needs no answer.
    if session.connected and (session.drop_awaited() or isinstance(waiting, Active)):
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
