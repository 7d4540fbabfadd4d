"""Too many failures: counters of accounts, networks and addresses, the same for every door and every process.

Ten failures of one account from one network lock it there; from the sixth on it has to wait between them. To lock it
for everybody takes several networks, and then those from which it signed in before are let through all the same: nobody
locks somebody out by knowing the name. A browser that signed in before has a cookie and a counter of its own, which is
all that counts for it: neither the account's lock nor that of an address it shares keeps it out.

Source: OWASP, Slow Down Online Guessing Attacks with Device Cookies.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from recpipe.access.tokens import fingerprint, new_secret
from recpipe.addresses import parse_address
from recpipe.catalogue.people import name_key
from recpipe.catalogue.work import Work
from recpipe.errors import LockedOut

MOST_FAILURES = 10
# After so many, a person waits 1, 2, 4, 8 seconds before the next try is looked at.
FREE_FAILURES = 5
# Of one client that says the same thing again and again, so many count against its address.
MOST_REPEATS = 3
# Of one network, so many count against an account everywhere.
MOST_OF_ONE_NETWORK = 3
WINDOW = timedelta(minutes=5)
# How long a network is known after a login.
KNOWN_FOR = timedelta(days=90)
# Ten failures of a known browser in this time, and it is a stranger: a stolen cookie is worth few guesses.
DEVICE_WINDOW = timedelta(hours=1)
# A browser may be that of several people; one that has more forgets those it has not seen for longest.
MOST_DEVICES = 5
_DEVICE = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_ADDRESS = "address:"
_KNOWN = "known:"


class Holder(StrEnum):
    """What is knocked at. A person, an FTP account and a link of one name have nothing to do with each other."""

    PERSON = "person"
    FTP = "ftp"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody at the account of a name: the counters that decide, and what becomes of them."""

    account: str
    network: str  # of the account, there
    address: str
    client: str
    holder: Holder
    devices: tuple[str, ...] = ()

    @classmethod
    def at(cls, holder: Holder, username: str, address: str, devices: Collection[str] = ()) -> Attempt:
        """An attempt at this account, whether there is one or not; every spelling of a name is the same.

        The name is hashed: people type passwords where it belongs, and those must not lie in a table.

        Args:
            devices: what the browser's cookie holds, see `devices_of`.
        """
        account = account_key(holder, username)
        here = fingerprint(f"{account} {normal_network(address)}")[:32]
        known_by = tuple(_device_key(account, device) for device in devices)
        return cls(account, "network:" + here, address_key(address), address, holder, known_by)

    def check(self, work: Work, now: datetime) -> None:
        """Go on only where it is not locked.

        Raises:
            LockedOut: here, for this client, or (unless this network is known) everywhere.
        """
        device = self._trusted(work, now)
        if self.holder is Holder.PERSON:
            _slow_down(work, device or self.network, now)
        if device is None:
            everywhere = () if self._is_known(work, now) else (self.account,)
            check(work, (self.network, self.address, *everywhere), now)

    def check_address(self, work: Work, now: datetime) -> None:
        """Go on only where this client is not locked, or this is a browser that is known.

        Raises:
            LockedOut: it is.
        """
        if self._trusted(work, now) is None:
            check(work, (self.address,), now)

    @property
    def repeated(self) -> str:
        """The counter of a client that asks for this account again and again, see `repeat_key`."""
        return repeat_key(self.account, self.client)

    def failed(self, work: Work, now: datetime) -> None:
        """Count a failure."""
        if (device := self._trusted(work, now)) is not None:
            note(work, now, (device, self.network, self.address), self.repeated)
            return
        counted = len([at for at in work.failures.latest(self.network, MOST_OF_ONE_NETWORK) if at > now - WINDOW])
        everywhere = (self.account,) if counted < MOST_OF_ONE_NETWORK else ()
        note(work, now, (self.network, self.address, *everywhere), self.repeated)

    def take(self, work: Work, now: datetime) -> None:
        """Count an attempt against the account before it is known how it ends; see `take`.

        Raises:
            LockedOut: as `check`, but for the client's own counter.
        """
        if (device := self._trusted(work, now)) is not None:
            take(work, device, now, DEVICE_WINDOW)
            return
        take(work, self.network, now)
        if not self._is_known(work, now):
            take(work, self.account, now)

    def succeeded(self, work: Work, now: datetime) -> None:
        """Forget the account's failures here and everywhere, and know this network from now on."""
        work.failures.clear(self.network)
        work.failures.clear(self.account)
        work.known_networks.note(self._known, now)
        if (device := self._trusted(work, now)) is not None:
            work.failures.clear(device)
            work.known_networks.note(_KNOWN + device, now)

    def trust(self, work: Work, devices: Collection[str], now: datetime) -> tuple[str, ...]:
        """After a login: know this browser from now on. What its cookie is to hold.

        It gets a secret of the server's making, never one that it brought: that might be somebody else's as well.
        """
        if self._trusted(work, now) is not None:
            return tuple(devices)
        made = new_secret()
        work.known_networks.note(_KNOWN + _device_key(self.account, made), now)
        return (made, *devices)[:MOST_DEVICES]

    def _trusted(self, work: Work, now: datetime) -> str | None:
        """The counter of this browser, if the account signed in with it and it has not failed too often since."""
        for key in self.devices:
            if work.known_networks.has(_KNOWN + key, now - KNOWN_FOR):
                times = work.failures.latest(key, MOST_FAILURES)
                return None if len(times) == MOST_FAILURES and times[-1] > now - DEVICE_WINDOW else key
        return None

    @property
    def _known(self) -> str:
        return _KNOWN + self.network

    def _is_known(self, work: Work, now: datetime) -> bool:
        return work.known_networks.has(self._known, now - KNOWN_FOR)


def devices_of(cookie: str) -> tuple[str, ...]:
    """The secrets that a browser's cookie holds; nothing of a cookie that is none of ours."""
    return tuple(part for part in cookie[:400].split(".")[:MOST_DEVICES] if _DEVICE.fullmatch(part))


def _device_key(account: str, device: str) -> str:
    return "device:" + fingerprint(f"{account} {device}")[:32]


def account_key(holder: Holder, username: str) -> str:
    """The counter of an account from everywhere."""
    return "account:" + fingerprint(f"{holder} {name_key(username)}")[:32]


def token_key(digest: str, address: str) -> str:
    """The counter of one token that is wrong, at one client."""
    return "token:" + fingerprint(f"{digest} {normal_network(address)}")[:32]


def address_key(address: str) -> str:
    """The counter of a client: one IPv4 address, or the /64 that one IPv6 client has to itself."""
    return _ADDRESS + normal_network(address)


def way_key(way: str, address: str) -> str:
    """The counter of a client at a way in where nothing can be guessed, so that its failures lock that way alone."""
    return f"{way}:{normal_network(address)}"


def repeat_key(said: str, address: str) -> str:
    """The counter of a client that says the same thing again: the key of an account or a token.

    Many names from one address are an attack. One name or token again and again is a client that somebody forgot: its
    own counter stops it, and whoever else is behind its address must not be locked out with it.
    """
    return "repeat:" + fingerprint(f"{said} {normal_network(address)}")[:32]


def normal_network(address: str) -> str:
    """The part of an address that stands for one client; text that is no address stands for itself."""
    parsed = parse_address(address)
    if parsed is None:
        return fingerprint(address)[:32]
    if isinstance(parsed, ipaddress.IPv6Address):
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


def note(work: Work, now: datetime, keys: Collection[str], repeat: str = "") -> None:
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


def take(work: Work, key: str, now: datetime, window: timedelta = WINDOW) -> None:
    """Count one attempt before it is known how it ends, so that a hundred at the same time are still ten.

    Raises:
        LockedOut: the counter was full; leave the transaction by this error, and nothing was counted.
    """
    work.failures.note(key, now)
    times = work.failures.latest(key, MOST_FAILURES + 1)
    if len(times) > MOST_FAILURES and times[-1] > now - window:
        raise LockedOut(max(1, math.ceil((times[-1] + window - now).total_seconds())))


def take_asked(work: Work, what: str, name: str, address: str, now: datetime) -> None:
    """As `take`, for what nobody has to log in for: counted for the client and for the person it is about.

    Args:
        what: the counters' prefix.

    Raises:
        LockedOut: either counter was full.
    """
    take(work, f"{what}:{normal_network(address)}", now)
    take(work, f"{what}:{account_key(Holder.PERSON, name)}", now)


def _slow_down(work: Work, key: str, now: datetime) -> None:
    """Have somebody wait longer after each failure, without anybody waiting here: the answer says for how long.

    Raises:
        LockedOut: with those few seconds.
    """
    times = [at for at in work.failures.latest(key, MOST_FAILURES) if at > now - WINDOW]
    if FREE_FAILURES < len(times) < MOST_FAILURES:
        opens = times[0] + timedelta(seconds=2.0 ** (len(times) - FREE_FAILURES - 1))
        if opens > now:
            raise LockedOut(max(1, math.ceil((opens - now).total_seconds())))


def _opens_at(work: Work, key: str, now: datetime) -> datetime | None:
    times = work.failures.latest(key, MOST_FAILURES)
    if len(times) < MOST_FAILURES or times[-1] <= now - WINDOW:
        return None
    return times[-1] + WINDOW
