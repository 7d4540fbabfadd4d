"""Damage to store and catalogue: `recpipe verify` finds every one and nothing else, and repair mends what it may."""

from __future__ import annotations

from collections import Counter

from tests.damage import damaged, found
from tests.prove.table import Row, Run, proof


@proof("damage to store and catalogue", quick=45, long=1_000, at_once=True)
def damages(run: Run) -> Row:
    """So many damages to twice as many recordings; `lost` is what was not found, `stuck` a false alarm."""
    row = Row(run.name)
    with damaged(run.folder, run.seed, 2 * run.times + 20, run.times) as here:
        row.injected = sum(here.times.values())
        report = here.look()
        for kind, key in here.expected - found(report):
            row.add(f"seed {run.seed}: {kind} of {key} was not found", lost=1)
        for kind, key in found(report) - here.expected:
            row.add(f"seed {run.seed}: {kind} of {key} is a false alarm", stuck=1)
        left = Counter((one.kind, one.object_key) for one in here.repair(report).left)
        for kind, key in (here.expected - here.mended) - left:
            row.add(f"seed {run.seed}: {kind} of {key} was mended by a guess", leaked=1)
        for kind, key in left - (here.expected - here.mended):
            row.add(f"seed {run.seed}: {kind} of {key} was not mended", dangling=1)
        for kind, key in found(here.look()) - left:
            row.add(f"seed {run.seed}: {kind} of {key} after the repair", dangling=1)
        for _ in range(run.times):
            run.step()
    return row
