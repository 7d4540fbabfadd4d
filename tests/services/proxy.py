"""A TCP proxy on loopback that breaks connections on purpose, between a client and a real server."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class FlakyProxy:
    """Forwards until told to misbehave; every fault is used up by the connection it hits.

    Attributes:
        cut_requests: so many connections are cut once a request has sent `cut_after` bytes.
        cut_answers: so many connections are cut once an answer has sent `cut_after` bytes.
        swallow_answers: so many answers are thrown away whole, their connection closed.
        stall: nothing of any answer is passed on.
        corrupt: bytes to replace in requests, and what by (of the same length).
        refuse_header: a request with this header (lower case) is answered with `refusal` and not passed on.
        refusal: status line and body; HEAD gets no body.
        bytes_a_second: of requests, of those connections that are made from then on; 0: as fast as it goes.
        asked: request lines of those that asked for a tunnel (CONNECT), which they get, wherever it is to lead.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self.cut_requests = self.cut_answers = self.swallow_answers = 0
        self.cut_after = 0
        self.stall = False
        self.corrupt: tuple[bytes, bytes] | None = None
        self.refuse_header = b""
        self.refusal = (b"501 Not Implemented", b"")
        self.refused = self.cuts = self.bytes_a_second = 0
        self.asked: list[bytes] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "http://{}:{}".format(*self._listener.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            if self.bytes_a_second:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._upstream, args=(client, server), daemon=True).start()
            threading.Thread(target=self._downstream, args=(client, server), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while data := client.recv(65536):
                if self.refuse_header and self.refuse_header in data.lower():
                    self._refuse(client, data)
                    break
                if data.startswith(b"CONNECT "):
                    self.asked.append(data)
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    continue
                if self.bytes_a_second:
                    time.sleep(len(data) / self.bytes_a_second)
                if self.corrupt:
                    data = data.replace(*self.corrupt)
                server.sendall(data)
                sent += len(data)
                if sent > self.cut_after and self._take("cut_requests"):
                    break
        self._end(client, server)

    def _downstream(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while data := server.recv(65536):
                if self.stall:
                    continue
                if self._take("swallow_answers"):
                    break
                client.sendall(data)
                sent += len(data)
                if sent > self.cut_after and self._take("cut_answers"):
                    break
        self._end(client, server)

    def _refuse(self, client: socket.socket, data: bytes) -> None:
        """Take the whole request, so that the client is still there to hear the answer."""
        head, _, body = data.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [b"", b"0"])[1])
        left = length - len(body)
        while left > 0 and (more := client.recv(65536)):
            left -= len(more)
        self.refused += 1
        status, body = self.refusal
        body = b"" if head.startswith(b"HEAD ") else body
        client.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)

    def _take(self, fault: str) -> bool:
        with self._lock:
            left: int = getattr(self, fault)
            if left:
                setattr(self, fault, left - 1)
                self.cuts += 1
            return bool(left)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._open.discard(one)
            one.close()


@contextmanager
def flaky_proxy(target: str) -> Iterator[FlakyProxy]:
    """A proxy before the server at `target` (a URL)."""
    proxy = FlakyProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
