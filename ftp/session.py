"""One FTP session: its commands, in terms of a `Tree`.

Everything that pyftpdlib would ask of the server's own disk is either answered here or refused.
"""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from OpenSSL import SSL

from ftp import listing, pyftpdlib_seam, tls
from ftp.census import Census
from ftp.commands import Place
from ftp.data import DataChannel
from ftp.data_socket import DataSocket
from ftp.filesystem import RecordingTree, Tree
from ftp.listener import Listener
from ftp.loop import Command, in_worker
from ftp.passive import Active, Passive
from ftp.replies import one_line, reply_to
from ftp.services import Services
from ftp.tls import SessionSecrets
from ftp.upload_commands import UploadCommands
from ftp.uploads import DropBox
from recpipe import log, metrics
from recpipe.access.principal import Principal
from recpipe.addresses import plain_address
from recpipe.errors import CredentialsRejected, LockedOut, RecpipeError, TooManySignIns

_log = log.get(__name__)

READ_ONLY = "550 This account can only read: recordings are written by the telephone system alone."
_VOUCHED_SECONDS = 1.0
_LONGEST_LINE = 2048  # bytes
_MOST_AT_ONCE = 1000  # commands that came behind one that takes a while, or replies that nobody has read

# Commands that change something: refused to whoever reads.
REFUSED = frozenset({"STOU"})  # to those who send, too
UPLOADING = frozenset(
    {"STOR", "APPE", "ALLO", "MKD", "XMKD", "RMD", "XRMD", "DELE", "RNFR", "RNTO", "MFMT", "SITE CHMOD"}
)
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


class Session(UploadCommands):
    """A control connection. Of the loop's thread alone; what a command awaits is done by a worker.

    Args:
        counted_as: the client's address, as the census counts it.

    Attributes:
        account: the principal's name for logs; "" before the login.
        connected_at: monotonic seconds.
    """

    authorizer = _Everybody()
    dtp_handler = DataChannel
    passive_dtp = Passive
    active_dtp = Active
    banner = "recpipe ready."
    timeout = 0  # the guard of the gateway ends idle sessions
    use_sendfile = False
    auth_failed_timeout = 0  # the lock-out counts; a delay here would only hold a thread
    proto_cmds: ClassVar[dict[str, Any]] = pyftpdlib_seam.COMMANDS | _EXTRA

    def __repr__(self) -> str:
        return "<session>"  # pyftpdlib's own is long, and made for debugging lines that nobody reads

    def __init__(
        self,
        conn: socket.socket,
        listener: Listener,
        services: Services,
        census: Census[Session],
        counted_as: str,
    ) -> None:
        self.counted_as = counted_as
        self.implicit = listener.implicit_tls
        self.account = ""
        self.connected_at = time.monotonic()
        self._census = census
        self._under_way: Command | None = None
        self._vouched_for_at = 0.0
        self._lines: deque[bytes | None] = deque()  # that came and were not taken yet; None: a line that is too long
        self._line_parts: list[bytes] = []
        self._line_bytes = 0
        self.tls_secrets = SessionSecrets()
        super().__init__(conn, listener, services)
        if not self.connected:
            return
        self.set_terminator(b"\n")  # some senders' scripts end lines so; the CR before it is dropped
        self.ssl_context = self.services.tls
        self.describe(listing.FACTS, listing.DEFAULT_FACTS, ("HASH SHA-256*", "XSHA256"))
        if self.implicit:
            # Source: draft-murray-auth-ftp-ssl: under implicit TLS both connections are protected from the start.
            self.protect_data()

    @classmethod
    def get_ssl_context(cls) -> Any:
        return None  # the gateway's, as soon as there is a session

    def begin(self) -> None:
        """Say hello, behind the handshake where TLS comes first."""
        if self.implicit:
            self.secure_connection(self.services.tls)
        else:
            self.handle()

    def secure_connection(self, ssl_context: SSL.Context) -> None:
        super().secure_connection(ssl_context)
        if isinstance(self.socket, SSL.Connection):
            self.tls_secrets.watch(self.socket)

    def handle_ssl_established(self) -> None:
        if self.implicit:
            self.handle()

    @property
    def quiet(self) -> bool:
        """Whether nothing is going on."""
        channel = getattr(self, "data_channel", None)
        return self._under_way is None and (channel is None or not channel.transfer_in_progress())

    @property
    def uploads(self) -> bool:
        """Whether the account sends files; else it fetches them."""
        return self.fs is not None and isinstance(self.tree, DropBox)

    def may_use(self, data_socket: DataSocket, verb: str) -> bool:
        """Whether a data connection is certainly the client's own, as far as the settings want that for this verb."""
        if not data_socket.secure:
            return True
        resumed = self._census.resumes_session_of(self, data_socket.secrets)
        if resumed:
            self.tls_secrets.take_over(data_socket.secrets)
        wanted = self.services.settings.ftp_tls_resumption
        return resumed or wanted == "off" or (wanted == "uploads" and verb != "STOR")

    # --- every command --------------------------------------------------------------------------------------

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        self.last_active = time.monotonic()
        if len(self.producer_fifo) > _MOST_AT_ONCE:
            self.close()  # commands without end, and nobody who reads the answers
            return
        refusal = self._refusal(f"SITE {arg.split(' ')[0].upper()}" if cmd == "SITE" else cmd)
        if refusal:
            self.respond(refusal)
            return
        if cmd in ("LIST", "NLST", "STAT") and arg.startswith("-"):
            while arg.startswith("-"):  # `ls` options, as many clients send them
                arg = arg.partition(" ")[2].lstrip()
            arg = arg or "."
        if cmd in ("LIST", "NLST", "MLSD"):
            self.restart_position = 0  # it was for the next transfer, and this is one
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
        return "" if self.uploads else READ_ONLY

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        if self.services.settings.ftp_require_tls:
            if cmd in ("USER", "PASS") and not self.secure:
                self.respond("530 This server wants TLS. Set your client to FTP over TLS (AUTH TLS), then log in.")
                return
            if cmd in ("PASV", "EPSV", "PORT", "EPRT") and not self.private:
                self.respond("522 This server wants TLS for data too. Send PROT P first.")
                return
        method = getattr(self, "ftp_" + cmd.replace(" ", "_"))
        if self.principal is not None and not self._still_vouched_for(self.principal):
            self._go_on(self._if_still_valid(self.principal, partial(method, *args, **kwargs)))
        elif (command := method(*args, **kwargs)) is not None:
            self._go_on(command)

    def _still_vouched_for(self, principal: Principal) -> bool:
        now = time.monotonic()
        if now - self._vouched_for_at > _VOUCHED_SECONDS and self._census.vouches_for(principal):
            self._vouched_for_at = now
        return now - self._vouched_for_at <= _VOUCHED_SECONDS

    async def _if_still_valid(self, principal: Principal, then: Callable[[], Command | None]) -> None:
        """A command of a login that the guard has not looked after for a while."""
        if not await in_worker(lambda: self.services.access.still_valid(principal)):
            self.respond("421 This account was changed. Log in again.")
            self.close_when_done()
        elif (command := then()) is not None:
            await command

    # --- commands that take a while ---------------------------------------------------------------------------

    def collect_incoming_data(self, data: bytes) -> None:
        self._line_bytes += len(data)
        if self._line_bytes <= _LONGEST_LINE:
            self._line_parts.append(data)
        else:
            self._line_parts.clear()  # the rest is dropped as it comes, up to the end of the line

    def found_terminator(self) -> None:
        whole = self._line_bytes <= _LONGEST_LINE
        self._lines.append(b"".join(self._line_parts).removesuffix(b"\r") if whole else None)
        self._line_parts, self._line_bytes = [], 0
        if len(self._lines) > _MOST_AT_ONCE:
            self.close()
        self._take_lines()

    def _take_lines(self) -> None:
        while self._lines and self._under_way is None and not self.closed:
            if (taken := self._lines.popleft()) is None:
                self.respond(f"500 A command may have at most {_LONGEST_LINE} bytes; this one was dropped.")
                continue
            line = self.decode(taken)
            cmd = line.split(" ")[0]
            self.pre_process_command(line, cmd.upper(), line[len(cmd) + 1 :])

    def _go_on(self, command: Command, result: Any = None, error: BaseException | None = None) -> None:
        """Run a command up to where it awaits a job, or to its end."""
        self._under_way = command
        try:
            job = command.send(result) if error is None else command.throw(error)
        except StopIteration:
            pass
        except RecpipeError as refused:
            if not isinstance(refused, CredentialsRejected | LockedOut):
                _log.info("ftp command refused", account=self.account, error=type(refused).__name__)
            self.respond(reply_to(refused))
        except Exception:
            self.handle_error()
        else:
            self.services.loop.run_in_worker(job, partial(self._come_back, command))
            return
        self._under_way = None

    def _come_back(self, command: Command, result: Any, error: BaseException | None) -> None:
        if self.closed:
            command.close()
            if hasattr(result, "close"):
                self.services.loop.workers.run(result.close)  # it was opened for somebody who has gone
            return
        self._go_on(command, result, error)
        self._take_lines()

    # --- logging in -----------------------------------------------------------------------------------------

    def ftp_AUTH(self, line: str) -> None:
        if self.ac_in_buffer or self._line_bytes or self._lines:
            # Commands behind AUTH in the same segment came in the clear, from whoever sits in between; pyftpdlib
            # would run them as if they had come through TLS. Source: CVE-2011-0411 for the class of attack.
            _log.warning("commands behind AUTH TLS refused", address=self.remote_ip)
            self.ac_in_buffer = b""
            self._lines.clear()
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
            self.secure_connection(self.services.tls)

    async def ftp_PASS(self, line: str) -> None:
        if self.authenticated:
            self.respond("503 Logged in already.")
            return
        if not self.username:
            self.respond("503 Send USER first.")
            return
        username, self.username = self.username, ""
        address = plain_address(self.remote_ip)

        def log_in() -> tuple[Principal, Tree]:
            principal = self.services.access.ftp(username, line, address)
            return principal, self._tree_of(principal)

        try:
            found: tuple[Principal, Tree] = await in_worker(log_in)
        except (CredentialsRejected, LockedOut) as error:
            metrics.FTP_LOGINS.labels("locked-out" if isinstance(error, LockedOut) else "rejected").inc()
            self.attempted_logins += 1
            self.respond(reply_to(error))
            if self.attempted_logins >= self.max_login_attempts:
                self.close_when_done()
            return
        except TooManySignIns as error:
            metrics.FTP_LOGINS.labels("busy").inc()
            self.respond(reply_to(error))
            self.close_when_done()
            return
        principal, tree = found
        if not self._census.admit(self, principal):
            metrics.FTP_LOGINS.labels("too-many-sessions").inc()
            self.respond("421 This account has too many sessions. Close some, then log in again.")
            self.close_when_done()
            return
        metrics.FTP_LOGINS.labels("ok").inc()
        self.principal, self.account, self.username = principal, principal.name, username
        self.fs = Place(tree)
        self.authenticated = True
        self.attempted_logins = 0
        self.respond("230 Logged in.")

    def _tree_of(self, principal: Principal) -> Tree:
        if principal.spools:
            return self.services.uploads.drop_box(principal)
        return RecordingTree(self.services.reader, principal)

    def flush_account(self) -> None:
        self._census.dismiss(self)
        self.principal, self.account = None, ""
        super().flush_account()
        self.fs = None
        if self.implicit:
            self.protect_data()

    def ftp_REIN(self, line: str) -> None:
        self.flush_account()
        self.respond("220 Ready for a new user.")

    # --- replies, logs, the end -------------------------------------------------------------------------------

    def respond(self, resp: str, logfun: Any = None) -> None:
        self.push(one_line(resp) + "\r\n")

    def handle_error(self) -> None:
        # Called inside an except clause, by asyncore's rules.
        self.mark_broken()
        self.log_exception(self)
        self.close()

    def handle_failed_ssl_handshake(self) -> None:
        # Called inside an except clause.
        self.handle_error()

    def log_exception(self, instance: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, SSL.Error | ConnectionError):
            # What anybody can cause by what they send: no fault of ours, and no page of log.
            _log.info("ftp connection broke", account=self.account, address=self.remote_ip, reason=tls.why(error))
        else:
            _log.exception("ftp session failed", account=self.account, address=self.remote_ip)

    def end(self, farewell: str) -> None:
        """End the session with a last reply."""
        if self.closed:
            return
        if self.data_channel is not None:
            self.data_channel.close()
        if not self.closes_when_done and not self.in_handshake:
            self.respond(farewell)
        self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.drop_awaited()
        super().close()
        self._census.forget(self)
