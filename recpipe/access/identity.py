"""From rows of the catalogue to principals: the one place where roles and grants become permissions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType

from recpipe.access.principal import NOTHING, Action, Kind, Principal, allowed
from recpipe.access.tokens import fingerprint
from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.model import FtpAccount, FtpAccountKind, Grant, Role, Token, User, UserStatus

FTP_READER_ACTIONS = frozenset({Action.SEARCH, Action.DOWNLOAD})

_TENANT_SCOPE = "tenant:"
_SPOOL_SCOPE = "spool:"
_ACTIONS = frozenset(action.value for action in Action)
_ID = re.compile(r"[0-9a-f]{32}")


def of_user(user: User, grants: Iterable[Grant], address: str, session_id: str = "") -> Principal:
    """What a signed-in user may do."""
    everything = user.role.everything
    return Principal(
        kind=Kind.USER,
        id=user.id,
        name=user.username,
        role=user.role,
        address=address,
        everything=everything,
        grants=NOTHING if everything else _permissions(user.role, grants),
        credential_id=session_id,
        stamp=user_stamp(user),
    )


def of_token(token: Token, user: User, grants: Iterable[Grant], address: str) -> Principal:
    """What a token may do: what its user may, within the token's scopes."""
    actions, only, spools = read_scopes(token.scopes)
    everything = user.role.everything
    return Principal(
        kind=Kind.TOKEN,
        id=user.id,
        name=token_name(user, token),
        role=user.role,
        address=address,
        everything=everything,
        grants=NOTHING if everything else _permissions(user.role, grants),
        scopes=actions,
        only=only or None,
        spools=spools,
        credential_id=token.id,
        stamp=user_stamp(user),
    )


def token_name(user: User, token: Token) -> str:
    """What the audit log calls who came with a token."""
    return f"{user.username}/{token.prefix}"


def of_ftp_account(account: FtpAccount, address: str) -> Principal:
    """What an FTP account may do: read its tenant's recordings (or a subset), or upload into its spool."""
    reads = account.kind is FtpAccountKind.READER
    actions = FTP_READER_ACTIONS if reads else frozenset({Action.UPLOAD})
    grants = NOTHING if account.tenant_id is None else MappingProxyType({account.tenant_id: actions})
    return Principal(
        kind=Kind.FTP,
        id=account.id,
        name=f"ftp:{account.username}",
        address=address,
        grants=grants,
        spools=frozenset() if reads else frozenset({account.spool}),
        extension=account.extension if reads else "",
        direction=account.direction if reads else None,
        stamp=str(account.generation),
    )


def user_stamp(user: User) -> str:
    """Changes when the password, the role or the second factor does."""
    return fingerprint("\0".join((user.password_hash or "", user.role, user.totp_secret, str(user.passkeys))))[:16]


def token_lives(token: Token, user: User, now: datetime) -> bool:
    """Whether a token still opens anything."""
    expired = token.expires_at is not None and token.expires_at <= now
    return token.revoked_at is None and not expired and user.status is UserStatus.ACTIVE


def read_scopes(scopes: Iterable[str]) -> tuple[frozenset[Action], frozenset[str], frozenset[str]]:
    """Actions, tenants and spools that the scopes of a token name; no tenants or spools named: no such limit.

    A scope that is not understood allows nothing.
    """
    actions, tenants, spools = set(), set(), set()
    for scope in scopes:
        if scope.startswith(_TENANT_SCOPE):
            tenants.add(scope.removeprefix(_TENANT_SCOPE))
        elif scope.startswith(_SPOOL_SCOPE):
            spools.add(scope.removeprefix(_SPOOL_SCOPE))
        elif scope in _ACTIONS:
            actions.add(Action(scope))
    return frozenset(actions), frozenset(tenants), frozenset(spools)


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes in order, when each is an action, `tenant:ID` or `spool:LABEL` and one is an action.

    Raises:
        InputInvalid: one is not, or no action is named.
    """
    chosen = tuple(sorted(set(scopes)))
    for scope in chosen:
        tenant = scope.startswith(_TENANT_SCOPE) and _ID.fullmatch(scope.removeprefix(_TENANT_SCOPE))
        spool = scope.startswith(_SPOOL_SCOPE) and scope != _SPOOL_SCOPE
        if not (tenant or spool or scope in _ACTIONS):
            raise InputInvalid(
                "scopes",
                message(
                    "{scope!r} is not a scope. Use {action}, tenant:ID or spool:NAME.",
                    scope=scope[:60],
                    action=", ".join(Action),
                ),
            )
    if not any(scope in _ACTIONS for scope in chosen):
        raise InputInvalid(
            "scopes", message("A token needs at least one action. Choose of {action}.", action=", ".join(Action))
        )
    return chosen


def _permissions(role: Role, grants: Iterable[Grant]) -> MappingProxyType[str, frozenset[Action]]:
    return MappingProxyType({grant.tenant_id: allowed(role, grant.actions) for grant in grants})
