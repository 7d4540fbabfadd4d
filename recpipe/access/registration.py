"""Asking for an account. Nothing of strangers is kept before they proved that they read letters to their address."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from recpipe.access import lockout
from recpipe.access.at_rest import AtRest, Purpose
from recpipe.access.audit import AuditTrail, event
from recpipe.access.checks import check_email, check_text, check_username
from recpipe.access.lockout import Holder
from recpipe.access.principal import Kind, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import AlreadyExists, CredentialsRejected, InputInvalid, LockedOut, NotFound, SecretUnreadable
from recpipe.model import Outcome, Role, User, UserStatus
from recpipe.times import Clock

REGISTRATION_TIME = timedelta(hours=24)


class Registration:
    """Registrations, from the form to the user who waits for approval. Thread-safe.

    No password is asked for: whoever is approved chooses one with a link that goes to the proven address.
    """

    def __init__(self, catalogue: Catalogue, at_rest: AtRest, clock: Clock, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._at_rest = at_rest
        self._clock = clock
        self._trail = trail

    def ask(self, email: str, address: str, *, display_name: str = "") -> str:
        """The secret of the link to send to this address; good for a day. Nothing is kept, whoever is known already.

        Args:
            address: of the client.

        Raises:
            InputInvalid: the address or the name cannot be.
            LockedOut: too often, from this client or for this address.
        """
        name = check_email(email)
        if not name:
            raise InputInvalid("email", "Type your e-mail address, such as name@example.com.")
        check_username(name)
        asked = {"email": name, "display_name": check_text("display name", display_name)}
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                lockout.take_asked(work, "register", name, address, now)
        except LockedOut:
            self._trail.record(
                event(_somebody(address), "user.register", now, outcome=Outcome.DENIED, reason="too-many")
            )
            raise
        until = (now + REGISTRATION_TIME).timestamp()
        return self._at_rest.closed(Purpose.REGISTRATION, json.dumps({**asked, "until": until}, ensure_ascii=False))

    def is_known(self, email: str) -> bool:
        """Whether a user has this name or address. For letters to that address alone, never for an answer."""
        with self._catalogue.read() as work:
            try:
                work.users.by_username(email)
            except NotFound:
                return bool(work.users.by_email(email))
        return True

    def confirm(self, secret: str, address: str) -> User | None:
        """Whoever has the link reads letters to that address: from now on an administrator can approve it.

        Returns:
            Who waits for approval; None where there was a user of this name before, which stays as it is.

        Raises:
            CredentialsRejected: the link is too old, or none of ours; or somebody was registered for this address
                since it was asked for, and an administrator has deleted them.
        """
        now = self._clock()
        try:
            asked = json.loads(self._at_rest.opened(Purpose.REGISTRATION, secret))
        except SecretUnreadable:
            raise CredentialsRejected from None
        until = datetime.fromtimestamp(asked["until"], UTC)
        if until < now:
            raise CredentialsRejected
        new = User(
            id=new_id(),
            username=asked["email"],
            role=Role.CLIENT,
            status=UserStatus.REGISTERED,
            created_at=now,
            email=asked["email"],
            display_name=asked["display_name"],
        )
        by = _somebody(address)
        try:
            with self._catalogue.begin() as work:
                user = work.users.add(new)
                # What an administrator deleted does not come back by a link that was asked for before.
                registered = f"registered:{lockout.account_key(Holder.PERSON, new.username)}"
                if work.known_networks.has(registered, until - REGISTRATION_TIME):
                    raise CredentialsRejected
                work.known_networks.note(registered, now)
                work.audit.add(event(replace(by, name=user.username), "user.register", now, subject=user.id))
                return user
        except AlreadyExists:
            self._trail.record(event(by, "user.register", now, outcome=Outcome.DENIED, reason="taken"))
            return None


def _somebody(address: str) -> Principal:
    return Principal(kind=Kind.USER, id="", name="unknown", address=address)
