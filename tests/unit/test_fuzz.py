"""What strangers write is read or refused with a reason, never with a fault of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, fuzz


@pytest.mark.parametrize("name", TARGETS)
def test_changed_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    assert [told for seed in range(25) if (told := fuzz(name, seed, tmp_path))] == []
