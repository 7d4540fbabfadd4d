"""Rows are read by place: what a fact without a column is told."""

from __future__ import annotations

import pytest

from recpipe.catalogue.rows import place_of


@pytest.mark.parametrize("column", ["mood", "call_at", "peaks"])  # none, and two that lists leave out
def test_a_fact_without_a_column_that_lists_read_names_the_file_to_change(column: str) -> None:
    with pytest.raises(LookupError, match=rf"{column} .*catalogue/tables\.py.*before `peaks`"):
        place_of(column)
