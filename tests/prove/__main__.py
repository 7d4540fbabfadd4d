"""`scripts/prove`: inject faults into a real recpipe and count what is lost, doubled, leaked, dangling or stuck."""

from __future__ import annotations

import argparse
import importlib
import math
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import tests.prove
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
    chosen = parser.parse_args(arguments)
    proofs = [p for p in PROOFS.values() if not chosen.only or any(part in p.name for part in chosen.only)]
    if chosen.list:
        print("\n".join(f"{p.name}: {p.quick:,} quick, {p.long:,} long" for p in proofs))
        return 0
    if not proofs:
        parser.error(f"no row is called so; there are: {', '.join(PROOFS)}")
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    rows = _run(proofs, chosen, seed)
    out = Console(width=None if sys.stdout.isatty() else 120)
    out.print(as_table(rows))
    for line in told(rows):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    out.print(f"seed {seed}; {sum(row.injected for row in rows):,} faults in {sum(row.seconds for row in rows):,.0f} s")
    return 0 if all(row.holds for row in rows) else 1


def _run(proofs: list[Proof], chosen: argparse.Namespace, seed: int) -> list[Row]:
    rows: list[Row] = []
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for place, one in enumerate(proofs):
            times = chosen.times or (one.quick if chosen.quick else one.long)
            if not times:
                continue
            now = time.monotonic()
            left = began + chosen.minutes * 60 - now if chosen.minutes else math.inf
            if left <= 0:
                break
            task = progress.add_task(one.name, total=times)
            folder = Path(tempfile.mkdtemp(prefix="prove-"))
            at = time.monotonic()
            try:
                step = lambda task=task: progress.advance(task)  # noqa: E731
                row = one.prove(
                    Run(one.name, times, seed, folder, chosen.quick, now + left / (len(proofs) - place), step)
                )
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            row.seconds = time.monotonic() - at
            rows.append(row)
            for line in told([row]):
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            progress.console.print(f"{one.name}: {'holds' if row.holds else 'DOES NOT HOLD'}, {row.seconds:,.0f} s")
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
