"""Readers of what strangers write, fed with changed samples: `stuck` counts errors that are none of theirs."""

from __future__ import annotations

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
