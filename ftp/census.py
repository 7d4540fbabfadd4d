"""The sessions there are: how many, from which addresses, of which accounts, and how long their logins count."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeVar

from ftp.tls import SessionSecrets
from recpipe.access.principal import Principal
from recpipe.settings import Settings

_UNSURE_SECONDS = 3.0  # how long a login counts on while the catalogue cannot say whether it does
_FORGOTTEN_SECONDS = 60.0  # after which a login without a session is dropped


class Counted(Protocol):
    """A session, as the census sees it."""

    counted_as: str  # its client's address
    tls_secrets: SessionSecrets


AnySession = TypeVar("AnySession", bound=Counted)


class Census(Generic[AnySession]):
    """Counts sessions and logins, and refuses those above the limits of the settings. Thread-safe.

    Args:
        settings: ftp_max_connections, ftp_max_per_address, ftp_max_per_account.
        last_left: called with the id of an account when its last session has logged out.
    """

    def __init__(self, settings: Settings, last_left: Callable[[str], None]) -> None:
        self._settings = settings
        self._last_left = last_left
        self._lock = threading.Lock()
        self._sessions: set[AnySession] = set()
        self._per_address: Counter[str] = Counter()
        self._accounts: dict[AnySession, str] = {}
        self._per_account: Counter[str] = Counter()
        self._sure_at: dict[Principal, float] = {}

    # --- connections ----------------------------------------------------------------------------------------

    def reserve(self, address: str) -> str | None:
        """Count a connection before it has a session.

        Returns:
            None, or the limit that is reached: "server" or "address"; then nothing was counted.
        """
        with self._lock:
            if len(self._sessions) >= self._settings.ftp_max_connections:
                return "server"
            if self._per_address[address] >= self._settings.ftp_max_per_address:
                return "address"
            self._per_address[address] += 1
            return None

    def release(self, address: str) -> None:
        """Count a connection off that came to no session."""
        with self._lock:
            _count_off(self._per_address, address)

    def enter(self, session: AnySession) -> None:
        """Take in a session whose connection was counted by `reserve`."""
        with self._lock:
            self._sessions.add(session)

    def forget(self, session: AnySession) -> None:
        """Count a session off; called when it is closed."""
        self.dismiss(session)
        with self._lock:
            if session in self._sessions:
                self._sessions.discard(session)
                _count_off(self._per_address, session.counted_as)

    def sessions(self) -> list[AnySession]:
        """List the sessions of this moment."""
        with self._lock:
            return list(self._sessions)

    # --- logins ---------------------------------------------------------------------------------------------

    def admit(self, session: AnySession, principal: Principal) -> bool:
        """Count a login; False when its account has too many."""
        with self._lock:
            if self._per_account[principal.id] >= self._settings.ftp_max_per_account:
                return False
            self._per_account[principal.id] += 1
            self._accounts[session] = principal.id
            self._sure_at[principal] = time.monotonic()
            return True

    def dismiss(self, session: AnySession) -> None:
        """Count a login off."""
        with self._lock:
            account = self._accounts.pop(session, None)
            if account is not None:
                _count_off(self._per_account, account)
                if account not in self._per_account:
                    self._last_left(account)

    @property
    def logged_in(self) -> int:
        """How many sessions have logged in."""
        return len(self._accounts)

    def resumes_session_of(self, session: AnySession, secrets: SessionSecrets) -> bool:
        """Whether a data connection resumed the TLS session of this control connection, or of its account's others.

        Clients with several connections often keep one ticket for all of them.
        """
        if secrets.resume(session.tls_secrets):
            return True
        with self._lock:
            account = self._accounts.get(session)
            others = [other for other, id in self._accounts.items() if id == account]
        return any(secrets.resume(other.tls_secrets) for other in others)

    # --- how long a login counts ------------------------------------------------------------------------------

    def vouch(self, principal: Principal) -> None:
        """Note that the catalogue has just confirmed a login."""
        self._sure_at[principal] = time.monotonic()

    def vouches_for(self, principal: Principal) -> bool:
        """Whether the catalogue confirmed a login within the last three seconds."""
        return time.monotonic() - self._sure_at.get(principal, 0.0) < _UNSURE_SECONDS

    def expire(self, kept: Collection[Principal]) -> None:
        """Drop logins that were not confirmed for a minute, except those of `kept`."""
        now = time.monotonic()
        with self._lock:
            self._sure_at = {
                who: at for who, at in self._sure_at.items() if who in kept or now - at < _FORGOTTEN_SECONDS
            }


def _count_off(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
