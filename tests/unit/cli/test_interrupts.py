"""Ctrl-C in the middle of what threads share."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from recpipe.cli import interrupts
from tests.unit.cli.conftest import Cli

_MODULES = ("concurrent.futures", "queue", "threading")


@contextmanager
def _interrupted_with_a_lock(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[list[str]]:
    """SIGINT when the main thread has just taken the `count`th condition of an executor, a queue or an event.

    An exception there leaves it locked for good, as it is between two instructions of `Condition.__enter__`.

    Yields:
        Where it came; empty until then.
    """
    came: list[str] = []
    left = count
    enter = threading.Condition.__enter__

    def entered(self: threading.Condition) -> bool:
        nonlocal left
        got = enter(self)
        caller = sys._getframe(1)
        if threading.get_ident() == threading.main_thread().ident and _under_a_command(caller):
            left -= 1
            if left == 0:
                came.append(f"{caller.f_globals['__name__']}:{caller.f_lineno}")
                signal.raise_signal(signal.SIGINT)
        return got

    with monkeypatch.context() as patched:
        patched.setattr(threading.Condition, "__enter__", entered)
        yield came


def _under_a_command(frame: FrameType | None) -> bool:
    """Whether an executor, a queue or an event is asked by the work of a command, not while it opens or closes."""
    asked = False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        asked = asked or module.startswith(_MODULES)
        if module in ("recpipe.cli.export", "recpipe.recordings.verify", "recpipe.pipeline.ingest"):
            return asked
        frame = frame.f_back
    return False


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"It did not end in {seconds} s.")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    "words", [["recordings", "export", "--tenant", "acme", "--out", "copy"], ["verify"], ["ingest", "--once"]]
)
def test_ctrl_c_ends_a_command_wherever_it_comes(
    cli: Cli, calls: object, monkeypatch: pytest.MonkeyPatch, words: list[str], count: int
) -> None:
    cli.drop("in-201-03012340009-20250329-092517-1743236717.9.wav")
    with _within(30), _interrupted_with_a_lock(monkeypatch, count) as came:
        cli.run(*words, code=130)
    assert came
    # And the next run goes on
    cli.run(*words)


def test_a_second_ctrl_c_ends_at_once() -> None:
    child = os.fork()
    if child == 0:
        with interrupts.held() as interrupt:
            signal.raise_signal(signal.SIGINT)
            if not interrupt.asked:
                os._exit(1)
            signal.raise_signal(signal.SIGINT)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130


def test_what_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.held() as interrupt:
            signal.raise_signal(signal.SIGINT)
            interrupt.check()
    finally:
        signal.signal(signal.SIGINT, before)
