"""Five people each get what they came for, by no more clicks than last time."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.portal import portal
from tests.services.browser import NewPage
from tests.walks import WALKS, furnish, walked


def test_five_people_get_what_they_came_for(tmp_path: Path, new_page: NewPage) -> None:
    with portal(tmp_path) as made:
        furnish(made)
        for who, walk, most, _ in WALKS:
            took, _seconds = walked(new_page(accept_downloads=True), made, walk)
            assert took.clicks <= most, who
