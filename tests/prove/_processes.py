"""Real `recpipe` processes, and the strace that ends one at the Nth system call of a kind, or makes that call fail."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.need import tool

KILLED = -signal.SIGKILL
HANGS = 999  # in place of an exit code


@dataclass(slots=True)
class Process:
    """One `recpipe`, standing still until `go`."""

    pid: int
    nursery: Nursery
    log: Path
    tracer: subprocess.Popen[bytes] | None = None

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def go(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ended(self) -> int | None:
        """Its exit code, or the negative number of its signal; None while it runs."""
        return self.nursery.ended(self.pid)

    def wait(self, seconds: float) -> int:
        """As `ended`; one that does not end is killed, and `HANGS` said."""
        deadline = time.monotonic() + seconds
        while (status := self.ended()) is None:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                while self.ended() is None:
                    time.sleep(0.005)
                status = HANGS
                break
            time.sleep(0.005)
        if self.tracer is not None:
            self.tracer.communicate()
        return status

    def stop(self, seconds: float = 30.0) -> int:
        """As systemd does. One that has ended is sent nothing: its number may be another's by now."""
        if self.ended() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(seconds)


@dataclass(slots=True)
class Nursery:
    """See `_nursery`."""

    _process: subprocess.Popen[str]
    _known: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fork(self, arguments: Sequence[str], variables: Mapping[str, str], folder: Path, log: Path) -> Process:
        """A process that stands still."""
        pid = self._ask([list(arguments), dict(variables), str(folder), str(log)])
        self._known.pop(pid, None)  # of a process long ended, that had this number before
        return Process(pid, self, log)

    def ended(self, pid: int) -> int | None:
        if pid not in self._known and (status := self._ask(pid, none=True)) is not None:
            self._known[pid] = status
        return self._known.get(pid)

    def _ask(self, what: object, *, none: bool = False) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            print(json.dumps(what), file=self._process.stdin, flush=True)
            answer = json.loads(self._process.stdout.readline())
        assert none or isinstance(answer, int), answer
        return answer  # type: ignore[no-any-return]


@contextlib.contextmanager
def nursery(preload: Mapping[str, str] | None = None) -> Iterator[Nursery]:
    """One, until the end of the context.

    Args:
        preload: variables that it and its children have from the beginning, such as LD_PRELOAD.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RECPIPE_", "AWS_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.prove._nursery"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean | {"NO_PROXY": "127.0.0.1", "TERM": "dumb"} | dict(preload or {}),
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "recpipe could not be imported"
        yield Nursery(process)
        process.stdin.close()


def trace(process: Process, *options: str) -> None:
    """Put strace on a process that stands still, and let it go on when strace has it."""
    command = [tool("strace"), "-f", "-p", str(process.pid), *options]
    process.tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.tracer.stderr is not None
    heard, deadline = b"", time.monotonic() + 10
    while b"attached" not in heard:
        if not select.select([process.tracer.stderr], [], [], 1)[0]:
            assert time.monotonic() < deadline, "strace does not answer"
            continue
        more = os.read(process.tracer.stderr.fileno(), 4096)
        assert more, f"strace failed: {heard.decode()}"
        heard += more
    process.go()


def kill_at(process: Process, call: str, number: int) -> None:
    """Have it killed before its Nth such system call (in one thread), and let it go on."""
    trace(process, "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")


def fail_at(process: Process, call: str, error: str, when: str) -> None:
    """Have such system calls fail with this error: `when` is as strace has it, such as 3, 1+, 2..5."""
    trace(process, "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")


def calls_of(process: Process, names: Sequence[str], into: Path, through: Callable[[], int]) -> dict[str, int]:
    """Let it go `through` what it is for; how many such system calls its busiest thread made."""
    trace(process, "-o", str(into), "-e", f"trace={','.join('?' + name for name in names)}")
    assert (status := through()) in (0, 1), status
    counts: Counter[tuple[str, str]] = Counter()
    for line in into.read_text(errors="replace").splitlines():
        if found := re.match(r"(\d+)\s+(\w+)\(", line):
            counts[found[1], found[2]] += 1
    most: dict[str, int] = {}
    for (_, name), count in counts.items():
        most[name] = max(most.get(name, 0), count)
    return most
