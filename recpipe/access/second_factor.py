"""Switching a second factor on and off for oneself, and off for somebody who lost it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from recpipe.access import totp
from recpipe.access.accounts import Accounts, is_self
from recpipe.access.audit import event
from recpipe.access.checks import own_tenant, require_cover
from recpipe.access.principal import Kind, Principal
from recpipe.access.reauthentication import NO_PROOF, Proof
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import Conflict, Forbidden, InputInvalid
from recpipe.messages import message
from recpipe.times import Clock


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What to show: a QR code of `uri`, or the secret to type. Nothing is kept before `SecondFactor.confirm`."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class SecondFactor:
    """Time-based codes for people. Thread-safe.

    Args:
        issuer: what authenticator apps call the portal.
    """

    def __init__(
        self, catalogue: Catalogue, accounts: Accounts, clock: Clock, totp_secrets: TotpSecrets, issuer: str
    ) -> None:
        self._issuer = issuer
        self._catalogue = catalogue
        self._totp_secrets = totp_secrets
        self._accounts = accounts
        self._clock = clock

    def begin(self, by: Principal) -> Enrolment:
        """A fresh secret; hand it back to `confirm` with a code that it made.

        Raises:
            Forbidden: `by` is not a person.
        """
        self._require_person(by)
        return self.shown(by, totp.new_secret())

    def shown(self, by: Principal, secret: str) -> Enrolment:
        """A secret that `begin` made, to be shown once more."""
        return Enrolment(secret, totp.uri(secret, by.name, self._issuer))

    def confirm(self, by: Principal, proof: Proof, secret: str, code: str) -> Sequence[str]:
        """Switch it on once the app makes right codes; the recovery codes, shown once. Other sessions end.

        Raises:
            ReauthenticationRequired, LockedOut: the password is not right.
            InputInvalid: the code is not.
            Conflict: `second-factor-on`: switch it off first.
            Forbidden: `by` is not a person.
        """
        self._require_person(by)
        self._accounts.reauthentication.require(by, proof)
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
        self._accounts.notices.second_factor(user, by, message("switched on"))
        return codes

    def new_recovery_codes(self, by: Principal, proof: Proof) -> Sequence[str]:
        """Fresh recovery codes; the old ones are worth nothing.

        Raises:
            ReauthenticationRequired, LockedOut, Forbidden: as for `confirm`.
            Conflict: `second-factor-off`.
        """
        self._require_person(by)
        self._accounts.reauthentication.require(by, proof)
        codes = totp.new_recovery_codes()
        with self._catalogue.begin() as work:
            hashes = tuple(totp.recovery_hash(c) for c in codes)
            user = work.users.get(by.id)
            if not user.two_factors:
                raise Conflict("second-factor-off", "There is no second factor to recover.")
            work.users.update(replace(user, recovery_hashes=hashes))
            self._audit(work, by, "user.recovery-codes", self._clock(), by.id)
        self._accounts.notices.second_factor(user, by, message("new recovery codes were made"))
        return codes

    def switch_off(self, by: Principal, proof: Proof) -> None:
        """Switch the codes of one's own app off.

        Raises:
            ReauthenticationRequired, LockedOut, Forbidden: as for `confirm`.
        """
        self._require_person(by)
        self._accounts.reauthentication.require(by, proof)
        self._off(by, by.id)  # passkeys are removed one by one

    def reset(self, by: Principal, user_id: str, proof: Proof = NO_PROOF) -> None:
        """Switch it off, passkeys included, for somebody who lost phone and recovery codes; their sessions end.

        Args:
            proof: of whoever does it.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            Conflict: `yourself`: that takes the password.
            NotFound, Forbidden: as `Accounts.get`.
        """
        if is_self(by, user_id):
            raise Conflict("yourself", "Switch your own second factor off with your password.")
        self._accounts.get(by, user_id)
        self._accounts.reauthentication.require(by, proof)
        self._off(by, user_id)

    def _off(self, by: Principal, user_id: str) -> None:
        now = self._clock()
        with self._catalogue.begin() as work:
            user = work.users.get(user_id)
            if not is_self(by, user_id):  # looked at once more: somebody may have made an administrator of this user
                require_cover(by, user, work.users.grants(user_id))
            if not is_self(by, user_id):
                work.passkeys.remove_all(user_id)
            kept = user.recovery_hashes if is_self(by, user_id) and user.passkeys else ()
            work.users.update(replace(user, totp_secret="", recovery_hashes=kept))
            work.sessions.revoke_all(user_id, now, but=by.credential_id)
            self._audit(work, by, "user.second-factor-off", now, user_id)
        self._accounts.notices.second_factor(user, by, message("switched off"))

    @staticmethod
    def _require_person(by: Principal) -> None:
        if by.kind is not Kind.USER:
            raise Forbidden("set up a second factor without signing in as a person")

    @staticmethod
    def _audit(work: Work, by: Principal, action: str, now: datetime, user_id: str) -> None:
        work.audit.add(event(by, action, now, tenant_id=own_tenant(work.users.grants(user_id)), subject=user_id))
