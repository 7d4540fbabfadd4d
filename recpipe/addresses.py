"""Addresses of clients, as sockets and proxies write them, and origins, as browsers do."""

from __future__ import annotations

import functools
import ipaddress
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """Parse an address, dropping an IPv6 zone; an IPv4-mapped IPv6 address, as dual-stack sockets give it, is IPv4.

    Returns:
        None for text that is no address.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(text: str) -> bool:
    """Whether this is an address that only this machine itself has."""
    address = parse_address(text)
    return address is not None and address.is_loopback


@functools.lru_cache(1024)
def plain_address(text: str) -> str:
    """Normalise an address as `parse_address` does; text that is no address stays as it is."""
    address = parse_address(text)
    return text if address is None else str(address)


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, the port only where it is not the usual one; "" for none."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{host.removesuffix(usual)}" if host else ""
