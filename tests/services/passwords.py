"""Passwords of one pass over 8 KiB in this process: at their full cost, tests would spend their time on Argon2. What is
common is worked out once for each that is chosen: people of most tests have the same.

`full_cost` gives a test what the product has; programs that a test starts have it anyway.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from recpipe.access import common_passwords, passwords

FULL = passwords.DEFAULT_COST


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    known = functools.cache(common_passwords.is_common)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common_passwords, "is_common", lambda password, words=(): known(password, frozenset(words)))
        patch.setattr(passwords, "DEFAULT_COST", passwords.Cost(passes=1, memory_kib=8, lanes=1))
        yield


@pytest.fixture
def full_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "DEFAULT_COST", FULL)
