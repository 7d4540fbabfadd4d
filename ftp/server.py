"""The FTP and FTPS gateway: listens, counts, and ends the sessions that have to end."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ftp import tls
from ftp.account_uploads import AccountUploads
from ftp.data import PassivePorts
from ftp.loop import Loop
from ftp.replies import reason_of
from ftp.session import Session
from ftp.transfer import LatencyGauge
from ftp.uploads import DropBox, UploadTarget
from recpipe import log, metrics, wiring
from recpipe.access.audit import AuditTrail, event
from recpipe.access.expiring import SeenRecently
from recpipe.access.login import Access
from recpipe.access.principal import Principal
from recpipe.addresses import plain_address
from recpipe.errors import CatalogueUnavailable, RecpipeError, SettingsInvalid
from recpipe.recordings.reader import Reader
from recpipe.settings import Settings, split_listen

_log = log.get(__name__)

_SWEEP_SECONDS = 1.0
_UNSURE_SECONDS = 3.0  # how long a login counts on while the catalogue cannot say whether it does
_STOP_SECONDS = 5.0
_REFUSALS_SAID_SECONDS = 3600.0  # an account and a reason
_BACKLOG = 512
_REST_SECONDS = 0.2  # from the door, when there are no descriptors left
# Python's own 5 ms is how long a short command would wait while a worker makes a listing.
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Status:
    """What goes on at one moment."""

    sessions: int
    logged_in: int
    transfers: int
    threads: int


class Listener:
    """One listening socket, with what pyftpdlib asks of a server and the loop of what it watches."""

    backlog = 5
    ip_map: tuple[str, ...] = ()

    def __init__(self, gateway: FtpGateway, bound: socket.socket, *, implicit_tls: bool) -> None:
        self.gateway = gateway
        self.socket = bound
        self.implicit_tls = implicit_tls

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def _accept_new_cons(self) -> bool:
        return True  # a session has one data connection, and sessions are counted

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self.gateway.accept(self)

    def handle_error(self) -> None:
        _log.exception("ftp door failed")


class FtpGateway:
    """Serves tenants' recordings over FTP, and takes what media servers send into spools. Thread-safe.

    Args:
        settings: all the ftp_* settings, and the spools.
        uploads: label of a spool -> where its uploads go; default: the spools of the settings.
        trail: where uploads are recorded; None: nowhere.
    """

    def __init__(
        self,
        settings: Settings,
        access: Access,
        reader: Reader,
        *,
        uploads: Mapping[str, UploadTarget] | None = None,
        trail: AuditTrail | None = None,
    ) -> None:
        self.settings = settings
        self.access = access
        self.reader = reader
        self._uploads = uploads
        self._trail = trail
        self.passive_ports = PassivePorts(_port_range(settings.ftp_passive_ports))
        self.tls: Any = None
        self.loop: Loop  # from the start on
        self.disk = LatencyGauge()
        self._listeners: list[Listener] = []
        self._plain: Listener | None = None
        self._implicit: Listener | None = None
        self._stopping = threading.Event()
        self._guards = threading.Thread(target=self._guard, name="ftp-guard", daemon=True)
        self._lock = threading.Lock()
        self._sessions: set[Session] = set()
        self._per_address: Counter[str] = Counter()
        self._accounts: dict[Session, str] = {}
        self._per_account: Counter[str] = Counter()
        self._sure_at: dict[Principal, float] = {}
        self._sent: dict[str, AccountUploads] = {}
        self._said_lately = SeenRecently(_REFUSALS_SAID_SECONDS)

    # --- running ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind and serve in background threads.

        Raises:
            SettingsInvalid: an address is taken, a certificate or range cannot be used; nothing is left open.
        """
        sys.setswitchinterval(_SWITCH_SECONDS)
        self.tls = tls.context(self.settings)
        if self._uploads is None:
            self._uploads = {spool.label: UploadTarget.of(spool) for spool in wiring.spools(self.settings)}
        try:
            self._plain = self._listen(self.settings.ftp_listen, "RECPIPE_FTP_LISTEN", implicit_tls=False)
            if self.settings.ftps_listen:
                self._implicit = self._listen(self.settings.ftps_listen, "RECPIPE_FTPS_LISTEN", implicit_tls=True)
        except BaseException:
            self._close_listeners()
            raise
        self.loop = Loop()
        metrics.FTP_SESSIONS.set_function(lambda: self.status().sessions)
        metrics.FTP_LOGGED_IN.set_function(lambda: self.status().logged_in)
        metrics.FTP_TRANSFERRING.set_function(lambda: self.status().transfers)
        for listener in self._listeners:
            self._watch(listener)
        self.loop.start()
        self._guards.start()

    def stop(self) -> None:
        """End all sessions and threads; returns within fifteen seconds whatever clients and store do."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._guards.join(_STOP_SECONDS)
        self.loop.call(self._close_door)
        self.loop.end(_STOP_SECONDS)
        for uploads in self._sent.values():
            uploads.close()

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
        with self._lock:
            sessions, logged_in = list(self._sessions), len(self._accounts)
        transfers = sum(getattr(session, "data_channel", None) is not None for session in sessions)
        return Status(len(sessions), logged_in, transfers, len(self.loop.workers))

    # --- what sessions ask ----------------------------------------------------------------------------------

    def admit(self, session: Session, principal: Principal) -> bool:
        """Count a login; False when its account has too many."""
        with self._lock:
            if self._per_account[principal.id] >= self.settings.ftp_max_per_account:
                return False
            self._per_account[principal.id] += 1
            self._accounts[session] = principal.id
            self._sure_at[principal] = time.monotonic()
            return True

    def dismiss(self, session: Session) -> None:
        """Count a login off."""
        with self._lock:
            account = self._accounts.pop(session, None)
            if account is not None:
                _count_off(self._per_account, account)
                if account in self._sent and account not in self._per_account:
                    self._sent[account].forget_received()

    def forget(self, session: Session) -> None:
        """Count a session off; called when it is closed."""
        self.dismiss(session)
        with self._lock:
            if session in self._sessions:
                self._sessions.discard(session)
                _count_off(self._per_address, session.counted_as)

    def vouches_for(self, principal: Principal) -> bool:
        """Whether the guard has seen lately that the login still counts."""
        return time.monotonic() - self._sure_at.get(principal, 0.0) < _UNSURE_SECONDS

    def resumes_session_of(self, session: Session, secrets: tls.SessionSecrets) -> bool:
        """Whether a data connection resumed the TLS session of this control connection, or of its account's others.

        Clients with several connections often keep one ticket for all of them.
        """
        if secrets.resume(session.tls_secrets):
            return True
        account = session.principal.id if session.principal else ""
        with self._lock:
            others = [other for other, id in self._accounts.items() if id == account]
        return any(secrets.resume(other.tls_secrets) for other in others)

    def drop_box(self, principal: Principal) -> DropBox:
        """Where a media server's files go.

        Raises:
            Forbidden: the spool belongs to another tenant.
            RecpipeError: there is no such spool here.
        """
        label = next(iter(principal.spools))
        target = (self._uploads or {}).get(label)
        if target is None or not principal.may_upload(label):
            _log.error("upload account without a spool", account=principal.name, spool=label)
            raise RecpipeError(f"There is no spool {label} on this server.")
        tenant = next((self.reader.tenant(principal, each) for each in principal.grants), None)
        settings = self.settings
        with self._lock:
            account = self._sent.setdefault(
                principal.id, AccountUploads(principal.name, settings.ftp_upload_daily_bytes)
            )
        return DropBox(
            target,
            target.prefix_for(tenant),
            account,
            settings.ftp_upload_max_bytes,
            settings.upload_reserve_bytes,
        )

    def note_upload(self, principal: Principal, size_bytes: int) -> None:
        """Keep on record that a media server sent a file; one that is empty is a fault of somebody's."""
        if not size_bytes:
            self._note_refused(principal.name, "empty")
        if self._trail is not None:
            tenant_id = next(iter(principal.grants), None)
            spool = next(iter(principal.spools))
            now = datetime.now(UTC)
            self._trail.record(event(principal, "upload", now, tenant_id=tenant_id, spool=spool, bytes=size_bytes))

    def note_refusal(self, principal: Principal, error: BaseException) -> None:
        """Have operators see that a file was not taken."""
        self._note_refused(principal.name, reason_of(error))

    def _note_refused(self, account: str, reason: str) -> None:
        metrics.FTP_UPLOADS_REFUSED.labels(reason).inc()
        if self._said_lately.first((account, reason), datetime.now(UTC)):
            _log.warning(
                "uploads refused",
                account=account,
                reason=reason,
                advice="docs/ftp.md says what each reason means; for the next hour more of it are counted, not logged",
            )

    def _throw_away_old(self) -> None:
        with self._lock:
            sent = list(self._sent.values())
        for uploads in sent:
            for _ in range(uploads.expire()):
                self._note_refused(uploads.account, "never-renamed")

    # --- the door -------------------------------------------------------------------------------------------

    def _listen(self, setting: str, name: str, *, implicit_tls: bool) -> Listener:
        host, port = split_listen(setting)
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            bound.listen(_BACKLOG)
        except OSError as error:
            bound.close()
            raise SettingsInvalid(
                f"Cannot listen on {setting}: {error.strerror}. Stop what uses it, or set {name} to another address."
            ) from error
        bound.setblocking(False)
        listener = Listener(self, bound, implicit_tls=implicit_tls)
        self._listeners.append(listener)
        return listener

    def _watch(self, listener: Listener) -> None:
        if not self._stopping.is_set():
            self.loop.register(listener.socket.fileno(), listener, self.loop.READ)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.socket.close()
        self._listeners.clear()

    def _close_door(self) -> None:
        for listener in self._listeners:
            self.loop.unregister(listener.socket.fileno())
        self._close_listeners()
        for session in self._list():
            session.end("421 The server is shutting down. Resume later.")

    def accept(self, listener: Listener) -> None:
        """Take in whoever knocks. In the loop's thread."""
        while True:
            try:
                sock, peer = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # the client went away again, or there are no descriptors left
                _log.warning("ftp connection not accepted", error=error.strerror)
                self.loop.unregister(listener.socket.fileno())
                self.loop.call_later(_REST_SECONDS, self._watch, listener)
                return
            counted_as = plain_address(peer[0])
            with self._lock:
                full = len(self._sessions) >= self.settings.ftp_max_connections
                crowded = self._per_address[counted_as] >= self.settings.ftp_max_per_address
                if not full and not crowded:
                    self._per_address[counted_as] += 1
            if full or crowded:
                _turn_away(sock, listener, "server" if full else "address")
                continue
            session = Session(sock, listener, counted_as, self.loop)
            with self._lock:
                if session._closed or not session.connected:
                    _count_off(self._per_address, counted_as)
                    continue
                self._sessions.add(session)
            session.begin()

    # --- the guard ------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        while not self._stopping.wait(_SWEEP_SECONDS):
            try:
                self._throw_away_old()
                for session, farewell in self._overdue():
                    self.loop.call(partial(session.end, farewell))
            except Exception:
                _log.exception("ftp guard failed")

    def _overdue(self) -> Iterator[tuple[Session, str]]:
        now = time.monotonic()
        settings = self.settings
        valid: dict[Principal, bool] = {}
        for session in self._list():
            principal = session.principal
            channel = getattr(session, "data_channel", None)
            if principal is None:
                if now - session.connected_at > settings.ftp_login_seconds:
                    yield session, f"421 Nobody logged in within {settings.ftp_login_seconds} seconds. Goodbye."
            else:
                if principal not in valid:
                    valid[principal] = self._still_valid(principal, now)
                if not valid[principal]:
                    yield session, "421 This account was changed. Log in again."
                elif channel is not None and channel.stalled_for > settings.ftp_idle_seconds:
                    self.loop.call(channel.give_up)
                elif now - session.last_active > settings.ftp_idle_seconds and session.quiet:
                    yield session, f"421 Nothing was heard for {settings.ftp_idle_seconds} seconds. Goodbye."
        with self._lock:
            self._sure_at = {who: at for who, at in self._sure_at.items() if who in valid or now - at < 60}

    def _still_valid(self, principal: Principal, now: float) -> bool:
        try:
            valid = self.access.still_valid(principal)
        except CatalogueUnavailable:
            return now - self._sure_at.get(principal, now) < _UNSURE_SECONDS
        if valid:
            self._sure_at[principal] = now
        return valid

    def _list(self) -> list[Session]:
        with self._lock:
            return list(self._sessions)


def _turn_away(sock: socket.socket, listener: Listener, who: str) -> None:
    metrics.FTP_TURNED_AWAY.labels(who).inc()
    with contextlib.suppress(OSError):
        sock.setblocking(False)
        if not listener.implicit_tls:
            text = "Too many sessions on this server." if who == "server" else "Too many sessions from your address."
            sock.send(f"421 {text} Try again later.\r\n".encode())
    sock.close()


def _count_off(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def _port_range(text: str) -> range:
    if not text:
        return range(0)
    first, _, last = text.partition("-")
    with contextlib.suppress(ValueError):
        ports = range(int(first), int(last or first) + 1)
        if ports and ports[0] >= 1024 and ports[-1] <= 65535:
            return ports
    raise SettingsInvalid(
        f"{text!r} is no range of ports. Write RECPIPE_FTP_PASSIVE_PORTS as 30000-30100, between 1024 and 65535."
    )
