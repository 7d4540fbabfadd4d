"""No page keeps anybody out, whatever state it is in and whichever engine shows it."""

from __future__ import annotations

import pytest

from tests.barriers.__main__ import ENGINES, walk
from tests.barriers._states import states


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ENGINES)
def test_no_state_of_any_page_has_a_barrier(engine: str) -> None:
    done = walk(engine, states())
    assert done.looks > 3 * len(states())
    assert done.findings == 0, "what was found is printed above"


def test_states_are_told_apart_by_their_names() -> None:
    names = [(one.name, one.who) for one in states()]
    assert len(names) == len(set(names)) > 100
