"""Readers of what strangers write, fed with changed samples: `stuck` counts errors that are none of theirs."""

from __future__ import annotations

from tests.fuzz.targets import TARGETS, fuzz
from tests.prove.table import Row, Run, proof


@proof("changed input to readers", quick=300, long=200_000)
def fuzzing(run: Run) -> Row:
    """Each reader in turn, with one changed sample."""
    row, names = Row(run.name), list(TARGETS)
    for seed in range(run.seed, run.seed + run.times):
        if told := fuzz(names[seed % len(names)], seed, run.folder):
            row.add(told, stuck=1)
        row.injected += 1
        run.step()
    return row
