"""Shared fixtures; the real servers live in tests/services, one plugin each."""

from __future__ import annotations

import importlib.util
import os

import pytest

pytest_plugins = [
    name
    for name in (
        "tests.services.s3",
        "tests.services.postgres",
        "tests.services.certificates",
        "tests.services.browser",
    )
    if importlib.util.find_spec(name)
]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own RECPIPE_* or AWS_* variables must not reach a test."""
    for name in os.environ:
        if name.startswith(("RECPIPE_", "AWS_")):
            monkeypatch.delenv(name)
