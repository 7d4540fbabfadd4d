"""Disks, databases, stores and clocks that fail while `recpipe serve` works or before it starts, then work again."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.prove import _served
from tests.prove._processes import HANGS, Nursery, Process, fail_at, nursery
from tests.prove._world import Backend, World, Worlds, wait_for
from tests.prove.kills import INGEST, SECONDS, points, shared_nursery
from tests.prove.table import Row, Run, proof
from tests.services.proxy import FlakyProxy, flaky_proxy

DRAINED_SECONDS = 120.0
_SERVE = ("serve", "--role", "ingest")


def started(world: World) -> Process:
    """A service that follows its spools, or waits for what is away."""
    process = world.fork(*_SERVE)
    process.go()
    wait_for(lambda: process.ended() is not None or any(w in process.said() for w in ("ingest started", "start waits")))
    return process


def over(world: World, row: Row, process: Process, words: str) -> None:
    """The fault is over: within its time everything reaches its end, and is right."""
    if not wait_for(lambda: process.ended() is not None or world.is_drained(), DRAINED_SECONDS):
        row.add(f"{words}: not drained within {DRAINED_SECONDS:.0f} s\n{process.said()[-2000:]}", stuck=1)
    if (status := process.stop()) != 0:
        row.add(f"{words}: it ends with {status}\n{process.said()[-2000:]}", stuck=1)
    world.judge(row, words)


def each(
    run: Run,
    inject: Callable[[World, Row, random.Random, str], None],
    backend: Backend | None = None,
    row: Row | None = None,
    forks: Nursery | None = None,
) -> Row:
    """Inject into so many installations, one after the other; `inject` counts what came true."""
    row = row or Row(run.name)
    with contextlib.ExitStack() as stack:
        worlds = Worlds.of(run.folder, forks or stack.enter_context(shared_nursery()), backend)
        for turn in range(run.times):
            if turn and run.is_over:
                break
            dice = random.Random(f"{run.name} {run.seed} {turn}")
            with worlds.one() as world:
                inject(world, row, dice, f"seed {run.seed}, turn {turn}")
            run.step()
    return row


# --- disks --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A tmpfs in place of this folder, with what was in it."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        shutil.rmtree(aside)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill_up(folder: Path) -> list[Path]:
    """Take all room, to the last byte and the last inode."""
    fillers = [folder / ".fill"]
    with contextlib.suppress(OSError), fillers[0].open("wb", buffering=0) as out:
        while True:
            out.write(b"\0" * 4096)
    with contextlib.suppress(OSError):
        for number in range(100_000):
            fillers.append(folder / f".fill-{number}")
            fillers[-1].touch()
    return fillers


@proof("disk or inodes full, also at the start", quick=1, long=12)
def full_disk(run: Run) -> Row:
    if os.geteuid() != 0:
        return Row(run.name, why="only root may mount a small disk")

    def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
        place, kind = dice.choice(("data", "plain", "sealed")), dice.choice(("size=4m", "size=16m,nr_inodes=150"))
        before = dice.choice((True, False))
        words = f"{words}, {place} with {kind}, {'at the start' if before else 'while it runs'}"
        with small_disk(world.folder / place, kind):
            process = None if before else started(world)
            if place != "data":
                world.fill(2)
            fillers = fill_up(world.folder / place)
            if place == "data":
                world.fill(2)
            process = process or started(world)
            time.sleep(2)
            if process.ended() is not None:
                row.add(f"{words}: ended\n{process.said()[-2000:]}", stuck=1)
            row.came()
            for filler in fillers:
                filler.unlink(missing_ok=True)
            if process.ended() is not None:
                process = started(world)
            over(world, row, process, words)

    return each(run, inject)


@proof("calls that fail (EIO, ENOSPC, EDQUOT): fsync, write, link, rename, ...", quick=3, long=120)
def failing_calls(run: Run) -> Row:
    row, found = Row(run.name), dict[str, int]()

    def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
        if not found:
            with_calls = World(world.folder, world.nursery, world.backend)
            found.update(points(with_calls, INGEST))
            world.logs += with_calls.logs
            world.dropped += with_calls.dropped
            return
        world.fill(2)
        calls = ("fsync", "fdatasync", "write", "pwrite64", "link", "linkat", "rename", "unlink", "mkdir", "ftruncate")
        call = dice.choice([one for one in calls if one in found])
        error = dice.choice(("EIO", "ENOSPC", "EDQUOT") if call not in ("unlink", "rename") else ("EIO",))
        first = dice.randint(1, found[call])
        when = dice.choice((f"{first}", f"{first}..{first + 3}", f"{first}+"))
        words = f"{words}, {call} {when} fails with {error}"
        process = world.fork("ingest", "--once")
        fail_at(process, call, error, when)
        if (status := process.wait(2 * SECONDS)) == HANGS:
            row.add(f"{words}: hangs\n{process.said()[-2000:]}", stuck=1)
        row.came()
        if (status := world.run("ingest", "--once")) not in (0, 1):
            row.add(f"{words}: the start after it ends with {status}", stuck=1)
        world.judge(row, words)

    return each(run, inject, row=row)


# --- databases ----------------------------------------------------------------------------------------------


@proof("SQLite locked by another process", quick=1, long=3)
def locked_sqlite(run: Run) -> Row:
    def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
        process = started(world)
        with contextlib.closing(sqlite3.connect(world.data / "recpipe.sqlite3", timeout=30)) as other:
            other.execute("BEGIN EXCLUSIVE")
            world.fill(3)
            time.sleep(1.0 if run.quick else dice.uniform(10, 30))
            row.came()
            other.rollback()
        over(world, row, process, words)

    return each(run, inject)


def _crashing_postgres(run: Run, synchronous_commit: str) -> Row:
    row = Row(run.name)
    with _served.served(row) as backend:

        def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
            with backend.database.connect() as admin:
                database = backend.name(world.folder)
                admin.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = {synchronous_commit}'.encode())
            process = started(world)
            world.fill(12)
            until = time.monotonic() + 4
            while time.monotonic() < until:
                with contextlib.suppress(Exception), backend.database.connect() as connection:
                    name = backend.name(world.folder)
                    query = "SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY state DESC"
                    for (pid,) in connection.execute(query, [name]).fetchall()[:1]:
                        os.kill(int(str(pid)), signal.SIGKILL)  # the server ends all sessions and recovers
                        row.came()
                time.sleep(dice.uniform(0.1, 1.0))
            over(world, row, process, words)

        return each(run, inject, backend, row)


@proof("PostgreSQL crashes and starts again amid commits", quick=0, long=10)
def crashing_postgres(run: Run) -> Row:
    return _crashing_postgres(run, "on")


@proof("PostgreSQL with synchronous_commit = off crashes amid commits", quick=0, long=10)
def crashing_asynchronous_postgres(run: Run) -> Row:
    return _crashing_postgres(run, "off")


# --- stores -------------------------------------------------------------------------------------------------

_NO_BUCKET = b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"


def _refuses(status: bytes, body: bytes = b"") -> Callable[[FlakyProxy], None]:
    def begin(proxy: FlakyProxy) -> None:
        proxy.refusal, proxy.refuse_header = (status, body), b"host:"

    return begin


def _sets(**values: object) -> Callable[[FlakyProxy], None]:
    def begin(proxy: FlakyProxy) -> None:
        for name, value in values.items():
            setattr(proxy, name, value)

    return begin


STORE_FAULTS = {
    "500": _refuses(b"500 Internal Server Error"),
    "503": _refuses(b"503 Slow Down"),
    "403": _refuses(b"403 Forbidden", _DENIED),
    "bucket gone": _refuses(b"404 Not Found", _NO_BUCKET),
    "hang": _sets(stall=True),
    "short answers": _sets(cut_answers=10_000, cut_after=20),
    "answers lost": _sets(swallow_answers=10_000),
    "requests cut": _sets(cut_requests=10_000, cut_after=500),
}


def _store_fault(name: str) -> None:
    @proof(f"store: {name}", quick=0, long=2)
    def fault(run: Run) -> Row:
        row = Row(run.name)
        with _served.served(row) as backend, flaky_proxy(backend.store.endpoint) as proxy:
            backend.endpoint = proxy.endpoint

            def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
                process = started(world)
                world.fill(3)
                time.sleep(dice.choice((0.0, 0.2, 0.5)))
                STORE_FAULTS[name](proxy)
                world.more_files(6)
                time.sleep(3 if run.quick else dice.uniform(5, 15))
                row.came()
                proxy.refuse_header, proxy.stall = b"", False
                proxy.cut_answers = proxy.swallow_answers = proxy.cut_requests = 0
                over(world, row, process, words)

            return each(run, inject, backend, row)


for _name in STORE_FAULTS:
    _store_fault(_name)


@proof("store: refuses one tenant's objects", quick=0, long=4)
def one_tenant_refused(run: Run) -> Row:
    """There is one store for all tenants; a policy on a tenant's keys is how one alone is refused."""
    row = Row(run.name)
    with _served.served(row) as backend, flaky_proxy(backend.store.endpoint) as proxy:
        backend.endpoint = proxy.endpoint

        def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
            refused, served = dice.sample(("plain", "sealed"), 2)
            with world.parts() as parts, parts.catalogue.read() as work:
                tenant_id = work.tenants.named(refused).id
            proxy.refusal, proxy.refuse_header = (b"403 Forbidden", _DENIED), f"/{tenant_id}/".encode()
            before = proxy.refused
            process = started(world)
            world.fill(4)
            if not wait_for(lambda: not any(True for _ in world.files(served)), DRAINED_SECONDS):
                row.add(f"{words}: {served} waits while {refused} is refused\n{process.said()[-2000:]}", stuck=1)
            row.came(int(wait_for(lambda: proxy.refused > before)))
            if not any(True for _ in world.files(refused)):
                row.add(f"{words}: the files of {refused} are gone while its objects are refused", lost=1)
            proxy.refuse_header = b""
            over(world, row, process, f"{words}, {refused} refused")

        return each(run, inject, backend, row)


@proof("store away for 30 minutes (scaled: 40 s), 300 files", quick=0, long=1)
def outage(run: Run) -> Row:
    row = Row(run.name)
    with _served.served(row) as backend, flaky_proxy(backend.store.endpoint) as proxy:
        backend.endpoint = proxy.endpoint

        def inject(world: World, row: Row, _dice: random.Random, words: str) -> None:
            process = started(world)
            _refuses(b"503 Slow Down")(proxy)
            world.fill(150)
            time.sleep(40)
            row.came()
            proxy.refuse_header = b""
            over(world, row, process, words)

        return each(run, inject, backend, row)


# --- clocks and crowds --------------------------------------------------------------------------------------

_DAY = 86_400
_STEPS_SECONDS = (_DAY, -_DAY, 3650 * _DAY, -3650 * _DAY)


def _clock(folder: Path) -> Path:
    """Compile what moves the wall clock of a process."""
    library = folder / "clock.so"
    source = Path(__file__).with_name("_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@proof("clock steps of a day and of ten years", quick=0, long=8)
def clock_steps(run: Run) -> Row:
    if shutil.which("cc") is None:
        return Row(run.name, why="there is no C compiler for the library that moves the clock (apt-get install gcc)")
    now = run.folder / "now"
    now.write_text("0")
    with nursery({"LD_PRELOAD": str(_clock(run.folder)), "PROVE_CLOCK": str(now)}) as forks:

        def step_to(seconds: int) -> None:
            now.with_suffix(".new").write_text(str(seconds))
            now.with_suffix(".new").rename(now)

        def inject(world: World, row: Row, dice: random.Random, words: str) -> None:
            step = _STEPS_SECONDS[row.injected % len(_STEPS_SECONDS)]
            process = started(world)
            world.fill(1)
            step_to(step)
            row.came()
            world.more_files(3)
            time.sleep(3)  # what is sealed may wait: its certificate has run out, or is not valid yet
            step_to(0)
            over(world, row, process, f"{words}, {step // _DAY:+} days")

        return each(run, inject, forks=forks)


@proof("many files at once, three tenants", quick=200, long=100_000, at_once=True)
def crowd(run: Run) -> Row:
    """Nine in ten come to one tenant; the sealed one, whose objects `openssl` opens one by one, has few."""
    row, times = Row(run.name), run.at_most(8)
    with shared_nursery() as forks, Worlds.of(run.folder, forks).one() as world:
        world.others = ("third",)
        world.configure()
        world.must("tenant", "create", "third", "--timezone", "Europe/Berlin", "--region", "DE")
        process = started(world)
        os.kill(process.pid, signal.SIGSTOP)
        few = max(1, min(times // 20, 500))
        for spool, number in (("plain", times - 2 * few), ("third", few), ("sealed", few)):
            for one in range(number):
                name = f"out-03012{one:06}-201-20260901-0925{one % 60:02}-{1_790_000_000 + one}.{one}.wav"
                world.drop(spool, name, sidecar={"caller": "+49301"} if spool == "sealed" else None)
        os.kill(process.pid, signal.SIGCONT)
        row.came(len(world.dropped))
        first = lambda: not any(True for name in ("third", "sealed") for _ in world.files(name))  # noqa: E731
        patience = 60 + times / 10
        if not wait_for(lambda: process.ended() is not None or first(), patience, every=1.0):
            row.add("the two tenants with few files wait for the one with many", stuck=1)
        elif times >= 1000 and sum(1 for _ in world.files("plain")) < times // 4:
            row.add("the two tenants with few files were served after the one with many", stuck=1)
        wait_for(lambda: process.ended() is not None or world.is_drained(), patience, every=1.0)
        over(world, row, process, f"{times} files")
        for _ in range(times):
            run.step()
    return row


@proof("inotify queue overflows", quick=0, long=3)
def overflow(run: Run) -> Row:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    def inject(world: World, row: Row, _dice: random.Random, words: str) -> None:
        process = started(world)
        os.kill(process.pid, signal.SIGSTOP)
        for number in range(limit // 2 + 100):  # made, closed, removed: some events each
            passing = world.folder / "plain" / f".passing-{number}"
            passing.touch()
            passing.unlink()
        world.fill(3)
        os.kill(process.pid, signal.SIGCONT)
        row.came()
        over(world, row, process, words)

    return each(run, inject)
