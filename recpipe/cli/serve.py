"""`recpipe serve`: everything in one process, or the roles that are asked for."""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from recpipe import allocator, descriptors, log, wiring
from recpipe.cli import interrupts
from recpipe.cli.roles import RoleName
from recpipe.errors import CatalogueUnavailable, RecpipeError, SettingsInvalid, StoreError
from recpipe.pipeline.ingest import Ingest
from recpipe.settings import Settings, split_listen

_log = log.get(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_REMIND_SECONDS = 60.0


@dataclass(slots=True)
class Running:
    """What a caller (the demo, a test) needs to know of what was started."""

    http_url: str = ""
    monitor_url: str = ""
    ftp_address: tuple[str, int] | None = None
    ftps_address: tuple[str, int] | None = None
    ingest: Ingest | None = None
    stopping: threading.Event = field(default_factory=threading.Event)


def run(settings: Settings, roles: Sequence[RoleName], when_ready: Callable[[wiring.Parts, Running], None]) -> int:
    """Serve until SIGINT or SIGTERM, then finish what is in work and return the exit code.

    Args:
        when_ready: called once everything answers; the demo drops its calls then.
    """
    running = Running()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if running.stopping.is_set() and number == signal.SIGINT:
            interrupts.end_now()  # the second Ctrl-C means now
        running.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    with suppress(_StoppedBefore), started(settings, roles, running) as parts:
        when_ready(parts, running)
        while not running.stopping.wait(0.5):
            pass
        _log.info("stopping")
    _log.info("stopped")
    return 0


class _StoppedBefore(Exception):
    """The process was told to stop before it could begin."""


def _opened(settings: Settings, stack: ExitStack, stopping: threading.Event) -> wiring.Parts:
    """Open database and store, waiting for either as long as it takes."""
    pause, said_at = _FIRST_PAUSE_SECONDS, -math.inf
    while not stopping.is_set():
        try:
            parts = stack.enter_context(wiring.open_parts(settings))
        except (CatalogueUnavailable, StoreError) as error:
            if time.monotonic() - said_at >= _REMIND_SECONDS:
                said_at = time.monotonic()
                _log.error("start waits", why=str(error), effect="tried again until it answers")
            stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            if said_at > 0:
                _log.info("start goes on")
            return parts
    raise _StoppedBefore


@contextmanager
def started(settings: Settings, roles: Sequence[RoleName], running: Running) -> Iterator[wiring.Parts]:
    """Start the roles in the order of the data: ingest, web, ftp, jobs. Stop them in the reverse order.

    Waits for a database or store that does not answer.

    Raises:
        RecpipeError: a port is taken, or a spool is another process's and there is no other role; nothing is left
            running.
    """
    with ExitStack() as stack:
        allocator.use_few_arenas()
        settings = descriptors.fitted(settings, descriptors.raise_limit())
        parts = _opened(settings, stack, running.stopping)
        if RoleName.INGEST in roles:
            running.ingest = Ingest(parts.settings, parts.catalogue, parts.store, clock=parts.clock)
            running.ingest.start(patient=len(roles) > 1)
            stack.callback(running.ingest.stop)
            _log.info("ingest started", spools=[spool.label for spool in parts.settings.spool])
        if RoleName.WEB in roles:
            running.http_url = stack.enter_context(_web(parts, running.ingest))
            _log.info("web started", url=running.http_url)
        elif parts.settings.metrics_listen:
            running.monitor_url = stack.enter_context(_monitor(parts, running.ingest))
            _log.info("monitor started", url=running.monitor_url)
        if RoleName.FTP in roles:
            # The roof alone knows the gateway; a process without the role does not load it.
            from ftp.server import FtpGateway

            gateway = FtpGateway(parts.settings, parts.access, parts.reader, intake=parts.intake)
            gateway.start()
            stack.callback(gateway.stop)
            running.ftp_address, running.ftps_address = gateway.address, gateway.tls_address
            _log.info("ftp started", address=gateway.address, implicit_tls=gateway.tls_address)
        if RoleName.JOBS in roles:
            stack.enter_context(_jobs(parts))
        allocator.collect_as_usual()
        stack.enter_context(allocator.giving_back())
        yield parts


@contextmanager
def _jobs(parts: wiring.Parts) -> Iterator[None]:
    # A process without the role does not load it.
    from recpipe.jobs import upkeep
    from recpipe.jobs.engine import Engine

    engine = Engine(parts.catalogue, upkeep.jobs(parts))
    engine.start()
    _log.info("jobs started", node=engine.node)
    try:
        yield
    finally:
        engine.stop()


@contextmanager
def _web(parts: wiring.Parts, ingest: Ingest | None) -> Iterator[str]:
    from recpipe.web.app import create_app
    from recpipe.web.deps import WebContext

    parts.totp_secrets.seal_all(parts.catalogue)
    app = create_app(WebContext.of(parts, ingest))
    with _served(app, parts.settings, parts.settings.http_listen, "RECPIPE_HTTP_LISTEN") as url:
        yield parts.settings.http_url or url


def _monitor(parts: wiring.Parts, ingest: Ingest | None) -> AbstractContextManager[str]:
    from recpipe.web.app import create_monitor
    from recpipe.web.deps import WebContext

    app = create_monitor(WebContext.of(parts, ingest))
    return _served(app, parts.settings, parts.settings.metrics_listen, "RECPIPE_METRICS_LISTEN")


@contextmanager
def _served(app: Callable[..., object], settings: Settings, listen: str, setting: str) -> Iterator[str]:
    # A process without the role does not load it.
    from recpipe.web.connections import Config, Server

    host, port = split_listen(listen)
    listening = _bind(host, port, setting)
    server = Server(Config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="web", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RecpipeError("The HTTP server could not start; the log above says why.")
        time.sleep(0.01)
    try:
        shown = "127.0.0.1" if is_every_address(host) else host
        yield f"http://{written(shown, listening.getsockname()[1])}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def is_every_address(host: str) -> bool:
    """Whether a server that listens there answers on every address of the machine, so that the host says no address."""
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def written(host: str, port: int) -> str:
    """Address and port as they stand in a URL (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise SettingsInvalid(
            f"Cannot listen on {host}:{port}: {error.strerror}. Stop what uses it, or set {setting} to another address."
        ) from error
    return listening
