"""The shared secrets of authenticator apps, as they are kept: encrypted, each for its user alone."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from recpipe import log
from recpipe.access import totp
from recpipe.access.at_rest import AtRest, Purpose, is_closed
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import SecretUnreadable
from recpipe.model import User

_log = log.get(__name__)


class TotpSecrets:
    """Thread-safe. A secret is bound to the id of its user: copied into another row it opens nothing."""

    def __init__(self, at_rest: AtRest) -> None:
        self._at_rest = at_rest

    def closed(self, user_id: str, secret: str) -> str:
        """What to keep in `User.totp_secret`.

        Raises:
            SettingsInvalid: the installation's key cannot be read.
        """
        return self._at_rest.closed(Purpose.SECOND_FACTOR, secret, user_id)

    def matching_step(self, user: User, code: str, now: datetime) -> int | None:
        """As `totp.matching_step`, for what is kept of this user; None where there is no second factor.

        Raises:
            SecretUnreadable: it was sealed under another key, for another user, or is damaged; logged.
        """
        if not user.totp_secret:
            return None
        try:
            secret = self._opened(user)
        except SecretUnreadable as error:
            _log.error("second factor unreadable", user=user.id, reason=str(error))
            raise
        return totp.matching_step(secret, code, now)

    def seal(self, work: Work, user: User) -> None:
        """Encrypt a secret that an earlier version kept as it is, or that is under a former key of the installation;
        one that changed meanwhile stays, and so does one that cannot be read.
        """
        if user.totp_secret and not self._at_rest.is_current(user.totp_secret):
            with suppress(SecretUnreadable):
                work.users.swap_totp_secret(user.id, user.totp_secret, self.closed(user.id, self._opened(user)))

    def seal_all(self, catalogue: Catalogue) -> int:
        """Encrypt all that `seal` would, and say in the log where the key of some is missing.

        Returns:
            How many were encrypted.
        """
        with catalogue.read() as work:
            users = [user for user in work.users.every() if user.totp_secret]
        unreadable: dict[str, str] = {}
        for user in users:
            try:
                self._opened(user)
            except SecretUnreadable as error:
                unreadable[user.id] = str(error)
        owed = [u for u in users if u.id not in unreadable and not self._at_rest.is_current(u.totp_secret)]
        if owed:
            with catalogue.begin() as work:
                for user in owed:
                    self.seal(work, user)
            _log.info("second factors encrypted", count=len(owed))
        if unreadable:
            _log.error("second factors unreadable", count=len(unreadable), reason=next(iter(unreadable.values())))
        return len(owed)

    def _opened(self, user: User) -> str:
        if not is_closed(user.totp_secret):
            return user.totp_secret
        return self._at_rest.opened(Purpose.SECOND_FACTOR, user.totp_secret, user.id)
