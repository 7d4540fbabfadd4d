"""FTP accounts of a tenant; under the tenant `-` those of media servers whose spool serves several tenants."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from recpipe.access.principal import Principal
from recpipe.web.api.openapi import declared
from recpipe.web.api.tenants import TenantWord
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, PasswordPlace, WebContext
from recpipe.web.schemas import (
    FtpAccountChange,
    FtpAccountRequest,
    FtpAccountResponse,
    FtpPasswordResponse,
    Listed,
    PasswordRequest,
)

NO_TENANT = "-"

router = APIRouter(
    prefix=f"{API}/tenants/{{tenant}}/ftp-accounts", tags=["ftp"], dependencies=AUTHENTICATED, route_class=KnownFirst
)

AccountId = Annotated[str, Path(min_length=1, max_length=64)]


def _owner(context: WebContext, principal: Principal, word: str) -> str | None:
    return None if word == NO_TENANT else context.parts.reader.tenant_named(principal, word).id


@router.get("", operation_id="list_ftp_accounts", responses=declared(404))
def every(context: Context, principal: Caller, tenant: TenantWord) -> Listed[FtpAccountResponse]:
    """The accounts of a tenant, by user name."""
    owner = _owner(context, principal, tenant)
    return Listed(
        items=[FtpAccountResponse.of(account) for account in context.parts.ftp_accounts.list(principal, owner)]
    )


@router.post("", operation_id="create_ftp_account", status_code=201, responses=declared(404, 409))
def create(
    context: Context, principal: Caller, tenant: TenantWord, wanted: FtpAccountRequest, _place: PasswordPlace
) -> FtpPasswordResponse:
    """Make an account. A password that was made is in this answer and nowhere else."""
    made = context.parts.ftp_accounts.create(
        principal,
        _owner(context, principal, tenant),
        wanted.username,
        password=wanted.password,
        kind=wanted.kind,
        spool=wanted.spool,
        allowed_networks=wanted.allowed_networks,
        extension=wanted.extension,
        direction=wanted.direction,
        proof=wanted.proof,
    )
    return FtpPasswordResponse(account=FtpAccountResponse.of(made.account), password=made.password)


@router.get("/{account_id}", operation_id="get_ftp_account", responses=declared(404))
def get(context: Context, principal: Caller, tenant: TenantWord, account_id: AccountId) -> FtpAccountResponse:
    """One account."""
    return FtpAccountResponse.of(
        context.parts.ftp_accounts.get(principal, _owner(context, principal, tenant), account_id)
    )


@router.patch("/{account_id}", operation_id="change_ftp_account", responses=declared(404, 409))
def change(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    account_id: AccountId,
    wanted: FtpAccountChange,
    _place: PasswordPlace,
) -> FtpAccountResponse:
    """Change or disable an account; its live sessions end within five seconds."""
    changed = context.parts.ftp_accounts.change(
        principal,
        _owner(context, principal, tenant),
        account_id,
        enabled=wanted.enabled,
        allowed_networks=wanted.allowed_networks,
        extension=wanted.extension,
        direction=wanted.direction,
        any_direction="direction" in wanted.model_fields_set and wanted.direction is None,
        proof=wanted.proof,
    )
    return FtpAccountResponse.of(changed)


@router.post("/{account_id}/password", operation_id="set_ftp_password", responses=declared(404, 409))
def set_password(
    context: Context,
    principal: Caller,
    tenant: TenantWord,
    account_id: AccountId,
    wanted: PasswordRequest,
    _place: PasswordPlace,
) -> FtpPasswordResponse:
    """A new password; the account's live sessions end."""
    owner = _owner(context, principal, tenant)
    made = context.parts.ftp_accounts.set_password(principal, owner, account_id, wanted.password, wanted.proof)
    return FtpPasswordResponse(account=FtpAccountResponse.of(made.account), password=made.password)


@router.delete("/{account_id}", operation_id="remove_ftp_account", status_code=204, responses=declared(404, 409))
def remove(context: Context, principal: Caller, tenant: TenantWord, account_id: AccountId) -> None:
    """Delete an account."""
    context.parts.ftp_accounts.remove(principal, _owner(context, principal, tenant), account_id)
