from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from recpipe.access import identity
from recpipe.access.principal import (
    ADMINISTRATIVE_ACTIONS,
    GRANTABLE_ACTIONS,
    TENANT_ACTIONS,
    Action,
    Kind,
    Principal,
    operator,
)
from recpipe.errors import Forbidden, NotFound
from recpipe.model import FtpAccount, FtpAccountKind, Grant, Role, Token, User, UserStatus
from tests.contracts.catalogue_samples import NOW

OWN, FOREIGN = "a" * 32, "f" * 32
READ = frozenset({Action.SEARCH, Action.DOWNLOAD})


def _user(role: Role) -> User:
    return User(id="1" * 32, username="ann", role=role, status=UserStatus.ACTIVE, created_at=NOW)


def _signed_in(role: Role, *actions: str) -> Principal:
    return identity.of_user(_user(role), [Grant("1" * 32, OWN, actions)], "")


def _with_token(role: Role, *scopes: str, actions: tuple[str, ...] = ()) -> Principal:
    token = Token("2" * 32, "1" * 32, "", "rp_abcde", "", scopes, NOW)
    return identity.of_token(token, _user(role), [Grant("1" * 32, OWN, actions)], "")


def _ftp(kind: FtpAccountKind) -> Principal:
    return identity.of_ftp_account(FtpAccount("3" * 32, OWN, "acme", "", NOW, kind=kind, spool="berlin"), "")


EVERYTHING = frozenset(Action)
# Who, what it may do with its own tenant, with a foreign one, and without any.
MATRIX = {
    "operator": (operator("root"), EVERYTHING, EVERYTHING, EVERYTHING),
    "administrator": (_signed_in(Role.ADMINISTRATOR), EVERYTHING, EVERYTHING, EVERYTHING),
    "client": (_signed_in(Role.CLIENT), TENANT_ACTIONS, frozenset(), frozenset()),
    "client with named actions": (
        _signed_in(Role.CLIENT, "play", "upload"),
        {"play", "upload"},
        frozenset(),
        frozenset(),
    ),
    "service": (_signed_in(Role.SERVICE, "search", "play"), {"search", "play"}, frozenset(), frozenset()),
    "service without actions": (_signed_in(Role.SERVICE), frozenset(), frozenset(), frozenset()),
    "service granted the system": (_signed_in(Role.SERVICE, "system", "tenants"), *[frozenset()] * 3),
    "auditor": (_signed_in(Role.SERVICE, "audit"), {"audit"}, frozenset(), frozenset()),
    "client granted nonsense": (_signed_in(Role.CLIENT, "fly"), frozenset(), frozenset(), frozenset()),
    "api": (_with_token(Role.API, *TENANT_ACTIONS), TENANT_ACTIONS, frozenset(), frozenset()),
    "api to read": (_with_token(Role.API, "search", "download", "system"), READ, frozenset(), frozenset()),
    "api to upload": (_with_token(Role.API, "upload", actions=("upload",)), {"upload"}, frozenset(), frozenset()),
    "api not granted to upload": (_with_token(Role.API, "upload"), frozenset(), frozenset(), frozenset()),
    "administrator's token": (_with_token(Role.ADMINISTRATOR, "search", "audit"), *[{"search", "audit"}] * 3),
    "administrator's token for one tenant": (
        _with_token(Role.ADMINISTRATOR, "search", "audit", f"tenant:{OWN}"),
        {"search", "audit"},
        frozenset(),
        frozenset(),
    ),
    "token without scopes": (_with_token(Role.ADMINISTRATOR), *[frozenset()] * 3),
    "token with a scope of the future": (_with_token(Role.ADMINISTRATOR, "fly"), *[frozenset()] * 3),
    "client's token for a foreign tenant": (
        _with_token(Role.CLIENT, "search", f"tenant:{FOREIGN}"),
        *[frozenset()] * 3,
    ),
    "FTP reader": (_ftp(FtpAccountKind.READER), READ, frozenset(), frozenset()),
    "FTP uploader": (_ftp(FtpAccountKind.UPLOADER), {"upload"}, frozenset(), frozenset()),
}


@pytest.mark.parametrize(("who", "action"), list(itertools.product(MATRIX, Action)))
def test_each_role_may_do_what_the_matrix_says_and_nothing_else(who: str, action: Action) -> None:
    principal, own, foreign, anywhere = MATRIX[who]

    assert principal.may(action, OWN) is (action in own)
    assert principal.may(action, FOREIGN) is (action in foreign)
    assert principal.may(action, None) is (action in anywhere)


@pytest.mark.parametrize("who", MATRIX)
def test_a_foreign_tenant_is_not_found_and_a_known_one_forbidden(who: str) -> None:
    principal, own, foreign, _ = MATRIX[who]

    for action in Action:
        if action not in own and principal.knows(OWN):
            with pytest.raises(Forbidden):
                principal.require(action, OWN)
        if action not in foreign and not principal.everything:
            with pytest.raises(NotFound) as answer:
                principal.require(action, FOREIGN)
            assert str(answer.value) == str(NotFound("tenant", FOREIGN))


@pytest.mark.parametrize("who", MATRIX)
def test_the_list_of_tenants_agrees_with_the_single_answers(who: str) -> None:
    principal = MATRIX[who][0]
    for action, tenant_id in itertools.product(Action, (OWN, FOREIGN)):
        tenants = principal.tenants(action)
        assert principal.may(action, tenant_id) is (tenants is None or tenant_id in tenants)


def test_every_action_is_either_grantable_or_administrative() -> None:
    assert frozenset(Action) == GRANTABLE_ACTIONS | ADMINISTRATIVE_ACTIONS
    assert not GRANTABLE_ACTIONS & ADMINISTRATIVE_ACTIONS


def test_grants_cannot_be_changed_after_the_login() -> None:
    principal = _signed_in(Role.CLIENT)
    with pytest.raises(TypeError):
        principal.grants[FOREIGN] = TENANT_ACTIONS  # type: ignore[index]


def test_an_uploader_writes_into_its_own_spool_alone() -> None:
    uploader = _ftp(FtpAccountKind.UPLOADER)

    assert uploader.may_upload("berlin", OWN)
    assert not uploader.may_upload("munich", OWN)
    assert not uploader.may_upload("berlin", FOREIGN)
    assert not uploader.may_upload("berlin")  # a spool of several tenants
    assert replace(uploader, grants={}).may_upload("berlin")  # the media server of all of them
    assert not _ftp(FtpAccountKind.READER).may_upload("berlin", OWN)


def test_a_token_bound_to_a_spool_writes_there_and_for_its_tenant_alone() -> None:
    bound = _with_token(Role.API, "upload", "spool:berlin", actions=("upload",))

    assert bound.may_upload("berlin", OWN)
    assert not bound.may_upload("munich", OWN)
    assert not bound.may_upload("berlin", FOREIGN)
    assert not bound.may_upload("berlin")  # a spool of several tenants
    assert _with_token(Role.ADMINISTRATOR, "upload", "spool:berlin").may_upload("berlin")


def test_names_in_the_audit_log_tell_the_kinds_apart() -> None:
    assert operator("root").name == "cli:root"
    assert _signed_in(Role.CLIENT).name == "ann"
    assert _with_token(Role.API).name == "ann/rp_abcde"
    assert _ftp(FtpAccountKind.READER).name == "ftp:acme"
    assert MATRIX["operator"][0].kind is Kind.OPERATOR
