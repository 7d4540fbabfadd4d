"""Simulated runs of the whole write path, one a seed."""

from __future__ import annotations

import logging

from tests.prove.table import Row, Run, proof
from tests.services.certificates import KeyPairs
from tests.simulation.seeded import run as simulated


@proof("simulation", quick=12, long=10_000)
def simulate(run: Run) -> Row:
    """One run for each seed from the given one on, so that `--times 1 --seed N` is run N again."""
    row = Row(run.name)
    key_pair = KeyPairs(run.folder).get("acme")
    logging.disable(logging.CRITICAL)  # what it says of a hundred thousand files is most of the time
    try:
        for seed in range(run.seed, run.seed + run.times):
            if run.is_over:
                break
            result = simulated(seed, key_pair)
            row.injected += 1
            for count, what in result.wrong:
                row.add(f"seed {seed}: {what}", **{count: 1})
            if result.wrong:
                row.seen.append(result.told())
            run.step()
    finally:
        logging.disable(logging.NOTSET)
    return row
