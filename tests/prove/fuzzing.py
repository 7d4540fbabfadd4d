"""Readers of what strangers write, fed with changed samples: `stuck` counts errors that are none of theirs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
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


@proof("changed input to readers, guided by coverage", quick=0, long=200_000)
def guided(run: Run) -> Row:
    """As above, with inputs that atheris makes out of those that reached new code; a process for each reader."""
    if importlib.util.find_spec("atheris") is None:
        return Row(
            run.name, why="atheris is not here, and in no lock file: .venv/bin/python -m pip install atheris==3.0.0"
        )
    row = Row(run.name)
    for name in TARGETS:
        if run.is_over:
            break
        folder = run.folder / re.sub(r"\W", "-", name)
        inputs = max(1, run.times // len(TARGETS))
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(folder), str(inputs), str(run.seed)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            row.add(f"{name}: {_said(folder, done.stdout + done.stderr)}", stuck=1)
        fed = int(found[1]) if (found := re.search(r"number_of_executed_units: (\d+)", done.stderr)) else 0
        row.came(fed)
        for _ in range(fed):
            run.step()
    return row


def _said(folder: Path, out: str) -> str:
    """What went wrong, and the input that did it."""
    inputs = [f"{path.name}: {path.read_bytes()[:200].hex()}" for path in folder.glob("*") if path.is_file()]
    return "\n".join([*inputs, out[-3000:]])
