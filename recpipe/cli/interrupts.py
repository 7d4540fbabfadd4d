"""Ctrl-C while threads are at work.

`KeyboardInterrupt` comes between any two instructions of the main thread, inside `Condition.__enter__` as well: what it
has just locked then stays locked, and the threads that are waited for never end. So a command that shares queues,
futures or events with threads asks at places of its own choice whether it was interrupted.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STDERR = 2
_TOLD = b"\nStopping. Ctrl-C once more ends it at once; nothing is lost by that.\n"
_SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it


class Interrupt:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Go on, or raise KeyboardInterrupt if Ctrl-C was pressed; in any thread."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[Interrupt]:
    """Hold Ctrl-C back until `Interrupt.check` is called. A second Ctrl-C ends the process at once, with 130.

    Where nothing would come of Ctrl-C, as in a job that a shell started in the background, nothing changes.
    """
    interrupt = Interrupt()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if interrupt.asked:
            end_now()
        interrupt.asked = True
        os.write(_STDERR, _TOLD)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def end_now() -> None:
    """End the process as an interrupted one, without waiting for anything: the spool is the queue."""
    if os.isatty(_STDERR):
        os.write(_STDERR, _SHOW_CURSOR)
    os._exit(130)
