"""Many downloads at once: slow ones starve nobody, and one user, or all of them, have only so many."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from recpipe import metrics
from recpipe.web.deps import ENDPOINT_THREADS
from recpipe.web.streams import READING_THREADS
from tests.integration.api import World, world

# More than the sockets of both sides hold: such an answer cannot end while nobody reads it.
BIG_BYTES = 16 * 1024 * 1024

ZIP = "/api/v1/recordings/zip"
EXPORT = "/api/v1/recordings/export"


@contextmanager
def busy_world(root: Path, **limits: Any) -> Iterator[World]:
    with world(root, **limits) as there:
        there.add("big", there.acme, os.urandom(BIG_BYTES), minutes=60)
        there.add("big-foreign", there.globex, os.urandom(BIG_BYTES), minutes=60)
        yield there


def media(there: World, key: str) -> str:
    return f"/api/v1/recordings/{there.recordings[key].id}/media"


def chosen(there: World, key: str) -> dict[str, list[str]]:
    return {"ids": [there.recordings[key].id]}


class SlowReader:
    """A client that takes the first bytes of its answer and then no more, until it is closed."""

    def __init__(self, there: World, who: str, *, ranges: str = "", zipped: bool = False) -> None:
        url = urlsplit(there.url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(60)
        self._socket.connect((url.hostname or "", url.port or 0))
        line = f"POST {ZIP}" if zipped else f"GET {media(there, 'big')}"
        body = json.dumps(chosen(there, "big")) if zipped else ""
        headers = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {there.tokens[who]}"]
        headers += [f"Range: bytes={ranges}"] if ranges else []
        headers += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
        self._socket.sendall("\r\n".join([*headers, "", body]).encode())

    def status(self) -> int:
        return int(self._socket.recv(256).split(b" ")[1])

    def close(self) -> None:
        self._socket.close()


@contextmanager
def reading_slowly(readers: Iterable[SlowReader]) -> Iterator[list[int]]:
    """The statuses of their answers, which stay open inside."""
    with ExitStack() as stack:
        asked = list(readers)
        for reader in asked:
            stack.callback(reader.close)
        yield [reader.status() for reader in asked]


def wait_for_no_streams() -> None:
    """Wait until the server has noticed that clients are gone."""
    deadline = time.monotonic() + 30
    while metrics.REGISTRY.get_sample_value("recpipe_http_streams"):
        assert time.monotonic() < deadline, "places are not given back"
        time.sleep(0.05)


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[World]:
    """Takes more slow readers than the web role has threads."""
    with busy_world(tmp_path, http_max_streams_per_user=200, http_max_streams=200, http_max_per_address=400) as there:
        yield there


def test_more_slow_readers_than_threads_starve_nobody(roomy: World) -> None:
    many = ENDPOINT_THREADS + READING_THREADS
    with ExitStack() as stack:
        for readers in (
            (SlowReader(roomy, "client") for _ in range(many)),
            (SlowReader(roomy, "client", ranges="0-9999999,10000001-") for _ in range(10)),
            (SlowReader(roomy, "client", zipped=True) for _ in range(many)),
        ):
            assert set(stack.enter_context(reading_slowly(readers))) <= {200, 206}
        # The tenant's own people search and export, ...
        found = roomy.client("api").get("/api/v1/recordings", params={"tenant": "acme"})
        assert found.status_code == 200 and len(found.json()["items"]) == 4
        assert roomy.client("api").get(EXPORT).status_code == 200
        # ... and another tenant gets its files, whole.
        downloaded = roomy.client("stranger").get(media(roomy, "big-foreign")).content
        assert hashlib.sha256(downloaded).hexdigest() == roomy.recordings["big-foreign"].stored_sha256
        archived = roomy.client("stranger").post(ZIP, json=chosen(roomy, "big-foreign")).content
        with zipfile.ZipFile(io.BytesIO(archived)) as made:
            assert made.read("2025/03/27/big-foreign.wav") == roomy.bodies["big-foreign"]
    wait_for_no_streams()


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[World]:
    with busy_world(tmp_path, http_max_streams_per_user=3, http_max_streams=5) as there:
        yield there
        wait_for_no_streams()


def refused(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:recpipe:problem:{kind}"
    assert int(answer.headers["retry-after"]) == answer.json()["retry_after_seconds"] > 0
    assert "try again" in answer.json()["detail"]


def test_a_user_has_only_so_many_downloads_at_once_of_all_kinds_together(narrow: World) -> None:
    client = narrow.client("client")
    readers = [SlowReader(narrow, "client"), SlowReader(narrow, "client", ranges="0-9999999,10000001-")]
    with reading_slowly([*readers, SlowReader(narrow, "client", zipped=True)]) as statuses:
        assert statuses == [200, 206, 200]
        refused(client.get(media(narrow, "one")), 429, "too-many-streams")
        refused(client.post(ZIP, json=chosen(narrow, "one")), 429, "too-many-streams")
        refused(client.get(EXPORT), 429, "too-many-streams")
        # Nothing else is refused, and nobody else.
        assert client.get("/api/v1/recordings").status_code == 200
        assert client.head(media(narrow, "one")).status_code == 200
        assert narrow.client("stranger").get(media(narrow, "big-foreign")).status_code == 200
    wait_for_no_streams()
    assert client.get(media(narrow, "one")).content == narrow.bodies["one"]


def test_what_was_refused_is_not_on_the_audit_log_as_done(narrow: World) -> None:
    with reading_slowly(SlowReader(narrow, "client") for _ in range(3)):
        narrow.client("client").get(EXPORT)
        narrow.client("client").get(media(narrow, "one"))
    events = narrow.client().get("/api/v1/audit", params={"tenant": "acme"}).json()["items"]
    assert [event["subject"] for event in events if event["action"] == "play"] == [narrow.recordings["big"].id]
    assert "export" not in {event["action"] for event in events}


def test_the_server_sends_only_so_much_at_once_and_says_so(narrow: World) -> None:
    readers = [SlowReader(narrow, who) for who in ("client", "client", "client", "api", "api")]
    with reading_slowly(readers) as statuses:
        assert statuses == [200] * 5
        refused(narrow.client("stranger").get(media(narrow, "foreign")), 503, "busy")
        refused(narrow.client("stranger").post(ZIP, json=chosen(narrow, "foreign")), 503, "busy")
        assert narrow.client("stranger").get("/api/v1/recordings").status_code == 200
        assert narrow.client("stranger").get("/readyz").status_code == 200
    wait_for_no_streams()
    assert narrow.client("stranger").get(media(narrow, "foreign")).status_code == 200


def test_places_come_back_from_what_failed_and_what_was_sent_whole(narrow: World) -> None:
    client = narrow.client("client")
    narrow.parts.store.delete(narrow.recordings["one"].object_key)
    for _ in range(6):
        assert client.get(media(narrow, "one")).status_code == 502
        assert client.get(media(narrow, "big"), headers={"range": "bytes=0-9,20-29"}).status_code == 206
        assert client.get(media(narrow, "three")).status_code == 200
        assert client.get(EXPORT, params={"timezone": "Mars"}).status_code == 422
        assert client.get(EXPORT).status_code == 200
        assert client.post(ZIP, json=chosen(narrow, "three")).status_code == 200
        assert len(client.get(media(narrow, "big")).content) == BIG_BYTES
