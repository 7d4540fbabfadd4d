"""Runs jobs now and then, beside the services of one process. Jobs are idempotent: two processes may both run them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recpipe import log

_log = log.get(__name__)


@contextmanager
def every(seconds: float, name: str, job: Callable[[], object], first_after: float = 5.0) -> Iterator[None]:
    """Run a job in a thread of its own, again and again, until the block ends. Its failures are logged, not fatal.

    Args:
        seconds: between the end of one run and the start of the next.
        first_after: seconds before the first run.
    """
    stopping = threading.Event()

    def run() -> None:
        wait = first_after
        while not stopping.wait(wait):
            try:
                job()
            except Exception:
                _log.exception("job failed", job=name)
            wait = seconds

    thread = threading.Thread(target=run, name=f"job-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(timeout=30)
