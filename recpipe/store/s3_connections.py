"""Kept-alive HTTP/1.1 connections to one server, by Python's own client: a body is read straight into a buffer.

Source: RFC 9112 sections 3.2.2 (a proxy is asked for the whole URL) and 9.3 (persistence); RFC 9110 section 9.3.6.
"""

from __future__ import annotations

import select
import ssl
import weakref
from collections import deque
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import ResponseStreamingError
from botocore.httpsession import ProxyConfiguration

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE_BYTES = 1024 * 1024  # of a request's body: a time limit holds for each piece, not for all that a slow line takes
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_LEFT_BYTES = 64 * 1024  # of an answer that nobody reads: more costs less with its connection closed


class Connections:
    """Connections to the server of a URL, each used by one request at a time. Thread-safe.

    Args:
        origin: scheme, host and port of the server.
        proxy: URL of the HTTP proxy to ask; "" for none. May hold a name and password.
        ca_file: PEM file of the authorities that are trusted.
        spare: connections kept open between requests; more are made where more threads come, and closed after use.
        connect_seconds, read_seconds: how long to wait for a connection, and for each piece of a body either way.

    Attributes:
        made: connections made so far.
    """

    def __init__(
        self, origin: str, proxy: str, *, ca_file: str, spare: int, connect_seconds: float, read_seconds: float
    ) -> None:
        parts = urlsplit(origin)
        self._server = parts.hostname or "", parts.port
        first = urlsplit(proxy) if proxy else parts
        self._first = first.hostname or "", first.port or _DEFAULT_PORTS[first.scheme]
        self._proxy_headers: dict[str, str] = ProxyConfiguration().proxy_headers_for(proxy) if proxy else {}
        self._tunnels = bool(proxy) and parts.scheme == "https"
        self._before_target = origin if proxy and not self._tunnels else ""
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        self._spare: deque[HTTPConnection] = deque()
        self._most_spare = spare
        self.made = 0
        weakref.finalize(self, _close_all, self._spare)

    def request(self, method: str, target: str, body: bytearray | None, headers: dict[str, str]) -> Answer:
        """Send a request and wait for the head of its answer. Nothing is tried twice, and no redirect followed.

        Raises:
            OSError, HTTPException: from the connection.
        """
        connection = self._idle() or self._connect()
        if self._before_target:
            target, headers = self._before_target + target, headers | self._proxy_headers
        try:
            if body is None:
                connection.request(method, target, headers=headers)
            else:
                length = {"Content-Length": str(len(body))}
                connection.request(method, target, _pieces(memoryview(body)), headers | length)
            return Answer(connection.getresponse(), connection, self)
        except BaseException:
            connection.close()
            raise

    def take_back(self, connection: HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        if connection.sock is None or len(self._spare) >= self._most_spare:  # None: the server closes it
            connection.close()
        else:
            self._spare.append(connection)

    def _idle(self) -> HTTPConnection | None:
        while self._spare:
            try:
                connection = self._spare.pop()
            except IndexError:  # another thread was faster
                return None
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()  # the server has ended it, or speaks unasked
        return None

    def _connect(self) -> HTTPConnection:
        if self._tls is None:
            connection = HTTPConnection(*self._first, timeout=self._connect_seconds)
        else:
            connection = HTTPSConnection(*self._first, timeout=self._connect_seconds, context=self._tls)
        if self._tunnels:
            connection.set_tunnel(*self._server, headers=self._proxy_headers)
        connection.connect()
        connection.sock.settimeout(self._read_seconds)
        self.made += 1
        return connection


class Answer:
    """An answer whose body is read once. At its end the connection goes back; closed earlier, it is closed."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection, home: Connections) -> None:
        self.status = response.status
        self.headers = response.headers
        self.length = response.length  # of its body, where the server says it
        self._response = response
        self._connection: HTTPConnection | None = connection
        self._home = home

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what is there, up to the length of `buffer`; 0 at the end, also where that comes too early.

        Raises:
            ResponseStreamingError: from the connection.
        """
        try:
            count = self._response.readinto(buffer)
        except (OSError, HTTPException) as error:
            self.close()
            raise ResponseStreamingError(error=error) from error
        self._part()
        return count

    def drain(self) -> None:
        """Read what nobody wants."""
        self._response.read(_MOST_LEFT_BYTES)
        self._part()
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._response.close()

    def _part(self) -> None:
        if self._response.isclosed() and self._connection is not None:
            self._home.take_back(self._connection)
            self._connection = None


def _pieces(body: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _close_all(connections: deque[HTTPConnection]) -> None:
    while connections:
        connections.pop().close()
