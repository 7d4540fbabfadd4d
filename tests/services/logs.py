"""What the product logs, for tests: seen by a handler of its own, whatever form another test gave the loggers before.

with captured() as logs: ...    # [{"event": ..., "log_level": ..., ...}, ...], growing
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Keep(logging.Handler):
    def __init__(self, logs: list[dict[str, Any]]) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, dict):  # structlog's; libraries log text
            self._logs.append({**record.msg, "log_level": record.levelname.lower()})


@contextmanager
def captured() -> Iterator[list[dict[str, Any]]]:
    """Every event of ours while the context lasts, whatever its level."""
    logs: list[dict[str, Any]] = []
    handler = _Keep(logs)
    ours = [logging.getLogger(name) for name in ("recpipe", "ftp")]
    levels = [logger.level for logger in ours]
    logging.getLogger().addHandler(handler)
    for logger in ours:
        logger.setLevel(logging.DEBUG)
    try:
        yield logs
    finally:
        for logger, level in zip(ours, levels, strict=True):
            logger.setLevel(level)
        logging.getLogger().removeHandler(handler)
