from __future__ import annotations

import secrets
from typing import Any

import pytest

from recpipe.store.base import Store
from recpipe.store.opening import open_store
from recpipe.store.s3 import S3Store
from tests.contracts.store import PART, StoreContract
from tests.services.s3 import S3Server, below


@pytest.fixture(scope="module")
def checking(s3_server: S3Server) -> Store:
    store = open_store(s3_server.settings(s3_part_bytes=PART))
    assert isinstance(store, S3Store)
    store._clients.client.meta.events.register("provide-client-params.s3.ListObjectsV2", _short_pages)
    return store


def _short_pages(params: dict[str, Any], **_: object) -> dict[str, Any]:
    """Ask the server for pages of 50, instead of putting more than the 1,000 that it gives of itself."""
    return {"MaxKeys": 50} | params


@pytest.fixture(scope="module")
def reading_back(s3_server: S3Server) -> Store:
    return open_store(s3_server.settings(s3_part_bytes=PART, s3_checksums="when_required"))


class TestS3Store(StoreContract):
    """On SeaweedFS, which heeds conditions and checks checksums."""

    many = 120  # three pages
    sorts_by_whole_key = False  # SeaweedFS sorts folder by folder; keys of the layout come out the same

    @pytest.fixture
    def store(self, checking: Store) -> Store:
        return below(checking, secrets.token_hex(8))


class TestS3StoreThatReadsBack(StoreContract):
    """The same server, used as one that knows no checksums: everything is verified by reading it back."""

    many = 5
    sorts_by_whole_key = False

    @pytest.fixture
    def store(self, reading_back: Store) -> Store:
        return below(reading_back, secrets.token_hex(8))
