"""Finding recordings and getting their bytes over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from recpipe.catalogue import engine, search
from tests.integration.api import World, world
from tests.scanners._tools import SQL


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("api")) as made:
        yield made


def test_a_search_gives_the_newest_first_and_counts(there: World) -> None:
    answer = there.client("client").get("/api/v1/recordings").json()
    assert [item["name"] for item in answer["items"]] == ['ünï "quoted".wav', "two.wav.enc", "one.wav"]
    assert (answer["count"], answer["count_capped"], answer["next"]) == (3, False, None)


def test_a_search_that_finds_little_says_how_far_it_looked(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FIRST_STEP", 1)
    monkeypatch.setattr(search, "LOOK_SECONDS", -1)
    client, seen, asked = there.client("client"), [], "/api/v1/recordings"
    answer = client.get(asked, params={"text": "one"}).json()
    newest = client.get("/api/v1/recordings?limit=1").json()["items"][0]
    assert (answer["items"], answer["searched_to"]) == ([], newest["started_at"])
    assert (answer["count"], answer["count_capped"]) == (0, True)
    while answer["next"]:
        answer = client.get(asked, params={"text": "one", "cursor": answer["next"]}).json()
        seen += [item["name"] for item in answer["items"]]
    assert seen == ["one.wav"] and answer["searched_to"] is None


def test_a_search_that_takes_too_long_is_told_to_narrow(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_STEPS", 1)
    monkeypatch.setattr(there.parts.catalogue, "_search_seconds", 0)
    answer = there.client("client").get("/api/v1/recordings")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:recpipe:problem:search-too-long")
    assert "Narrow it by date" in answer.json()["detail"]


def test_a_recording_says_what_its_file_is(there: World) -> None:
    two = there.recordings["two"]
    item = there.client("client").get(f"/api/v1/recordings/{two.id}").json()
    assert item["started_at"] == "2025-03-27T09:30:17Z"
    assert item["tenant"] == "acme" and item["sealed"] and item["duration_seconds"] == 61.52
    assert item["sha256"] == hashlib.sha256(there.bodies["two"]).hexdigest()
    assert item["envelope"] == {
        "content_offset": 10,
        "content_bytes": 10230,
        "iv": "00" * 16,
        "fingerprints": ["ab" * 32],
    }


def test_media_gives_the_stored_bytes_and_ranges_of_them(there: World) -> None:
    one, body = there.recordings["one"], there.bodies["one"]
    client = there.client("client")
    whole = client.get(f"/api/v1/recordings/{one.id}/media")
    assert whole.content == body and whole.headers["content-type"] == "audio/wav"
    part = client.get(f"/api/v1/recordings/{one.id}/media", headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == body[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(body)}"


@pytest.mark.parametrize("name", [name for name, target in SQL.items() if target.who])
def test_what_scanners_attack_is_understood_before_it_is_attacked(there: World, name: str) -> None:
    target = SQL[name]
    path = target.path.replace("ID", there.recordings["one"].id).replace("*", "")
    method, headers = ("PATCH", {"content-type": "application/json"}) if target.data else ("GET", {})
    answer = there.client(target.who).request(method, path, content=target.data or None, headers=headers)
    assert answer.status_code == 200, f"{name} gets no further than {answer.text}"
