"""What stands before the instance that is scanned: counts requests and answers, and gives each an address of its own.

A scanner guesses passwords and tokens on the way. Coming from one address it would be locked out, and see nothing of
what lies behind: so it seems to come from another one each time, as if from behind a proxy that is trusted.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LONGEST_HEAD = 256 * 1024
_OURS = re.compile(rb"(?i)(connection|keep-alive|x-forwarded-for):")
_COOKIE = re.compile(rb"(?i)cookie:")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


class Front:
    """Forwards to the port it is given; one request a connection.

    Attributes:
        cookie: in the place of what the scanner sends, where it is not empty.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._random = random.Random(1)
        self.port = 0
        self.cookie = ""
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self._connections: set[asyncio.Task[None] | None] = set()

    async def serve(self, ready: threading.Event, over: threading.Event) -> None:
        """Until it is over."""
        server = await asyncio.start_server(self._each, "127.0.0.1", 0, limit=_LONGEST_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            while not over.is_set():
                await asyncio.sleep(0.1)

    async def _each(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
            to_server.write(self._with_address(head))
            sending = asyncio.ensure_future(_pass_on(reader, to_server))
            with suppress(OSError):
                first = await from_server.read(65536)
                if found := _STATUS.match(first):
                    self.statuses[int(found[1])] += 1
                writer.write(first)
                await _pass_on(from_server, writer)
            sending.cancel()
            to_server.close()
        writer.close()
        self._connections.discard(task)

    def _with_address(self, head: bytes) -> bytes:
        first, *others = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        kept = [line for line in others if not _OURS.match(line)]
        # Of the block for measurements, RFC 2544: nobody has such an address.
        address = f"198.{self._random.randint(18, 19)}.{self._random.randint(0, 255)}.{self._random.randint(1, 254)}"
        if self.cookie:
            kept = [line for line in kept if not _COOKIE.match(line)] + [b"Cookie: " + self.cookie.encode()]
        more = [b"Connection: close", b"X-Forwarded-For: " + address.encode()]
        return b"\r\n".join([first, *kept, *more]) + b"\r\n\r\n"


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextmanager
def before(port: int) -> Iterator[Front]:
    """A front before this port of loopback."""
    front, ready, over = Front(port), threading.Event(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(front.serve(ready, over),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield front
    finally:
        over.set()
        thread.join(5)
