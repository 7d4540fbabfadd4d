"""Web sessions: kept in the catalogue, so that ending one works at once; the cookie holds a random secret only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from recpipe.access import identity, tokens
from recpipe.access.audit import event
from recpipe.access.expiring import SeenRecently
from recpipe.access.principal import Kind, Principal
from recpipe.access.vouching import may_vouch
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import CredentialsRejected, NotFound, SecondFactorRequired
from recpipe.model import UserStatus, WebSession
from recpipe.times import Clock

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)
LONGEST_USER_AGENT = 300  # characters


class Sessions:
    """The sessions of the dashboard. Thread-safe.

    Args:
        two_factors: a session of somebody without a second factor opens nothing but where one is set up.
    """

    def __init__(self, catalogue: Catalogue, clock: Clock, *, two_factors: bool) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._two_factors = two_factors
        self._tidied = SeenRecently(3600)

    def start(self, principal: Principal, address: str, user_agent: str) -> str:
        """Begin a session for a user who just logged in; the secret for the cookie."""
        if principal.kind is not Kind.USER:
            raise ValueError(f"only a person has web sessions, not a {principal.kind}")
        secret = tokens.new_secret()
        now = self._clock()
        with self._catalogue.begin() as work:
            work.sessions.add(
                WebSession(
                    id=new_id(),
                    hash=tokens.fingerprint(secret),
                    user_id=principal.id,
                    created_at=now,
                    last_seen_at=now,
                    expires_at=now + ABSOLUTE,
                    address=address,
                    user_agent=user_agent[:LONGEST_USER_AGENT],
                    provider_id=principal.provider_id,
                    second_factor=principal.second_factor,
                )
            )
            if self._tidied.first(("sessions",), now):
                work.sessions.prune(now)
        return secret

    def open(self, secret: str, address: str, *, enrolling: bool = False) -> Principal:
        """The principal of a session; its role and grants are those of this moment.

        Args:
            enrolling: it is opened to set up a second factor, or to be ended.

        Raises:
            SecondFactorRequired: there has to be one, and there is none.
            CredentialsRejected: there is no such session, it ended, was idle for 30 minutes or is 12 hours old,
                its user is not active, or the identity provider that opened it no longer vouches for them.
        """
        now = self._clock()
        try:
            with self._catalogue.read() as work:
                session = work.sessions.by_hash(tokens.fingerprint(secret))
                user = work.users.get(session.user_id)
                grants = work.users.grants(session.user_id)
                vouched = not session.provider_id or may_vouch(
                    work.identity_providers.get(session.provider_id), user, grants
                )
        except NotFound:
            raise CredentialsRejected from None
        over = session.revoked_at is not None or session.expires_at <= now or session.last_seen_at + IDLE <= now
        if over or user.status is not UserStatus.ACTIVE or not vouched:
            raise CredentialsRejected
        if self._two_factors and not (enrolling or user.two_factors or session.second_factor):
            raise SecondFactorRequired
        if now - session.last_seen_at >= SEEN_EVERY:
            with self._catalogue.begin() as work:
                work.sessions.touch(session.id, now, address)
        return replace(
            identity.of_user(user, grants, address, session.id),
            provider_id=session.provider_id,
            second_factor=session.second_factor,
        )

    def rotate(self, principal: Principal) -> str:
        """A new secret for a session whose rights grew; the old one is worth nothing from now on.

        Raises:
            NotFound: the session ended meanwhile.
        """
        secret = tokens.new_secret()
        with self._catalogue.begin() as work:
            work.sessions.rotate(principal.credential_id, tokens.fingerprint(secret))
        return secret

    def list(self, principal: Principal) -> Sequence[WebSession]:
        """A person's own live sessions, the one seen last first."""
        now = self._clock()
        with self._catalogue.read() as work:
            found = work.sessions.list(principal.id)
        return [s for s in found if s.expires_at > now and s.last_seen_at + IDLE > now]

    def end(self, principal: Principal, session_id: str = "") -> None:
        """Log out: end a person's own session, this one or another.

        Raises:
            NotFound: there is none, or it is another person's.
        """
        now = self._clock()
        with self._catalogue.begin() as work:
            work.sessions.revoke(principal.id, session_id or principal.credential_id, now)
            work.audit.add(event(principal, "logout", now, subject=session_id or principal.credential_id))

    def end_others(self, principal: Principal) -> int:
        """End all sessions of a person but this one; how many."""
        now = self._clock()
        with self._catalogue.begin() as work:
            ended = work.sessions.revoke_all(principal.id, now, but=principal.credential_id)
            work.audit.add(event(principal, "session.end-others", now, subject=principal.id, sessions=ended))
        return ended
