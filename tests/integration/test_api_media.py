"""The bytes of recordings over a real socket."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.api import World, world
from tests.services.need import tool
from tests.services.s3 import S3Server


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("media"), http_max_streams_per_user=100) as made:
        yield made


def media(world: World, key: str) -> str:
    return f"/api/v1/recordings/{world.recordings[key].id}/media"


def raw_request(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def open_objects() -> int:
    """How many stored files this process holds open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names only: some are gone when we look
        with suppress(OSError):
            found += "/objects/" in os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
    return found


@pytest.mark.parametrize("key", ["one", "two"])
def test_the_headers_say_what_the_bytes_are(there: World, key: str) -> None:
    answer = there.client("client").get(media(there, key))
    body = there.bodies[key]
    digest = hashlib.sha256(body)
    assert answer.content == body
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == ("application/octet-stream" if key == "two" else "audio/wav")


@pytest.mark.parametrize("asked", [(), ("--range", "100-199"), ("--range", "0-9,500-599"), ("--head",)])
def test_openssl_computes_the_digest_that_curl_is_told_of_the_whole_file_whatever_part_was_asked_for(
    there: World, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    url, token = there.url + media(there, "two"), f"Authorization: Bearer {there.tokens['client']}"
    curl = (tool("curl"), "-sSf", "--noproxy", "*", "-H", token)
    whole, head = tmp_path / "whole", tmp_path / "head"
    subprocess.run([*curl, "-o", whole, url], check=True)
    subprocess.run([*curl, *asked, "-D", head, "-o", tmp_path / "part", url], check=True)
    digest = subprocess.run([tool("openssl"), "dgst", "-sha256", "-binary", whole], check=True, capture_output=True)
    expected = base64.b64encode(digest.stdout).decode()
    said = head.read_text()
    assert re.search(r"^HTTP/1.1 (\d+)", said)[1] == ("206" if "--range" in asked else "200")  # type: ignore[index]
    assert re.search(r"^digest: (.*)$", said, re.MULTILINE)[1] == f"SHA-256={expected}"  # type: ignore[index]
    assert re.search(r"^repr-digest: (.*)$", said, re.MULTILINE)[1] == f"sha-256=:{expected}:"  # type: ignore[index]


def test_head_says_the_same_without_the_bytes(there: World) -> None:
    whole = there.client("client").get(media(there, "one"))
    head = there.client("client").head(media(there, "one"))
    assert head.status_code == 200 and head.content == b""
    for name in (
        "content-length",
        "etag",
        "repr-digest",
        "digest",
        "content-type",
        "last-modified",
        "content-disposition",
    ):
        assert head.headers[name] == whole.headers[name]


def test_a_copy_that_is_the_same_is_not_sent_again(there: World) -> None:
    client = there.client("client")
    etag = client.head(media(there, "one")).headers["etag"]
    again = client.get(media(there, "one"), headers={"if-none-match": etag})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == etag


def test_several_ranges_come_as_parts(there: World) -> None:
    body = there.bodies["one"]
    answer = there.client("client").get(media(there, "one"), headers={"range": "bytes=0-9,500-599,-5"})
    assert answer.status_code == 206
    assert int(answer.headers["content-length"]) == len(answer.content)
    raw = b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n" + answer.content
    parts = list(email.message_from_bytes(raw, policy=email.policy.HTTP).iter_parts())  # type: ignore[attr-defined]
    assert [part["content-range"] for part in parts] == [
        f"bytes 0-9/{len(body)}",
        f"bytes 500-599/{len(body)}",
        f"bytes {len(body) - 5}-{len(body) - 1}/{len(body)}",
    ]
    for start, length in ((0, 10), (500, 100), (len(body) - 5, 5)):
        assert b"\r\n\r\n" + body[start : start + length] + b"\r\n--" in answer.content


def test_a_range_outside_the_file_says_how_long_it_is(there: World) -> None:
    answer = there.client("client").get(media(there, "one"), headers={"range": "bytes=999999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(there.bodies['one'])}"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_download_has_its_name_in_a_form_for_every_client(there: World) -> None:
    answer = there.client("client").get(media(there, "three"), params={"download": "1"})
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"ueni _quoted_.wav\"; filename*=UTF-8''%C3%BCn%C3%AF%20%22quoted%22.wav"
    )
    assert (
        there.client("client").get(media(there, "one")).headers["content-disposition"] == 'inline; filename="one.wav"'
    )


def test_an_interrupted_download_is_resumed_only_on_the_same_file(there: World) -> None:
    client, body = there.client("client"), there.bodies["one"]
    etag = client.head(media(there, "one")).headers["etag"]
    rest = client.get(media(there, "one"), headers={"range": "bytes=4000-", "if-range": etag})
    assert rest.status_code == 206 and rest.content == body[4000:]
    other = client.get(media(there, "one"), headers={"range": "bytes=4000-", "if-range": '"other"'})
    assert other.status_code == 200 and other.content == body


def test_playing_and_downloading_are_on_the_audit_log_once_each(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("audit")) as there:
        for start in range(0, 500, 100):
            there.client("client").get(media(there, "one"), headers={"range": f"bytes={start}-{start + 99}"})
        there.client("client").get(media(there, "one"), params={"download": "1"})
        events = there.client("administrator").get("/api/v1/audit", params={"tenant": "acme"}).json()["items"]
        seen = [(e["action"], e["outcome"]) for e in events if e["subject"] == there.recordings["one"].id]
        assert sorted(seen) == [("download", "ok"), ("play", "ok")]


def test_a_service_user_without_the_right_to_play_is_told_so(there: World) -> None:
    answer = there.client("service").get(media(there, "one"))
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:recpipe:problem:forbidden"


def test_a_client_that_reads_nothing_and_leaves_costs_no_open_file(there: World) -> None:
    there.add("big", there.acme, os.urandom(1024) * 20_000, minutes=60)
    url = urlsplit(there.url)

    before = open_objects()
    request = raw_request(media(there, "big"), there.tokens["client"])
    clients = []
    for _ in range(40):
        client = socket.create_connection((url.hostname or "", url.port or 0), timeout=10)
        client.sendall(request)
        client.recv(1000)
        clients.append(client)
    # While forty clients read nothing, others are served: none of them holds a thread.
    started = time.monotonic()
    assert there.client("client").get(media(there, "one")).status_code == 200
    assert time.monotonic() - started < 5
    assert open_objects() >= before + 40
    for client in clients:
        client.close()
    deadline = time.monotonic() + 10
    while open_objects() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_objects() == before


def test_a_revoked_token_stops_a_download_that_is_under_way(there: World) -> None:
    by_name = {user["username"]: user["id"] for user in there.client().get("/api/v1/users").json()["items"]}
    made = there.client().post(
        f"/api/v1/users/{by_name['client']}/tokens", json={"label": "short", "scopes": ["search", "play"]}
    )
    assert made.status_code == 201, made.text
    there.add("large", there.acme, bytes(1000) * 40_000, minutes=61)
    url = urlsplit(there.url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as client:
        client.sendall(raw_request(media(there, "large"), made.json()["secret"]))
        got = len(client.recv(1000))
        there.client().delete(f"/api/v1/tokens/{made.json()['token']['id']}").raise_for_status()
        time.sleep(0.6)
        while piece := client.recv(1 << 20):
            got += len(piece)
    assert got < 30_000_000


def test_a_damaged_range_request_never_breaks_the_server(there: World) -> None:
    for value in ("bytes=" + "0-0," * 4000, "bytes=\x80", "bytes=" + "9" * 9000 + "-"):
        answer = there.client("client").get(media(there, "one"), headers={"range": value.encode("latin-1")})
        assert answer.status_code in (200, 416)


def test_a_stored_file_that_is_gone_is_no_mystery(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("gone")) as there:
        one = there.recordings["one"]
        there.parts.store.delete(one.object_key)
        answer = there.client("client").get(media(there, "one"))
        assert (answer.status_code, answer.json()["type"]) == (502, "urn:recpipe:problem:object-missing")
        assert one.object_key not in answer.text


def test_what_is_stored_comes_back_from_s3_and_through_a_presigned_redirect(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server
) -> None:
    root = tmp_path_factory.mktemp("s3")
    on_s3 = s3_server.settings(prefix="api", data_dir=root / "data", http_media="redirect")
    with world(root, **on_s3.model_dump(exclude_unset=True)) as there:
        first = there.client("client").get(media(there, "one"), params={"download": "1"})
        assert first.status_code == 307 and first.headers["cache-control"] == "no-store"
        with httpx.Client(trust_env=False) as nobody:
            given = nobody.get(first.headers["location"])
            part = nobody.get(first.headers["location"], headers={"range": "bytes=10-19"})
        assert given.content == there.bodies["one"] and part.content == there.bodies["one"][10:20]
        assert given.headers["content-disposition"].startswith("attachment")
        etag = there.client("client").head(media(there, "one")).headers["etag"]
        assert there.client("client").get(media(there, "one"), headers={"if-none-match": etag}).status_code == 304
    proxied = on_s3.model_copy(update={"http_media": "proxy", "data_dir": root / "second"})
    with world(root, **proxied.model_dump(exclude_unset=True)) as there:
        part = there.client("client").get(media(there, "two"), headers={"range": "bytes=10-19,-3"})
        assert part.status_code == 206 and there.bodies["two"][10:20] in part.content
        assert there.client("client").get(media(there, "two")).content == there.bodies["two"]
