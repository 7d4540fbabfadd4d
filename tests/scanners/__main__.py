"""`scripts/audit web`: point sqlmap, wapiti, schemathesis and testssl.sh at a recpipe that runs here; one table."""

from __future__ import annotations

import argparse
import signal
import sys
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.scanners._instance import running
from tests.scanners._tools import SEVERITIES, Said, Scan, scan, scans

BACKENDS = {"sqlite": "SQLite and a folder", "postgresql": "PostgreSQL and S3"}


def main(arguments: list[str]) -> int:
    """Run the scans that were asked for; 1 where one has something to say at medium or above."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way
    parser = argparse.ArgumentParser(prog="scripts/audit web", description=__doc__)
    parser.add_argument("--tools", metavar="FOLDER", type=Path, required=True, help="where sqlmap and wapiti are")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: both, one after the other")
    parser.add_argument("--only", metavar="WORD", action="append", help="scans whose words hold this; may be repeated")
    parser.add_argument("--seconds", type=float, default=300, help="for each scan at most (default: 300)")
    parser.add_argument("--list", action="store_true", help="name the scans")
    chosen = parser.parse_args(arguments)
    out = Console(width=None if sys.stdout.isatty() else 160)
    said: list[tuple[str, Said]] = []
    for backend in chosen.backend or BACKENDS:
        wanted = [one for one in scans(backend) if _is_wanted(one, chosen.only)]
        if chosen.list:
            out.print("\n".join(f"{backend}: {_words(one)}" for one in wanted))
            continue
        # One that presses every button leaves a world in which others would find little.
        for _, group in groupby(wanted, lambda one: one.scanner == "wapiti"):
            with running(backend) as instance:
                for one in group:
                    said.append((backend, scan(one, instance, chosen.tools, chosen.seconds)))
                    _tell(out, *said[-1])
    if not said:
        return 0
    out.print(_table(said))
    return 0 if all(row.holds for _, row in said) else 1


def _words(one: Scan) -> str:
    return f"{one.scanner}, {one.at}, as {one.who}"


def _is_wanted(one: Scan, only: list[str] | None) -> bool:
    return not only or any(word in _words(one) for word in only)


def _tell(out: Console, backend: str, row: Said) -> None:
    state = "nothing at medium or above" if row.holds else "see below"
    out.print(f"{backend}: {row.scanner}, {row.at}, as {row.who}: {row.requests:,} requests, {state} {row.note}")
    for line in sorted({str(one) for one in row.findings}):
        out.print(f"  {line}", markup=False)


def _table(said: list[tuple[str, Said]]) -> Table:
    table = Table(box=box.MARKDOWN)
    for name in ("on", "scanner", "pointed at", "as"):
        table.add_column(name, overflow="fold")
    for name in ("requests", "seconds", "5xx", "low", "medium", "high", "false"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for backend, row in said:
        numbers = (
            row.requests,
            round(row.seconds),
            row.failures,
            row.count("low"),
            row.count("medium"),
            row.count(*SEVERITIES[2:], "fatal"),
            row.false,
        )
        table.add_row(
            BACKENDS[backend],
            f"{row.scanner} {row.version}",
            row.at,
            row.who,
            *(f"{number:,}" for number in numbers),
            row.note.strip("; "),
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
