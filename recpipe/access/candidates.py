"""Whom a user name means at a door, and why a password would not do there."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from recpipe.addresses import parse_address
from recpipe.model import User, UserStatus

Known = TypeVar("Known")


class Door(StrEnum):
    """Where somebody knocks."""

    HTTP = "http"
    API = "api"
    FTP = "ftp"


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Known]):
    """Who a user name means, and the hash to compare with; no hash where no password would do."""

    found: Known | None
    kept: str | None
    why: str  # for the audit log alone
    name: str
    tenant_id: str | None = None


def no_password_login(user: User, door: Door, now: datetime) -> str:
    """Why a password does not open this door for this user; "" where it does."""
    if user.status is not UserStatus.ACTIVE:
        return user.status.value
    if not user.role.has_password:
        return "token-only"
    if user.two_factors and door is not Door.HTTP:
        return "second-factor-needed"
    if not password_lives(user, now):
        return "password-expired"
    return "" if user.password_hash else "no-password"


def password_lives(user: User, now: datetime) -> bool:
    """Whether the password may still be used: one that somebody else made has an end."""
    return user.password_until is None or now < user.password_until


def is_inside(address: str, networks: Collection[str]) -> bool:
    if not networks:
        return True
    parsed = parse_address(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network) for network in networks)
