"""Which identity provider vouches for the people of a tenant, and which for those of the installation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from recpipe.access.audit import AuditTrail, event
from recpipe.access.checks import check_text
from recpipe.access.client_secrets import ClientSecrets
from recpipe.access.oidc import OidcClient, host_of
from recpipe.access.principal import Action, Principal
from recpipe.access.reauthentication import NO_PROOF, Proof, Reauthentication
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import FactorsAtProvider, IdentityProvider, Tenant
from recpipe.times import Clock

LONGEST_ID = 500  # characters of an issuer or a client id


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider that somebody may sign in at, and whose it is."""

    provider: IdentityProvider
    tenant: Tenant | None

    @property
    def label(self) -> str:
        """What the button says."""
        return self.provider.label or (self.tenant.title or self.tenant.name if self.tenant else self.host)

    @property
    def host(self) -> str:
        return host_of(self.provider.issuer)


class IdentityProviders:
    """Sets them up. For whoever may manage tenants. Thread-safe."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        trail: AuditTrail,
        secrets: ClientSecrets,
        reauthentication: Reauthentication,
        client: OidcClient,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._trail = trail
        self._secrets = secrets
        self._reauthentication = reauthentication
        self._client = client

    def list(self, by: Principal) -> Sequence[Offer]:
        """All of them, the installation's first.

        Raises:
            Forbidden: `by` may not manage tenants.
        """
        self._trail.require(by, Action.TENANTS)
        with self._catalogue.read() as work:
            found = work.identity_providers.list()
            return [Offer(p, None if p.tenant_id is None else work.tenants.get(p.tenant_id)) for p in found]

    def known(self, by: Principal) -> Sequence[Offer]:
        """Those that are switched on and vouch for people whom `by` may manage."""
        with self._catalogue.read() as work:
            found = [p for p in work.identity_providers.list() if p.enabled and by.may(Action.USERS, p.tenant_id)]
            return [Offer(p, None if p.tenant_id is None else work.tenants.get(p.tenant_id)) for p in found]

    def of(self, by: Principal, tenant_id: str | None) -> IdentityProvider | None:
        """That of a tenant, or of the installation; None where there is none.

        Raises:
            Forbidden: as `list`.
        """
        self._trail.require(by, Action.TENANTS)
        with self._catalogue.read() as work:
            try:
                return work.identity_providers.of(tenant_id)
            except NotFound:
                return None

    def offered(self, tenant_name: str | None) -> Offer | None:
        """Where people of a tenant may sign in, by any of its names; of the installation, for None. For everybody.

        None where there is no such tenant, or no provider that is switched on.
        """
        with self._catalogue.read() as work:
            try:
                tenant = None if tenant_name is None else work.tenants.named(tenant_name)
                provider = work.identity_providers.of(None if tenant is None else tenant.id)
            except NotFound:
                return None
            return Offer(provider, tenant) if provider.enabled else None

    def offers(self) -> bool:
        """Whether there is any that is switched on."""
        with self._catalogue.read() as work:
            return any(provider.enabled for provider in work.identity_providers.list())

    def set(
        self,
        by: Principal,
        tenant_id: str | None,
        issuer: str,
        client_id: str,
        *,
        client_secret: str | None = None,
        label: str = "",
        factors: FactorsAtProvider = FactorsAtProvider.ONE,
        acr_values: Collection[str] = (),
        enabled: bool = True,
        proof: Proof = NO_PROOF,
    ) -> IdentityProvider:
        """Set up the provider of a tenant, or of the installation, in place of the one before.

        The issuer is asked for its metadata and keys first. Sessions that the one before vouched for end where issuer
        or client changed, or it is switched off.

        Args:
            client_secret: None keeps the one before, where the client stays the same; "" for a public client.
            proof: of a person who is signed in.

        Raises:
            InputInvalid: an issuer that is no https URL, or another field that cannot be.
            IssuerUnavailable: it could not be asked, or what it says cannot be used. Nothing was changed.
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            Forbidden: as `list`. NotFound: there is no such tenant.
        """
        self._trail.require(by, Action.TENANTS)
        issuer = check_issuer(issuer)
        if not client_id or len(client_id) > LONGEST_ID or not (client_id.isascii() and client_id.isprintable()):
            raise InputInvalid("client_id", "The client id is what the provider calls this portal. Copy it from there.")
        values = tuple(acr_values)
        if any(not v.isascii() or not v.isprintable() or " " in v or len(v) > 200 for v in values) or len(values) > 20:
            raise InputInvalid("acr_values", "An acr value is a word or URL without spaces; at most 20 of them.")
        label = check_text("label", label)
        self._reauthentication.require(by, proof)
        before = self.of(by, tenant_id)
        provider_id = before.id if before else new_id()
        same = before is not None and (before.issuer, before.client_id) == (issuer, client_id)
        if client_secret is None:
            kept = before.client_secret if before is not None and same else ""
        else:
            kept = self._secrets.closed(provider_id, client_secret)
        if enabled:
            self._client.check(issuer)
        now = self._clock()
        wanted = IdentityProvider(provider_id, tenant_id, issuer, client_id, now, kept, label, factors, values, enabled)
        with self._catalogue.begin() as work:
            if tenant_id is not None:
                work.tenants.get(tenant_id)
            made = work.identity_providers.put(wanted)
            ended = 0 if same and enabled else work.sessions.revoke_of_provider(made.id, now)
            work.audit.add(
                event(
                    by,
                    "identity-provider.set",
                    now,
                    tenant_id=tenant_id,
                    subject=made.id,
                    issuer=issuer,
                    factors=factors.value,
                    enabled=enabled,
                    sessions=ended,
                )
            )
        return made

    def remove(self, by: Principal, tenant_id: str | None, proof: Proof = NO_PROOF) -> None:
        """Forget it; the sessions that it vouched for end.

        Raises:
            NotFound: there is none.
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            Forbidden: as `list`.
        """
        self._trail.require(by, Action.TENANTS)
        self._reauthentication.require(by, proof)
        now = self._clock()
        with self._catalogue.begin() as work:
            gone = work.identity_providers.of(tenant_id)
            work.identity_providers.remove(gone.id)
            ended = work.sessions.revoke_of_provider(gone.id, now)
            done = event(by, "identity-provider.remove", now, tenant_id=tenant_id, subject=gone.id, sessions=ended)
            work.audit.add(done)


def check_issuer(issuer: str) -> str:
    """Return an issuer as its ID tokens spell it.

    Raises:
        InputInvalid: it is none.
    """
    from recpipe.access.issuer_http import check_https

    try:
        if len(issuer) > LONGEST_ID or "?" in issuer:
            raise ValueError
        return check_https(issuer)
    except ValueError:
        raise InputInvalid(
            "issuer",
            "An issuer is an https URL without a query, such as https://login.example.com/realms/acme, exactly as "
            "the provider spells it: look at issuer in its /.well-known/openid-configuration.",
        ) from None
