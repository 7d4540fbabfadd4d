"""Users, what they are granted, and API tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Path

from recpipe.access.principal import Action, Kind, Principal
from recpipe.errors import InputInvalid
from recpipe.web.api.openapi import declared
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst, PasswordPlace, WebContext
from recpipe.web.schemas import (
    Ended,
    GrantRequest,
    Listed,
    MayResponse,
    MeResponse,
    NewTokenResponse,
    TokenRequest,
    TokenResponse,
    UserChange,
    UserPasswordRequest,
    UserPasswordResponse,
    UserRequest,
    UserResponse,
)

router = APIRouter(prefix=API, dependencies=AUTHENTICATED, route_class=KnownFirst)

UserId = Annotated[str, Path(min_length=1, max_length=64)]
TokenId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/me", operation_id="who_am_i", tags=["users"], responses=declared())
def me(context: Context, principal: Caller) -> MeResponse:
    """Who you are, and what you may do with which tenant."""
    tenants = [
        MayResponse(tenant=t.name, tenant_id=t.id, actions=[action for action in Action if principal.may(action, t.id)])
        for t in context.parts.reader.tenants(principal)
    ]
    return MeResponse(user_id=principal.id, name=principal.name, role=principal.role, tenants=tenants)


@router.get("/users", operation_id="list_users", tags=["users"], responses=declared())
def every(context: Context, principal: Caller) -> Listed[UserResponse]:
    """The users you may manage, by name."""
    return Listed(items=[UserResponse.of(account) for account in context.parts.accounts.list(principal)])


@router.post("/users", operation_id="create_user", tags=["users"], status_code=201, responses=declared(404, 409))
def create(context: Context, principal: Caller, wanted: UserRequest, _place: PasswordPlace) -> UserPasswordResponse:
    """Make a user. A password that was made is in this answer and nowhere else."""
    made = context.parts.accounts.create(
        principal,
        wanted.username,
        wanted.role,
        grants=_grants(context, principal, wanted.grants),
        password=wanted.password,
        generate=wanted.generate,
        email=wanted.email,
        display_name=wanted.display_name,
        status=wanted.status,
        proof=wanted.proof,
    )
    return UserPasswordResponse(
        user=UserResponse.of(context.parts.accounts.get(principal, made.user.id)), password=made.password
    )


@router.get("/users/{user_id}", operation_id="get_user", tags=["users"], responses=declared(404))
def get(context: Context, principal: Caller, user_id: UserId) -> UserResponse:
    """One user."""
    return UserResponse.of(context.parts.accounts.get(principal, user_id))


@router.patch("/users/{user_id}", operation_id="change_user", tags=["users"], responses=declared(404, 409))
def change(
    context: Context, principal: Caller, user_id: UserId, wanted: UserChange, _place: PasswordPlace
) -> UserResponse:
    """Change or disable a user; sessions and tokens of one that is disabled stop within a second."""
    context.parts.accounts.get(principal, user_id)
    changed = context.parts.accounts.change(
        principal,
        user_id,
        role=wanted.role,
        status=wanted.status,
        grants=None if wanted.grants is None else _grants(context, principal, wanted.grants),
        email=wanted.email,
        display_name=wanted.display_name,
        proof=wanted.proof,
    )
    return UserResponse.of(changed)


@router.delete(
    "/users/{user_id}", operation_id="remove_user", tags=["users"], status_code=204, responses=declared(404, 409)
)
def remove(context: Context, principal: Caller, user_id: UserId) -> None:
    """Delete a user with its grants, tokens and sessions."""
    context.parts.accounts.remove(principal, user_id)


@router.post(
    "/users/{user_id}/password", operation_id="set_user_password", tags=["users"], responses=declared(404, 409)
)
def set_password(
    context: Context, principal: Caller, user_id: UserId, wanted: UserPasswordRequest, _place: PasswordPlace
) -> UserPasswordResponse:
    """Give somebody, or in a web session oneself, a new password; sessions and tokens end unless it says otherwise."""
    ends = {"end_sessions": wanted.end_sessions, "end_tokens": wanted.end_tokens}
    if principal.kind is Kind.USER and principal.id == user_id:
        if wanted.password is None:
            raise InputInvalid("password", "Choose your own new password: send it as password.")
        context.parts.accounts.change_own_password(principal, wanted.current_password or "", wanted.password, **ends)
        return UserPasswordResponse(user=UserResponse.of(context.parts.accounts.get(principal, user_id)), password=None)
    made = context.parts.accounts.set_password(principal, user_id, wanted.password, proof=wanted.proof, **ends)
    return UserPasswordResponse(
        user=UserResponse.of(context.parts.accounts.get(principal, user_id)), password=made.password
    )


@router.post("/users/{user_id}/end-sessions", operation_id="end_sessions", tags=["users"], responses=declared(404))
def end_sessions(context: Context, principal: Caller, user_id: UserId) -> Ended:
    """Sign a user out everywhere."""
    return Ended(sessions=context.parts.accounts.end_sessions(principal, user_id))


# --- tokens -----------------------------------------------------------------------------------------------------


@router.get("/tokens", operation_id="list_tokens", tags=["tokens"], responses=declared())
def tokens(context: Context, principal: Caller) -> Listed[TokenResponse]:
    """Tokens of every user you may manage, revoked and expired ones too."""
    return Listed(items=[TokenResponse.of(token) for token in context.parts.tokens.list(principal)])


@router.get("/users/{user_id}/tokens", operation_id="list_user_tokens", tags=["tokens"], responses=declared(404))
def tokens_of(context: Context, principal: Caller, user_id: UserId) -> Listed[TokenResponse]:
    """Tokens of one user."""
    return Listed(items=[TokenResponse.of(token) for token in context.parts.tokens.list(principal, user_id)])


@router.post(
    "/users/{user_id}/tokens",
    operation_id="create_token",
    tags=["tokens"],
    status_code=201,
    responses=declared(404, 409),
)
def create_token(
    context: Context, principal: Caller, user_id: UserId, wanted: TokenRequest, _place: PasswordPlace
) -> NewTokenResponse:
    """Make a token for a user. `secret` is in this answer and nowhere else."""
    made = context.parts.tokens.create(
        principal, user_id, wanted.label, wanted.scopes, wanted.expires_at, proof=wanted.proof
    )
    return NewTokenResponse(token=TokenResponse.of(made.token), secret=made.secret)


@router.delete("/tokens/{token_id}", operation_id="revoke_token", tags=["tokens"], responses=declared(404))
def revoke(context: Context, principal: Caller, token_id: TokenId) -> TokenResponse:
    """End a token within a second."""
    return TokenResponse.of(context.parts.tokens.revoke(principal, token_id))


def _grants(context: WebContext, principal: Principal, wanted: Iterable[GrantRequest]) -> dict[str, list[str]]:
    return {
        context.parts.reader.tenant_named(principal, grant.tenant).id: [action.value for action in grant.actions]
        for grant in wanted
    }
