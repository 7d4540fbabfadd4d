"""What a proof counts, and how it is told: one row a fault, one table for all of them.

@proof("simulation", quick=200, long=10_000)
def simulate(run: Run) -> Row:
    row = Row(run.name)
    for _ in range(run.times):
        ...             # row.injected += 1; row.add(lost=1, seen="seed 4711: ...") where something is wrong
        run.step()
    return row
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.table import Table

PART_SECONDS = 150.0
COUNTS = ("lost", "doubled", "leaked", "dangling", "stuck")


@dataclass(slots=True)
class Row:
    """One line of the table.

    Attributes:
        injected: how often the fault came true.
        lost: recordings that are neither stored nor in a spool or quarantine, or not as they were.
        doubled: recordings that are stored or in quarantine twice.
        leaked: plaintext of a sealed tenant outside the spool, or a number of a deleted call anywhere.
        dangling: rows without object, objects without row, files that nobody will look at again.
        stuck: what was not done in its time, or did not start again.
        mended: what `verify --repair` mended after the fault: allowed, and told below the table.
        seen: what was found, in words that say how to see it again.
        why: why it did not run to its end, or cannot be zero.
    """

    fault: str
    injected: int = 0
    lost: int = 0
    doubled: int = 0
    leaked: int = 0
    dangling: int = 0
    stuck: int = 0
    mended: int = 0
    seen: list[str] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def holds(self) -> bool:
        """Whether the fault came at all and nothing was wrong after it."""
        return self.injected > 0 and not any(getattr(self, name) for name in COUNTS)

    def add(self, seen: str, **counts: int) -> None:
        """Count what is wrong, and keep how it was seen."""
        with self._lock:
            for name, number in counts.items():
                assert name in COUNTS, name
                setattr(self, name, getattr(self, name) + number)
            if any(counts.values()):
                self.seen.append(seen)

    def tell(self, seen: str) -> None:
        """Keep what explains the last thing that was found."""
        with self._lock:
            self.seen.append(seen)

    def came(self, number: int = 1) -> None:
        """Count a fault that came true."""
        with self._lock:
            self.injected += number

    def came_mended(self, number: int) -> None:
        """Count what the repair mended."""
        with self._lock:
            self.mended += number

    def cells(self) -> list[str]:
        return [self.fault, f"{self.injected:,}", *(f"{getattr(self, name):,}" for name in COUNTS)]


@dataclass(slots=True)
class Run:
    """What a proof is given.

    Attributes:
        times: how often to inject.
        seed: the same seed injects the same.
        folder: its own, empty, removed afterwards.
        quick: the short form.
        until: monotonic time after which nothing further is injected.
        step: call it after each time, for the progress bar.
    """

    name: str
    times: int
    seed: int
    folder: Path
    quick: bool = True
    until: float = math.inf
    step: Callable[[], None] = lambda: None

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self.until

    def at_most(self, a_second: float) -> int:
        """How often to inject where all of it is injected at once, and so many are done in a second."""
        seconds = self.until - time.monotonic()
        return self.times if math.isinf(seconds) else max(1, min(self.times, int(seconds * a_second)))

    @property
    def random(self) -> random.Random:
        """A fresh generator of this row's own."""
        return random.Random(f"{self.name} {self.seed}")


@dataclass(frozen=True, slots=True)
class Proof:
    """A row to be: its name, how often in the short form and in the long one (0: not at all), and what makes it.

    Attributes:
        at_once: all of its times belong to one fault, such as files that come together; parts of it do not add up.
        part_seconds: how long a part of it goes on where many runs add up, which is what a kill can throw away.
    """

    name: str
    quick: int
    long: int
    prove: Callable[[Run], Row]
    at_once: bool = False
    part_seconds: float = PART_SECONDS


PROOFS: dict[str, Proof] = {}


def proof(
    name: str, *, quick: int, long: int, at_once: bool = False, part_seconds: float = PART_SECONDS
) -> Callable[[Callable[[Run], Row]], Callable[[Run], Row]]:
    """Enter a function as the maker of the row `name`."""

    def enter(prove: Callable[[Run], Row]) -> Callable[[Run], Row]:
        assert name not in PROOFS, name
        PROOFS[name] = Proof(name, quick, long, prove, at_once, part_seconds)
        return prove

    return enter


def as_table(rows: Iterable[Row]) -> Table:
    """For people, and for a Markdown file: what rich draws of it can be pasted there."""
    table = Table(box=box.MARKDOWN)
    table.add_column("fault", overflow="fold")
    for name in ("times", *COUNTS):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells(), style="" if row.holds else "bold red")
    return table


def told(rows: Sequence[Row]) -> Iterable[str]:
    """What a table has no room for: what was seen, and why a row says less than it might."""
    for row in rows:
        yield from (f"{row.fault}: {seen}" for seen in row.seen)
        if row.mended:
            yield f"{row.fault}: verify --repair mended {row.mended:,}."
        if row.why:
            yield f"{row.fault}: {row.why}"
        elif not row.injected:
            yield f"{row.fault}: the fault never came true, so nothing is proved."
