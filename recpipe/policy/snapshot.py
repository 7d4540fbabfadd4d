"""The policies of all tenants and the tokens that may ask, in memory: what answers while the database is away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from recpipe.access import identity
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.policy import PolicyHead
from recpipe.catalogue.work import Work
from recpipe.model import CallPolicy


@dataclass(frozen=True, slots=True)
class Asking:
    """A token whose scopes allow to ask."""

    principal: Principal
    label: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read at one moment.

    Attributes:
        names: every name and alias of a tenant, in lower case, with its id.
        tokens: by the hash of the token.
    """

    read_at: datetime
    policies: Mapping[str, CallPolicy] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, Asking] = field(default_factory=dict)
    heads: frozenset[PolicyHead] = frozenset()

    def policy(self, tenant: str) -> CallPolicy | None:
        """That of a tenant, by name, alias or id."""
        return self.policies.get(self.names.get(tenant.strip().casefold(), tenant))


def read(work: Work, now: datetime, before: Snapshot | None) -> Snapshot:
    """What holds now; of policies, only those that changed are read again."""
    heads = frozenset(work.policies.heads())
    known = before.policies if before is not None else {}
    if before is not None and heads == before.heads:
        policies: Mapping[str, CallPolicy] = known
    else:
        changed = heads - before.heads if before is not None else heads
        there = {head.tenant_id for head in heads}
        kept = {tenant_id: policy for tenant_id, policy in known.items() if tenant_id in there}
        policies = kept | dict(work.policies.of([head.tenant_id for head in changed]))
    return Snapshot(now, policies, work.policies.names(), _tokens(work, now), heads)


def _tokens(work: Work, now: datetime) -> Mapping[str, Asking]:
    live = [t for t in work.tokens.with_scope(Action.DECIDE.value) if t.expires_at is None or t.expires_at > now]
    people = work.users.active({token.user_id for token in live})
    found = {}
    for token in live:
        if (person := people.get(token.user_id)) is not None:
            user, grants = person
            principal = identity.of_token(token, user, grants, "")
            found[token.hash] = Asking(principal, token.label or token.prefix, token.expires_at)
    return found
