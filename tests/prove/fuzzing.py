"""Readers of what strangers write, fed with changed samples: `stuck` counts errors that are none of theirs."""

from __future__ import annotations

import importlib.util
import math
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.ftp_lines import target
from tests.fuzz.targets import TARGETS, fuzz
from tests.integration.ftp_world import ftp_world
from tests.prove.table import Row, Run, proof


@proof("changed input to readers", quick=300, long=200_000)
def fuzzing(run: Run) -> Row:
    """Each reader in turn, with one changed sample; the FTP gateway is one of them."""
    row = Row(run.name)
    with ftp_world(run.folder / "ftp") as world:
        targets = TARGETS | target(world)
        names = list(targets)
        for seed in range(run.seed, run.seed + run.times):
            if run.is_over:
                break
            if told := fuzz(names[seed % len(names)], seed, run.folder, targets):
                row.add(told, stuck=1)
            row.injected += 1
            run.step()
    return row


@proof("changed input to readers, guided by coverage", quick=0, long=200_000, part_seconds=600)
def guided(run: Run) -> Row:
    """As above, with inputs that atheris makes out of those that reached new code; a process for each reader.

    The readers share the time, since one that decodes audio takes as long for an input as another for a hundred.
    """
    if importlib.util.find_spec("atheris") is None:
        return Row(
            run.name, why="atheris is not here, and in no lock file: .venv/bin/python -m pip install atheris==3.0.0"
        )
    row = Row(run.name)
    inputs_of: dict[str, int] = {}
    names = random.Random(run.seed).sample(list(TARGETS), len(TARGETS))
    for place, name in enumerate(names):
        folder = run.folder / re.sub(r"\W", "-", name)
        inputs = max(1, run.times // len(TARGETS))
        seconds = share(run.until - time.monotonic(), len(names) - place)
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(folder), str(inputs), str(run.seed), seconds]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            row.add(f"{name}: {_said(folder, done.stdout + done.stderr)}", stuck=1)
        fed = int(found[1]) if (found := re.search(r"number_of_executed_units: (\d+)", done.stderr)) else 0
        inputs_of[name] = fed
        row.came(fed)
        for _ in range(fed):
            run.step()
    row.why = f"{len(names)} readers had {min(inputs_of.values()):,} to {max(inputs_of.values()):,} inputs each"
    return row


def share(left_seconds: float, readers: int) -> str:
    """Whole seconds for the first of so many readers, one at least; "0" where there is all the time."""
    return "0" if math.isinf(left_seconds) else str(max(1, int(left_seconds / readers)))


def _said(folder: Path, out: str) -> str:
    """What went wrong, and the input that did it."""
    inputs = [f"{path.name}: {path.read_bytes()[:200].hex()}" for path in folder.glob("*") if path.is_file()]
    return "\n".join([*inputs, out[-3000:]])
