"""Shared fixtures; the real servers live in tests/services, one plugin each."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

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


@pytest.fixture(autouse=True)
def _no_log_of_another_test() -> Iterator[None]:
    """A command that a test ran has pointed the log at that test's captured output, which is closed afterwards."""
    yield
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
