"""For whom an identity provider may speak."""

from __future__ import annotations

from collections.abc import Collection

from recpipe.access.checks import own_tenant
from recpipe.model import Grant, IdentityProvider, User


def may_vouch(provider: IdentityProvider, user: User, grants: Collection[Grant]) -> bool:
    """Whether a provider may sign this user in.

    One of a tenant vouches for people of that tenant and of no other: who runs it could sign in as any of them. That of
    the installation vouches for everybody.
    """
    if not (provider.enabled and user.role.has_password):
        return False
    if provider.tenant_id is None:
        return True
    return not user.role.everything and own_tenant(grants) == provider.tenant_id
