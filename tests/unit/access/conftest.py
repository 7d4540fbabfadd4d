from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.access.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The same on both databases, where locks or races matter."""
    made = World(tmp_path) if request.param == "sqlite" else World(tmp_path, request.getfixturevalue("postgres_url"))
    yield made
    made.close()
