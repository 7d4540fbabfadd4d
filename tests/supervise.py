"""Runs the tests so that they end by themselves: `python -m tests.supervise COMMAND...`, as scripts/test does.

A run that takes longer than TEST_MINUTES (default 45) is told by SIGABRT to say where it stands: pytest prints the
stack of every thread. Then it and all that it started is ended. So is whatever a finished run left behind: it would
keep the output open, and whoever reads that would wait forever.

Ctrl-C, or SIGINT to this process, interrupts the tests and all that they started, once, also where a shell runs it in
the background. At the end it says how much CPU time everything took.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans below us become our children, so that we find them
_LAST_WORDS_SECONDS = 10
_GRACE_SECONDS = 5  # for what ends by itself, such as the crash handlers of a browser that was closed
_TIMED_OUT = 124  # as timeout(1)


def main(command: list[str]) -> int:
    """Run the command and return its exit code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    limit = float(os.environ.get("TEST_MINUTES", "45"))
    begun = time.monotonic()
    # What a shell runs in the background ignores Ctrl-C, and so would the programs whose Ctrl-C is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _has_terminal():
        process = subprocess.Popen(command)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the tests themselves
    else:
        process = subprocess.Popen(command, process_group=0)
        signal.signal(signal.SIGINT, lambda _number, _frame: _interrupt(process))
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    try:
        code = process.wait(limit * 60)
    except subprocess.TimeoutExpired:
        _say(f"The tests did not end within {limit:g} minutes (TEST_MINUTES); this is where they stand:")
        _ask_for_stacks()
        code = _TIMED_OUT
    else:
        psutil.wait_procs(_descendants(), timeout=_GRACE_SECONDS)
    _end_leftovers()
    _say(_spent(time.monotonic() - begun))
    return code


def _has_terminal() -> bool:
    """Whether the terminal's Ctrl-C is ours, and so our children's while they are in our process group."""
    return sys.stdin is not None and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)


def _spent(seconds: float) -> str:
    """CPU time of all processes that have ended, those included that lost their parent: they became ours."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = used.ru_utime, used.ru_stime
    return (
        f"CPU time: {user + system:.1f} s (user {user:.1f} s, system {system:.1f} s), in {seconds:.1f} s by the clock"
    )


def _ask_for_stacks() -> None:
    for process in _descendants():
        with contextlib.suppress(psutil.Error):
            _say(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    for process in _descendants():
        with contextlib.suppress(psutil.Error):
            if "python" in process.name():
                process.send_signal(signal.SIGABRT)
                process.wait(_LAST_WORDS_SECONDS)  # one after the other, or their lines mix


def _end_leftovers() -> None:
    """SIGKILL until nothing is left: what is ended may have children, which become ours."""
    while left := _descendants():
        for process in left:
            with contextlib.suppress(psutil.Error):
                _say(f"Ended, left behind by the tests: {process.pid} {' '.join(process.cmdline())[:200]}")
                process.kill()
        psutil.wait_procs(left, timeout=_LAST_WORDS_SECONDS)


def _descendants() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if not _is_zombie(one)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
