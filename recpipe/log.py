"""Logs: a fixed event phrase plus fields. Never audio, phone numbers, key bytes or passwords.

    log.info("recording stored", tenant=tenant.name, recording=recording.id, bytes=size)

File names carry phone numbers, so they are not logged either: the recording id and the spool are.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import structlog

get = structlog.stdlib.get_logger

# Belt and braces: should a field of one of these names ever be passed, its value does not reach the log.
_NEVER = frozenset({"password", "token", "secret", "key", "caller", "callee", "number", "pem", "passphrase"})


_native_lock = threading.Lock()
_native_silences = 0
_native_saved = -1  # standard error, while nothing native may write to it


def _hide(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name in _NEVER & event.keys():
        event[name] = "(hidden)"
    return event


def set_up(form: Literal["console", "json"] = "console", level: str = "info") -> None:
    """Send all logs, those of libraries included, to standard error in one form."""
    _leave_descriptor_2()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide,
    ]
    if form == "json":
        tail: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        # The default prints the variables of every frame: tokens, passwords and file names among them.
        plain = structlog.dev.plain_traceback
        tail = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28, exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their info level is a line a request; ours says the same with the tenant.
    for noisy in ("botocore", "boto3", "urllib3", "pyftpdlib", "watchdog", "uvicorn.access", "alembic", "multipart"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _leave_descriptor_2() -> None:
    """Write to standard error through a descriptor of our own, so that number 2 is that of native libraries alone."""
    if sys.stderr is sys.__stderr__ and sys.stderr is not None and sys.stderr.fileno() == 2:
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")


@contextmanager
def native_silence() -> Iterator[None]:
    """Throw away what native libraries print to descriptor 2 meanwhile: they have no other way, and break JSON lines.

    Ours is not lost: see `set_up`, without which this does nothing.
    """
    global _native_silences, _native_saved
    if sys.stderr is sys.__stderr__:
        yield
        return
    with _native_lock:
        if _native_silences == 0:
            _native_saved = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, 2)
            os.close(null)
        _native_silences += 1
    try:
        yield
    finally:
        with _native_lock:
            _native_silences -= 1
            if _native_silences == 0:
                os.dup2(_native_saved, 2)
                os.close(_native_saved)
