"""Showing once more who one is, before anything that opens a way in: one rule behind dashboard and API."""

from __future__ import annotations

from dataclasses import dataclass, field

from recpipe.access import lockout
from recpipe.access.audit import AuditTrail, event
from recpipe.access.candidates import password_lives
from recpipe.access.expiring import SeenRecently
from recpipe.access.passwords import Passwords
from recpipe.access.principal import Kind, Principal
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import Forbidden, LockedOut, ReauthenticationRequired, SecretUnreadable
from recpipe.model import Outcome, User
from recpipe.times import Clock

_EVENT = "password.confirm"


@dataclass(slots=True)
class Proof:
    """What a person sends along with a request: the own password, or a code of the authenticator app.

    One that was right stays right for the rest of its request: a code is good once, and a request may do two things.
    """

    password: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    _shown_by: Principal | None = field(default=None, init=False, repr=False, compare=False)


NO_PROOF = Proof()


class Reauthentication:
    """Asks people for their password again. Thread-safe.

    Asked for with each request and never remembered: whoever holds a copy of the session would ride along.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        passwords: Passwords,
        trail: AuditTrail,
        totp_secrets: TotpSecrets,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._passwords = passwords
        self._trail = trail
        self._totp_secrets = totp_secrets
        self._said_lately = SeenRecently(60)

    def require(self, by: Principal, proof: Proof) -> None:
        """Go on only where a person who is signed in proves to be there.

        The operator at the machine holds the database anyway. A token has no password to send: whatever takes one for
        its own person is refused to it (`accounts.is_self`), and others it manages within its scopes.

        Raises:
            ReauthenticationRequired: nothing was sent, or it is wrong; what is wrong counts.
            LockedOut: too many wrong ones in this session.
        """
        if by.kind is Kind.USER and proof._shown_by != by:
            self._check(by, proof)
            proof._shown_by = by

    def password(self, by: Principal, password: str) -> User:
        """As `require`, by the password alone: for a new password.

        Raises:
            ReauthenticationRequired, LockedOut: as `require`.
            Forbidden: only a person who is signed in has a password.
        """
        if by.kind is not Kind.USER:
            raise Forbidden("do this without signing in as a person")
        return self._check(by, Proof(password))

    def _check(self, by: Principal, proof: Proof) -> User:
        if not (proof.password or proof.code):
            self._denied(by, "missing")
            raise ReauthenticationRequired("missing")
        now = self._clock()
        # Not the counter of logins, and one a session: whoever guesses in a stolen one keeps its owner from nothing.
        key = f"confirm:{by.id}:{by.credential_id}"
        try:
            with self._catalogue.begin() as work:
                user = work.users.get(by.id)
                lockout.take(work, key, now)
        except LockedOut:
            self._denied(by, "locked-out")
            raise
        if not self._fits(user, proof):
            self._trail.record(event(by, _EVENT, now, outcome=Outcome.DENIED, subject=by.id, reason="wrong"))
            raise ReauthenticationRequired("wrong")
        with self._catalogue.begin() as work:
            work.failures.clear(key)
        return user

    def _fits(self, user: User, proof: Proof) -> bool:
        if proof.password:
            with self._passwords.turn():
                right = self._passwords.verify(proof.password, user.password_hash)
            return right and password_lives(user, self._clock())
        try:
            step = self._totp_secrets.matching_step(user, proof.code, self._clock())
        except SecretUnreadable:  # logged there; the password still does
            return False
        if step is None:
            return False
        with self._catalogue.begin() as work:
            return work.users.use_totp_step(user.id, step)

    def _denied(self, by: Principal, reason: str) -> None:
        """Once a minute, so that nobody fills the log."""
        now = self._clock()
        if self._said_lately.first((by.id, by.credential_id, reason), now):
            self._trail.record(event(by, _EVENT, now, outcome=Outcome.DENIED, subject=by.id, reason=reason))
