"""Too many failures: one counter an account and one an address, the same for every door and every process."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Collection
from datetime import datetime, timedelta

from recpipe.access.tokens import fingerprint
from recpipe.catalogue.people import name_key
from recpipe.catalogue.work import Work
from recpipe.errors import LockedOut

MOST_FAILURES = 10
# Of one program that says the same thing again and again, so many count against its address.
MOST_REPEATS = 3
WINDOW = timedelta(minutes=5)
_ADDRESS = "address:"


def account_key(username: str) -> str:
    """The counter of an account, whether there is such an account or not; every spelling of a name has the same one.

    Hashed: people type passwords where the user name belongs, and those must not lie in a table.
    """
    return "account:" + fingerprint(name_key(username))[:32]


def token_key(digest: str, address: str) -> str:
    """The counter of one token that is wrong, at one client."""
    return "token:" + fingerprint(f"{digest} {normal_network(address)}")[:32]


def address_key(address: str) -> str:
    """The counter of a client: one IPv4 address, or the /64 that one IPv6 client has to itself."""
    return _ADDRESS + normal_network(address)


def repeat_key(said: str, address: str) -> str:
    """The counter of a program that says the same thing again: the key of an account or a token.

    Many names from one address are an attack. One name or token again and again is a client that somebody forgot: its
    own counter stops it, and whoever else is behind its address must not be locked out with it.
    """
    return "repeat:" + fingerprint(f"{said} {normal_network(address)}")[:32]


def normal_network(address: str) -> str:
    """The part of an address that stands for one client; text that is no address stands for itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return fingerprint(address)[:32]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def check(work: Work, keys: Collection[str], now: datetime) -> None:
    """Go on only where none of these counters is full.

    A locked counter counts no further failures, so it opens five minutes after the failures that filled it,
    whatever is tried meanwhile.

    Raises:
        LockedOut: with the seconds until the last of them opens.
    """
    opens = [_opens_at(work, key, now) for key in keys]
    latest = max((at for at in opens if at is not None), default=None)
    if latest is not None:
        raise LockedOut(max(1, math.ceil((latest - now).total_seconds())))


def note(work: Work, keys: Collection[str], now: datetime, repeat: str = "") -> None:
    """Count one failure on each.

    Args:
        repeat: a `repeat_key`: where that is full, the failure does not count against the address.
    """
    if repeat:
        times = work.failures.latest(repeat, MOST_REPEATS)
        if len(times) == MOST_REPEATS and times[-1] > now - WINDOW:
            keys = [key for key in keys if not key.startswith(_ADDRESS)]
        else:
            work.failures.note(repeat, now)
    for key in keys:
        work.failures.note(key, now)


def take(work: Work, key: str, now: datetime) -> None:
    """Count one attempt before it is known how it ends, so that a hundred at the same time are still ten.

    Raises:
        LockedOut: the counter was full; leave the transaction by this error, and nothing was counted.
    """
    work.failures.note(key, now)
    times = work.failures.latest(key, MOST_FAILURES + 1)
    if len(times) > MOST_FAILURES and times[-1] > now - WINDOW:
        raise LockedOut(max(1, math.ceil((times[-1] + WINDOW - now).total_seconds())))


def _opens_at(work: Work, key: str, now: datetime) -> datetime | None:
    times = work.failures.latest(key, MOST_FAILURES)
    if len(times) < MOST_FAILURES or times[-1] <= now - WINDOW:
        return None
    return times[-1] + WINDOW
