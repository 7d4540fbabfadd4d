"""What to do when a real service or tool is not on this machine."""

from __future__ import annotations

import os
import shutil

import pytest


def missing(reason: str) -> None:
    """Skip here and now with the reason; in CI a missing service is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI must have it: see scripts/setup)")
    pytest.skip(reason)


def tool(name: str) -> str:
    """Path of a command-line tool, or skip (fail in CI) with its name."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed; scripts/setup installs it")
    assert found is not None
    return found
