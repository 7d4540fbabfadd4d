"""Letters to people about what was done to their accounts, so that a theft is noticed by whoever it was stolen from."""

from __future__ import annotations

from functools import partial

from recpipe import languages
from recpipe.access.principal import Kind, Principal
from recpipe.access.ways_in import Ended
from recpipe.mail import Mailer, Outbox
from recpipe.messages import Message, message
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
            user,
            user.email_pending,
            message("Confirm your e-mail address"),
            message(
                "This address shall be that of {username} at the call recording portal.\n\n"
                "Confirm it within 24 hours:\n\n    {link}\n\n"
                "If you know nothing of it, do nothing: without this link nothing changes.\n",
                username=user.username,
                link=f"{self._portal}{CONFIRM_PATH}#{secret}",
            ),
        )

    def address_asked(self, user: User, by: Principal) -> None:
        """To the address that counts: another one was asked for."""
        self._tell(
            user,
            user.email,
            message("Your e-mail address is to be changed"),
            message(
                "A new e-mail address was asked for, for {username}. Letters, also those with which a forgotten "
                "password is replaced, come here until somebody confirms the new one.",
                username=user.username,
            ),
            by,
            message(
                "Cancel it under My Account, and change your password there: that ends the other sessions and the "
                "tokens, and makes the link that was sent to the new address worthless."
            ),
        )

    def address_changed(self, user: User, old: str, by: Principal) -> None:
        """To the old address: letters come here no more."""
        self._tell(
            user,
            old,
            message("Your e-mail address was changed"),
            message(
                "Letters to {username} go to another address from now on, also those with which a forgotten password "
                "is replaced.",
                username=user.username,
            ),
            by,
            message("Change your password under My Account, put your address back, and tell an administrator at once."),
        )

    # --- ways in ------------------------------------------------------------------------------------------

    def password_changed(self, user: User, by: Principal, ended: Ended) -> None:
        self._tell(
            user,
            user.email,
            message("Your password was changed"),
            message(
                "{username} has a new password. Ended with the old one: {sessions} other web sessions and "
                "{tokens} API tokens. FTP accounts have passwords of their own and stay as they were.",
                username=user.username,
                sessions=ended.sessions,
                tokens=ended.tokens,
            ),
            by,
            message("Choose another one at {link}, and tell an administrator.", link=f"{self._portal}/recover"),
        )

    def token_made(self, user: User, by: Principal, label: str, scopes: str) -> None:
        self._tell(
            user,
            user.email,
            message("An API token was made"),
            message(
                "Somebody made an API token of {username}: {label}, which may {scopes}.",
                username=user.username,
                label=label or message("without a name"),
                scopes=scopes,
            ),
            by,
            message("End it under My Account, and change your password there."),
        )

    def second_factor(self, user: User, by: Principal, what: str) -> None:
        """Args: what: a message such as `switched on`, `switched off`, ..."""
        self._tell(
            user,
            user.email,
            message("Two-factor sign-in: {what}", what=what),
            message("Two-factor sign-in of {username}: {what}.", username=user.username, what=what),
            by,
            message(
                "Change your password under My Account, look at the passkeys, sessions and API tokens there, and set "
                "two-factor sign-in up again."
            ),
        )

    def identity(self, user: User, by: Principal, issuer: str, what: str) -> None:
        """Args: what: a message: `linked`, `unlinked`."""
        self._tell(
            user,
            user.email,
            message("Sign-in at an identity provider: {what}", what=what),
            message("The sign-in of {username} at {issuer}: {what}.", username=user.username, issuer=issuer, what=what),
            by,
            message("Unlink it under My Account, and change your password there."),
        )

    # --- sending ------------------------------------------------------------------------------------------

    def _tell(self, user: User, to: str, subject: Message, what: Message, by: Principal, otherwise: Message) -> None:
        who = message("the operator, on the command line") if by.kind is Kind.OPERATOR else by.name
        self._send(
            user,
            to,
            subject,
            message(
                "{what}\n\n"
                "    When: {when} UTC\n"
                "    From: {address}\n"
                "    By:   {who}\n\n"
                "If you know of it, there is nothing to do. If not: {otherwise}\n\n"
                "    {link}\n",
                what=what,
                when=f"{self._clock():%Y-%m-%d %H:%M}",
                address=by.address or message("the server itself"),
                who=who,
                otherwise=otherwise,
                link=f"{self._portal}/account",
            ),
        )

    def _send(self, user: User, to: str, subject: Message, text: Message) -> None:
        if not to or not self.able:
            return
        with languages.speaking(user.contact.get(languages.CHOICE)):
            self._outbox.put(partial(self._mailer.try_to_send, to, languages.said(subject), languages.said(text)))
