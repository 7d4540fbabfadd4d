"""Simulated runs of the whole write path, one a seed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.prove.table import Row, Run, proof
from tests.services.certificates import KeyPairs
from tests.services.sqlite import statements_compiled_once
from tests.simulation.seeded import run as simulated


@proof("simulation", quick=12, long=10_000)
def simulate(run: Run) -> Row:
    """One run for each seed from the given one on, so that `--times 1 --seed N` is run N again."""
    row = Row(run.name)
    key_pair = KeyPairs(run.folder).get("acme")
    with statements_compiled_once(), _in_memory(run.folder) as folder:
        for seed in range(run.seed, run.seed + run.times):
            if run.is_over:
                break
            result = simulated(seed, key_pair, folder)
            row.injected += 1
            for count, what in result.wrong:
                row.add(f"seed {seed}: {what}", **{count: 1})
            if result.wrong:
                row.seen.append(result.told())
            run.step()
    return row


@contextlib.contextmanager
def _in_memory(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, where the machine has one: faults of the disk are simulated, its slowness proves nothing."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield otherwise
        return
    folder = Path(tempfile.mkdtemp(prefix="prove-", dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
