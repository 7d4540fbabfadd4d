"""`scripts/prove`: inject faults into a real recpipe and count what is lost, doubled, leaked, dangling or stuck."""

from __future__ import annotations

import argparse
import importlib
import logging
import math
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import tests.prove
from recpipe import log
from tests.prove._ledger import Ledger
from tests.prove.table import PROOFS, Proof, Row, Run, as_table, told


def main(arguments: list[str]) -> int:
    """Run the rows that were asked for; 1 where one is not zero."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are stopped and disks unmounted on the way
    for found in pkgutil.iter_modules(tests.prove.__path__):
        if not found.name.startswith(("_", "test_")):
            importlib.import_module(f"tests.prove.{found.name}")
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short forms, about half a minute of CPU in all")
    parser.add_argument("--seed", type=int, help="repeats what a run with this seed injected; default: by chance")
    parser.add_argument("--only", metavar="ROW", action="append", help="rows whose name holds this; may be repeated")
    parser.add_argument("--times", type=int, help="inject so often, in place of what the form says")
    parser.add_argument("--minutes", type=float, help="share so long among the rows, whatever their form says")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument(
        "--into", metavar="FILE", type=Path, help="keep what is found there, and tell of all that is there"
    )
    parser.add_argument(
        "--resume", action="store_true", help="with --into: only what the rows lack, a part of each in turn"
    )
    parser.add_argument("--summary", action="store_true", help="with --into: tell of what is there, and run nothing")
    chosen = parser.parse_args(arguments)
    if (chosen.resume or chosen.summary) and chosen.into is None:
        parser.error("--resume and --summary go on with, or tell of, a file: add --into FILE")
    proofs = [p for p in PROOFS.values() if not chosen.only or any(part in p.name for part in chosen.only)]
    if chosen.list:
        print("\n".join(f"{p.name}: {p.quick:,} quick, {p.long:,} long" for p in proofs))
        return 0
    if not proofs:
        parser.error(f"no row is called so; there are: {', '.join(PROOFS)}")
    collect_logs()
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    ledger = Ledger(chosen.into) if chosen.into else None
    out = Console(width=None if sys.stdout.isatty() else 120)
    if ledger is not None and (chosen.resume or chosen.summary):
        if chosen.resume:
            _go_on(proofs, chosen, seed, ledger)
        rows = ledger.rows(proofs)
    else:
        rows = _run(proofs, chosen, seed, ledger)
        if ledger is not None:
            rows = ledger.rows(proofs)
    out.print(as_table(rows))
    for line in (*told(rows), *(ledger.told() if ledger else _told_of_run(rows, seed))):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0 if rows and all(row.holds for row in rows) else 1


def collect_logs() -> None:
    """Give the logs of this process the product's form, so that proofs can look at them, and print none."""
    log.set_up()
    logging.getLogger().handlers[:] = [logging.NullHandler()]


def _told_of_run(rows: list[Row], seed: int) -> list[str]:
    return [f"seed {seed}; {sum(row.injected for row in rows):,} faults in {sum(row.seconds for row in rows):,.0f} s"]


def _wanted(one: Proof, chosen: argparse.Namespace) -> int:
    return chosen.times or (one.quick if chosen.quick else one.long)


def _run(proofs: list[Proof], chosen: argparse.Namespace, seed: int, ledger: Ledger | None) -> list[Row]:
    """Every row once, one after the other."""
    rows: list[Row] = []
    began = time.monotonic()
    with _progress() as progress:
        for place, one in enumerate(proofs):
            if not (times := _wanted(one, chosen)):
                continue
            now = time.monotonic()
            left = began + chosen.minutes * 60 - now if chosen.minutes else math.inf
            if left <= 0:
                break
            rows.append(_part(one, times, seed, now + left / (len(proofs) - place), chosen.quick, ledger, progress))
    return rows


def _go_on(proofs: list[Proof], chosen: argparse.Namespace, seed: int, ledger: Ledger) -> None:
    """A part of that row which is farthest from its number, until none lacks anything or the time is over."""
    until = time.monotonic() + chosen.minutes * 60 if chosen.minutes else math.inf
    empty: set[str] = set()  # a row whose fault does not come true here is not tried for ever
    with _progress() as progress:
        while time.monotonic() < until:
            done = {row.fault: row.injected for row in ledger.rows(proofs)}
            lacking = [one for one in proofs if one.name not in empty and done.get(one.name, 0) < _wanted(one, chosen)]
            if not lacking:
                return
            one = min(lacking, key=lambda one: (one.at_once, done.get(one.name, 0) / _wanted(one, chosen)))
            times = _wanted(one, chosen) - (0 if one.at_once else done.get(one.name, 0))
            ends = min(until, math.inf if one.at_once else time.monotonic() + one.part_seconds)
            row = _part(one, times, ledger.next_seed(one, seed), ends, chosen.quick, ledger, progress)
            if not row.injected or one.at_once:
                empty.add(one.name)


def _part(
    one: Proof, times: int, seed: int, until: float, quick: bool, ledger: Ledger | None, progress: Progress
) -> Row:
    """Some times of a row, kept in the ledger; a harness that fails is told as what it is, and the next row goes on."""
    part = ledger.begin(one, seed, times) if ledger else ""
    task = progress.add_task(one.name, total=times)
    folder = Path(tempfile.mkdtemp(prefix="prove-"))
    at = time.monotonic()
    try:
        row = one.prove(Run(one.name, times, seed, folder, quick, until, lambda: progress.advance(task)))
    except Exception:
        if ledger is None:
            raise
        row = Row(one.name)
        row.add(f"seed {seed}: the proof itself failed\n{traceback.format_exc()}", stuck=1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    row.seconds = time.monotonic() - at
    if ledger:
        ledger.end(part, row, seed, times)
    progress.remove_task(task)
    for line in told([row]):
        progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
    words = f"{row.injected:,} of {times:,}, {'holds' if row.holds else 'DOES NOT HOLD'}, {row.seconds:,.0f} s"
    progress.console.print(f"{one.name}: {words}")
    return row


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
