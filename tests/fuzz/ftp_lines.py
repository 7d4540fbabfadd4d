"""Command lines for a running FTP gateway: whatever comes, the session answers or ends, and says nothing of a fault."""

from __future__ import annotations

import socket

from tests.fuzz.targets import Target
from tests.integration.ftp_world import PASSWORD, FtpWorld
from tests.services.logs import captured

_COMMANDS = {
    "acme": (
        b"TYPE I\r\nPASV\r\nMLSD /2025\r\nREST 5\r\nRETR /2025/03/27/x.wav\r\nABOR\r\n",
        b'CWD /2025/03\r\nLIST -la\r\nEPSV ALL\r\nSTAT -la /\r\nHASH /a "b".wav\r\nOPTS HASH SHA-256\r\nMDTM x\r\n',
        b"PORT 127,0,0,1,4,1\r\nEPRT |2|::1|1025|\r\nOPTS UTF8 ON\r\nOPTS MLST size;type;\r\nFEAT\r\nHELP LIST\r\n",
    ),
    "pbx": (
        b"MKD a\r\nALLO 9999\r\nRNFR a\r\nRNTO ../b\r\nSITE CHMOD 644 a\r\nMFMT 20260101 a\r\nRMD a\r\nDELE b\r\n",
    ),
    "nobody": (b"AUTH TLS-X\r\nPBSZ 0\r\nPROT C\r\nREIN\r\nUSER \xff\xff\r\nSIZE \0\r\nXSHA256 a\r\n",),
}
LINES = [
    f"USER {account}\r\nPASS {PASSWORD}\r\n".encode() + lines for account, sent in _COMMANDS.items() for lines in sent
]
_SECONDS = 10.0


def say(world: FtpWorld, data: bytes) -> None:
    """Send these lines, then QUIT, and read to the end.

    Raises:
        AssertionError: the gateway logged a fault of its own, or no longer greets.
        TimeoutError: it neither answered nor ended the session.
    """
    with captured() as logs, socket.create_connection(world.gateway.address, timeout=_SECONDS) as connection:
        assert connection.recv(1024).startswith(b"220"), "no greeting"
        answers = b""
        try:
            connection.sendall(data.replace(b"AUTH TLS\r", b"AUTH TLX\r") + b"\r\nQUIT\r\n")
            while piece := connection.recv(65536):
                answers += piece
        except ConnectionError:
            pass
    failed = [one for one in logs if one["log_level"] in ("error", "critical")]
    assert not failed, f"{failed[0].get('event')}: {failed[0].get('exception') or failed[0].get('exc_info')}"
    assert answers, "no answer at all"


def target(world: FtpWorld) -> dict[str, Target]:
    """For `tests.fuzz.targets.fuzz`, on a gateway that runs."""
    return {"FTP lines": (lambda _folder, data: say(world, data), LINES, ())}
