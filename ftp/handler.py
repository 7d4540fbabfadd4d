"""One FTP session: its commands, in terms of a `Tree`. The only place where pyftpdlib's control channel is touched.

Everything that pyftpdlib would ask of the server's own disk is either answered here or refused.
"""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pyftpdlib.ioloop  # noqa: F401 - first: it silences the deprecation of asyncore, which the next lines import
from OpenSSL import SSL
from pyftpdlib.handlers import TLS_FTPHandler

from ftp import listing
from ftp.commands import Place
from ftp.data import Active, DataChannel, Passive, plain_address
from ftp.filesystem import Recordings, Tree
from ftp.replies import one_line, reply_to
from ftp.transfers import Transfers
from ftp.uploads import DropBox
from recpipe import log, metrics
from recpipe.access.principal import Principal
from recpipe.errors import CatalogueUnavailable, CredentialsRejected, LockedOut, RecpipeError

if TYPE_CHECKING:
    from ftp.server import FtpGateway, Listener

_log = log.get(__name__)

READ_ONLY = "550 This account can only read: recordings are written by the telephone system alone."
ONLY_UPLOADS = "550 This account can only send new files: what was sent cannot be changed or taken back."
_MOST_REPLIES_UNREAD = 1000
_CHECK_SECONDS = 1.0

# Commands that would change something: never dispatched, always refused.
REFUSED = frozenset({"APPE", "DELE", "RMD", "XRMD", "RNFR", "RNTO", "STOU", "MFMT", "SITE CHMOD"})
UPLOADING = frozenset({"STOR", "MKD", "XMKD"})
_EXTRA = {
    "HASH": {"perm": "l", "auth": True, "arg": True, "help": "Syntax: HASH <SP> file-name (SHA-256 of a file)."},
    "XSHA256": {"perm": "l", "auth": True, "arg": True, "help": "Syntax: XSHA256 <SP> file-name (SHA-256 of a file)."},
}


class _Everybody:
    """pyftpdlib asks an authorizer; rights are decided by who the session's principal is, in its tree."""

    def has_perm(self, username: str, perm: str, path: str | None = None) -> bool:
        return True

    def get_msg_quit(self, username: str) -> str:
        return "Goodbye."


class Session(Transfers):
    """A control connection. Only one thread at a time has it: the one that attends to it, or none while it is parked.

    Attributes:
        principal: who is logged in.
        account: its name for logs; "" before the login.
        last_active: monotonic seconds of the last command or end of a transfer.
        commands: how many have come.
        farewell: set by the guard: the reply with which the session has to end.
    """

    # pyftpdlib's own, which has no types.
    authenticated: bool
    username: str
    attempted_logins: int
    ac_in_buffer: bytes
    producer_fifo: Any
    _closing: bool
    _error: bool
    _prot: bool
    _pbsz: bool
    _ssl_accepting: bool
    _ssl_established: bool
    _ssl_closing: bool
    _extra_feats: list[str]

    authorizer = _Everybody()
    dtp_handler = DataChannel
    passive_dtp = Passive
    active_dtp = Active
    banner = "recpipe ready."
    timeout = 0  # the guard of the gateway ends idle sessions
    use_sendfile = False
    auth_failed_timeout = 0  # the lock-out counts; a delay here would only hold a thread
    proto_cmds: ClassVar[dict[str, Any]] = {
        name: about for name, about in TLS_FTPHandler.proto_cmds.items() if name not in REFUSED
    } | _EXTRA

    def __repr__(self) -> str:
        return "<session>"  # pyftpdlib's own is long, and made for debugging lines that nobody reads

    def __init__(self, conn: socket.socket, listener: Listener, counted_as: str, ioloop: Any) -> None:
        self.counted_as = counted_as
        self.gateway: FtpGateway = listener.gateway
        self.implicit = listener.implicit_tls
        self.principal: Principal | None = None
        self.account = ""
        self.last_active = time.monotonic()
        self.connected_at = self.last_active
        self.commands = 0
        self.farewell = ""
        self._checked_at = 0.0
        self._announced_bytes: int | None = None
        super().__init__(conn, listener, ioloop)
        if not self.connected:
            return
        self._log_debug = False
        self.ssl_context = self.gateway.tls
        self._current_type = "i"
        self._current_facts = list(listing.DEFAULT_FACTS)
        self._available_facts = list(listing.FACTS)
        self._extra_feats = [*self._extra_feats, "HASH SHA-256*", "XSHA256"]
        if self.implicit:
            # Source: draft-murray-auth-ftp-ssl: under implicit TLS both connections are protected from the start.
            self._pbsz = self._prot = True

    @classmethod
    def get_ssl_context(cls) -> Any:
        return None  # the gateway's, as soon as there is a session

    def begin(self) -> None:
        """Say hello, behind the handshake where TLS comes first."""
        if self.implicit:
            self.secure_connection(self.gateway.tls)
        else:
            self.handle()

    def _do_ssl_handshake(self) -> None:
        with self.gateway.turn.aside():
            super()._do_ssl_handshake()

    def handle_ssl_established(self) -> None:
        if self.implicit:
            self.handle()

    @property
    def secure(self) -> bool:
        return bool(self._ssl_established)

    @property
    def quiet(self) -> bool:
        """Whether nothing is going on, so that no thread has to wait on this session."""
        return not (
            self._closed
            or self.data_channel is not None
            or self.awaits_data_connection
            or self.producer_fifo
            or self._ssl_accepting
            or self._ssl_closing
        )

    # --- every command --------------------------------------------------------------------------------------

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        self.last_active = time.monotonic()
        self.commands += 1
        if len(self.producer_fifo) > _MOST_REPLIES_UNREAD:
            self.close()  # commands without end, and nobody who reads the answers
            return
        refusal = self._refusal(f"SITE {arg.split(' ')[0].upper()}" if cmd == "SITE" else cmd)
        if refusal:
            self.respond(refusal)
            return
        if cmd in ("LIST", "NLST"):
            while arg.startswith("-"):  # `ls` options, as many clients send them
                arg = arg.partition(" ")[2].lstrip()
        if cmd == "STAT" and arg and self.authenticated:
            self.process_command(cmd, self.place.ftp2fs(arg))  # pyftpdlib would refuse names with brackets
            return
        super().pre_process_command(line, cmd, arg)

    def _refusal(self, cmd: str) -> str:
        """Why this session may not do that; "" where it may."""
        if cmd not in REFUSED | UPLOADING:
            return ""
        if not self.authenticated:
            return "530 Log in with USER and PASS first."
        if isinstance(self.tree, DropBox):
            return ONLY_UPLOADS if cmd in REFUSED else ""
        return READ_ONLY

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        if self.authenticated and not self._still_valid():
            return
        if self.gateway.settings.ftp_require_tls:
            if cmd in ("USER", "PASS") and not self.secure:
                self.respond("530 This server wants TLS. Set your client to FTP over TLS (AUTH TLS), then log in.")
                return
            if cmd in ("PASV", "EPSV", "PORT", "EPRT") and not self._prot:
                self.respond("522 This server wants TLS for data too. Send PROT P first.")
                return
        try:
            super().process_command(cmd, *args, **kwargs)
        except RecpipeError as error:
            if not isinstance(error, CredentialsRejected | LockedOut):
                _log.info("ftp command refused", command=cmd, account=self.account, error=type(error).__name__)
            self.respond(reply_to(error))

    def _still_valid(self) -> bool:
        """Ask at most once a second whether the login still counts; end the session when it does not."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_SECONDS:
            return True
        assert self.principal is not None
        try:
            with self.gateway.turn.aside():
                valid = self.gateway.access.still_valid(self.principal)
        except CatalogueUnavailable as error:
            self.respond(reply_to(error))
            return False
        if not valid:
            self.respond("421 This account was changed. Log in again.")
            self.close_when_done()
            return False
        self._checked_at = now
        return True

    # --- logging in -----------------------------------------------------------------------------------------

    def ftp_AUTH(self, line: str) -> None:
        if self.ac_in_buffer:
            # Commands behind AUTH in the same segment came in the clear, from whoever sits in between; pyftpdlib
            # would run them as if they had come through TLS. Source: CVE-2011-0411 for the class of attack.
            _log.warning("commands behind AUTH TLS refused", address=self.remote_ip)
            self.ac_in_buffer = b""
            self.respond("503 Nothing may follow AUTH before the handshake. Goodbye.")
            self.close_when_done()
            return
        if self.secure:
            self.respond("503 Already using TLS.")
        elif line.upper() not in ("TLS", "TLS-C", "SSL", "TLS-P"):
            self.respond("504 Only AUTH TLS is known here.")
        else:
            # What was said in the clear may not have been said by the client. Source: RFC 4217 section 4.
            self.flush_account()
            self.respond(f"234 AUTH {line.upper()} successful.")
            self.secure_connection(self.gateway.tls)

    def ftp_PASS(self, line: str) -> None:
        if self.authenticated:
            self.respond("503 Logged in already.")
            return
        if not self.username:
            self.respond("503 Send USER first.")
            return
        username, self.username = self.username, ""
        try:
            with self.gateway.turn.aside():
                principal = self.gateway.access.ftp(username, line, plain_address(self.remote_ip))
                tree = self._tree_of(principal)
        except (CredentialsRejected, LockedOut) as error:
            metrics.FTP_LOGINS.labels("locked-out" if isinstance(error, LockedOut) else "rejected").inc()
            self.attempted_logins += 1
            self.respond(reply_to(error))
            if self.attempted_logins >= self.max_login_attempts:
                self.close_when_done()
            return
        if not self.gateway.admit(self, principal):
            metrics.FTP_LOGINS.labels("too-many-sessions").inc()
            self.respond("421 This account has too many sessions. Close some, then log in again.")
            self.close_when_done()
            return
        metrics.FTP_LOGINS.labels("ok").inc()
        self.principal, self.account, self.username = principal, principal.name, username
        self._checked_at = time.monotonic()
        self.fs = Place(tree)
        self.authenticated = True
        self.attempted_logins = 0
        self.respond("230 Logged in.")

    def _tree_of(self, principal: Principal) -> Tree:
        if principal.spools:
            return self.gateway.drop_box(principal)
        return Recordings(self.gateway.reader, principal, self.gateway.turn)

    def flush_account(self) -> None:
        self.drop_pending()
        self.gateway.dismiss(self)
        self.principal, self.account = None, ""
        super().flush_account()
        self.fs = None
        self._current_type = "i"
        self._announced_bytes = None
        if self.implicit:
            self._pbsz = self._prot = True

    def ftp_REIN(self, line: str) -> None:
        self.flush_account()
        self.respond("220 Ready for a new user.")

    # --- replies, logs, the end -------------------------------------------------------------------------------

    def respond(self, resp: str, logfun: Any = None) -> None:
        self._last_response = one_line(resp)
        self.push(self._last_response + "\r\n")

    def log(self, msg: str, logfun: Any = None) -> None:
        """File names carry phone numbers: nothing of pyftpdlib's own lines is logged."""

    def logline(self, msg: str, logfun: Any = None) -> None:
        """As `log`."""

    def logerror(self, msg: str) -> None:
        """As `log`."""

    def log_exception(self, instance: Any) -> None:
        _log.exception("ftp session failed", account=self.account, address=self.remote_ip)

    def say_farewell(self) -> None:
        """End the session with the guard's reply."""
        if self.data_channel is not None:
            self.data_channel._error = True
            self.data_channel.close()
        if not self._closed and not self._closing:
            if not self._ssl_accepting:
                self.respond(self.farewell)
            self.close()

    def cut(self) -> None:
        """Shut the sockets down from another thread, so that whoever attends to the session notices."""
        parts: list[Any] = [getattr(getattr(self, "data_channel", None), "socket", None), self.socket]
        for part in parts:
            with contextlib.suppress(OSError, SSL.Error, AttributeError):
                (part.sock_shutdown if isinstance(part, SSL.Connection) else part.shutdown)(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._closed:
            return
        self.drop_pending()
        if self._ssl_established and not self._error:
            # One goodbye, without waiting for the other's: a client that is gone must not hold the session.
            with contextlib.suppress(SSL.Error, OSError):
                self.socket.shutdown()
        self._ssl_established = False
        super().close()
        self.gateway.forget(self)
