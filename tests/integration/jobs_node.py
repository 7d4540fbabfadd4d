"""A node of the jobs role as a process of its own, to be killed, and the jobs it has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from recpipe import wiring
from recpipe.jobs import upkeep
from recpipe.jobs.engine import Engine
from recpipe.jobs.job import Job, Summary, Tick
from recpipe.settings import Settings

ROOT = Path(__file__).parents[2]
YEAR = timedelta(days=366)


class Diary:
    """What jobs did, in a file that several processes write to, a line a deed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        with self.path.open("a") as file:  # one write, so lines stay whole
            file.write(" ".join(map(str, words)) + "\n")

    def lines(self, first: str = "") -> list[list[str]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line.split() for line in lines if line.startswith(first)]

    def wait_for(self, first: str, count: int = 1, seconds: float = 60) -> list[list[str]]:
        deadline = time.monotonic() + seconds
        while len(found := self.lines(first)) < count:
            assert time.monotonic() < deadline, f"no {count} of {first!r} in {self.lines()}"
            time.sleep(0.05)
        return found


def every_second(diary: Diary) -> Job:
    """Notes each tick, and who had it."""

    def run(tick: Tick) -> Summary:
        diary.note("tick", tick.due.isoformat(), os.getpid())
        return {}

    return Job("every-second", "* * * * * *", timedelta(seconds=1), run)


def yearly(diary: Diary, hold: Path) -> Job:
    """Due once, at the first start of all; does not end while the file `hold` is there."""

    def run(tick: Tick) -> Summary:
        diary.note("begun", tick.due.isoformat(), os.getpid())
        while hold.exists():
            tick.go_on()
            time.sleep(0.02)
        diary.note("ended", tick.due.isoformat(), os.getpid())
        return {"done": 1}

    return Job("yearly", "0 0 1 1 *", YEAR, run)


@contextmanager
def process(
    settings: Settings, diary: Diary, hold: Path, *, everything: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node elsewhere until the block ends, or the caller kills it.

    Args:
        everything: not the yearly job alone.
    """
    arguments = [str(settings.data_dir), str(diary.path), str(hold), *(["everything"] if everything else [])]
    command = [sys.executable, "-m", "tests.integration.jobs_node", *arguments]
    environment = {
        **os.environ,
        "RECPIPE_DATABASE_URL": settings.database,
        "RECPIPE_SMTP_URL": settings.smtp_url.get_secret_value(),
        "RECPIPE_MAIL_FROM": settings.mail_from,
    }
    running = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def main(data_dir: str, diary_path: str, hold: str, everything: str = "") -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    settings = Settings(data_dir=Path(data_dir))
    diary = Diary(Path(diary_path))
    with wiring.open_parts(settings) as parts:
        jobs = [yearly(diary, Path(hold))]
        if everything:
            jobs += upkeep.jobs(parts.settings, parts.catalogue, parts.store, parts.trail, parts.clock)
            jobs.append(every_second(diary))
        engine = Engine(parts.settings, parts.catalogue, jobs)
        engine.start()
        diary.note("started", engine.node, os.getpid())
        stopping.wait()
        engine.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
