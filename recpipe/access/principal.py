"""Who somebody turned out to be, and what they may do with which tenant. No I/O: decided when it was made."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from recpipe.errors import Forbidden, NotFound
from recpipe.messages import message
from recpipe.model import Direction, Role


class Action(StrEnum):
    """What can be allowed. The values are stored in grants and token scopes: never rename one."""

    SEARCH = "search"
    PLAY = "play"
    DOWNLOAD = "download"
    EXPORT = "export"
    ANNOTATE = "annotate"
    SHARE = "share"
    DELETE = "delete"
    KEYS = "keys"
    POLICY = "policy"
    DECIDE = "decide"
    FTP = "ftp"
    USERS = "users"
    UPLOAD = "upload"
    TENANTS = "tenants"
    QUARANTINE = "quarantine"
    AUDIT = "audit"
    SYSTEM = "system"


TENANT_ACTIONS = frozenset(
    {
        Action.SEARCH,
        Action.PLAY,
        Action.DOWNLOAD,
        Action.EXPORT,
        Action.ANNOTATE,
        Action.SHARE,
        Action.DELETE,
        Action.KEYS,
        Action.POLICY,
        Action.DECIDE,
        Action.FTP,
        Action.USERS,
        Action.AUDIT,
    }
)
# May be granted by name, but comes with no role: whoever may upload decides what counts as a recording.
GRANTABLE_ACTIONS = TENANT_ACTIONS | {Action.UPLOAD}
ADMINISTRATIVE_ACTIONS = frozenset({Action.TENANTS, Action.QUARANTINE, Action.SYSTEM})

_IN_WORDS = {
    Action.SEARCH: message("search recordings"),
    Action.PLAY: message("play recordings"),
    Action.DOWNLOAD: message("download recordings"),
    Action.EXPORT: message("export recordings"),
    Action.ANNOTATE: message("write notes and tags of calls"),
    Action.SHARE: message("make links to calls for people outside"),
    Action.DELETE: message("delete recordings"),
    Action.KEYS: message("manage encryption keys"),
    Action.POLICY: message("change which calls are recorded"),
    Action.DECIDE: message("ask whether to record"),
    Action.FTP: message("manage FTP accounts"),
    Action.USERS: message("manage users"),
    Action.UPLOAD: message("upload recordings"),
    Action.TENANTS: message("manage tenants"),
    Action.QUARANTINE: message("manage quarantined files"),
    Action.AUDIT: message("read the audit log"),
    Action.SYSTEM: message("operate the system"),
}

NOTHING: Mapping[str, frozenset[Action]] = MappingProxyType({})


class Kind(StrEnum):
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a kind of principal
    FTP = "ftp"
    LINK = "link"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are.

    Attributes:
        id: of the user (also behind a token), the FTP account or the shared link; "" for the operator.
        name: who the audit log says it was, such as `ann@example.com`, `ann@example.com/rp_3fXk9`, `ftp:acme`;
            of a link that ann made `ann@example.com/link:1f0c9a5e`.
        everything: may do anything with any tenant, within `scopes` and `only`.
        grants: tenant id -> what is allowed there. A tenant that is not in it does not exist for this principal.
        scopes: what a token is limited to; None: no limit of its own.
        only: tenants a token is limited to; None: no limit of its own.
        spools: labels of the spools it may upload into; empty: any, where uploading is allowed at all.
        extension, direction: an FTP account's subset; "" and None: all of its tenant's calls.
        recordings: ids of the only ones that a shared link is for; None: all of its tenants' recordings.
        credential_id: of the token, web session or opening of a link; "" where there is none.
        provider_id: of the identity provider that vouches for a person; "": who signed in here.
        second_factor: whether two factors opened this sign-in.
        stamp: changes with the password (or any change of an FTP account); `Access.still_valid` compares it.
    """

    kind: Kind
    id: str
    name: str
    role: Role | None = None
    address: str = ""
    everything: bool = False
    grants: Mapping[str, frozenset[Action]] = field(default_factory=lambda: NOTHING, hash=False)
    scopes: frozenset[Action] | None = None
    only: frozenset[str] | None = None
    spools: frozenset[str] = frozenset()
    extension: str = ""
    direction: Direction | None = None
    recordings: frozenset[str] | None = None
    credential_id: str = ""
    provider_id: str = ""
    second_factor: bool = False
    stamp: str = field(default="", repr=False)

    def may(self, action: Action, tenant_id: str | None = None) -> bool:
        """Whether this is allowed; without a tenant only administrative actions ever are."""
        if self.scopes is not None and action not in self.scopes:
            return False
        if self.everything:
            return self.only is None or tenant_id in self.only
        return tenant_id is not None and self.knows(tenant_id) and action in self.grants[tenant_id]

    def knows(self, tenant_id: str) -> bool:
        """Whether this principal has anything to do with a tenant at all."""
        inside = self.only is None or tenant_id in self.only
        return inside and (self.everything or tenant_id in self.grants)

    @property
    def known_tenants(self) -> frozenset[str] | None:
        """The tenants that `knows` is true of; None means every tenant there is."""
        if self.everything:
            return self.only
        return frozenset(t for t in self.grants if self.knows(t))

    def may_upload(self, spool: str, tenant_id: str | None = None) -> bool:
        """Whether it may put files into a spool.

        Args:
            tenant_id: whose recordings they will be; None: the spool serves several tenants, and only its own media
                server or whoever may do everything uploads there.
        """
        if self.kind is Kind.FTP:
            return spool in self.spools and (not self.grants or tenant_id in self.grants)
        if self.spools and spool not in self.spools:
            return False
        return self.may(Action.UPLOAD, tenant_id)

    @property
    def unlimited(self) -> bool:
        """Whether it may do anything at all: an administrator in person or the operator, no token with limits."""
        return self.everything and self.scopes is None and self.only is None

    def require(self, action: Action, tenant_id: str | None = None, what: str = "tenant", which: str = "") -> None:
        """Go on only where `may` says so.

        Args:
            what, which: the thing asked for, for the answer that says that there is none.

        Raises:
            NotFound: the tenant is nothing to this principal: the same answer as for one that does not exist.
            Forbidden: the tenant is known, the action is not allowed.
        """
        if self.may(action, tenant_id):
            return
        if tenant_id is not None and not self.knows(tenant_id):
            raise NotFound(what, which or tenant_id)
        raise Forbidden(_IN_WORDS[action])

    def tenants(self, action: Action) -> frozenset[str] | None:
        """The tenants with which this is allowed; None means every tenant there is."""
        if self.everything and self.only is None:
            return None if self.may(action) else frozenset()
        candidates = self.only if self.everything else frozenset(self.grants)
        return frozenset(t for t in candidates or () if self.may(action, t))


def allowed(role: Role, granted: Iterable[str]) -> frozenset[Action]:
    """What a grant gives: nothing named means whatever the role allows; an unknown word gives nothing."""
    named = frozenset(granted) & frozenset(a.value for a in GRANTABLE_ACTIONS)
    if named or role.needs_actions:
        return frozenset(Action(word) for word in named)
    return frozenset() if tuple(granted) else TENANT_ACTIONS


def operator(login: str | None = None) -> Principal:
    """Whoever runs the command line on this machine: holds the database and the store, so may do anything."""
    return Principal(kind=Kind.OPERATOR, id="", name=f"cli:{login or _login()}", everything=True)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return "unknown"
