"""Wherever a password is set, the commonest are refused, and so are those made of the tenant's name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recpipe.errors import InputInvalid
from recpipe.model import Role
from tests.unit.access.world import ADDRESS, PASSWORD, World

Setting = Callable[[World, str], object]


def _create(world: World, password: str) -> object:
    acme = world.tenant("northwind")
    return world.accounts.create(world.root, "ann", Role.CLIENT, grants={acme.id: []}, password=password)


def _given_by_somebody_else(world: World, password: str) -> object:
    ann = world.user(grants={world.tenant("northwind").id: []})
    return world.accounts.set_password(world.root, ann.id, password)


def _changed(world: World, password: str) -> object:
    ann = world.user(grants={world.tenant("northwind").id: []})
    return world.accounts.change_own_password(world.principal(ann), PASSWORD, password)


def _invited(world: World, password: str) -> object:
    acme = world.tenant("northwind")
    link = world.links.invite(world.root, "ann", Role.CLIENT, grants={acme.id: []})
    return world.links.accept(link.secret, password, ADDRESS)


def _recovered(world: World, password: str) -> object:
    acme = world.tenant("northwind")
    ann = world.user("ann@portal.example", grants={acme.id: []})
    (link,) = world.links.recover(ann.username, ADDRESS)
    return world.links.reset(link.secret, password, ADDRESS)


def _ftp(world: World, password: str) -> object:
    return world.ftp_accounts.create(world.root, world.tenant("northwind").id, "office", password=password)


def _ftp_again(world: World, password: str) -> object:
    acme = world.tenant("northwind")
    account = world.ftp_accounts.create(world.root, acme.id, "office", password=PASSWORD).account
    return world.ftp_accounts.set_password(world.root, acme.id, account.id, password)


@pytest.mark.parametrize("password", ["Password2026!", "Northwind-2026"])
@pytest.mark.parametrize(
    "setting",
    [_create, _given_by_somebody_else, _changed, _invited, _recovered, _ftp, _ftp_again],
    ids=lambda setting: setting.__name__.strip("_"),
)
def test_wherever_a_password_is_set(world: World, setting: Setting, password: str) -> None:
    with pytest.raises(InputInvalid) as refused:
        setting(world, password)
    assert refused.value.field == "password"
