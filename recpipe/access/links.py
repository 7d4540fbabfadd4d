"""Links that work once: an invitation for somebody new, a way back for somebody who forgot the password."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from recpipe.access import lockout, tokens
from recpipe.access.accounts import Account, Accounts
from recpipe.access.audit import AuditTrail, event
from recpipe.access.checks import check_text, known_names, own_tenant
from recpipe.access.passwords import Passwords, check_chosen
from recpipe.access.principal import Kind, Principal
from recpipe.access.reauthentication import NO_PROOF, Proof
from recpipe.access.vouching import may_vouch
from recpipe.access.ways_in import end_ways_in, new_link, require_another
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import CredentialsRejected, InputInvalid, LockedOut, NotFound
from recpipe.model import Grant, LinkPurpose, Outcome, Role, User, UserStatus
from recpipe.times import Clock

INVITATION_TIME = timedelta(days=7)
RECOVERY_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LinkFor:
    """For whom the link is, and the secret that belongs into it: sent to `user.email` or shown once."""

    user: User
    secret: str = field(repr=False)
    elsewhere: bool = False  # an invitation that is accepted by signing in at an identity provider


class Links:
    """Invitations and recovery. Only a hash of each secret is kept. Thread-safe."""

    def __init__(
        self,
        catalogue: Catalogue,
        accounts: Accounts,
        clock: Clock,
        passwords: Passwords,
        trail: AuditTrail,
    ) -> None:
        self._catalogue = catalogue
        self._accounts = accounts
        self._clock = clock
        self._passwords = passwords
        self._trail = trail

    def invited_until(self, by: Principal) -> Mapping[str, datetime]:
        """Until when the invitations that were not accepted yet are good, by the id of each user whom `by` manages."""
        managed = {account.user.id for account in self._accounts.list(by)}
        with self._catalogue.read() as work:
            found = work.links.expiries(LinkPurpose.INVITATION, self._clock())
        return {user_id: until for user_id, until in found.items() if user_id in managed}

    def invite(
        self,
        by: Principal,
        username: str,
        role: Role,
        *,
        grants: Mapping[str, Collection[str]] | None = None,
        email: str = "",
        display_name: str = "",
        provider_id: str = "",
        proof: Proof = NO_PROOF,
    ) -> LinkFor:
        """Make a pending user and the link by which they choose a password. Good for seven days.

        Args:
            provider_id: of the identity provider at which they sign in instead; no password accepts it then.

        Raises:
            InputInvalid: also for an API user, which has tokens only, and where the provider does not vouch for them.
            AlreadyExists, NotFound, Forbidden, ReauthenticationRequired, LockedOut: as `Accounts.create`.
        """
        if not role.has_password:
            raise InputInvalid("role", "An API user cannot be invited: it has no password. Make it a token instead.")
        pending = UserStatus.PENDING
        if provider_id:
            self._require_vouched(provider_id, role, grants or {})
        made = self._accounts.create(
            by,
            username,
            role,
            grants=grants,
            email=email,
            display_name=display_name,
            status=pending,
            proof=proof,
        )
        user = made.user
        return self._invite(by, self._accounts.get(by, user.id), provider_id)

    def _require_vouched(self, provider_id: str, role: Role, grants: Mapping[str, Collection[str]]) -> None:
        pending = User("", "", role, UserStatus.PENDING, self._clock())
        with self._catalogue.read() as work:
            provider = work.identity_providers.get(provider_id)
        if not may_vouch(provider, pending, [Grant("", tenant_id) for tenant_id in grants]):
            raise InputInvalid(
                "provider",
                "This identity provider vouches for the people of its own service alone. Grant that one and no other, "
                "or have them choose a password.",
            )

    def invite_again(self, by: Principal, user_id: str, proof: Proof = NO_PROOF) -> LinkFor:
        """A fresh invitation, to choose a password; the one before is worth nothing. It approves who registered.

        Raises:
            InputInvalid: the user neither registered nor is invited, or is an API user.
            NotFound, Forbidden: as `Accounts.get`.
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
        """
        account = self._accounts.get(by, user_id)
        user = account.user
        if user.status not in (UserStatus.PENDING, UserStatus.REGISTERED):
            raise InputInvalid("user", "Only a pending user can be invited. Send a recovery link instead.")
        if not user.role.has_password:
            raise InputInvalid("role", "An API user cannot be invited: it has no password. Make it a token instead.")
        self._accounts.reauthentication.require(by, proof)
        return self._invite(by, account)

    def _invite(self, by: Principal, account: Account, provider_id: str = "") -> LinkFor:
        user = account.user
        with self._catalogue.begin() as work:
            if user.status is UserStatus.REGISTERED:
                # Without a password, whatever was there: the link sets the first one.
                user = work.users.update(
                    replace(user, status=UserStatus.PENDING, password_hash=None, password_until=None)
                )
            secret = new_link(work, user.id, LinkPurpose.INVITATION, self._clock(), INVITATION_TIME, provider_id)
            tenant_id = own_tenant(account.grants)
            work.audit.add(event(by, "user.invite", self._clock(), tenant_id=tenant_id, subject=user.id))
        return LinkFor(user, secret, bool(provider_id))

    def ask(self, name_or_email: str, address: str) -> None:
        """Go on only where a link may be asked for. Knows nothing of who is meant, so its time tells nothing either.

        Give the person the same answer in any case, and leave `recover` to another thread.

        Raises:
            LockedOut: asked for too often, for this name or from this address.
        """
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                lockout.take_asked(work, "recover", name_or_email, address, now)
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
                found.append(LinkFor(user, new_link(work, user.id, LinkPurpose.RECOVERY, now, RECOVERY_TIME)))
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

    def reset(self, secret: str, password: str, address: str, *, end_tokens: bool = True) -> User:
        """Use a recovery link: a new password, and every session ends. A second factor is still asked for.

        Args:
            end_tokens: API tokens of this person, too.

        Raises:
            CredentialsRejected, InputInvalid: as `accept`.
        """
        return self._use(secret, password, address, LinkPurpose.RECOVERY, end_tokens=end_tokens)

    def confirm_email(self, secret: str, address: str) -> User:
        """Use the link in a letter to a new address: it counts from now on.

        Raises:
            CredentialsRejected: as `peek`, or another address was asked for meanwhile.
        """
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                before = work.users.get(work.links.use(tokens.fingerprint(secret), LinkPurpose.EMAIL, now).user_id)
                if before.status is not UserStatus.ACTIVE or not before.email_pending:
                    raise CredentialsRejected
                user = work.users.update(replace(before, email=before.email_pending, email_pending=""))
                work.links.drop(user.id, LinkPurpose.EMAIL, LinkPurpose.RECOVERY)
                done = Principal(kind=Kind.USER, id=user.id, name=user.username, address=address)
                tenant_id = own_tenant(work.users.grants(user.id))
                work.audit.add(event(done, "user.email", now, tenant_id=tenant_id, subject=user.id))
        except NotFound:
            raise CredentialsRejected from None
        self._accounts.notices.address_changed(user, before.email, done)
        return user

    def _use(
        self,
        secret: str,
        password: str,
        address: str,
        purpose: LinkPurpose,
        display_name: str = "",
        end_tokens: bool = True,
    ) -> User:
        invited = purpose is LinkPurpose.INVITATION
        expected = UserStatus.PENDING if invited else UserStatus.ACTIVE
        user = self.peek(secret, purpose)
        with self._catalogue.read() as work:
            words = known_names(work, user, work.users.grants(user.id))
        kept = self._passwords.hash(check_chosen(password, *words, display_name))
        require_another(self._passwords, user, password)
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                link = work.links.use(tokens.fingerprint(secret), purpose, now)
                user = work.users.get(link.user_id)
                if user.status is not expected or link.provider_id:
                    raise CredentialsRejected
                changed = replace(
                    user,
                    password_hash=kept,
                    password_until=None,
                    status=UserStatus.ACTIVE,
                    display_name=display_name or user.display_name,
                )
                work.users.update(changed)
                work.links.drop(user.id, purpose)
                ended = end_ways_in(work, user.id, now, sessions=True, tokens=end_tokens)
                done = Principal(kind=Kind.USER, id=user.id, name=user.username, address=address)
                action = "user.accept" if invited else "user.reset"
                detail = {} if invited else {"sessions": ended.sessions, "tokens": ended.tokens}
                work.audit.add(replace(event(done, action, now, subject=user.id), detail=detail))
        except NotFound:
            raise CredentialsRejected from None
        if not invited:
            self._accounts.notices.password_changed(changed, done, ended)
        return changed


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
    return [u for u in found.values() if u.status is UserStatus.ACTIVE and u.email and u.role.has_password]
