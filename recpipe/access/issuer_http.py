"""Requests to identity providers: bounded in time, size and number, over verified TLS, and to public addresses alone.

An issuer is a URL that somebody typed, and what it answers names more of them: none may make this server ask its own
network (SSRF), and none that hangs may hold more than a few threads.

Source: OWASP SSRF Prevention Cheat Sheet; RFC 9700 section 4.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from recpipe.addresses import Address, parse_address
from recpipe.errors import IssuerUnavailable, SettingsInvalid

SECONDS = 10.0
MOST_BYTES = 512 * 1024
AT_ONCE = 4
_PLACE_SECONDS = 1.0
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """What an issuer said."""

    status: int
    document: Mapping[str, Any]


class IssuerHttp:
    """Thread-safe.

    Args:
        networks: CIDR, where an issuer may be although the address is not public.
        authorities: PEM file of the certificates that vouch for issuers; None: those of the system.
        seconds: from the look-up of the name to the last byte.
    """

    def __init__(
        self, networks: Collection[str] = (), authorities: Path | None = None, *, seconds: float = SECONDS
    ) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._authorities = authorities
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def get(self, url: str) -> JsonAnswer:
        """Fetch a JSON document. A redirect is not followed: it is an answer like any other that is not 200.

        Raises:
            IssuerUnavailable: it was not reached, took too long, or answered with something else; says why.
        """
        return self._request("GET", url, {}, None)

    def post(self, url: str, headers: Mapping[str, str], body: str) -> JsonAnswer:
        """Send a form, and read the JSON document that answers it.

        Raises:
            IssuerUnavailable: as `get`.
        """
        form = {"content-type": "application/x-www-form-urlencoded"}
        return self._request("POST", url, {**headers, **form}, body.encode())

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> JsonAnswer:
        host, port, target = _parts(url)
        context = self._tls()
        connection = http.client.HTTPSConnection(host, port, timeout=self._seconds, context=context)

        def ask() -> JsonAnswer:
            plain = self._connected(host, port)
            try:
                connection.sock = context.wrap_socket(plain, server_hostname=host)
            except BaseException:
                plain.close()
                raise
            connection.request(method, target, body, {"accept": "application/json", "user-agent": "recpipe", **headers})
            answer = connection.getresponse()
            content = answer.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise IssuerUnavailable(host, f"its answer is larger than {MOST_BYTES:,} bytes")
            return JsonAnswer(answer.status, _document(host, content))

        try:
            return self._within_bounds(host, ask, partial(_hang_up, connection))
        except ssl.SSLCertVerificationError as error:
            raise IssuerUnavailable(host, f"its certificate is not trusted: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            raise IssuerUnavailable(host, f"it was not reached ({type(error).__name__})") from None

    def _within_bounds(self, host: str, ask: Callable[[], JsonAnswer], hang_up: Callable[[], None]) -> JsonAnswer:
        """In a thread of its own, since neither the resolver nor an answer of one byte a second can be timed."""
        if not self._places.acquire(timeout=_PLACE_SECONDS):
            raise IssuerUnavailable(host, "too many wait for its answer already")
        done: SimpleQueue[JsonAnswer | Exception] = SimpleQueue()

        def work() -> None:
            try:
                done.put(ask())
            except Exception as error:
                done.put(error)
            finally:
                hang_up()
                self._places.release()

        threading.Thread(target=work, name="issuer", daemon=True).start()
        try:
            outcome = done.get(timeout=self._seconds)
        except Empty:
            hang_up()
            raise IssuerUnavailable(host, f"it did not answer within {self._seconds:g} seconds") from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _connected(self, host: str, port: int) -> socket.socket:
        """A connection to an address that was looked at: asked for once more, a name may mean another one."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        refused, failed = 0, OSError("no address")
        for family, kind, protocol, _, address in found:
            if not self._may_ask(str(address[0])):
                refused += 1
                continue
            plain = socket.socket(family, kind, protocol)
            plain.settimeout(self._seconds)
            try:
                plain.connect(address)
                return plain
            except OSError as error:
                plain.close()
                failed = error
        if refused == len(found):
            raise IssuerUnavailable(
                host, "its address is not public; if it is yours, name the network in RECPIPE_OIDC_NETWORKS"
            )
        raise failed

    def _may_ask(self, text: str) -> bool:
        address = parse_address(text)
        if address is None:
            return False
        return is_public(address) or any(address in network for network in self._networks)

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._authorities)
        except (OSError, ssl.SSLError) as error:
            raise SettingsInvalid(
                f"RECPIPE_OIDC_CA_FILE: {self._authorities} cannot be read as PEM certificates ({error})."
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def is_public(address: Address) -> bool:
    """Whether this is an address of the internet: nobody's own network, also not within one that only translates."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64 or address in _IPV4_COMPATIBLE:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def check_https(url: str) -> str:
    """Return a URL that may be asked.

    Raises:
        ValueError: it is not https, has no host, or names a user, a query or a fragment.
    """
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("not an https URL of a host, without a user and a fragment")
    _ = parts.port  # raises ValueError for one that is none
    return url


def _parts(url: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(check_https(url))
    except ValueError:
        raise IssuerUnavailable(url[:100], "its address is not an https URL") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname or "", parts.port or 443, target


def _document(host: str, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IssuerUnavailable(host, "its answer is not a JSON object")
    return document


def _hang_up(connection: http.client.HTTPSConnection) -> None:
    """End it, also for a thread that reads from it."""
    if (open_socket := connection.sock) is not None:
        with suppress(OSError):
            open_socket.shutdown(socket.SHUT_RDWR)
    connection.close()
