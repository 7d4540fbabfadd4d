"""Credentials in, a principal out: the one module behind every door, with one lock-out and one audit trail."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from recpipe.access import identity, lockout, outsiders, tokens, totp
from recpipe.access.audit import AuditTrail, event
from recpipe.access.candidates import Candidate, Known, is_inside, no_password_login
from recpipe.access.candidates import Door as Door
from recpipe.access.expiring import ExpiringCache, SeenRecently
from recpipe.access.lockout import Attempt, Holder
from recpipe.access.passwords import Passwords
from recpipe.access.principal import Kind, Principal
from recpipe.access.sessions import Sessions
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import CredentialsRejected, LockedOut, NotFound, SecretUnreadable
from recpipe.model import (
    AuditEvent,
    FtpAccount,
    Grant,
    IdentityProvider,
    LinkPurpose,
    OneTimeLink,
    Outcome,
    Token,
    User,
    UserStatus,
)
from recpipe.times import Clock

SECOND_FACTOR_TIME = timedelta(minutes=5)
# How long a revocation may go unnoticed by those who ask at every request.
REVOKED_WITHIN_SECONDS = 0.5
# Failures are counted for five minutes and kept for an hour, so that a clock set back forgets none.
FAILURES_KEPT = timedelta(hours=1)
LAST_USE_SECONDS = 60
_NOBODY = "unknown"


@dataclass(frozen=True, slots=True)
class LoginResult:
    """A right password: the principal, or the ticket to hand to `Access.second_factor` with the code that is owed."""

    principal: Principal | None
    ticket: str | None = None
    passkeys: bool = False  # whether the second factor may be one


class Access:
    """Every login goes through one of these. Thread-safe; several processes share counters through the catalogue.

    Wrong, unknown, disabled and expired all give `CredentialsRejected` after the same work.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        passwords: Passwords,
        trail: AuditTrail,
        totp_secrets: TotpSecrets,
        *,
        two_factors: bool,
    ) -> None:
        self._catalogue = catalogue
        self._totp_secrets = totp_secrets
        self._clock = clock
        self._passwords = passwords
        self._trail = trail
        self._said_lately = SeenRecently(60)
        self._token_logins = SeenRecently(600)
        self._tidied = SeenRecently(600)
        self._tokens: ExpiringCache[Principal] = ExpiringCache(clock, REVOKED_WITHIN_SECONDS)
        self._valid: ExpiringCache[bool] = ExpiringCache(clock, REVOKED_WITHIN_SECONDS)
        self.sessions = Sessions(catalogue, clock, two_factors=two_factors)

    # --- people -------------------------------------------------------------------------------------------

    def password(
        self, username: str, password: str, address: str, door: Door, devices: Collection[str] = ()
    ) -> LoginResult:
        """Log a person in.

        Args:
            devices: of the browser, see `lockout.devices_of`.
            address: of the client, after trusted proxies were taken off.
            door: only the dashboard (`HTTP`) can ask for a second factor; elsewhere a user who has one is refused.

        Raises:
            CredentialsRejected: the one answer for everything that is not right.
            LockedOut: too many failures of this account or from this address.
            TooManySignIns: no place to verify a password came free in time.
        """
        attempt = Attempt.at(Holder.PERSON, username, address, devices)

        def look(work: Work) -> Candidate[User]:
            try:
                user = work.users.by_username(username)
            except NotFound:
                return Candidate(None, None, "unknown", "")
            why = no_password_login(user, door, self._clock())
            return Candidate(user, None if why else user.password_hash, why, user.username)

        user = self._verified(look, password, attempt, door)
        now = self._clock()
        with self._catalogue.begin() as work:
            if identity.user_stamp(work.users.get(user.id)) != identity.user_stamp(user):
                raise CredentialsRejected
            if user.two_factors:
                return LoginResult(None, self._ticket(work, user, now), bool(user.passkeys))
            return LoginResult(self._let_in(work, user, attempt, door, now))

    def vouched(self, work: Work, user: User, provider: IdentityProvider, address: str, *, both: bool) -> LoginResult:
        """Let in whom an identity provider vouches for; with a second factor of their own it is asked for here.

        Args:
            both: what happened at the provider counts as two factors.
        """
        now = self._clock()
        if user.two_factors and not both:
            return LoginResult(None, self._ticket(work, user, now, provider.id), bool(user.passkeys))
        attempt = Attempt.at(Holder.PERSON, user.username, address)
        return LoginResult(self._let_in(work, user, attempt, Door.HTTP, now, provider.id, second_factor=both))

    def proven(self, work: Work, user: User, address: str, provider_id: str) -> Principal:
        """Let in who answered with a passkey, behind a password or alone: both count as two factors."""
        attempt = Attempt.at(Holder.PERSON, user.username, address)
        return self._let_in(work, user, attempt, Door.HTTP, self._clock(), provider_id, second_factor=True)

    def refused(self, why: str, address: str, count: Callable[[Work, datetime], None]) -> None:
        """Count and record a sign-in that was not by password and did not succeed."""
        self._failed("", count, address, Door.HTTP, why)

    def trust(self, principal: Principal, devices: Collection[str]) -> tuple[str, ...]:
        """Know the browser of somebody who has just logged in; what its cookie is to hold from now on."""
        attempt = Attempt.at(Holder.PERSON, principal.name, principal.address, devices)
        with self._catalogue.begin() as work:
            return attempt.trust(work, devices, self._clock())

    def second_factor(self, ticket: str, code: str, address: str, devices: Collection[str] = ()) -> Principal:
        """Finish a login with a code of the authenticator app, or with a recovery code.

        Raises:
            CredentialsRejected: the code is wrong or was used before, or the ticket is; the ticket stays good for
                another try within its five minutes.
            LockedOut: too many failures of this account or from this address.
            SecretUnreadable: the code cannot be checked, since this installation lacks the key; see the log.
        """
        now = self._clock()
        digest = tokens.fingerprint(ticket)
        user: User | None = None
        key, repeat = lockout.address_key(address), ""
        try:
            with self._catalogue.begin() as work:
                try:
                    link = work.links.peek(digest, LinkPurpose.SECOND_FACTOR, now)
                    user = work.users.get(link.user_id)
                except NotFound:
                    lockout.check(work, (key,), now)
                    raise
                attempt = Attempt.at(Holder.PERSON, user.username, address, devices)
                repeat = attempt.repeated
                attempt.check_address(work, now)
                # Counted first: guesses sent all at once must not slip past the counter together.
                attempt.take(work, now)
            with self._catalogue.begin() as work:
                if user.status is not UserStatus.ACTIVE or not self._code_fits(work, user, code, now):
                    raise CredentialsRejected
                work.links.use(digest, LinkPurpose.SECOND_FACTOR, now)
                return self._let_in(work, user, attempt, Door.HTTP, now, link.provider_id, second_factor=True)
        except LockedOut as locked:
            self._locked(locked, user.username if user else _NOBODY, key, address, Door.HTTP)
            raise
        except SecretUnreadable:
            self._failed(user.username if user else "", _nothing, address, Door.HTTP, "secret-unreadable")
            raise
        except (CredentialsRejected, NotFound):
            # The account's counters have this attempt already.
            name = user.username if user else ""
            count = partial(lockout.note, keys=(key,), repeat=repeat)
            self._failed(name, count, address, Door.HTTP, "second-factor")
            raise CredentialsRejected from None

    # --- programs -----------------------------------------------------------------------------------------

    def token(self, bearer: str, address: str) -> Principal:
        """The principal behind an API token. What was found is remembered for half a second.

        Raises:
            CredentialsRejected: unknown, revoked, expired, or its user is not active.
            LockedOut: too many failures from this address, or of this token there.
        """
        digest = tokens.fingerprint(bearer)
        if (known := self._tokens.get((digest,))) is not None:
            return replace(known, address=address)
        keys = (lockout.token_key(digest, address), lockout.address_key(address))
        now = self._clock()
        found: tuple[Token, User, Collection[Grant]] | None = None
        try:
            with self._catalogue.read() as work:
                lockout.check(work, keys, now)
                if tokens.well_formed(bearer):
                    found = _token(work, digest)
        except LockedOut as locked:
            self._locked(locked, _NOBODY, keys[0], address, Door.API)
            raise
        if found is None:
            count = partial(lockout.note, keys=keys, repeat=lockout.repeat_key(keys[0], address))
            self._failed("", count, address, Door.API, "unknown-token")
            raise CredentialsRejected
        token, user, grants = found
        principal = identity.of_token(token, user, grants, address)
        if not identity.token_lives(token, user, now):
            # No guess, so it counts for nothing: a nightly job with an old token must not lock out its whole office.
            if self._said_lately.first(("token", token.id), now):
                self._trail.record(_login(principal.name, now, Outcome.DENIED, address, Door.API, reason="ended"))
            raise CredentialsRejected
        self._note_token_use(token, principal, now)
        self._tokens.put((digest,), principal)
        return principal

    # --- FTP ----------------------------------------------------------------------------------------------

    def ftp(self, username: str, password: str, address: str) -> Principal:
        """Log an FTP account in. `still_valid` tells when its session must end.

        Raises:
            CredentialsRejected: wrong, unknown, disabled, or not from an allowed network.
            LockedOut: too many failures of this account or from this address.
            TooManySignIns: no place to verify a password came free in time.
        """
        name = username.strip().lower()
        attempt = Attempt.at(Holder.FTP, name, address)

        def look(work: Work) -> Candidate[FtpAccount]:
            try:
                account = work.ftp_logins.by_username(name)
            except NotFound:
                return Candidate(None, None, "unknown", "")
            why = "" if account.enabled else "disabled"
            if not why and not is_inside(address, account.allowed_networks):
                why = "network"
            kept = None if why else account.password_hash
            return Candidate(account, kept, why, f"ftp:{account.username}", account.tenant_id)

        account = self._verified(look, password, attempt, Door.FTP)
        principal = identity.of_ftp_account(account, address)
        now = self._clock()
        with self._catalogue.begin() as work:
            if work.ftp_logins.generations([account.id]).get(account.id) != account.generation:
                raise CredentialsRejected
            attempt.succeeded(work, now)
            work.ftp_logins.note_login(account.id, now)
            work.audit.add(
                event(principal, "login", now, tenant_id=account.tenant_id, subject=account.id, door=Door.FTP.value)
            )
        return principal

    # --- afterwards ---------------------------------------------------------------------------------------

    def still_valid(self, principal: Principal) -> bool:
        """Whether the credentials behind a principal would still be taken: cheap enough for every command.

        A disabled user, a revoked token or session, a changed password or FTP account is noticed within half a
        second.

        Raises:
            CatalogueUnavailable: it cannot be told; treat it as no.
        """
        if principal.kind is Kind.OPERATOR:
            return True
        asked = (principal.kind.value, principal.id, principal.credential_id, principal.stamp)
        known = self._valid.get(asked)
        if known is None:
            with self._catalogue.read() as work:
                known = _valid(work, principal, self._clock())
            self._valid.put(asked, known)
        return known

    # --- what all logins share ----------------------------------------------------------------------------

    def _verified(
        self,
        look: Callable[[Work], Candidate[Known]],
        password: str,
        attempt: Attempt,
        door: Door,
    ) -> Known:
        """Who knocks, once the password is right. Every way out costs one verification and one read at least."""
        candidate = self._look(look, attempt, door)
        if not self._passwords.recently_right(password, candidate.kept):
            with self._passwords.turn(door.value):
                # Those who waited in the queue meanwhile must not have more tries than those who did not.
                candidate = self._look(look, attempt, door)
                # Of a client that logs in many times at once, all but the first have waited for its answer.
                known = self._passwords.recently_right(password, candidate.kept)
                if not known and not self._passwords.verify(password, candidate.kept):
                    why, tenant_id = candidate.why or "password", candidate.tenant_id
                    self._failed(candidate.name, attempt.failed, attempt.client, door, why, tenant_id)
                    raise CredentialsRejected
        if candidate.found is None:
            raise CredentialsRejected
        return candidate.found

    def _look(self, look: Callable[[Work], Candidate[Known]], attempt: Attempt, door: Door) -> Candidate[Known]:
        candidate, now = None, self._clock()
        try:
            with self._catalogue.read() as work:
                candidate = look(work)
                attempt.check(work, now)
                return candidate
        except LockedOut as locked:
            name, tenant_id = (candidate.name, candidate.tenant_id) if candidate else ("", None)
            self._locked(locked, name or _NOBODY, attempt.network, attempt.client, door, tenant_id)
            raise

    def _failed(
        self,
        name: str,
        count: Callable[[Work, datetime], None],
        address: str,
        door: Door,
        why: str,
        tenant_id: str | None = None,
    ) -> None:
        now = self._clock()
        denied = _login(name or _NOBODY, now, Outcome.DENIED, address, door, tenant_id, reason=why)
        with self._catalogue.begin() as work:
            count(work, now)
            work.audit.add(denied)
        if self._tidied.first(("failures",), now):
            with self._catalogue.begin() as work:
                work.failures.prune(now - FAILURES_KEPT)
                work.links.prune(now)

    def _locked(
        self, locked: LockedOut, name: str, key: str, address: str, door: Door, tenant_id: str | None = None
    ) -> None:
        now = self._clock()
        # Once a minute a counter: refusing must stay cheaper than knocking.
        if self._said_lately.first(("locked", key), now):
            self._trail.record(_login(name, now, Outcome.DENIED, address, door, tenant_id, reason="locked-out"))

    def _let_in(
        self,
        work: Work,
        user: User,
        attempt: Attempt,
        door: Door,
        now: datetime,
        provider_id: str = "",
        *,
        second_factor: bool = False,
    ) -> Principal:
        grants = work.users.grants(user.id)
        principal = replace(
            identity.of_user(user, grants, attempt.client), provider_id=provider_id, second_factor=second_factor
        )
        attempt.succeeded(work, now)
        work.users.note_login(user.id, now)
        # Seen in the tenant's own log where there is no doubt which one that is.
        tenant_id = grants[0].tenant_id if len(grants) == 1 and not principal.everything else None
        done = event(principal, "login", now, tenant_id=tenant_id, subject=user.id)
        detail = {"door": door.value, "second_factor": second_factor}
        work.audit.add(replace(done, detail=detail | ({"provider": provider_id} if provider_id else {})))
        return principal

    def _ticket(self, work: Work, user: User, now: datetime, provider_id: str = "") -> str:
        secret = tokens.new_secret()
        work.links.add(
            OneTimeLink(
                id=new_id(),
                hash=tokens.fingerprint(secret),
                purpose=LinkPurpose.SECOND_FACTOR,
                user_id=user.id,
                created_at=now,
                expires_at=now + SECOND_FACTOR_TIME,
                provider_id=provider_id,
            )
        )
        return secret

    def _code_fits(self, work: Work, user: User, code: str, now: datetime) -> bool:
        # First: these work also where the key of the secrets is lost.
        if work.users.use_recovery_hash(user.id, totp.recovery_hash(code)):
            return True
        step = self._totp_secrets.matching_step(user, code, now)
        if step is None or not work.users.use_totp_step(user.id, step):
            return False
        self._totp_secrets.seal(work, user)
        return True

    def _note_token_use(self, token: Token, principal: Principal, now: datetime) -> None:
        first = self._token_logins.first((token.id, principal.address), now)
        stale = token.last_used_at is None or (now - token.last_used_at).total_seconds() >= LAST_USE_SECONDS
        if not first and not stale:
            return
        with self._catalogue.begin() as work:
            work.tokens.note_use(token.id, now, principal.address)
            if first:
                work.audit.add(event(principal, "login", now, subject=token.id, door=Door.API.value))


def _nothing(_work: Work, _now: datetime) -> None:
    """What is counted where it was nobody's failure."""


def _token(work: Work, digest: str) -> tuple[Token, User, Collection[Grant]] | None:
    try:
        token = work.tokens.by_hash(digest)
        return token, work.users.get(token.user_id), work.users.grants(token.user_id)
    except NotFound:
        return None


def _valid(work: Work, principal: Principal, now: datetime) -> bool:
    if principal.kind is Kind.FTP:
        generation = work.ftp_logins.generations([principal.id]).get(principal.id)
        return generation is not None and str(generation) == principal.stamp
    if principal.kind is Kind.LINK:
        return outsiders.still_open(work, principal, now)
    try:
        user = work.users.get(principal.id)
        if user.status is not UserStatus.ACTIVE or identity.user_stamp(user) != principal.stamp:
            return False
        if principal.kind is Kind.TOKEN:
            return identity.token_lives(work.tokens.get(principal.credential_id), user, now)
        if principal.credential_id:
            return any(s.id == principal.credential_id for s in work.sessions.list(user.id) if s.expires_at > now)
    except NotFound:
        return False
    return True


def _login(
    actor: str, at: datetime, outcome: Outcome, address: str, door: Door, tenant_id: str | None = None, *, reason: str
) -> AuditEvent:
    return AuditEvent(at, actor, "login", outcome, tenant_id, address, detail={"door": door.value, "reason": reason})
