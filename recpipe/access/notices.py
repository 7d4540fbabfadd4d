"""Letters to people about what was done to their accounts, so that a theft is noticed by whoever it was stolen from."""

from __future__ import annotations

from functools import partial

from recpipe.access.principal import Kind, Principal
from recpipe.access.ways_in import Ended
from recpipe.mail import Mailer, Outbox
from recpipe.model import User
from recpipe.times import Clock

CONFIRM_PATH = "/confirm-email"


class Notices:
    """Writes and sends them, one after another, behind the request that caused them. Thread-safe.

    A letter that cannot be sent is logged and lost: what was done is on the audit log all the same.

    Args:
        mailer: None or one that is not configured: nothing is sent.
        outbox: of all letters of the process.
        portal: where people reach the portal, without a slash at the end.
    """

    def __init__(self, mailer: Mailer, outbox: Outbox, portal: str, clock: Clock) -> None:
        self._mailer = mailer
        self._portal = portal
        self._clock = clock
        self._outbox = outbox

    @property
    def able(self) -> bool:
        """Whether letters go out at all."""
        return self._mailer.able

    # --- addresses ----------------------------------------------------------------------------------------

    def confirm_address(self, user: User, secret: str) -> None:
        """To the new address: the link that makes it count."""
        self._send(
            user.email_pending,
            "Confirm your e-mail address",
            f"This address shall be that of {user.username} at the call recording portal.\n\n"
            f"Confirm it within 24 hours:\n\n    {self._portal}{CONFIRM_PATH}#{secret}\n\n"
            "If you know nothing of it, do nothing: without this link nothing changes.\n",
        )

    def address_asked(self, user: User, by: Principal) -> None:
        """To the address that counts: another one was asked for."""
        self._tell(
            user.email,
            "Your e-mail address is to be changed",
            f"A new e-mail address was asked for, for {user.username}. Letters, also those with which a forgotten "
            "password is replaced, come here until somebody confirms the new one.",
            by,
            "Cancel it under My Account, and change your password there: that ends the other sessions and the tokens, "
            "and makes the link that was sent to the new address worthless.",
        )

    def address_changed(self, user: User, old: str, by: Principal) -> None:
        """To the old address: letters come here no more."""
        self._tell(
            old,
            "Your e-mail address was changed",
            f"Letters to {user.username} go to another address from now on, also those with which a forgotten password "
            "is replaced.",
            by,
            "Change your password under My Account, put your address back, and tell an administrator at once.",
        )

    # --- ways in ------------------------------------------------------------------------------------------

    def password_changed(self, user: User, by: Principal, ended: Ended) -> None:
        self._tell(
            user.email,
            "Your password was changed",
            f"{user.username} has a new password. Ended with the old one: {ended.sessions} other web sessions and "
            f"{ended.tokens} API tokens. FTP accounts have passwords of their own and stay as they were.",
            by,
            f"Choose another one at {self._portal}/recover, and tell an administrator.",
        )

    def token_made(self, user: User, by: Principal, label: str, scopes: str) -> None:
        self._tell(
            user.email,
            "An API token was made",
            f"Somebody made an API token of {user.username}: {label or 'without a name'}, which may {scopes}.",
            by,
            "End it under My Account, and change your password there.",
        )

    def second_factor(self, user: User, by: Principal, what: str) -> None:
        """Args: what: `switched on`, `switched off`, ..."""
        self._tell(
            user.email,
            f"Two-factor sign-in: {what}",
            f"Two-factor sign-in of {user.username}: {what}.",
            by,
            "Change your password under My Account, look at the passkeys, sessions and API tokens there, and set "
            "two-factor sign-in up again.",
        )

    def identity(self, user: User, by: Principal, issuer: str, what: str) -> None:
        """Args: what: `linked`, `unlinked`."""
        self._tell(
            user.email,
            f"Sign-in at an identity provider: {what}",
            f"The sign-in of {user.username} at {issuer}: {what}.",
            by,
            "Unlink it under My Account, and change your password there.",
        )

    # --- sending ------------------------------------------------------------------------------------------

    def _tell(self, to: str, subject: str, what: str, by: Principal, otherwise: str) -> None:
        who = "the operator, on the command line" if by.kind is Kind.OPERATOR else by.name
        self._send(
            to,
            subject,
            f"{what}\n\n"
            f"    When: {self._clock():%Y-%m-%d %H:%M} UTC\n"
            f"    From: {by.address or 'the server itself'}\n"
            f"    By:   {who}\n\n"
            f"If you know of it, there is nothing to do. If not: {otherwise}\n\n"
            f"    {self._portal}/account\n",
        )

    def _send(self, to: str, subject: str, text: str) -> None:
        if not to or not self.able:
            return
        self._outbox.put(partial(self._mailer.try_to_send, to, subject, text))
