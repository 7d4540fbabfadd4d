"""Ports that passive data connections listen on."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading

from recpipe.errors import SettingsInvalid


class PassivePorts:
    """The ports of the configured range, each listening at most once. Thread-safe.

    Args:
        ports: empty: any port that is free.
    """

    def __init__(self, ports: range) -> None:
        self._ports = ports
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, setting: str) -> PassivePorts:
        """Make them of a setting such as 30000-30100; empty: any port that is free.

        Raises:
            SettingsInvalid: the text is no range of ports above 1023.
        """
        if not setting:
            return cls(range(0))
        first, _, last = setting.partition("-")
        with contextlib.suppress(ValueError):
            ports = range(int(first), int(last or first) + 1)
            if ports and ports[0] >= 1024 and ports[-1] <= 65535:
                return cls(ports)
        raise SettingsInvalid(
            f"{setting!r} is no range of ports. Write RECPIPE_FTP_PASSIVE_PORTS as 30000-30100, between 1024 and 65535."
        )

    def listen(self, family: int, host: str) -> socket.socket | None:
        """A listening socket on a random free port; None when there is none.

        Source: RFC 2577 section 5 (predictable ports let others steal a connection).
        """
        if not self._ports:
            return _listening(family, host, 0)
        first = secrets.randbelow(len(self._ports))
        for step in range(len(self._ports)):
            port = self._ports[(first + step) % len(self._ports)]
            with self._lock:
                if port in self._taken:
                    continue
                self._taken.add(port)
            found = _listening(family, host, port)
            if found is not None:
                return found
            self.release(port)
        return None

    def release(self, port: int) -> None:
        """Let others listen on a port."""
        with self._lock:
            self._taken.discard(port)


def _listening(family: int, host: str, port: int) -> socket.socket | None:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setblocking(False)
        found.bind((host, port))
        found.listen(1)
    except OSError:
        with contextlib.suppress(OSError):
            found.close()
        return None
    return found
