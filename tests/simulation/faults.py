"""What goes wrong in a simulated run, and when: every step of the process on disk, store and database is counted."""

from __future__ import annotations

import errno
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

from recpipe.catalogue import Added, Catalogue, Work
from recpipe.errors import CatalogueUnavailable, ObjectDamaged, StoreRejected, StoreUnavailable
from recpipe.model import Readable, Recording, StoredObject
from recpipe.pipeline import ingest
from recpipe.pipeline.commit import Committer
from recpipe.store.base import Note
from recpipe.store.memory import MemoryStore

_REAL_TIME = time
# Calls that change a disk; what is only read cannot be half done.
_CALLS = ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "fsync", "pwrite", "ftruncate", "utime")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, clearing up included."""


class Clock:
    """Stands in for the module `time`; goes only when told to."""

    def __init__(self, at: datetime) -> None:
        self._monotonic = 1000.0
        self._wall_ns = round(at.timestamp()) * 10**9

    def monotonic(self) -> float:
        return self._monotonic

    def time_ns(self) -> int:
        return self._wall_ns

    def time(self) -> float:
        return self._wall_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self._monotonic += seconds
        self.step(seconds)

    def step(self, seconds: float) -> None:
        """Set the clock on the wall."""
        self._wall_ns += round(seconds * 1e9)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)


class Faults:
    """Counts the steps of the process and lets the planned one go wrong.

    Attributes:
        steps: so many were made.
        came: the faults that came true, in words.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._plan: dict[int, Callable[[str], None]] = {}
        self._inside = False
        self._dead = False
        self._away: dict[str, float] = {}  # until when, by "store" and "database"
        self.steps = 0
        self.came: list[str] = []

    def at(self, steps_from_now: int, happens: Callable[[str], None]) -> None:
        """Plan what happens in the process's so manieth step from now, in place of it or before it."""
        self._plan[self.steps + steps_from_now] = happens

    def forget(self) -> None:
        """Nothing goes wrong any more."""
        self._plan.clear()
        self._away.clear()

    @contextmanager
    def process(self) -> Iterator[None]:
        """The block is the process's own doing."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = self._dead = False

    @contextmanager
    def _outside(self) -> Iterator[None]:
        self._inside = False
        try:
            yield
        finally:
            self._inside = True

    def step(self, what: str) -> None:
        """The process is about to do this.

        Raises:
            Killed: it does not come to that.
            OSError, StoreError, CatalogueUnavailable: it fails.
        """
        if not self._inside:
            return
        if self._dead:
            raise Killed
        self.steps += 1
        happens = self._plan.pop(self.steps, None)
        if happens is not None:
            with self._outside():
                happens(what)
        if self._dead:
            raise Killed
        part = what.partition(" ")[0]
        if self._clock.monotonic() < self._away.get(part, 0):
            raise _refusal(what)

    # --- what happens ---------------------------------------------------------------------------------------

    def kill(self, what: str) -> None:
        self.came.append(f"killed before {what}")
        self._dead = True

    def fail(self, what: str) -> None:
        self.came.append(f"{what} failed")
        raise _refusal(what)

    def fill_up(self, what: str) -> None:
        if what.partition(" ")[0] in ("store", "database"):
            return self.fail(what)
        self.came.append(f"no room for {what}")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def go_away(self, part: str, seconds: float, what: str) -> None:
        self.came.append(f"{part} away for {seconds} s from {what}")
        self._away[part] = self._clock.monotonic() + seconds


def _refusal(what: str) -> Exception:
    part, _, call = what.partition(" ")
    if part == "database":
        return CatalogueUnavailable("The database is locked.")
    if part == "store":
        return StoreRejected("Access denied.") if call == "list" else StoreUnavailable("No answer.")
    return OSError(errno.EIO, os.strerror(errno.EIO))


class SimulatedStore(MemoryStore):
    """Keeps what it is given; answers are lost, refused and half taken as planned."""

    def __init__(self, faults: Faults, clock: Clock, on_put: Callable[[str, bytes], None]) -> None:
        super().__init__()
        self._faults = faults
        self._time = clock
        self._on_put = on_put
        self.damage = False

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        self._faults.step("store put")
        if self.damage and size_bytes > 1:
            self.damage = False
            body.readinto(memoryview(bytearray(size_bytes // 2)))
            self._faults.came.append("store took half")
            raise ObjectDamaged(key, "half of it is there; it was removed again")
        super().put(key, body, size_bytes, note)
        content, stored = self._objects[key]
        if stored.modified_at is None or abs((stored.modified_at - self._time.now()).total_seconds()) > 0:
            stored = StoredObject(key, stored.size_bytes, stored.sha256, self._time.now(), stored.note)
            self._objects[key] = (content, stored)
        self._on_put(key, content)
        self._faults.step("store answer")
        return stored

    def head(self, key: str) -> StoredObject:
        self._faults.step("store head")
        return super().head(key)

    def delete(self, key: str) -> None:
        self._faults.step("store delete")
        super().delete(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        self._faults.step("store list")
        return super().list(prefix)


class SimulatedCatalogue(Catalogue):
    """Real, on SQLite; it is locked, and its answers are lost, as planned."""

    faults: Faults

    @contextmanager
    def begin(self) -> Iterator[Work]:
        self.faults.step("database begin")
        with super().begin() as work:
            yield work
            self.faults.step("database commit")
        self.faults.step("database answer")

    @contextmanager
    def read(self, *, limited: bool = False) -> Iterator[Work]:
        self.faults.step("database read")
        with super().read(limited=limited) as work:
            yield work


class SteppedCommitter(Committer[Recording, Added]):
    """Commits when it is told to, and not in a thread of its own."""

    def __init__(
        self, write: Callable[[Sequence[Recording]], Sequence[Added]], largest: int = 64, apart_seconds: float = 0.05
    ) -> None:
        self._write = write
        self._largest = largest
        self._entries: list[Any] = []

    def submit(self, row: Recording, done: Callable[[Added], None], failed: Callable[[Exception], None]) -> None:
        self._entries.append(_entry(row, done, failed))

    def commit(self) -> None:
        while self._entries:
            group, self._entries = self._entries[: self._largest], self._entries[self._largest :]
            self._commit(group)

    def close(self, hangs: Callable[[], bool] = lambda: False) -> bool:
        self.commit()
        return True


def _entry(row: Recording, done: Callable[[Added], None], failed: Callable[[Exception], None]) -> Any:
    return SimpleNamespace(row=row, done=done, failed=failed)


class _Inline:
    """A thread that is over as soon as it was started."""

    def __init__(self, target: Callable[[], None], **_options: object) -> None:
        self.start = target

    def is_alive(self) -> bool:
        return False

    def join(self, _seconds: float = 0) -> None:
        pass


@contextmanager
def patched(clock: Clock, faults: Faults) -> Iterator[None]:
    """Give the write path this clock, this disk, and threads that run at once."""
    inline = SimpleNamespace(**{name: getattr(threading, name) for name in threading.__all__} | {"Thread": _Inline})
    changed: list[tuple[object, str, object]] = [
        (module, "time", clock) for module in _modules() if getattr(module, "time", None) is _REAL_TIME
    ]
    changed += [(os, name, _counted(getattr(os, name), name, faults)) for name in _CALLS]
    changed += [(os, "open", _counted_open(os.open, faults)), (ingest, "threading", inline)]
    changed += [(ingest, "Committer", SteppedCommitter)]
    before = [(target, name, getattr(target, name)) for target, name, _ in changed]
    try:
        for target, name, new in changed:
            setattr(target, name, new)
        yield
    finally:
        for target, name, old in before:
            setattr(target, name, old)


def _modules() -> list[ModuleType]:
    return [m for name, m in sys.modules.items() if name.startswith(("recpipe.spool.", "recpipe.pipeline."))]


def _counted(call: Callable[..., Any], name: str, faults: Faults) -> Callable[..., Any]:
    @functools.wraps(call)
    def counted(*arguments: Any, **options: Any) -> Any:
        faults.step(name)
        return call(*arguments, **options)

    return counted


def _counted_open(call: Callable[..., int], faults: Faults) -> Callable[..., int]:
    @functools.wraps(call)
    def counted(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & _WRITES:
            faults.step("open")
        return call(path, flags, *arguments, **options)

    return counted
