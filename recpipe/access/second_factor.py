"""Switching a second factor on and off for oneself, and off for somebody who lost it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from recpipe.access import totp
from recpipe.access.accounts import Accounts, is_self
from recpipe.access.authority import own_tenant
from recpipe.access.principal import Kind, Principal
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.access.trail import Clock, event
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import Conflict, Forbidden, InputInvalid
from recpipe.model import User

ISSUER = "recpipe"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What to show: a QR code of `uri`, or the secret to type. Nothing is kept before `SecondFactor.confirm`."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class SecondFactor:
    """Time-based codes for people. Thread-safe."""

    def __init__(self, catalogue: Catalogue, accounts: Accounts, clock: Clock, totp_secrets: TotpSecrets) -> None:
        self._catalogue = catalogue
        self._totp_secrets = totp_secrets
        self._accounts = accounts
        self._clock = clock

    def begin(self, by: Principal, issuer: str = ISSUER) -> Enrolment:
        """A fresh secret; hand it back to `confirm` with a code that it made.

        Raises:
            Forbidden: `by` is not a person.
        """
        if by.kind is not Kind.USER:
            raise Forbidden("set up a second factor without signing in as a person")
        secret = totp.new_secret()
        return Enrolment(secret, totp.uri(secret, by.name, issuer))

    def confirm(self, by: Principal, password: str, secret: str, code: str) -> Sequence[str]:
        """Switch it on once the app makes right codes; the recovery codes, shown once. Other sessions end.

        Raises:
            CredentialsRejected, LockedOut: the password is not right.
            InputInvalid: the code is not.
            Conflict: `second-factor-on`: switch it off first.
            Forbidden: `by` is not a person.
        """
        self._accounts.confirm_password(by, password)
        now = self._clock()
        if not totp.is_secret(secret):
            raise InputInvalid("secret", "The secret was changed on its way. Start again.")
        step = totp.matching_step(secret, code, now)
        if step is None:
            raise InputInvalid("code", "The code does not fit. Check the clock of your phone, then type the next code.")
        codes = totp.new_recovery_codes()
        kept = self._totp_secrets.closed(by.id, secret)
        with self._catalogue.begin() as work:
            user = work.users.get(by.id)
            if user.totp_secret:
                raise Conflict("second-factor-on", "A second factor is on already. Switch it off first.")
            hashes = tuple(totp.recovery_hash(c) for c in codes)
            work.users.update(replace(user, totp_secret=kept, recovery_hashes=hashes, totp_step=step))
            work.sessions.revoke_all(by.id, now, but=by.credential_id)
            self._audit(work, by, "user.second-factor-on", now, by.id)
        return codes

    def new_recovery_codes(self, by: Principal, password: str) -> Sequence[str]:
        """Fresh recovery codes; the old ones are worth nothing.

        Raises:
            CredentialsRejected, LockedOut, Forbidden: as for `confirm`.
            Conflict: `second-factor-off`.
        """
        user = self._accounts.confirm_password(by, password)
        if not user.totp_secret:
            raise Conflict("second-factor-off", "There is no second factor to recover.")
        codes = totp.new_recovery_codes()
        with self._catalogue.begin() as work:
            hashes = tuple(totp.recovery_hash(c) for c in codes)
            work.users.update(replace(work.users.get(by.id), recovery_hashes=hashes))
            self._audit(work, by, "user.recovery-codes", self._clock(), by.id)
        return codes

    def switch_off(self, by: Principal, password: str) -> None:
        """Switch one's own second factor off.

        Raises:
            CredentialsRejected, LockedOut, Forbidden: as for `confirm`.
        """
        self._off(by, self._accounts.confirm_password(by, password))

    def reset(self, by: Principal, user_id: str) -> None:
        """Switch it off for somebody who lost phone and recovery codes; their sessions end.

        Raises:
            Conflict: `yourself`: that takes the password.
            NotFound, Forbidden: as `Accounts.get`.
        """
        if is_self(by, user_id):
            raise Conflict("yourself", "Switch your own second factor off with your password.")
        self._off(by, self._accounts.get(by, user_id).user)

    def _off(self, by: Principal, user: User) -> None:
        now = self._clock()
        with self._catalogue.begin() as work:
            work.users.update(replace(work.users.get(user.id), totp_secret="", recovery_hashes=()))
            work.sessions.revoke_all(user.id, now, but=by.credential_id)
            self._audit(work, by, "user.second-factor-off", now, user.id)

    @staticmethod
    def _audit(work: Work, by: Principal, action: str, now: datetime, user_id: str) -> None:
        work.audit.add(event(by, action, now, tenant_id=own_tenant(work.users.grants(user_id)), subject=user_id))
