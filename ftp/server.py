"""The FTP and FTPS gateway: listens, takes sessions in, and ends those that have to end."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ftp import tls
from ftp.census import Census
from ftp.listener import Listener
from ftp.loop import Loop
from ftp.ports import PassivePorts
from ftp.services import Services
from ftp.session import Session
from ftp.transfer import LatencyGauge
from ftp.upload_accounts import UploadAccounts
from recpipe import log, metrics
from recpipe.access.login import Access
from recpipe.access.principal import Principal
from recpipe.addresses import plain_address
from recpipe.errors import CatalogueUnavailable
from recpipe.intake import Intake
from recpipe.recordings.reader import Reader
from recpipe.settings import Settings

_log = log.get(__name__)

_SWEEP_SECONDS = 1.0
_STOP_SECONDS = 5.0
_ACCEPT_AGAIN_SECONDS = 0.2  # after there were no descriptors left
# Python's own 5 ms is how long a short command would wait while a worker makes a listing.
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of one moment."""

    sessions: int
    logged_in: int
    transfers: int
    threads: int


class FtpGateway:
    """Serves tenants' recordings over FTP, and takes what media servers send into spools. Thread-safe.

    Args:
        settings: all the ftp_* settings.
        intake: where uploads go.

    Attributes:
        services: what its sessions share; from the start on.
        census: its sessions and logins.
    """

    services: Services

    def __init__(self, settings: Settings, access: Access, reader: Reader, intake: Intake) -> None:
        self._settings = settings
        self._access = access
        self._reader = reader
        self._uploads = UploadAccounts(settings, intake)
        self.census: Census[Session] = Census(settings, self._uploads.forget_received)
        self._listeners: list[Listener] = []
        self._plain: Listener | None = None
        self._implicit: Listener | None = None
        self._stopping = threading.Event()
        self._guards = threading.Thread(target=self._guard, name="ftp-guard", daemon=True)

    # --- running ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind and serve in background threads.

        Raises:
            SettingsInvalid: an address is taken, a certificate or range cannot be used; nothing is left open.
        """
        sys.setswitchinterval(_SWITCH_SECONDS)
        settings = self._settings
        ports, context = PassivePorts.parse(settings.ftp_passive_ports), tls.context(settings)
        try:
            self._plain = self._listen(settings.ftp_listen, "RECPIPE_FTP_LISTEN", implicit_tls=False)
            if settings.ftps_listen:
                self._implicit = self._listen(settings.ftps_listen, "RECPIPE_FTPS_LISTEN", implicit_tls=True)
        except BaseException:
            self._close_listeners()
            raise
        loop = Loop()
        self.services = Services(
            settings, self._access, self._reader, context, loop, LatencyGauge(), ports, self._uploads
        )
        metrics.FTP_SESSIONS.set_function(lambda: self.status().sessions)
        metrics.FTP_LOGGED_IN.set_function(lambda: self.status().logged_in)
        metrics.FTP_TRANSFERRING.set_function(lambda: self.status().transfers)
        for listener in self._listeners:
            self._watch(listener)
        loop.start()
        self._guards.start()

    def stop(self) -> None:
        """End all sessions and threads; returns within fifteen seconds whatever clients and store do."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._guards.join(_STOP_SECONDS)
        self.services.loop.call_soon(self._end_all)
        self.services.loop.stop(_STOP_SECONDS)
        self._uploads.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of FTP and explicit FTPS."""
        assert self._plain is not None, "start() comes first"
        return self._plain.address

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port of implicit FTPS, where it is on."""
        return self._implicit.address if self._implicit is not None else None

    def status(self) -> Status:
        """Count sessions, logins, transfers and threads."""
        sessions = self.census.sessions()
        transfers = sum(getattr(session, "data_channel", None) is not None for session in sessions)
        return Status(len(sessions), self.census.logged_in, transfers, len(self.services.loop.workers))

    # --- listening ------------------------------------------------------------------------------------------

    def _listen(self, setting: str, name: str, *, implicit_tls: bool) -> Listener:
        listener = Listener.bind(setting, name, self._accept, implicit_tls=implicit_tls)
        self._listeners.append(listener)
        return listener

    def _watch(self, listener: Listener) -> None:
        if not self._stopping.is_set():
            loop = self.services.loop
            loop.register(listener.socket.fileno(), listener, loop.READ)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.socket.close()
        self._listeners.clear()

    def _end_all(self) -> None:
        for listener in self._listeners:
            self.services.loop.unregister(listener.socket.fileno())
        self._close_listeners()
        for session in self.census.sessions():
            session.end("421 The server is shutting down. Resume later.")

    def _accept(self, listener: Listener) -> None:
        """Accept all connections that wait. In the loop's thread."""
        loop = self.services.loop
        while True:
            try:
                sock, peer = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # the client went away again, or there are no descriptors left
                _log.warning("ftp connection not accepted", error=error.strerror)
                loop.unregister(listener.socket.fileno())
                loop.call_later(_ACCEPT_AGAIN_SECONDS, self._watch, listener)
                return
            address = plain_address(peer[0])
            if (limit := self.census.reserve(address)) is not None:
                _turn_away(sock, listener, limit)
                continue
            session = Session(sock, listener, self.services, self.census, address)
            if session.closed or not session.connected:
                self.census.release(address)
                continue
            self.census.enter(session)
            session.begin()

    # --- the guard ------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        while not self._stopping.wait(_SWEEP_SECONDS):
            try:
                self._uploads.expire()
                for session, farewell in self._overdue():
                    self.services.loop.call_soon(partial(session.end, farewell))
            except Exception:
                _log.exception("ftp guard failed")

    def _overdue(self) -> Iterator[tuple[Session, str]]:
        now = time.monotonic()
        settings = self.services.settings
        valid: dict[Principal, bool] = {}
        for session in self.census.sessions():
            principal = session.principal
            channel = getattr(session, "data_channel", None)
            if principal is None:
                if now - session.connected_at > settings.ftp_login_seconds:
                    yield session, f"421 Nobody logged in within {settings.ftp_login_seconds} seconds. Goodbye."
            else:
                if principal not in valid:
                    valid[principal] = self._still_valid(principal)
                if not valid[principal]:
                    yield session, "421 This account was changed. Log in again."
                elif channel is not None and channel.stalled_for > settings.ftp_idle_seconds:
                    self.services.loop.call_soon(channel.give_up)
                elif now - session.last_active > settings.ftp_idle_seconds and session.quiet:
                    yield session, f"421 Nothing was heard for {settings.ftp_idle_seconds} seconds. Goodbye."
        self.census.expire(valid)

    def _still_valid(self, principal: Principal) -> bool:
        try:
            valid = self._access.still_valid(principal)
        except CatalogueUnavailable:
            return self.census.vouches_for(principal)
        if valid:
            self.census.vouch(principal)
        return valid


def _turn_away(sock: socket.socket, listener: Listener, limit: str) -> None:
    metrics.FTP_TURNED_AWAY.labels(limit).inc()
    with contextlib.suppress(OSError):
        sock.setblocking(False)
        if not listener.implicit_tls:
            text = "Too many sessions on this server." if limit == "server" else "Too many sessions from your address."
            sock.send(f"421 {text} Try again later.\r\n".encode())
    sock.close()
