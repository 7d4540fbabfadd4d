"""Signing in at an identity provider, and linking who is known there to who is known here.

Linked by issuer and subject, never by e-mail: an address proves nothing about whose account it is. A link is made by
somebody who is signed in here and gives the password once more, or by an invitation that names the provider.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from recpipe import log
from recpipe.access import lockout, tokens
from recpipe.access.accounts import Accounts
from recpipe.access.at_rest import AtRest, Purpose
from recpipe.access.audit import event
from recpipe.access.checks import own_tenant
from recpipe.access.client_secrets import ClientSecrets
from recpipe.access.identity_providers import Offer
from recpipe.access.login import Access, LoginResult
from recpipe.access.oidc import Asked, Claimed, OidcClient, host_of
from recpipe.access.principal import Kind, Principal
from recpipe.access.reauthentication import Proof
from recpipe.access.vouching import may_vouch
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import (
    AlreadyExists,
    Conflict,
    CredentialsRejected,
    Forbidden,
    IssuerUnavailable,
    NotFound,
    SecretUnreadable,
    SignInRefused,
)
from recpipe.messages import message
from recpipe.model import FactorsAtProvider, Grant, Identity, IdentityProvider, LinkPurpose, User, UserStatus
from recpipe.times import Clock

FLOW_TIME = timedelta(minutes=10)
PATH = "/sign-in/oidc"

_log = log.get(__name__)


class Errand(StrEnum):
    """What somebody goes to the provider for."""

    SIGN_IN = "sign-in"
    LINK = "link"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the cookie that it has to bring back."""

    url: str = field(repr=False)
    cookie: str = field(repr=False)
    offer: Offer


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of it.

    Attributes:
        login: who signs in, or owes a second factor; None where an identity was linked to whoever is signed in.
        wanted: the path to go on to.
    """

    login: LoginResult | None
    wanted: str


@dataclass(frozen=True, slots=True)
class _Flow:
    """What is sealed into the cookie of a browser that is on its way."""

    provider: str
    errand: str
    state: str
    nonce: str
    verifier: str
    about: str  # link: the user; accept: the secret of the invitation
    wanted: str
    until: float


class Federation:
    """Thread-safe.

    Args:
        portal: where people reach the portal, without a slash at the end; never from a request.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        access: Access,
        accounts: Accounts,
        clock: Clock,
        at_rest: AtRest,
        secrets: ClientSecrets,
        client: OidcClient,
        portal: str,
    ) -> None:
        self._catalogue = catalogue
        self._access = access
        self._accounts = accounts
        self._clock = clock
        self._at_rest = at_rest
        self._secrets = secrets
        self._client = client
        self._portal = portal

    # --- on the way there ---------------------------------------------------------------------------------

    def begin(self, provider_id: str, wanted: str) -> Begun:
        """Send somebody to sign in.

        Raises:
            NotFound: there is no such provider, or it is switched off.
            IssuerUnavailable: it could not be asked.
        """
        return self._begin(provider_id, Errand.SIGN_IN, "", wanted)

    def begin_link(self, by: Principal, provider_id: str, proof: Proof) -> Begun:
        """Send somebody who is signed in, to link who they are there.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            Forbidden: the provider does not vouch for this user.
            NotFound, IssuerUnavailable: as `begin`.
        """
        if by.kind is not Kind.USER:
            raise Forbidden("link a sign-in without signing in as a person")
        if all(offer.provider.id != provider_id for offer in self.linkable(by)):
            raise NotFound("identity provider", provider_id)
        self._accounts.reauthentication.require(by, proof)
        return self._begin(provider_id, Errand.LINK, by.id, "/account")

    def begin_acceptance(self, secret: str) -> Begun:
        """Send somebody who is invited to sign in there.

        Raises:
            CredentialsRejected: the invitation was used, is too old, never was, or is accepted by a password.
            NotFound, IssuerUnavailable: as `begin`.
        """
        try:
            with self._catalogue.read() as work:
                link = work.links.peek(tokens.fingerprint(secret), LinkPurpose.INVITATION, self._clock())
        except NotFound:
            raise CredentialsRejected from None
        if not link.provider_id:
            raise CredentialsRejected
        return self._begin(link.provider_id, Errand.ACCEPT, secret, "/")

    def _begin(self, provider_id: str, errand: Errand, about: str, wanted: str) -> Begun:
        with self._catalogue.read() as work:
            provider = work.identity_providers.get(provider_id)
            tenant = None if provider.tenant_id is None else work.tenants.get(provider.tenant_id)
        if not provider.enabled:
            raise NotFound("identity provider", provider_id)
        asked = Asked(tokens.new_secret(), tokens.new_secret(), tokens.new_secret() * 2, self.redirect_uri(provider))
        until = (self._clock() + FLOW_TIME).timestamp()
        flow = _Flow(provider.id, errand, asked.state, asked.nonce, asked.verifier, about, wanted, until)
        url = self._client.authorization_url(provider, asked)
        return Begun(url, self._at_rest.closed(Purpose.FEDERATION, json.dumps(asdict(flow))), Offer(provider, tenant))

    # --- on the way back ----------------------------------------------------------------------------------

    def finish(
        self, provider_id: str, answer: Mapping[str, str], cookie: str, address: str, viewer: Principal | None
    ) -> Finished:
        """Take what the browser brought back.

        Args:
            answer: the parameters of the answer: `code`, `state`, `iss`, `error`.
            cookie: `Begun.cookie`; it is good once, since the issuer takes no code twice.
            viewer: who is signed in, if anybody is.

        Raises:
            SignInRefused: nothing was opened or linked; says why.
            IssuerUnavailable: it could not be asked.
            LockedOut: too many failures from this address.
        """
        now = self._clock()
        key = lockout.address_key(address)
        try:
            with self._catalogue.read() as work:
                lockout.check(work, (key,), now)
            flow, provider = self._flow(provider_id, answer, cookie, now)
            claimed = self._claimed(provider, flow, answer)
            if flow.errand == Errand.LINK:
                self._link(provider, claimed, flow.about, viewer, now)
                return Finished(None, "/account?done=identity-linked")
            if flow.errand == Errand.ACCEPT:
                self._accept(provider, claimed, flow.about, address, now)
            return Finished(self._sign_in(provider, claimed, address, now), flow.wanted)
        except SignInRefused as refused:
            said = lockout.repeat_key(f"oidc:{provider_id[:32]}", address)
            self._access.refused(refused.reason, address, partial(lockout.note, keys=(key,), repeat=said))
            raise
        except IssuerUnavailable as down:
            _log.warning("identity provider unavailable", host=down.host, reason=down.why)
            raise

    def _flow(
        self, provider_id: str, answer: Mapping[str, str], cookie: str, now: datetime
    ) -> tuple[_Flow, IdentityProvider]:
        stale = SignInRefused(
            "stale", "This sign-in was begun too long ago, in another browser, or was finished before. Start again."
        )
        try:
            flow = _Flow(**json.loads(self._at_rest.opened(Purpose.FEDERATION, cookie)))
            with self._catalogue.read() as work:
                provider = work.identity_providers.get(flow.provider)
        except (SecretUnreadable, NotFound):
            raise stale from None
        right = hmac.compare_digest(flow.state.encode(), answer.get("state", "").encode())
        if not right or flow.until <= now.timestamp() or not provider.enabled:
            raise stale
        if flow.provider != provider_id:  # Source: RFC 9700 section 4.4.2.2: an answer of one to a question to another
            raise SignInRefused("issuer-mixed-up", "This is the answer of another provider. Start again.")
        return flow, provider

    def _claimed(self, provider: IdentityProvider, flow: _Flow, answer: Mapping[str, str]) -> Claimed:
        if error := answer.get("error", ""):
            word = error[:40] if error.isascii() and error.isidentifier() else "an error"
            raise SignInRefused(
                "denied",
                message("{host} did not sign you in ({word}). Start again.", host=host_of(provider.issuer), word=word),
            )
        asked = Asked(flow.state, flow.nonce, flow.verifier, self.redirect_uri(provider))
        return self._client.identity(
            provider, self._secrets.opened(provider), asked, answer.get("code", ""), answer.get("iss", "")
        )

    # --- what it is for -----------------------------------------------------------------------------------

    def _sign_in(self, provider: IdentityProvider, claimed: Claimed, address: str, now: datetime) -> LoginResult:
        host = host_of(provider.issuer)
        with self._catalogue.begin() as work:
            try:
                identity = work.identities.find(provider.issuer, claimed.subject)
            except NotFound:
                raise SignInRefused(
                    "unlinked",
                    message(
                        "Nobody here is linked to this account at {host}. Sign in with your password, then link it "
                        "under My Account. The same e-mail address is not enough.",
                        host=host,
                    ),
                ) from None
            user, grants = work.users.get(identity.user_id), work.users.grants(identity.user_id)
            _require_vouched(provider, user, grants)
            work.identities.note_use(identity.id, now)
            return self._access.vouched(work, user, provider, address, both=_both_factors(provider, claimed))

    def _link(
        self, provider: IdentityProvider, claimed: Claimed, user_id: str, viewer: Principal | None, now: datetime
    ) -> None:
        if viewer is None or viewer.id != user_id:
            raise SignInRefused(
                "signed-out", "You are not signed in here any more. Sign in with your password, then link it once more."
            )
        with self._catalogue.begin() as work:
            user, grants = work.users.get(user_id), work.users.grants(user_id)
            _require_vouched(provider, user, grants)
            self._add(work, provider, claimed, user, now)
            done = event(viewer, "identity.link", now, tenant_id=own_tenant(grants), subject=user_id)
            work.audit.add(replace(done, detail={"issuer": provider.issuer}))
        self._accounts.notices.identity(user, viewer, provider.issuer, message("linked"))

    def _accept(self, provider: IdentityProvider, claimed: Claimed, secret: str, address: str, now: datetime) -> None:
        gone = SignInRefused("invitation", "This invitation was used before or is too old. Ask for a new one.")
        try:
            with self._catalogue.begin() as work:
                link = work.links.use(tokens.fingerprint(secret), LinkPurpose.INVITATION, now)
                user, grants = work.users.get(link.user_id), work.users.grants(link.user_id)
                if user.status is not UserStatus.PENDING or link.provider_id != provider.id:
                    raise gone
                user = replace(user, status=UserStatus.ACTIVE)
                _require_vouched(provider, user, grants)
                work.users.update(user)
                self._add(work, provider, claimed, user, now)
                done = Principal(kind=Kind.USER, id=user.id, name=user.username, address=address)
                accepted = event(done, "user.accept", now, tenant_id=own_tenant(grants), subject=user.id)
                work.audit.add(replace(accepted, detail={"issuer": provider.issuer}))
        except NotFound:
            raise gone from None

    @staticmethod
    def _add(work: Work, provider: IdentityProvider, claimed: Claimed, user: User, now: datetime) -> None:
        try:
            work.identities.add(Identity(new_id(), user.id, provider.issuer, claimed.subject, claimed.shown, now))
        except AlreadyExists:
            raise SignInRefused(
                "linked-already",
                message(
                    "This account at {host} is linked already, to you or to somebody else. Unlink it there first.",
                    host=host_of(provider.issuer),
                ),
            ) from None

    # --- one's own links ----------------------------------------------------------------------------------

    def list(self, by: Principal) -> Sequence[Identity]:
        """The person's own linked sign-ins."""
        with self._catalogue.read() as work:
            return work.identities.list(by.id)

    def linkable(self, by: Principal) -> Sequence[Offer]:
        """The providers that vouch for this person."""
        with self._catalogue.read() as work:
            user, grants = work.users.get(by.id), work.users.grants(by.id)
            found = [p for p in work.identity_providers.list() if may_vouch(p, user, grants)]
            return [Offer(p, None if p.tenant_id is None else work.tenants.get(p.tenant_id)) for p in found]

    def unlink(self, by: Principal, identity_id: str, proof: Proof) -> None:
        """Unlink one's own; other sessions that were opened by it end.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            NotFound: there is none, or it is another person's.
            Conflict: `last-way-in`: there is no password to sign in with afterwards.
        """
        if by.kind is not Kind.USER:
            raise Forbidden("unlink a sign-in without signing in as a person")
        self._accounts.reauthentication.require(by, proof)
        now = self._clock()
        with self._catalogue.begin() as work:
            user = work.users.get(by.id)
            gone = work.identities.remove(by.id, identity_id)
            if not (user.password_hash or work.identities.list(by.id)):
                raise Conflict("last-way-in", "Without it you could not sign in any more. Get a password first.")
            for provider in work.identity_providers.list():
                if provider.issuer == gone.issuer:
                    work.sessions.revoke_of_provider(provider.id, now, by.id)
            done = event(by, "identity.unlink", now, tenant_id=own_tenant(work.users.grants(by.id)), subject=by.id)
            work.audit.add(replace(done, detail={"issuer": gone.issuer}))
        self._accounts.notices.identity(user, by, gone.issuer, message("unlinked"))

    def redirect_uri(self, provider: IdentityProvider) -> str:
        """Where a provider sends people back to; what its own configuration has to allow.

        One a provider, so that none can answer in the name of another. Source: RFC 9700 section 4.4.2.2.
        """
        return f"{self._portal}{PATH}/{provider.id}/callback"


def _both_factors(provider: IdentityProvider, claimed: Claimed) -> bool:
    """Source: RFC 8176 section 2 (`mfa`), OpenID Connect Core 1.0 section 2 (acr)."""
    if provider.factors is FactorsAtProvider.CLAIMED:
        return "mfa" in claimed.amr or claimed.acr in provider.acr_values
    return provider.factors is FactorsAtProvider.BOTH


def _require_vouched(provider: IdentityProvider, user: User, grants: Collection[Grant]) -> None:
    if user.status is not UserStatus.ACTIVE:
        raise SignInRefused(user.status.value, "Your account here is not active. Ask an administrator.")
    if not may_vouch(provider, user, grants):
        raise SignInRefused(
            "not-vouched",
            "Your account here reaches more than this provider vouches for. Sign in with your password.",
        )
