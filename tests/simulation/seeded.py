"""What may happen in a simulated run, how likely each is, and a run whose seed decides on all of it."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.services.certificates import KeyPair
from tests.simulation.world import World

# What is done: how likely beside the others, and the largest value of each argument.
ACTS: dict[str, tuple[int, tuple[int, ...]]] = {
    "begin": (10, (2, 3)),
    "write": (5, (3,)),
    "finish": (7, (3,)),
    "rename": (4, (3,)),
    "sidecar": (2, (3,)),
    "record": (2, (3,)),
    "nonsense": (1, (0,)),
    "again": (2, (3,)),
    "wait": (14, (5,)),
    "set_clock": (1, (1,)),
    "certify": (1, (0,)),
    "seal": (1, (0,)),
    "delete": (2, (5,)),
    "retry": (2, (3,)),
    "look": (16, (2,)),
    "work": (3, (0,)),
    "stop": (2, (0,)),
    "kill": (6, (90,)),
    "fail": (5, (90,)),
    "fill_up": (2, (90,)),
    "go_away": (2, (90, 1, 1)),
    "damage": (1, (0,)),
    "interfere": (5, (90, 3, 3)),
}
_LEAST, _MOST = 10, 40  # acts of a run


class Result:
    """Of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.acts: list[str] = []
        self.came: list[str] = []
        self.wrong: list[tuple[str, str]] = []

    def told(self) -> str:
        """What happened and what was wrong, in words that say how to see it again."""
        wrong = "; ".join(f"{count}: {what}" for count, what in self.wrong)
        return (
            f"seed {self.seed}: {wrong}"
            f"\n  see it again with: scripts/prove --only simulation --times 1 --seed {self.seed}"
            f"\n  acts: {' '.join(self.acts)}\n  faults: {'; '.join(self.came)}"
        )


def run(seed: int, key_pair: KeyPair, folder: Path | None = None) -> Result:
    """A whole run: acts, then quiet, then the check."""
    chance, result = random.Random(seed), Result(seed)
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=folder) as root:
        world = World(Path(root), key_pair, seed)
        try:
            for _ in range(chance.randint(_LEAST, _MOST)):
                [name] = chance.choices(list(ACTS), [weight for weight, _ in ACTS.values()])
                arguments = [chance.randint(0, largest) for largest in ACTS[name][1]]
                result.acts.append(f"{name}({', '.join(map(str, arguments))})")
                getattr(world, f"act_{name}")(*arguments)
            world.settle()
            result.wrong, result.came = world.check(), world.faults.came
        finally:
            world.close()
    return result
