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
from recpipe.web.schemas.base import Moment, RequestModel, ResponseModel, SingleLine


class Proving(RequestModel):
    """What a person in a web session sends along with whatever opens a way in. Tokens have none to send."""

    current_password: str | None = Field(None, max_length=256, description="the caller's own")
    code: str | None = Field(None, max_length=20, description="in its place: what the authenticator app shows now")

    @property
    def proof(self) -> Proof:
        return Proof(self.current_password or "", self.code or "")


class AuditResponse(ResponseModel):
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
    def of(cls, happened: AuditEvent) -> AuditResponse:
        return cls.model_validate(happened, from_attributes=True)


class QuarantinedResponse(ResponseModel):
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
    def of(cls, entry: Quarantined) -> QuarantinedResponse:
        return cls.model_validate(entry, from_attributes=True)


class CallStated(RequestModel):
    """What a person says of the call of a quarantined file; what is empty is not stated."""

    started_at: SingleLine = Field(description="ISO 8601; without an offset it is in the spool's zone")
    direction: SingleLine = Field("", description="inbound, outbound or internal")
    caller: SingleLine = ""
    callee: SingleLine = ""
    extension: SingleLine = ""
    caller_name: SingleLine = ""
    callee_name: SingleLine = ""


class RetriedResponse(ResponseModel):
    """What a retry did."""

    entry: QuarantinedResponse
    back_in_spool: bool = Field(description="false: it had never left, and is tried again by itself")


class FtpAccountResponse(ResponseModel):
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
    def of(cls, account: FtpAccount) -> FtpAccountResponse:
        return cls.model_validate(account, from_attributes=True)


class FtpAccountRequest(Proving):
    """A new FTP account; without a password one is made."""

    username: SingleLine = Field(min_length=1, examples=["acme-office"])
    password: str | None = Field(None, max_length=256)
    kind: FtpAccountKind = FtpAccountKind.READER
    spool: SingleLine = Field("", description="of an uploader: where it writes")
    allowed_networks: list[SingleLine] = Field([], max_length=50, examples=[["192.0.2.0/24"]])
    extension: SingleLine = Field("", max_length=100, description="of a reader: only this extension's calls")
    direction: Direction | None = None


class FtpAccountChange(Proving):
    """What is left out stays. Live sessions of the account end. Switching it off alone takes no password."""

    enabled: bool | None = None
    allowed_networks: list[SingleLine] | None = Field(None, max_length=50)
    extension: SingleLine | None = Field(None, max_length=100)
    direction: Direction | None = Field(None, description="null takes the limit away")


class PasswordRequest(Proving):
    """A new password; without one it is made."""

    password: str | None = Field(None, max_length=256)


class UserPasswordRequest(PasswordRequest):
    """A new password, and what ends with the old one. FTP accounts have passwords of their own and are not touched.

    Of somebody else than the caller it is good for 72 hours, by when they have to choose another.
    """

    end_sessions: bool = Field(True, description="the user's web sessions; of one's own all others")
    end_tokens: bool = Field(True, description="the user's API tokens")


class FtpPasswordResponse(ResponseModel):
    """An account, and its password if it was made: shown this once."""

    account: FtpAccountResponse
    password: str | None


class GrantResponse(ResponseModel):
    """What a user may do with a tenant; no actions: whatever its role allows."""

    tenant_id: str
    actions: list[str]


class GrantRequest(RequestModel):
    """What a user shall be allowed."""

    tenant: SingleLine = Field(description="name or id", examples=["acme"])
    actions: list[Action] = Field([], max_length=20, description="none: whatever the role allows")


class UserRequest(Proving):
    """A new user. A password that is made or given here is good for 72 hours, by when they have to choose another."""

    username: SingleLine = Field(min_length=1, examples=["ann@example.com"])
    role: Role
    grants: list[GrantRequest] = Field([], max_length=1000)
    password: str | None = Field(None, max_length=256)
    generate: bool = Field(False, description="make a password")
    email: SingleLine = ""
    display_name: SingleLine = ""
    status: UserStatus = UserStatus.ACTIVE


class UserChange(Proving):
    """What is left out stays. A new `email` waits in `email_pending` until the letter to it was answered."""

    role: Role | None = None
    status: UserStatus | None = None
    grants: list[GrantRequest] | None = Field(None, max_length=1000)
    email: SingleLine | None = None
    display_name: SingleLine | None = None


class UserResponse(ResponseModel):
    """One user."""

    id: str
    username: str
    role: Role
    status: UserStatus
    email: str
    email_pending: str = Field(description="asked for, and not confirmed yet; letters go to `email`")
    display_name: str
    second_factor: bool
    password_until: datetime | None = Field(
        description="until then a password that somebody else made signs in; null: it is one's own"
    )
    created_at: datetime
    last_login_at: datetime | None
    grants: list[GrantResponse]

    @classmethod
    def of(cls, account: Account) -> UserResponse:
        user = account.user
        return cls(
            id=user.id,
            username=user.username,
            role=user.role,
            status=user.status,
            email=user.email,
            email_pending=user.email_pending,
            display_name=user.display_name,
            second_factor=user.two_factors,
            password_until=user.password_until,
            created_at=user.created_at,
            last_login_at=user.last_login_at,
            grants=[GrantResponse(tenant_id=g.tenant_id, actions=list(g.actions)) for g in account.grants],
        )


class UserPasswordResponse(ResponseModel):
    """A user, and its password if it was made: shown this once."""

    user: UserResponse
    password: str | None


class Ended(ResponseModel):
    """How many web sessions were ended."""

    sessions: int


class MayResponse(ResponseModel):
    """What the caller may do with a tenant."""

    tenant: str
    tenant_id: str
    actions: list[Action]


class MeResponse(ResponseModel):
    """Who the caller is."""

    user_id: str = Field(description="of the person, also behind a token")
    name: str
    role: Role | None
    tenants: list[MayResponse]


class TokenRequest(Proving):
    """A new token."""

    label: SingleLine = Field(min_length=1, max_length=100, examples=["nightly export"])
    scopes: list[SingleLine] = Field(
        min_length=1,
        max_length=100,
        description="actions, and optionally `tenant:ID` and `spool:NAME`",
        examples=[["search"]],
    )
    expires_at: Moment | None = None


class TokenResponse(ResponseModel):
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
    def of(cls, token: Token) -> TokenResponse:
        return cls.model_validate(token, from_attributes=True)


class NewTokenResponse(ResponseModel):
    """A token: `secret` is shown this once."""

    token: TokenResponse
    secret: str = Field(description="send it as `Authorization: Bearer ...`")
