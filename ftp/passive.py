"""How a data connection comes about: PASV and EPSV wait for the client, PORT and EPRT connect to it."""

from __future__ import annotations

import socket
from typing import Any

from ftp.data import Control
from ftp.pyftpdlib_seam import DataAcceptor, DataConnector
from recpipe import log
from recpipe.addresses import plain_address

_log = log.get(__name__)

_CONNECT_SECONDS = 30


class Passive(DataAcceptor):
    """PASV and EPSV: accepts one connection, from the control connection's peer and nobody else."""

    timeout = _CONNECT_SECONDS

    def __init__(self, cmd_channel: Control, extmode: bool = False) -> None:
        self._ports = cmd_channel.services.ports
        control = cmd_channel.socket
        host = control.getsockname()[0]
        listening = self._ports.listen(control.family, host)
        self._port = listening.getsockname()[1] if listening is not None else 0
        super().__init__(cmd_channel, listening)
        if listening is None:
            cmd_channel.respond("425 No passive port is free. Try again in a minute.")
            return
        if extmode:
            cmd_channel.respond(f"229 Entering extended passive mode (|||{self._port}|).")
        else:
            announced = cmd_channel.services.settings.ftp_masquerade_address or plain_address(host)
            numbers = ",".join([*announced.split("."), str(self._port // 256), str(self._port % 256)])
            cmd_channel.respond(f"227 Entering passive mode ({numbers}).")

    def __repr__(self) -> str:
        return f"<passive port {self._port}>"  # as for `Session`

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        if self.cmd_channel.remote_ip != addr[0]:
            # No reply: it would let strangers write lines into the dialogue of the client.
            _log.warning("foreign data connection refused", address=str(addr[0]), peer=self.cmd_channel.remote_ip)
            sock.close()
            return
        super().handle_accepted(sock, addr)

    def handle_timeout(self) -> None:
        _give_up(self)

    def close(self) -> None:
        super().close()
        if self._port:
            self._ports.release(self._port)
            self._port = 0


class Active(DataConnector):
    """PORT and EPRT: connects to the client; the session has checked address and port."""

    timeout = _CONNECT_SECONDS

    def handle_timeout(self) -> None:
        _give_up(self)


def _give_up(waiting: Passive | Active) -> None:
    session: Control = waiting.cmd_channel
    waiting.close()
    # 421 would be the end of the session; a client that only asked for a port needs no answer.
    if session.connected and (session.drop_awaited() or isinstance(waiting, Active)):
        session.respond(f"425 No data connection could be made within {_CONNECT_SECONDS} seconds.")
