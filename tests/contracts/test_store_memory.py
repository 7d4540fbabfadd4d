from __future__ import annotations

import pytest

from recpipe.store.memory import MemoryStore
from tests.contracts.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def test_it_has_no_urls_to_give(self, store: MemoryStore) -> None:
        assert store.presign("t/r-1", seconds=60, download_name="a.wav", media_type="audio/wav") is None
