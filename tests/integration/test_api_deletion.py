"""Deleting over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.errors import ObjectMissing
from recpipe.model import Role
from tests.integration.api import World, world


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_a_deleted_recording_is_gone_from_every_answer(there: World) -> None:
    one, client = there.recordings["one"], there.client("client")
    path = f"/api/v1/recordings/{one.id}"
    deleted = client.request("DELETE", path, json={"reason": "erasure request 4711"})
    assert (deleted.status_code, deleted.content) == (204, b"")
    with pytest.raises(ObjectMissing):
        there.parts.store.head(one.object_key)
    for again in (client.get(path), client.get(f"{path}/media"), client.delete(path)):
        assert again.status_code == 404
        assert again.content == client.get(f"/api/v1/recordings/{'0' * 32}").content
    assert one.id not in client.get("/api/v1/recordings").text
    assert client.post("/api/v1/recordings/zip", json={"ids": [one.id]}).status_code == 404
    (event,) = there.client().get("/api/v1/audit", params={"action": "delete", "outcome": "ok"}).json()["items"]
    assert (event["subject"], event["detail"]) == (one.id, {"reason": "erasure request 4711"})
    assert event["actor"].startswith("client") and event["address"] == "127.0.0.1"


def test_a_reason_may_be_left_out(there: World) -> None:
    assert there.client("client").delete(f"/api/v1/recordings/{there.recordings['one'].id}").status_code == 204


@pytest.mark.parametrize(
    "body", [{"reason": "x" * 201}, {"reason": "a\u0000b"}, {"because": "x"}, {"reason": "\u202ex"}]
)
def test_a_reason_that_cannot_be_kept_deletes_nothing(there: World, body: dict[str, str]) -> None:
    path = f"/api/v1/recordings/{there.recordings['one'].id}"
    client = there.client("client")
    assert client.request("DELETE", path, json=body).status_code == 422
    assert client.get(path).status_code == 200


def test_the_right_to_search_is_none_to_delete(there: World) -> None:
    one = there.recordings["one"]
    there.token("reading", Role.CLIENT, ("search", "play", "download", "export"), {there.acme.id: []})
    for who in ("service", "reading"):
        answer = there.client(who).delete(f"/api/v1/recordings/{one.id}")
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:recpipe:problem:forbidden")
    assert there.parts.store.head(one.object_key).size_bytes == one.stored_bytes
