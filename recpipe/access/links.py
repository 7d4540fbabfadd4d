"""Links that work once: an invitation for somebody new, a way back for somebody who forgot the password."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from recpipe.access import lockout, tokens
from recpipe.access.accounts import Accounts
from recpipe.access.authority import check_text, known_names, own_tenant
from recpipe.access.lockout import Holder
from recpipe.access.passwords import Passwords, check_chosen
from recpipe.access.principal import Kind, Principal
from recpipe.access.trail import Clock, Trail, event
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import CredentialsRejected, InputInvalid, LockedOut, NotFound
from recpipe.model import LinkPurpose, OneTimeLink, Outcome, Role, User, UserStatus

INVITATION_TIME = timedelta(days=7)
RECOVERY_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LinkFor:
    """For whom the link is, and the secret that belongs into it: sent to `user.email` or shown once."""

    user: User
    secret: str = field(repr=False)


class Links:
    """Invitations and recovery. Only a hash of each secret is kept. Thread-safe."""

    def __init__(
        self,
        catalogue: Catalogue,
        accounts: Accounts,
        clock: Clock,
        passwords: Passwords,
        trail: Trail,
    ) -> None:
        self._catalogue = catalogue
        self._accounts = accounts
        self._clock = clock
        self._passwords = passwords
        self._trail = trail

    def invite(
        self,
        by: Principal,
        username: str,
        role: Role,
        *,
        grants: Mapping[str, Collection[str]] | None = None,
        email: str = "",
    ) -> LinkFor:
        """Make a pending user and the link by which they choose a password. Good for seven days.

        Raises:
            InputInvalid: also for an API user, which has tokens only.
            AlreadyExists, NotFound, Forbidden: as `Accounts.create`.
        """
        if role is Role.API:
            raise InputInvalid("role", "An API user cannot be invited: it has no password. Make it a token instead.")
        user = self._accounts.create(by, username, role, grants=grants, email=email, status=UserStatus.PENDING).user
        return self.invite_again(by, user.id)

    def invite_again(self, by: Principal, user_id: str) -> LinkFor:
        """A fresh invitation; the one before is worth nothing. It approves who registered.

        Raises:
            InputInvalid: the user neither registered nor is invited, or is an API user.
            NotFound, Forbidden: as `Accounts.get`.
        """
        account = self._accounts.get(by, user_id)
        user = account.user
        if user.status not in (UserStatus.PENDING, UserStatus.REGISTERED):
            raise InputInvalid("user", "Only a pending user can be invited. Send a recovery link instead.")
        if user.role is Role.API:
            raise InputInvalid("role", "An API user cannot be invited: it has no password. Make it a token instead.")
        with self._catalogue.begin() as work:
            if user.status is UserStatus.REGISTERED:
                # Without a password, whatever was there: the link sets the first one.
                user = work.users.update(replace(user, status=UserStatus.PENDING, password_hash=None))
            secret = self._new(work, user, LinkPurpose.INVITATION, INVITATION_TIME)
            tenant_id = own_tenant(account.grants)
            work.audit.add(event(by, "user.invite", self._clock(), tenant_id=tenant_id, subject=user.id))
        return LinkFor(user, secret)

    def ask(self, name_or_email: str, address: str) -> None:
        """Go on only where a link may be asked for. Knows nothing of who is meant, so its time tells nothing either.

        Give the person the same answer in any case, and leave `recover` to another thread.

        Raises:
            LockedOut: asked for too often, for this name or from this address.
        """
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                lockout.take(work, "recover:" + lockout.normal_network(address), now)
                lockout.take(work, "recover:" + lockout.account_key(Holder.PERSON, name_or_email), now)
        except LockedOut:
            self._trail.record(event(_asker(address), "user.recover", now, outcome=Outcome.DENIED, reason="too-many"))
            raise

    def recover(self, name_or_email: str, address: str) -> Collection[LinkFor]:
        """The links to send to whoever this name or address may mean: often none. `ask` comes first."""
        now = self._clock()
        asker = _asker(address)
        found = []
        with self._catalogue.begin() as work:
            for user in _meant(work, name_or_email):
                found.append(LinkFor(user, self._new(work, user, LinkPurpose.RECOVERY, RECOVERY_TIME)))
                work.audit.add(event(asker, "user.recover", now, subject=user.id))
            if not found:
                work.audit.add(event(asker, "user.recover", now, outcome=Outcome.DENIED, reason="unknown"))
        return found

    def peek(self, secret: str, purpose: LinkPurpose) -> User:
        """Whose link this is, without using it up.

        Raises:
            CredentialsRejected: it was used, is too old, or never was.
        """
        try:
            with self._catalogue.read() as work:
                return work.users.get(work.links.peek(tokens.fingerprint(secret), purpose, self._clock()).user_id)
        except NotFound:
            raise CredentialsRejected from None

    def accept(self, secret: str, password: str, address: str, *, display_name: str = "") -> User:
        """Use an invitation: the user is active, with this password.

        Raises:
            CredentialsRejected: as `peek`.
            InputInvalid: the password is too weak; the link stays good.
        """
        name = check_text("display name", display_name)
        return self._use(secret, password, address, LinkPurpose.INVITATION, name)

    def reset(self, secret: str, password: str, address: str) -> User:
        """Use a recovery link: a new password, and every session ends. A second factor is still asked for.

        Raises:
            CredentialsRejected, InputInvalid: as `accept`.
        """
        return self._use(secret, password, address, LinkPurpose.RECOVERY, "")

    def _use(self, secret: str, password: str, address: str, purpose: LinkPurpose, display_name: str) -> User:
        invited = purpose is LinkPurpose.INVITATION
        expected = UserStatus.PENDING if invited else UserStatus.ACTIVE
        user = self.peek(secret, purpose)
        with self._catalogue.read() as work:
            words = known_names(work, user, work.users.grants(user.id))
        kept = self._passwords.hash(check_chosen(password, *words, display_name))
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                user = work.users.get(work.links.use(tokens.fingerprint(secret), purpose, now).user_id)
                if user.status is not expected:
                    raise CredentialsRejected
                changed = replace(
                    user,
                    password_hash=kept,
                    status=UserStatus.ACTIVE,
                    display_name=display_name or user.display_name,
                )
                work.users.update(changed)
                work.links.drop(user.id, purpose, LinkPurpose.SECOND_FACTOR)
                work.sessions.revoke_all(user.id, now)
                done = Principal(kind=Kind.USER, id=user.id, name=user.username, address=address)
                work.audit.add(event(done, "user.accept" if invited else "user.reset", now, subject=user.id))
                return changed
        except NotFound:
            raise CredentialsRejected from None

    def _new(self, work: Work, user: User, purpose: LinkPurpose, good_for: timedelta) -> str:
        secret = tokens.new_secret()
        now = self._clock()
        work.links.drop(user.id, purpose)
        work.links.add(
            OneTimeLink(
                id=new_id(),
                hash=tokens.fingerprint(secret),
                purpose=purpose,
                user_id=user.id,
                created_at=now,
                expires_at=now + good_for,
            )
        )
        return secret


def _asker(address: str) -> Principal:
    return Principal(kind=Kind.USER, id="", name="unknown", address=address)


def _meant(work: Work, name_or_email: str) -> list[User]:
    """Active people with a password and an address to write to."""
    found = {}
    try:
        user = work.users.by_username(name_or_email)
        found[user.id] = user
    except NotFound:
        pass
    if "@" in name_or_email:
        found |= {user.id: user for user in work.users.by_email(name_or_email)}
    return [u for u in found.values() if u.status is UserStatus.ACTIVE and u.email and u.role is not Role.API]
