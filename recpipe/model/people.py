"""People, programs and media servers: who may come in, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from recpipe.model.recording import Direction


class FtpAccountKind(StrEnum):
    READER = "reader"  # reads its tenant's recordings
    UPLOADER = "uploader"  # a media server: writes into one spool, reads nothing


@dataclass(frozen=True, slots=True)
class FtpAccount:
    id: str
    tenant_id: str | None  # None: an uploader whose spool serves several tenants
    username: str
    password_hash: str = field(repr=False)  # Argon2id, PHC string
    created_at: datetime
    kind: FtpAccountKind = FtpAccountKind.READER
    enabled: bool = True
    allowed_networks: tuple[str, ...] = ()  # CIDR; empty: from anywhere
    extension: str = ""  # reader: only this extension's calls
    direction: Direction | None = None  # reader: only calls of this direction
    spool: str = ""  # uploader: label of the spool
    generation: int = 1  # grows with every change: sessions of an older one end
    last_login_at: datetime | None = None


class Role(StrEnum):
    ADMINISTRATOR = "administrator"  # anything
    API = "api"  # programs, by token only
    CLIENT = "client"  # the tenants granted to it
    SERVICE = "service"  # granted tenants and granted actions

    @property
    def has_password(self) -> bool:
        """Whether a user of this role may have a password, and so sign in, be invited and recover it."""
        return self is not Role.API

    @property
    def needs_actions(self) -> bool:
        """Whether its grants have to name actions; with other roles a grant that names none means those of the role."""
        return self is Role.SERVICE

    @property
    def everything(self) -> bool:
        """Whether it may do anything with any tenant, without a grant."""
        return self is Role.ADMINISTRATOR


class UserStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    PENDING = "pending"  # invited, has no password yet
    REGISTERED = "registered"  # asked for an account and proved the address; waits for approval


# Letters that nobody gets unasked.
ON_REQUEST = frozenset({"quarantine", "completeness", "completeness-month", "statistics"})


@dataclass(frozen=True, slots=True)
class User:
    id: str
    username: str  # an e-mail address or a short name; upper and lower case alike
    role: Role
    status: UserStatus
    created_at: datetime
    email: str = ""
    email_pending: str = ""  # asked for; `email` stays until a letter to this one was answered
    display_name: str = ""
    password_hash: str | None = field(default=None, repr=False)  # Argon2id; None: no password login
    password_until: datetime | None = None  # made by somebody else, to choose another with until then; None: one's own
    contact: Mapping[str, str] = field(default_factory=dict)
    notifications: Mapping[str, bool] = field(default_factory=dict)
    totp_secret: str = field(default="", repr=False)  # "": no authenticator app
    totp_step: int = 0  # the last time step whose code was used: none is good twice
    recovery_hashes: tuple[str, ...] = field(default=(), repr=False)  # of the codes not used yet
    passkeys: int = 0  # how many; kept by the catalogue
    last_login_at: datetime | None = None

    @property
    def two_factors(self) -> bool:
        """Whether a password alone does not sign in."""
        return bool(self.totp_secret or self.passkeys)

    def wants(self, letter: str) -> bool:
        """Whether to send letters of this kind: some on request only, others unless declined."""
        return self.notifications.get(letter, letter not in ON_REQUEST)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user may do with a tenant. No actions: whatever its role allows."""

    user_id: str
    tenant_id: str
    actions: tuple[str, ...] = ()  # search, play, download, export, delete, keys, policy, decide, ftp, users


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    user_id: str
    label: str
    prefix: str  # first characters, to recognise it by
    hash: str = field(repr=False)  # SHA-256 of the token, lower-case hex
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    created_from: str = ""  # address of who made it; "": the command line
    last_used_from: str = ""
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebSession:
    id: str  # public: names the session in lists
    hash: str = field(repr=False)  # SHA-256 of the cookie's secret, lower-case hex
    user_id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime  # absolute
    address: str = ""
    user_agent: str = ""
    revoked_at: datetime | None = None
    provider_id: str = ""  # of the identity provider that vouched; "": signed in here
    second_factor: bool = False  # two factors opened it, here or where its provider asks for them


class LinkPurpose(StrEnum):
    INVITATION = "invitation"
    RECOVERY = "recovery"
    EMAIL = "email"  # to a new address, which counts once somebody reads there
    PASSKEY = "passkey"  # a challenge that was answered: none is good twice
    SECOND_FACTOR = "second-factor"  # the password was right, the code is still owed


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    id: str
    hash: str = field(repr=False)  # SHA-256 of the secret in the link, lower-case hex
    purpose: LinkPurpose
    user_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    provider_id: str = ""  # an invitation: is accepted by signing in there; a second factor: who vouched for the first


class FactorsAtProvider(StrEnum):
    """What the sign-in at an identity provider counts for."""

    ONE = "one"  # as a password: the second factor is asked for here, of who has one
    CLAIMED = "claimed"  # as both where the ID token claims so: `mfa` in amr, or one of the named acr
    BOTH = "both"  # as both, always: the provider asks everybody for them


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """An OpenID provider that vouches for people: of one tenant, or of the installation.

    Source: OpenID Connect Core 1.0.
    """

    id: str
    tenant_id: str | None  # None: of the installation
    issuer: str  # URL, exactly as its ID tokens say
    client_id: str
    created_at: datetime
    client_secret: str = field(default="", repr=False)  # closed, see `recpipe.access.at_rest`; "": a public client
    label: str = ""  # what people call it, on the button
    factors: FactorsAtProvider = FactorsAtProvider.ONE
    acr_values: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Identity:
    """A person at an issuer, linked to a user here."""

    id: str
    user_id: str
    issuer: str
    subject: str = field(repr=False)  # the issuer's own name for the person: the same for good, never another's
    shown: str  # what the issuer called the person when it was linked, for lists alone
    linked_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential of a user."""

    id: str
    user_id: str
    credential: str  # base64url
    public_key: bytes = field(repr=False)  # COSE
    sign_count: int  # the last one seen; 0 where the device does not count
    label: str
    created_at: datetime
    last_used_at: datetime | None = None
