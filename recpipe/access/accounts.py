"""Users and what they are granted. The one set of checks for command line, API and portal; every change is audited."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from recpipe.access import passwords
from recpipe.access.audit import AuditTrail, Detail, event
from recpipe.access.checks import (
    check_details,
    check_email,
    check_text,
    check_username,
    covers,
    grants_of,
    known_names,
    own_tenant,
    require_cover,
)
from recpipe.access.notices import Notices
from recpipe.access.passwords import Passwords, check_chosen
from recpipe.access.principal import Action, Kind, Principal
from recpipe.access.reauthentication import NO_PROOF, Proof, Reauthentication
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.access.user_changes import difference, in_words, opens_a_way
from recpipe.access.ways_in import EMAIL_TIME, Ended, end_ways_in, initial_until, new_link, require_another
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import Conflict, Forbidden, InputInvalid, NotFound
from recpipe.model import Grant, LinkPurpose, Role, User, UserStatus
from recpipe.times import Clock


@dataclass(frozen=True, slots=True)
class Account:
    """A user with its grants."""

    user: User
    grants: Sequence[Grant]


@dataclass(frozen=True, slots=True)
class NewPassword:
    """The user, and its password where one was generated: shown now, never again."""

    user: User
    password: str | None = field(default=None, repr=False)


class Accounts:
    """Portal users. Thread-safe."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        passwords: Passwords,
        trail: AuditTrail,
        notices: Notices,
        totp_secrets: TotpSecrets,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._passwords = passwords
        self._trail = trail
        self.notices = notices
        self.reauthentication = Reauthentication(catalogue, clock, passwords, trail, totp_secrets)

    # --- looking ------------------------------------------------------------------------------------------

    def list(self, by: Principal) -> Sequence[Account]:
        """The users that `by` may manage, by name.

        Raises:
            Forbidden: it manages users nowhere.
        """
        if not by.may(Action.USERS) and not by.tenants(Action.USERS):
            denial = Forbidden("manage users")
            self._trail.denied(by, Action.USERS, denial)
            raise denial
        with self._catalogue.read() as work:
            grants = work.users.every_grant()
            found = [Account(user, grants.get(user.id, ())) for user in work.users.every()]
        return [a for a in found if covers(by, a.user.role, a.grants)]

    def get(self, by: Principal, user_id: str) -> Account:
        """One user that `by` may manage, or itself.

        Raises:
            NotFound: there is none, or none that `by` may know of.
            Forbidden: it may do more than `by`.
        """
        with self._catalogue.read() as work:
            account = _account(work, user_id)
        if not _is_signed_in_as(by, user_id):
            self._require(by, account)
        return account

    def named(self, by: Principal, username: str) -> Account:
        """As `get`, by user name."""
        with self._catalogue.read() as work:
            account = _account(work, work.users.by_username(username).id)
        if not _is_signed_in_as(by, account.user.id):
            self._require(by, account, username)
        return account

    def administrators_for(self, letter: str) -> Sequence[User]:
        """The active administrators with an address who want this kind of letter."""
        with self._catalogue.read() as work:
            return [
                user
                for user in work.users.every()
                if user.role.everything and user.status is UserStatus.ACTIVE and user.email and user.wants(letter)
            ]

    # --- making and changing ------------------------------------------------------------------------------

    def create(
        self,
        by: Principal,
        username: str,
        role: Role,
        *,
        grants: Mapping[str, Collection[str]] | None = None,
        password: str | None = None,
        generate: bool = False,
        email: str = "",
        display_name: str = "",
        status: UserStatus = UserStatus.ACTIVE,
        proof: Proof = NO_PROOF,
    ) -> NewPassword:
        """Make a user.

        Args:
            grants: tenant id -> actions; no actions: whatever the role allows.
            password: chosen by a person; with `generate` one is made instead; with neither there is no password yet.
                See `initial_until` for how long it is good.
            email: "" where the user name is one already.
            proof: of a person who is signed in.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            AlreadyExists: the name is taken.
            InputInvalid: a name, address, password or grant that cannot be.
            NotFound: a tenant that does not exist or is nothing to `by`.
            Forbidden: it would be granted more than `by` has.
        """
        username = check_username(username)
        _check_given(status)
        user_id = new_id()
        kept = grants_of(user_id, role, grants or {})
        self._require_grantable(by, role, kept)
        new = User(
            id=user_id,
            username=username,
            role=role,
            status=status,
            created_at=self._clock(),
            email=check_email(email or (username if "@" in username else "")),
            display_name=check_text("display name", display_name),
        )
        self.reauthentication.require(by, proof)
        secret, chosen = self._chosen(new, kept, password, generate)
        until = initial_until(by, self._clock(), chosen, secret)
        new = replace(new, password_hash=chosen, password_until=until)
        with self._catalogue.begin() as work:
            for grant in kept:
                work.tenants.get(grant.tenant_id)
            user = work.users.add(new)
            work.users.set_grants(user.id, kept)
            self._audit(work, by, "user.create", Account(user, kept), role=role.value, grants=in_words(kept))
        return NewPassword(user, secret)

    def change(
        self,
        by: Principal,
        user_id: str,
        *,
        role: Role | None = None,
        status: UserStatus | None = None,
        grants: Mapping[str, Collection[str]] | None = None,
        email: str | None = None,
        display_name: str | None = None,
        contact: Mapping[str, str] | None = None,
        notifications: Mapping[str, bool] | None = None,
        proof: Proof = NO_PROOF,
    ) -> Account:
        """Change a user; what is None stays. A user who is no longer active loses its sessions.

        People may change their own address, name, contact details and notification choices. A new address of somebody
        active counts once a letter to it was answered; without mail, or by the operator, at once.

        Args:
            proof: needed for the address, the role, the grants, and to let somebody in.

        Raises:
            InputInvalid, NotFound, Forbidden: as for `create` and `get`.
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            Conflict: `yourself`: nobody changes their own role, status or grants.
        """
        with self._catalogue.read() as work:
            before = _account(work, user_id)
        rights = role is not None or status is not None or grants is not None
        if status is not None and status is not before.user.status:
            _check_given(status)
        if not _is_signed_in_as(by, user_id):
            self._require(by, before)
        if is_self(by, user_id):
            if rights:
                raise Conflict("yourself", "Role, status and grants are changed by somebody else.")
            if email is not None and by.kind is Kind.TOKEN:
                raise Conflict("yourself", "Sign in to change your own address: who has it can get a new password.")
        after = replace(
            before.user,
            role=before.user.role if role is None else role,
            status=before.user.status if status is None else status,
            email=before.user.email if email is None else check_email(email),
            display_name=before.user.display_name if display_name is None else check_text("display name", display_name),
            contact=before.user.contact if contact is None else check_details("contact", contact),
            notifications=before.user.notifications if notifications is None else _choices(notifications),
        )
        if not after.role.has_password:
            after = replace(after, password_hash=None, password_until=None, totp_secret="", recovery_hashes=())
        wanted = before.grants if grants is None else grants_of(user_id, after.role, grants)
        if rights:
            self._require_grantable(by, after.role, wanted)
        if opens_a_way(before.user, before.grants, after, wanted):
            self.reauthentication.require(by, proof)
        readdressed = after.email != before.user.email
        asked = after.email if readdressed and self._must_be_confirmed(by, before.user, after) else ""
        if readdressed:
            after = replace(after, email=before.user.email if asked else after.email, email_pending=asked)
        now = self._clock()
        with self._catalogue.begin() as work:
            # Decided on what was read: anything else meanwhile means to look again. But the proof may have been a code.
            now_there = _account(work, user_id)
            step = now_there.user.totp_step
            if now_there != replace(before, user=replace(before.user, totp_step=step)):
                raise Conflict("changed-meanwhile", "Somebody else changed this user just now. Look again, then retry.")
            for grant in wanted if grants is not None else ():
                work.tenants.get(grant.tenant_id)
            user = work.users.update(replace(after, totp_step=step))
            if not user.role.has_password:
                work.passkeys.remove_all(user_id)
            if user.email != before.user.email:  # a letter that went to the old address opens nothing any more
                work.links.drop(user_id, LinkPurpose.RECOVERY)
            if readdressed:
                work.links.drop(user_id, LinkPurpose.EMAIL)
            secret = new_link(work, user_id, LinkPurpose.EMAIL, now, EMAIL_TIME) if asked else ""
            if grants is not None:
                work.users.set_grants(user_id, wanted)
            if user.status is not UserStatus.ACTIVE or user.role is not before.user.role:
                work.sessions.revoke_all(user_id, now)
            account = Account(user, wanted)
            # Tenants that it had before count as well: what was granted there is not for the log of another.
            of_both = Account(user, [*before.grants, *wanted])
            self._audit(work, by, "user.change", of_both, **difference(before.user, before.grants, user, wanted))
        if asked:
            self.notices.confirm_address(user, secret)
            self.notices.address_asked(user, by)
        elif user.email != before.user.email:
            self.notices.address_changed(user, before.user.email, by)
        return account

    def keep_email(self, by: Principal, user_id: str) -> None:
        """Forget an address that waits to be confirmed; its link is worth nothing.

        Raises:
            NotFound, Forbidden: as for `get`.
        """
        self.get(by, user_id)
        with self._catalogue.begin() as work:
            account = _account(work, user_id)
            work.users.update(replace(account.user, email_pending=""))
            work.links.drop(user_id, LinkPurpose.EMAIL)
            self._audit(work, by, "user.keep-email", account)

    def remove(self, by: Principal, user_id: str) -> None:
        """Delete a user with its grants, tokens and sessions; the audit log keeps its name.

        Raises:
            NotFound, Forbidden: as for `get`.
            Conflict: `yourself`.
        """
        account = self.get(by, user_id)
        if is_self(by, user_id):
            raise Conflict("yourself", "You cannot delete yourself. Ask another administrator.")
        with self._catalogue.begin() as work:
            work.users.remove(user_id)
            self._audit(work, by, "user.remove", account, username=account.user.username)

    # --- passwords ----------------------------------------------------------------------------------------

    def set_password(
        self,
        by: Principal,
        user_id: str,
        password: str | None = None,
        *,
        proof: Proof = NO_PROOF,
        end_sessions: bool = True,
        end_tokens: bool = True,
    ) -> NewPassword:
        """Give somebody else a new password, generated where none is given; it is good as long as one of `create`.

        Args:
            proof: of who gives it.
            end_sessions, end_tokens: with the password, what was opened with the old one.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            InputInvalid: too weak, or an API user, which has tokens only.
            NotFound, Forbidden: as for `get`.
            Conflict: `yourself`: use `change_own_password`.
        """
        account = self.get(by, user_id)
        if is_self(by, user_id):
            raise Conflict("yourself", "Change your own password with the old one at hand.")
        self.reauthentication.require(by, proof)
        secret, kept = self._chosen(account.user, account.grants, password, password is None)
        with self._catalogue.begin() as work:
            # Looked at once more: hashing takes long enough for somebody to make an administrator of this user.
            account = _account(work, user_id)
            require_cover(by, account.user, account.grants)
            until = initial_until(by, self._clock(), kept, secret)
            user = work.users.update(replace(account.user, password_hash=kept, password_until=until))
            ended = self._end_ways_in(work, by, account, end_sessions, end_tokens)
        self.notices.password_changed(user, by, ended)
        return NewPassword(user, secret)

    def change_own_password(
        self, by: Principal, old: str, new: str, *, end_sessions: bool = True, end_tokens: bool = True
    ) -> User:
        """Change one's own password; go on with a rotated session.

        Args:
            end_sessions, end_tokens: all sessions but this one, and all API tokens of this person.

        Raises:
            ReauthenticationRequired: the old one is not right.
            LockedOut: too many failures.
            InputInvalid: the new one is too weak.
            Forbidden: only a person who is signed in has a password to change.
        """
        require_another(self._passwords, self.reauthentication.password(by, old), new)
        with self._catalogue.read() as work:
            account = _account(work, by.id)
        _, kept = self._chosen(account.user, account.grants, new, False)
        with self._catalogue.begin() as work:
            account = _account(work, by.id)
            user = work.users.update(replace(account.user, password_hash=kept, password_until=None))
            ended = self._end_ways_in(work, by, account, end_sessions, end_tokens)
        self.notices.password_changed(user, by, ended)
        return user

    def end_sessions(self, by: Principal, user_id: str) -> int:
        """End all web sessions of a user; how many.

        Raises:
            NotFound, Forbidden: as for `get`.
        """
        account = self.get(by, user_id)
        with self._catalogue.begin() as work:
            ended = work.sessions.revoke_all(user_id, self._clock())
            self._audit(work, by, "user.end-sessions", account, sessions=ended)
        return ended

    # --- what they share ----------------------------------------------------------------------------------

    def _chosen(
        self, user: User, grants: Collection[Grant], password: str | None, generate: bool
    ) -> tuple[str | None, str | None]:
        """The password to show once, if one was generated, and the hash to keep."""
        if password is None and not generate:
            return None, None
        if not user.role.has_password:
            raise InputInvalid("password", "An API user has no password. Make it a token instead.")
        if password is not None:
            with self._catalogue.read() as work:
                words = known_names(work, user, grants)
            return None, self._passwords.hash(check_chosen(password, *words))
        secret = passwords.generate()
        return secret, self._passwords.hash(secret)

    def _end_ways_in(self, work: Work, by: Principal, account: Account, sessions: bool, tokens: bool) -> Ended:
        user_id = account.user.id
        but = by.credential_id if is_self(by, user_id) else ""
        ended = end_ways_in(work, user_id, self._clock(), but=but, sessions=sessions, tokens=tokens)
        self._audit(work, by, "user.password", account, sessions=ended.sessions, tokens=ended.tokens)
        return ended

    def _must_be_confirmed(self, by: Principal, before: User, after: User) -> bool:
        vouched_for = by.kind is Kind.OPERATOR or before.status is not UserStatus.ACTIVE
        return after.email != "" and not vouched_for and self.notices.able

    def _require(self, by: Principal, account: Account, asked_for: str = "") -> None:
        try:
            require_cover(by, account.user, account.grants, asked_for)
        except (NotFound, Forbidden) as denial:
            self._trail.denied(by, Action.USERS, denial, subject=account.user.id)
            raise

    def _require_grantable(self, by: Principal, role: Role, grants: Collection[Grant]) -> None:
        if covers(by, role, grants):
            return
        for grant in grants:
            self._trail.require(by, Action.USERS, grant.tenant_id)
        denial = Forbidden("grant more than it has itself")
        self._trail.denied(by, Action.USERS, denial)
        raise denial

    def _audit(self, work: Work, by: Principal, action: str, account: Account, **detail: Detail) -> None:
        tenant_id = own_tenant(account.grants)
        happened = event(by, action, self._clock(), tenant_id=tenant_id, subject=account.user.id)
        work.audit.add(replace(happened, detail=detail))


def _account(work: Work, user_id: str) -> Account:
    return Account(work.users.get(user_id), work.users.grants(user_id))


def is_self(by: Principal, user_id: str) -> bool:
    """Whether this is the person's own account, by whatever credential: a token is no way around a password."""
    return by.kind in (Kind.USER, Kind.TOKEN) and by.id == user_id


def _is_signed_in_as(by: Principal, user_id: str) -> bool:
    return by.kind is Kind.USER and by.id == user_id


def _check_given(status: UserStatus) -> None:
    if status is UserStatus.REGISTERED:
        raise InputInvalid(
            "status", "People register themselves, by a link to their address. Invite this person instead."
        )


def _choices(notifications: Mapping[str, bool]) -> dict[str, bool]:
    check_details("notifications", dict.fromkeys(notifications, ""))
    return dict(notifications)
