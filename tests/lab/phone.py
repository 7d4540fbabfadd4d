"""A SIP phone: baresip, told what to do and telling what happens by its control socket (JSON in netstrings)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

ADDRESS = "10.9.9.1"
DEVICE = "lab0"
_MODULES = ("stdio", "g711", "g722", "opus", "aufile")
_APPLICATIONS = ("contact", "ctrl_tcp", "menu")
_CONFIG = """\
sip_listen {address}:{port}
net_interface {device}
rtp_ports {rtp}-{rtp_last}
call_max_calls 4
audio_player aufile,{folder}/heard.wav
audio_source aufile,{says}
audio_alert aufile,{folder}/alert.wav
ausrc_srate 16000
module_path /usr/lib/baresip/modules
{modules}
module_tmp uuid.so
module_tmp account.so
{applications}
ctrl_tcp_listen 127.0.0.1:{control}
"""


class Phone:
    """One phone.

    Args:
        start: runs a program in the background, given its name and its words.
        account: as baresip writes it in its `accounts`, without the proxy.
        says: the WAV file that is heard from it.
    """

    def __init__(
        self, start: Callable[[str, list[str]], object], folder: Path, port: int, account: str, says: Path
    ) -> None:
        folder.mkdir(parents=True)
        control = port - 600
        config = _CONFIG.format(
            address=ADDRESS,
            port=port,
            device=DEVICE,
            rtp=port * 4,
            rtp_last=port * 4 + 60,
            folder=folder,
            says=says,
            modules="\n".join(f"module {name}.so" for name in _MODULES),
            applications="\n".join(f"module_app {name}.so" for name in _APPLICATIONS),
            control=control,
        )
        (folder / "config").write_text(config)
        (folder / "accounts").write_text(f'{account};outbound="sip:{ADDRESS}:5060"\n')
        (folder / "contacts").touch()
        start(f"phone-{folder.name}", ["baresip", "-f", str(folder)])
        self._events: list[str] = []
        self._changed = threading.Condition()
        self._socket = _connected(control)
        threading.Thread(target=self._listen, daemon=True).start()

    def do(self, command: str, params: str = "") -> None:
        """Give a command, such as dial, accept, hold, resume or hangup."""
        text = json.dumps({"command": command, "params": params, "token": "lab"}).encode()
        self._socket.sendall(b"%d:%s," % (len(text), text))

    def dial(self, number: str) -> None:
        self.do("dial", f"sip:{number}@{ADDRESS}")

    def wait(self, event: str, seconds: float = 60.0) -> None:
        """Return when this has happened since it was waited for last: CALL_INCOMING, CALL_ESTABLISHED, REGISTER_OK, ...

        Raises:
            TimeoutError: it did not happen in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: event in self._events, seconds):
                raise TimeoutError(f"{event} did not come; these did: {self._events}")
            del self._events[: self._events.index(event) + 1]

    def _listen(self) -> None:
        with self._socket.makefile("rb") as stream:
            while (length := _length(stream.read(1), stream.read)) is not None:
                message = json.loads(stream.read(length))
                stream.read(1)
                if message.get("event"):
                    with self._changed:
                        self._events.append(str(message.get("type")))
                        self._changed.notify_all()


def _length(first: bytes, read: Callable[[int], bytes]) -> int | None:
    digits = b""
    while first.isdigit():
        digits += first
        first = read(1)
    return int(digits) if digits else None


def _connected(port: int) -> socket.socket:
    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise TimeoutError(f"no phone listens on port {port}")
