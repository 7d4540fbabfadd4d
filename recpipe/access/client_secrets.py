"""The secrets by which identity providers know this portal: kept encrypted, each for its provider alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from recpipe import log
from recpipe.access.at_rest import AtRest, Purpose
from recpipe.access.oidc import host_of
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import IssuerUnavailable, SecretUnreadable
from recpipe.model import IdentityProvider

_log = log.get(__name__)


class ClientSecrets:
    """Thread-safe."""

    def __init__(self, at_rest: AtRest) -> None:
        self._at_rest = at_rest

    def closed(self, provider_id: str, secret: str) -> str:
        """What to keep in `IdentityProvider.client_secret`; "" of a public client stays so.

        Raises:
            SettingsInvalid: the installation's key cannot be read.
        """
        return self._at_rest.closed(Purpose.CLIENT_SECRET, secret, provider_id) if secret else ""

    def opened(self, provider: IdentityProvider) -> str:
        """The secret again; "" of a public client.

        Raises:
            IssuerUnavailable: it is under a key that is not here, or damaged; logged.
        """
        try:
            return self._opened(provider)
        except SecretUnreadable as error:
            _log.error("client secret unreadable", provider=provider.id, reason=str(error))
            raise IssuerUnavailable(
                host_of(provider.issuer), "this portal cannot read its own client secret; an administrator has to help"
            ) from None

    def seal_all(self, catalogue: Catalogue) -> int:
        """Seal anew what is under a former key of the installation; what cannot be read stays.

        Returns:
            How many were sealed anew.
        """
        done = 0
        with catalogue.begin() as work:
            for provider in work.identity_providers.list():
                if provider.client_secret and not self._at_rest.is_current(provider.client_secret):
                    with suppress(SecretUnreadable):
                        again = self.closed(provider.id, self._opened(provider))
                        work.identity_providers.put(replace(provider, client_secret=again))
                        done += 1
        return done

    def _opened(self, provider: IdentityProvider) -> str:
        kept = provider.client_secret
        return self._at_rest.opened(Purpose.CLIENT_SECRET, kept, provider.id) if kept else ""
