"""The whole write path under faults that are drawn: nothing lost, doubled, leaked, dangling or stuck.

Hypothesis draws what happens and shrinks what goes wrong; `scripts/prove --only simulation` runs seeds by the thousand.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.services.certificates import KeyPair
from tests.simulation.seeded import ACTS, run
from tests.simulation.world import World

# Seeds that found something once.
FOUND = {
    6: "a crash, and then the file is written to: an object without a row",
    19: "a file that could not be put back left an empty one",
    367: "a kept upload was sent again of a file that had grown",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A hundred thousand log events would be most of the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Machine(RuleBasedStateMachine):
    """Anything may happen at any time; the end is quiet, and then all must be well."""

    key_pair: KeyPair

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="simulation-")
        self.world: World | None = None

    @initialize()
    def installed(self) -> None:
        self.world = World(Path(self._folder.name), self.key_pair)

    def teardown(self) -> None:
        try:
            if self.world is not None:
                try:
                    self.world.settle()
                    assert self.world.check() == []
                finally:
                    self.world.close()
        finally:
            self._folder.cleanup()


def _rule(name: str, largest: tuple[int, ...]) -> Callable[..., Any]:
    def act(self: Machine, **arguments: int) -> None:
        assert self.world is not None
        getattr(self.world, f"act_{name}")(*(arguments[one] for one in sorted(arguments)))

    act.__name__ = name
    return rule(**{f"a{place}": st.integers(0, most) for place, most in enumerate(largest)})(act)


for _name, (_weight, _largest) in ACTS.items():
    setattr(Machine, _name, _rule(_name, _largest))


def test_nothing_is_lost_doubled_leaked_dangling_or_stuck(key_pair: KeyPair) -> None:
    machine = type("Simulation", (Machine,), {"key_pair": key_pair})
    few = settings(
        max_examples=6,
        stateful_step_count=20,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)


@pytest.mark.parametrize("seed", FOUND, ids=str)
def test_what_was_found_once_stays_mended(key_pair: KeyPair, seed: int) -> None:
    result = run(seed, key_pair)
    assert not result.wrong, result.told()


def test_a_run_is_told_by_its_seed(key_pair: KeyPair) -> None:
    one, again = run(4, key_pair), run(4, key_pair)
    assert (one.acts, one.came) == (again.acts, again.came) and len(one.came) > 0
