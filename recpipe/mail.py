"""Sending mail: one short plain letter at a time, over TLS wherever the URL or the server allows it."""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid, parseaddr
from urllib.parse import unquote, urlsplit

from recpipe import log, metrics
from recpipe.errors import RecpipeError, SettingsInvalid
from recpipe.settings import Settings, split_listen

_log = log.get(__name__)

TIMEOUT_SECONDS = 20
MOST_WAITING = 500
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


class MailNotSent(RecpipeError):
    """The mail server was not reached or said no; the same letter may be tried again."""


@dataclass(frozen=True, slots=True)
class Mailer:
    """Sends letters, or says that it cannot.

    Args:
        url: smtp:// (STARTTLS where the server offers it, and always when there is a password to protect) or smtps://;
            empty: no mail.
        sender: the address that letters come from, with or without a name before it.
        name: stands before an address that has none; empty: nothing does.
    """

    url: str = field(repr=False)
    sender: str
    name: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Mailer:
        return cls(settings.smtp_url.get_secret_value(), settings.mail_from, settings.brand_name)

    @property
    def able(self) -> bool:
        """Whether mail is configured at all."""
        return bool(self.url and self.sender)

    def send(self, to: str, subject: str, text: str) -> None:
        """Send one letter.

        Raises:
            SettingsInvalid: mail is not configured, or smtp_url is none.
            MailNotSent: the server was not reached or refused; the message says why.
        """
        if not self.able:
            raise SettingsInvalid("No mail can be sent: set RECPIPE_SMTP_URL and RECPIPE_MAIL_FROM.")
        letter = EmailMessage()
        named, address = parseaddr(self.sender)
        letter["From"], letter["To"], letter["Subject"] = formataddr((named or self.name, address)), to, subject
        letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain=address.rpartition("@")[2] or None)
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in answer, please
        letter.set_content(text)
        try:
            with self._connected() as server:
                server.send_message(letter)
        except (OSError, smtplib.SMTPException) as error:
            raise MailNotSent(f"The mail server did not take the letter ({type(error).__name__}).") from error

    def try_to_send(self, to: str, subject: str, text: str) -> bool:
        """As `send`, for letters whose loss is logged and not told to whoever caused them."""
        try:
            self.send(to, subject, text)
        except RecpipeError as error:
            metrics.LETTERS.labels("failed").inc()
            _log.error("mail not sent", subject=subject, reason=str(error))
            return False
        metrics.LETTERS.labels("sent").inc()
        return True

    def _connected(self) -> smtplib.SMTP:
        parts = urlsplit(self.url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise SettingsInvalid(
                "RECPIPE_SMTP_URL is no mail server. Write smtp://user:password@host:587 or smtps://..."
            )
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                parts.hostname, parts.port or 465, timeout=TIMEOUT_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(parts.hostname, parts.port or 25, timeout=TIMEOUT_SECONDS)
        try:
            if parts.scheme == "smtp":
                server.ehlo()
                # A password or somebody's recovery link goes over the wire in the clear on this machine alone.
                if server.has_extn("starttls"):
                    server.starttls(context=context)
                    server.ehlo()
                elif parts.hostname not in _LOCAL:
                    raise MailNotSent("The mail server offers no TLS, and letters carry links that open accounts.")
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
        except BaseException:
            server.close()
            raise
        return server


class Outbox:
    """Letters, and finding out to whom, in a thread of their own: no answer takes longer because there is one to send.

    One at a time; of more than `MOST_WAITING` the newest are dropped, logged and counted. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._thread: threading.Thread | None = None

    def put(self, work: Callable[[], object]) -> None:
        """Have `work` done soon, whatever is before it; its errors are logged."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                metrics.LETTERS.labels("dropped").inc()
                _log.error("letter dropped", why="too many wait", effect="the person has to ask again")
                return
            self._waiting.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="letters", daemon=True)
                self._thread.start()

    def close(self, seconds: float = TIMEOUT_SECONDS) -> None:
        """Return when what waits is done, or after so long."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                work = self._waiting.popleft()
            try:
                work()
            except Exception as error:
                _log.error("letter not written", error=type(error).__name__, reason=str(error)[:200])


def portal_address(settings: Settings) -> str:
    """Where the links of letters lead. Never from a request: its Host header is whatever somebody wrote into it."""
    if settings.http_url:
        return settings.http_url.rstrip("/")
    host, port = split_listen(settings.http_listen)
    return f"http://{f'[{host}]' if ':' in host else host or '127.0.0.1'}:{port}"
