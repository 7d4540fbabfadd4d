"""Users, tokens, FTP accounts, and what waits or happened, as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from recpipe.access.accounts import Account
from recpipe.access.principal import Action
from recpipe.access.reauthentication import Proof
from recpipe.model import (
    AuditEvent,
    Direction,
    FtpAccount,
    FtpAccountKind,
    Outcome,
    Quarantined,
    Role,
    Token,
    UserStatus,
)
from recpipe.web.schemas.base import Given, Line, Moment, Taken


class Proving(Taken):
    """What a person in a web session sends along with whatever opens a way in. Tokens have none to send."""

    current_password: str | None = Field(None, max_length=256, description="the caller's own")
    code: str | None = Field(None, max_length=20, description="in its place: what the authenticator app shows now")

    @property
    def proof(self) -> Proof:
        return Proof(self.current_password or "", self.code or "")


class AuditGiven(Given):
    """One event."""

    at: datetime
    actor: str
    action: str
    outcome: Outcome
    tenant_id: str | None
    address: str
    subject: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, happened: AuditEvent) -> AuditGiven:
        return cls.model_validate(happened, from_attributes=True)


class QuarantinedGiven(Given):
    """One file that waits for a person."""

    id: str
    spool: str
    relative: str = Field(description="path in the spool, as the PBX wrote it")
    tenant_id: str | None
    reason: str
    message: str
    held: bool = Field(description="true: waits in place; false: moved aside")
    first_seen_at: datetime
    last_seen_at: datetime
    attempts: int
    size_bytes: int

    @classmethod
    def of(cls, entry: Quarantined) -> QuarantinedGiven:
        return cls.model_validate(entry, from_attributes=True)


class RetriedGiven(Given):
    """What a retry did."""

    entry: QuarantinedGiven
    back_in_spool: bool = Field(description="false: it had never left, and is tried again by itself")


class FtpAccountGiven(Given):
    """One FTP account. Its password is shown once, when it is made."""

    id: str
    tenant_id: str | None
    username: str
    kind: FtpAccountKind
    enabled: bool
    allowed_networks: list[str]
    extension: str
    direction: Direction | None
    spool: str
    created_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, account: FtpAccount) -> FtpAccountGiven:
        return cls.model_validate(account, from_attributes=True)


class FtpAccountWanted(Proving):
    """A new FTP account; without a password one is made."""

    username: Line = Field(min_length=1, examples=["acme-office"])
    password: str | None = Field(None, max_length=256)
    kind: FtpAccountKind = FtpAccountKind.READER
    spool: Line = Field("", description="of an uploader: where it writes")
    allowed_networks: list[Line] = Field([], max_length=50, examples=[["192.0.2.0/24"]])
    extension: Line = Field("", max_length=100, description="of a reader: only this extension's calls")
    direction: Direction | None = None


class FtpAccountChange(Taken):
    """What is left out stays. Live sessions of the account end."""

    enabled: bool | None = None
    allowed_networks: list[Line] | None = Field(None, max_length=50)
    extension: Line | None = Field(None, max_length=100)
    direction: Direction | None = Field(None, description="null takes the limit away")


class PasswordWanted(Proving):
    """A new password; without one it is made."""

    password: str | None = Field(None, max_length=256)


class UserPasswordWanted(PasswordWanted):
    """A new password, and what ends with the old one. FTP accounts have passwords of their own and are not touched."""

    end_sessions: bool = Field(True, description="the user's web sessions; of one's own all others")
    end_tokens: bool = Field(True, description="the user's API tokens")


class FtpPasswordGiven(Given):
    """An account, and its password if it was made: shown this once."""

    account: FtpAccountGiven
    password: str | None


class GrantGiven(Given):
    """What a user may do with a tenant; no actions: whatever its role allows."""

    tenant_id: str
    actions: list[str]


class GrantWanted(Taken):
    """What a user shall be allowed."""

    tenant: Line = Field(description="name or id", examples=["acme"])
    actions: list[Action] = Field([], max_length=20, description="none: whatever the role allows")


class UserWanted(Proving):
    """A new user."""

    username: Line = Field(min_length=1, examples=["ann@example.com"])
    role: Role
    grants: list[GrantWanted] = Field([], max_length=1000)
    password: str | None = Field(None, max_length=256)
    generate: bool = Field(False, description="make a password")
    email: Line = ""
    display_name: Line = ""
    status: UserStatus = UserStatus.ACTIVE


class UserChange(Proving):
    """What is left out stays. A new `email` waits in `email_pending` until the letter to it was answered."""

    role: Role | None = None
    status: UserStatus | None = None
    grants: list[GrantWanted] | None = Field(None, max_length=1000)
    email: Line | None = None
    display_name: Line | None = None


class UserGiven(Given):
    """One user."""

    id: str
    username: str
    role: Role
    status: UserStatus
    email: str
    email_pending: str = Field(description="asked for, and not confirmed yet; letters go to `email`")
    display_name: str
    second_factor: bool
    created_at: datetime
    last_login_at: datetime | None
    grants: list[GrantGiven]

    @classmethod
    def of(cls, account: Account) -> UserGiven:
        user = account.user
        return cls(
            id=user.id,
            username=user.username,
            role=user.role,
            status=user.status,
            email=user.email,
            email_pending=user.email_pending,
            display_name=user.display_name,
            second_factor=bool(user.totp_secret),
            created_at=user.created_at,
            last_login_at=user.last_login_at,
            grants=[GrantGiven(tenant_id=g.tenant_id, actions=list(g.actions)) for g in account.grants],
        )


class UserPasswordGiven(Given):
    """A user, and its password if it was made: shown this once."""

    user: UserGiven
    password: str | None


class Ended(Given):
    """How many web sessions were ended."""

    sessions: int


class MayGiven(Given):
    """What the caller may do with a tenant."""

    tenant: str
    tenant_id: str
    actions: list[Action]


class MeGiven(Given):
    """Who the caller is."""

    user_id: str = Field(description="of the person, also behind a token")
    name: str
    role: Role | None
    tenants: list[MayGiven]


class TokenWanted(Proving):
    """A new token."""

    label: Line = Field(min_length=1, max_length=100, examples=["nightly export"])
    scopes: list[Line] = Field(
        min_length=1,
        max_length=100,
        description="actions, and optionally `tenant:ID` and `spool:NAME`",
        examples=[["search"]],
    )
    expires_at: Moment | None = None


class TokenGiven(Given):
    """One API token. The token itself is shown once, when it is made."""

    id: str
    user_id: str
    label: str
    prefix: str = Field(description="first characters, to recognise it by")
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    created_from: str = Field(description="address of who made it; empty: the command line, or not known")
    last_used_at: datetime | None
    last_used_from: str = Field(description="address; empty: never, or not known")
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: Token) -> TokenGiven:
        return cls.model_validate(token, from_attributes=True)


class NewTokenGiven(Given):
    """A token: `secret` is shown this once."""

    token: TokenGiven
    secret: str = Field(description="send it as `Authorization: Bearer ...`")
