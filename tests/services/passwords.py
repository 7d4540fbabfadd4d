"""Passwords of one pass over 8 KiB in this process: at their full cost, tests would spend their time on Argon2.

`full_cost` gives a test what the product has; programs that a test starts have it anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recpipe.access import passwords

FULL = passwords.DEFAULT_COST


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "DEFAULT_COST", passwords.Cost(passes=1, memory_kib=8, lanes=1))
        yield


@pytest.fixture
def full_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "DEFAULT_COST", FULL)
