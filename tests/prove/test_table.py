"""The table of scripts/prove says no when it should."""

from __future__ import annotations

import pytest

from tests.prove.table import COUNTS, Row, told


@pytest.mark.parametrize("count", COUNTS)
def test_a_row_holds_only_while_every_count_is_zero(count: str) -> None:
    row = Row("fault", injected=1)
    assert row.holds
    row.add("seed 1: this file", **{count: 1})
    assert not row.holds and list(told([row])) == ["fault: seed 1: this file"]


def test_a_fault_that_never_came_true_proves_nothing() -> None:
    row = Row("fault")
    assert not row.holds and "never came true" in "".join(told([row]))
