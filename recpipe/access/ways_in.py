"""Links that open an account once, and what ends with an old password."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from recpipe.access import tokens as secrets
from recpipe.access.passwords import Passwords
from recpipe.access.principal import Kind, Principal
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import InputInvalid
from recpipe.model import LinkPurpose, OneTimeLink, User

EMAIL_TIME = timedelta(hours=24)
# For somebody to sign in with what somebody else knows, and choose another: over a weekend.
INITIAL_PASSWORD_TIME = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Ended:
    """How many web sessions and API tokens went with an old password."""

    sessions: int
    tokens: int


def new_link(
    work: Work, user_id: str, purpose: LinkPurpose, now: datetime, good_for: timedelta, provider_id: str = ""
) -> str:
    """The secret of a fresh link; those of this purpose before it are worth nothing.

    Args:
        provider_id: of an invitation that is accepted by signing in there.
    """
    secret = secrets.new_secret()
    work.links.drop(user_id, purpose)
    digest = secrets.fingerprint(secret)
    until = now + good_for
    work.links.add(OneTimeLink(new_id(), digest, purpose, user_id, now, until, provider_id=provider_id))
    return secret


def initial_until(by: Principal, now: datetime, kept: str | None, made: str | None) -> datetime | None:
    """When a new password ends because somebody knows it who is not the one to use it; None: it stays.

    What the operator types may be the operator's own, as that of the first administrator is.

    Args:
        kept: its hash; None where there is none.
        made: the password itself, where it was generated.
    """
    if kept is None or (made is None and by.kind is Kind.OPERATOR):
        return None
    return now + INITIAL_PASSWORD_TIME


def require_another(passwords: Passwords, user: User, chosen: str) -> None:
    """Go on only where a password that somebody else made is not kept for good.

    Raises:
        InputInvalid: it is the very one.
    """
    if user.password_until is None:
        return
    with passwords.turn():
        same = passwords.verify(chosen, user.password_hash)
    if same:
        raise InputInvalid("password", "Somebody else knows this password. Choose another one than you were given.")


def end_ways_in(work: Work, user_id: str, now: datetime, *, but: str = "", sessions: bool, tokens: bool) -> Ended:
    """With a new password end what was opened with the old one, and what letters and half a sign-in left open.

    Args:
        but: a session that goes on.
    """
    work.links.drop(user_id, LinkPurpose.RECOVERY, LinkPurpose.SECOND_FACTOR, LinkPurpose.EMAIL)
    user = work.users.get(user_id)
    if user.email_pending:
        work.users.update(replace(user, email_pending=""))
    return Ended(
        work.sessions.revoke_all(user_id, now, but=but) if sessions else 0,
        work.tokens.revoke_all(user_id, now) if tokens else 0,
    )
