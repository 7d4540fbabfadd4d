"""File descriptors: as many as the system gives, and a share for each door, so that none takes what the store needs."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

from recpipe import log
from recpipe.settings import Settings

_log = log.get(__name__)

# Of all descriptors: HTTP has one a connection and one more for each recording that it streams, FTP three a session
# (control, data, recording). Together three quarters; the rest is for database, store and spools.
_HTTP_CONNECTIONS, _HTTP_STREAMS, _FTP_SESSIONS = 4, 8, 8


def raise_limit() -> int:
    """Raise the soft limit of this process to its hard one and return it.

    Service managers start a process with a soft limit of 1,024, for programs that use select(2); nothing here does.

    Source: systemd.exec(5), "LimitNOFILE=".
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a container may forbid it; what there is has to do
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def fitted(settings: Settings, descriptors: int) -> Settings:
    """Settings whose connections fit into so many descriptors; what is less than was asked for is logged."""
    connections = min(settings.http_max_connections, max(2, descriptors // _HTTP_CONNECTIONS))
    fitting = {
        "http_max_connections": connections,
        "http_max_per_address": min(settings.http_max_per_address, connections // 2 or 1),
        "http_max_streams": min(settings.http_max_streams, max(1, descriptors // _HTTP_STREAMS)),
        "ftp_max_connections": min(settings.ftp_max_connections, max(1, descriptors // _FTP_SESSIONS)),
    }
    less = {name: value for name, value in fitting.items() if value < getattr(settings, name)}
    if less:
        _log.warning(
            "fewer connections than the settings allow",
            descriptors=descriptors,
            hint="raise the limit of open files (LimitNOFILE= of systemd, --ulimit of a container)",
            **less,
        )
    return settings.model_copy(update=less)
