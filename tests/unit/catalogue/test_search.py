"""What the contract of searches tries; tests/contracts/catalogue_search.py tries it on both databases."""

from __future__ import annotations

import random
from dataclasses import fields

from recpipe.model import RecordingQuery
from tests.contracts.catalogue_search import ADDED, WITH_TESTS_OF_THEIR_OWN, some_criteria


def test_each_criterion_of_a_search_is_tried_against_a_filter_in_python() -> None:
    tried = {*some_criteria(random.Random(0)), *ADDED, *WITH_TESTS_OF_THEIR_OWN}
    untried = {field.name for field in fields(RecordingQuery)} - tried
    assert not untried, (
        f"{untried}: a search that ignores it finds everything, and no test would tell. Name it in `some_criteria`, "
        "`matches` and `some_recordings` of tests/contracts/catalogue_search.py"
    )
