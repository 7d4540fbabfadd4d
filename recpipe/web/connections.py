"""HTTP connections: how many, of whom, and how long one may take to say what it wants. The server and its protocol."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import h11
import prometheus_client
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from recpipe import log, metrics
from recpipe.access.lockout import normal_network
from recpipe.addresses import parse_address, plain_address
from recpipe.settings import Settings

_log = log.get(__name__)

# Bytes on the wire for one of a chunked body: chunks of one byte have six. And so many more in all.
_MOST_FRAMING, _SPARE_FRAMING = 16, 64 * 1024
# A body is alive that brings so much in its time, an answer of which so much is taken; a byte now and then is neither.
_PIECE_BYTES = 1024
_STOP_SECONDS = 5
# What the kernel holds of an answer before it is sent. It would take megabytes for a client that stops reading, and say
# that more was taken only when a third of them has gone.
_UNSENT_BYTES = 256 * 1024
_HEAD_BYTES = 4096  # longer pieces are bodies, which are sent as they are
# asyncio takes in as many connections as its backlog says before any of them can be turned away; the kernel holds more.
_ACCEPTED_AT_ONCE, _KERNEL_BACKLOG = 16, 2048
_SAY_AGAIN_SECONDS = 60.0
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_EMPTY = b"content-length: 0\r\nconnection: close\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n" + _EMPTY
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _EMPTY

OPEN = prometheus_client.Gauge("recpipe_http_connections", "HTTP connections that are open", registry=metrics.REGISTRY)
CLOSED = prometheus_client.Counter(
    "recpipe_http_connections_refused",
    "HTTP connections closed for a limit: server, address, head, body or answer",
    ["limit"],
    registry=metrics.REGISTRY,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections, and how long a client may take.

    Args:
        proxies: addresses and networks that speak for many clients, so have no limit of their own.
    """

    connections: int
    per_address: int
    head_seconds: float
    body_seconds: float
    answer_seconds: float
    proxies: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            settings.http_max_connections,
            settings.http_max_per_address,
            settings.http_head_seconds,
            settings.http_body_seconds,
            settings.http_answer_seconds,
            settings.trusted_proxies,
        )


class Census:
    """The open connections of one server. For the thread of its loop alone.

    Who asks for nothing makes room: at a limit the connection that has waited longest without a whole request is
    closed for the new one, so a client that holds connections keeps nobody out. Only where all are at work is the
    new one turned away.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._everybody = "*" in limits.proxies
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in limits.proxies if _is_network(proxy)]
        self._counted_as: dict[Connection, str] = {}
        self._per_address: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # longest first
        self._said_at: dict[str, float] = {}

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a connection in, closing another for it where a limit is reached; False: there is no room."""
        counted_as = "" if self._is_proxy(address) else normal_network(address)
        crowded = bool(counted_as) and self._per_address[counted_as] >= self.limits.per_address
        if crowded and not self._make_room("address", counted_as):
            return False
        if len(self._counted_as) >= self.limits.connections and not self._make_room("server"):
            return False
        self._counted_as[connection] = counted_as
        self._per_address[counted_as] += 1
        OPEN.inc()
        return True

    def leave(self, connection: Connection) -> None:
        counted_as = self._counted_as.pop(connection, None)
        if counted_as is None:
            return
        self._waiting.pop(connection, None)
        self._per_address[counted_as] -= 1
        if not self._per_address[counted_as]:
            del self._per_address[counted_as]
        OPEN.dec()

    def waits(self, connection: Connection) -> None:
        """Note that a connection has no whole request now."""
        if connection in self._counted_as:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    def closed_for(self, limit: str) -> None:
        """Count a connection that a limit has closed, and say so once a minute."""
        CLOSED.labels(limit).inc()
        now = time.monotonic()
        if now - self._said_at.get(limit, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS:
            self._said_at[limit] = now
            _log.warning("http connection closed", limit=limit, open=len(self._counted_as))

    def _make_room(self, limit: str, counted_as: str | None = None) -> bool:
        self.closed_for(limit)
        for connection in self._waiting:
            if counted_as is None or self._counted_as[connection] == counted_as:
                self.leave(connection)
                connection.drop()
                return True
        return False

    def _is_proxy(self, address: str) -> bool:
        parsed = parse_address(address)
        return self._everybody or (parsed is not None and any(parsed in network for network in self._proxies))


class Config(uvicorn.Config):
    """uvicorn's settings with ours, and the census that all connections of the server share."""

    def __init__(self, app: Callable[..., Any], settings: Settings, **others: Any) -> None:
        super().__init__(
            app,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            server_header=False,
            backlog=_ACCEPTED_AT_ONCE,
            **others,
        )
        self.census = Census(Limits.of(settings))


class Server(uvicorn.Server):
    """uvicorn's server, whose log is not filled by a listening socket that cannot accept."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_LoopErrors())
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_KERNEL_BACKLOG)


class _Parser(h11.Connection):
    """h11's parser, which refuses a body that is mostly extensions of its chunks: they count to no limit of bodies."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._surplus = 0

    def receive_data(self, data: bytes) -> None:
        self._surplus += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._surplus = 0
        elif isinstance(event, h11.Data):
            self._surplus -= _MOST_FRAMING * len(event.data)
        elif event is h11.NEED_DATA and self.their_state is h11.SEND_BODY and self._surplus > _SPARE_FRAMING:
            raise h11.RemoteProtocolError("more chunk extensions than body", 400)
        return event


class _Joined:
    """A transport that sends the head of an answer together with its body: one segment where both are short.

    In two, some clients take 40 ms for it: they acknowledge the first late, and the second waits for that.

    Source: RFC 1122 section 4.2.3.2 (delayed acknowledgments), RFC 896 (Nagle).
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif data and len(data) <= _HEAD_BYTES:
            self._held = data
            self._loop.call_soon(self._send_held)
            return
        if data:
            self._transport.write(data)

    def close(self) -> None:
        self._send_held()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + len(self._held)

    def _send_held(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)


class Connection(H11Protocol):
    """One client's connection with a time for the head of a request, for each piece of its body, and of its answer."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Parser()
        self._census = config.census
        self._limits = config.census.limits
        self._timer: asyncio.TimerHandle | None = None
        self._works = False
        self._new_bytes = 0
        self._piece_at = 0.0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._untaken_bytes = 0
        self._taken_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport = cast(asyncio.Transport, _Joined(transport, self.loop))
        super().connection_made(transport)
        if self.client is not None:  # as `trusted_proxies` and the audit log write it
            self.client = (plain_address(self.client[0]), self.client[1])
        with suppress(AttributeError, OSError):  # Linux and macOS have it
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self._note_taken()
        self._look_at_answer()
        if self._census.admit(self, self.client[0] if self.client else ""):
            self._wait_for_head()
        else:
            transport.write(_BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        self._census.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._new_bytes += len(data)
        if self._new_bytes >= _PIECE_BYTES:
            self._new_bytes, self._piece_at = 0, self.loop.time()
        super().data_received(data)

    def resume_writing(self) -> None:
        self._note_taken()
        super().resume_writing()

    def handle_events(self) -> None:
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def drop(self) -> None:
        """Close at once, for somebody else's sake."""
        self._stop_timer()
        self.transport.abort()

    def _look(self) -> None:
        """See whether a request is being worked on now, and set the clock for what is awaited of the client."""
        works = self._at_work()
        if works == self._works:
            return
        self._works = works
        if works:
            self._census.works(self)
            self._stop_timer()
            if self.cycle.more_body:
                self._new_bytes, self._piece_at = 0, self.loop.time()
                self._timer = self.loop.call_later(self._limits.body_seconds, self._look_at_body)
        elif not self.transport.is_closing():
            self._wait_for_head()

    def _at_work(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever its type says
        return cycle is not None and not cycle.response_complete

    def _wait_for_head(self) -> None:
        self._census.waits(self)
        self._stop_timer()
        self._new_bytes = 0
        self._timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._census.closed_for("head")
        if self._new_bytes:
            self.transport.write(_TOO_SLOW)
        self.transport.close()

    def _look_at_body(self) -> None:
        if not self.cycle.more_body:
            return
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._piece_at = self.loop.time()  # it is we who let the client wait
        left = self._piece_at + self._limits.body_seconds - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look_at_body)
        else:
            self._census.closed_for("body")
            self.transport.abort()

    def _look_at_answer(self) -> None:
        """See now and then, to the very end, that what was sent is taken: closing alone waits for that for ever."""
        left = self.transport.get_write_buffer_size()
        if left == 0 or left > self._untaken_bytes or left <= self._untaken_bytes - _PIECE_BYTES:
            self._note_taken()
        elif self.loop.time() - self._taken_at >= self._limits.answer_seconds:
            self._census.closed_for("answer")
            self.transport.abort()
            return
        self._answer_timer = self.loop.call_later(self._limits.answer_seconds / 4, self._look_at_answer)

    def _note_taken(self) -> None:
        self._untaken_bytes, self._taken_at = self.transport.get_write_buffer_size(), self.loop.time()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _LoopErrors:
    """The loop's handler of errors: an accept without a descriptor is said once a second, all else as ever.

    asyncio tries to accept as often as the backlog is long, each try with a traceback.
    """

    def __init__(self) -> None:
        self._said_at = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_DESCRIPTORS or "socket" not in context:
            loop.default_exception_handler(context)
        elif loop.time() - self._said_at >= 1:
            self._said_at = loop.time()
            _log.error("http connection not accepted", error=error.strerror, effect="tried again every second")


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
