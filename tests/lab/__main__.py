"""`scripts/lab [PLAN...]`: makes the runs, each in a network and a process tree of its own, and prints a table."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.lab.calls import PLANS

_LONGEST_RUN_SECONDS = 600
_COLUMNS = ("run", "calls", "files of the recorder", "stored once, whole", "described", "waiting", "slowest")
_RULED = ("call and rule", "told", "recordings", "sealed")
_TIMED = ("INVITE to 180", "median", "p95", "worst")


def main() -> int:
    """Run what was asked for; the exit status says whether all of it was as it should be."""
    given = argparse.ArgumentParser(prog="scripts/lab", description=__doc__)
    given.add_argument("plan", nargs="*", help=f"which runs: {', '.join(PLANS)}; without any, all but quick")
    given.add_argument("--quick", action="store_true", help="one call alone, in about a minute")
    given.add_argument("--out", type=Path, default=Path("build/lab"), help="folder for all that comes of it, made anew")
    given.add_argument("-j", "--jobs", type=int, default=1, help="this many runs at once")
    given.add_argument("--sink", type=Path, required=True, help=argparse.SUPPRESS)
    asked = given.parse_args()
    plans = ["quick"] if asked.quick else asked.plan or [name for name in PLANS if name != "quick"]
    if unknown := set(plans) - set(PLANS):
        given.error(f"there is no run {', '.join(sorted(unknown))}; there are {', '.join(PLANS)}")
    out = asked.out.absolute()
    with ThreadPoolExecutor(asked.jobs) as pool:
        results = list(pool.map(lambda name: _run(name, out / name, asked.sink.absolute()), plans))
    print(_table(results))
    for result in results:
        if result.get("timed"):
            print(_of_policy(result))
    for result in results:
        for fault in result["faults"]:
            print(f"{result['plan']}: {fault}", file=sys.stderr)
    print(f"Logs, what the recorder wrote (truth) and what recpipe has: {out}", file=sys.stderr)
    return 1 if any(result["faults"] for result in results) else 0


def _run(plan: str, folder: Path, sink: Path) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"{plan}: {PLANS[plan].title} ...", file=sys.stderr)
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    words = [*alone, sys.executable, "-m", "tests.lab.run", plan, str(folder), str(sink)]
    with (folder / "run.txt").open("w") as log:
        try:
            subprocess.run(words, stdout=log, stderr=log, timeout=_LONGEST_RUN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            print(f"ended after {_LONGEST_RUN_SECONDS} s", file=log)
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        result = {"plan": plan, "faults": [f"it did not come to its end: see {folder / 'run.txt'}"]}
    return result


def _of_policy(result: dict[str, Any]) -> str:
    """In Markdown, as it stands in docs/policy.md."""
    calls = [_RULED, *(tuple(row) for row in result["ruled"])]
    times = [_TIMED, *((way, *(f"{ms:.1f} ms" for ms in took)) for way, took in result["timed"].items())]
    opened = f"Opened by OpenSSL {result['opened_after_s']:.1f} s after the caller hung up."
    return f"\n{_markdown(calls)}\n\n{opened}\n\n{_markdown(times)}"


def _table(results: list[dict[str, Any]]) -> str:
    """In Markdown, as it stands in docs/recorders.md."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for result in results:
        files = result.get("files", 0)
        rows.append(
            (
                PLANS[result["plan"]].title,
                str(result.get("calls", 0)),
                str(files),
                f"{result.get('whole', 0)} of {files}",
                f"{result.get('described', 0)} of {result.get('stored', 0)}",
                str(result.get("waiting", 0)),
                f"{result.get('slowest_ms', 0) / 1000:.1f} s",
            )
        )
    return _markdown(rows)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    """The first row is the head."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]))


if __name__ == "__main__":
    sys.exit(main())
