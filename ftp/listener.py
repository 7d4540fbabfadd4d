"""A listening socket of the gateway."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ftp.pyftpdlib_seam import Server, Watched
from recpipe import log
from recpipe.errors import SettingsInvalid
from recpipe.settings import split_listen

_log = log.get(__name__)

_BACKLOG = 512


class Listener(Server, Watched):
    """One listening socket.

    Args:
        bound: non-blocking.
        accept: called in the loop's thread when somebody connects.
    """

    def __init__(self, bound: socket.socket, accept: Callable[[Listener], None], *, implicit_tls: bool) -> None:
        super().__init__(bound.fileno())
        self.socket = bound
        self.implicit_tls = implicit_tls
        self._accept = accept

    @classmethod
    def bind(cls, setting: str, name: str, accept: Callable[[Listener], None], *, implicit_tls: bool) -> Listener:
        """Listen on an address:port.

        Args:
            setting: the address and port.
            name: of the environment variable that sets it.

        Raises:
            SettingsInvalid: the address is taken, or is none of this machine's.
        """
        host, port = split_listen(setting)
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            bound.listen(_BACKLOG)
        except OSError as error:
            bound.close()
            raise SettingsInvalid(
                f"Cannot listen on {setting}: {error.strerror}. Stop what uses it, or set {name} to another address."
            ) from error
        bound.setblocking(False)
        return cls(bound, accept, implicit_tls=implicit_tls)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    # --- what the event loop asks ---------------------------------------------------------------------------

    def handle_read_event(self) -> None:
        self._accept(self)

    def handle_error(self) -> None:
        _log.exception("ftp listener failed")
