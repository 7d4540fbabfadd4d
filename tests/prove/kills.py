"""`recpipe` killed at the Nth system call of a kind, and again while it recovers from that; then a normal start.

What must hold after it: no file is lost or doubled, no row is without its object, no object without its row, no
words of a sealed call are outside its spool, and nothing lies where nobody will look at it again.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from tests.prove._processes import HANGS, KILLED, Nursery, calls_of, kill_at, nursery
from tests.prove._world import Backend, World, Worlds
from tests.prove.table import Row, Run, proof

FILES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat")
DISK = ("fsync", "fdatasync", "openat", "write", "pwrite64", "ftruncate", "flock", "close")
NETWORK = ("connect", "sendto", "recvfrom")
SECONDS = 60.0
AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Story:
    """What is killed, and what somebody does then.

    Attributes:
        command: what is killed.
        prepare: what is there before.
        recover: the command of a normal start; what is killed the second and third time.
        settle: what is done after it so that everything comes to its end.
        judge: what must hold then.
        calls: the system calls to be killed at.
    """

    command: Callable[[World], list[str]]
    prepare: Callable[[World], None]
    recover: Callable[[World], list[str]]
    judge: Callable[[World, Row, str], None] = World.judge
    settle: Callable[[World], None] = lambda world: None
    calls: tuple[str, ...] = (*FILES, *DISK)


@contextlib.contextmanager
def shared_nursery() -> Iterator[Nursery]:
    """One for all rows of a run: what it imports takes seconds. It ends with this process."""
    yield _nursery()


@cache
def _nursery() -> Nursery:
    return _kept.enter_context(nursery())


_kept = contextlib.ExitStack()


def kill(run: Run, story: Story, backend: Backend | None = None) -> Row:
    """Kill until it was killed `run.times` times."""
    row = Row(run.name)
    with shared_nursery() as forks:
        worlds = Worlds.of(run.folder, forks, backend)
        first = _points(worlds, story, story.command)
        again = _points(worlds, story, story.recover)
        turns = iter(range(2 * run.times + 8))
        lock = threading.Lock()

        def labour() -> None:
            while True:
                with lock:
                    turn = next(turns, None)
                if turn is None or row.injected >= run.times:
                    return
                _one(run, row, worlds, story, first, again, random.Random(f"{run.name} {run.seed} {turn}"))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(labour) for _ in range(AT_ONCE)]:
                done.result()
    return row


def _points(worlds: Worlds, story: Story, command: Callable[[World], list[str]]) -> dict[str, int]:
    """How often the busiest thread makes each call when nothing goes wrong."""
    with worlds.one() as world:
        story.prepare(world)
        return calls_of(world.fork(*command(world)), story.calls, world.folder / "calls", SECONDS)


def _one(
    run: Run,
    row: Row,
    worlds: Worlds,
    story: Story,
    first: dict[str, int],
    again: dict[str, int],
    dice: random.Random,
) -> None:
    with worlds.one() as world:
        story.prepare(world)
        told = []
        for turn in range(dice.choice((1, 1, 1, 2, 2, 3))):
            points = again if turn else first
            call = dice.choice(sorted(points))
            # A recovery does its own work first: what comes later is the work of any start.
            number = min(dice.randint(1, points[call]) for _ in range(1 + bool(turn)))
            process = world.fork(*(story.recover if turn else story.command)(world))
            kill_at(process, call, number)
            status = process.wait(SECONDS)
            told.append(f"{call} {number}{'' if status == KILLED else f' (ended by itself: {status})'}")
            if status == KILLED:
                row.came()
                run.step()
            elif status == HANGS:
                row.add(f"seed {run.seed}, {', '.join(told)}: hangs\n{world.log()[-2000:]}", stuck=1)
            for name in world.leaks():
                row.add(f"seed {run.seed}, {', '.join(told)}: words of a sealed call in {name}", leaked=1)
        words = f"seed {run.seed}, killed at {', '.join(told)}"
        if (status := world.run(*story.recover(world), seconds=SECONDS)) not in (0, 1):
            row.add(f"{words}: the start after it ends with {status}\n{world.log()[-2000:]}", stuck=1)
        story.settle(world)
        story.judge(world, row, words)


# --- ingest -------------------------------------------------------------------------------------------------


def _drain(_world: World) -> list[str]:
    return ["ingest", "--once"]


INGEST = Story(_drain, lambda world: world.fill(2), _drain)


@proof("kill -9: ingest, directory + SQLite", quick=24, long=900)
def ingest_embedded(run: Run) -> Row:
    return kill(run, INGEST)
