"""Requests past botocore's client go where it would go, and are signed as it signs."""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from recpipe.errors import StoreRejected
from recpipe.store import s3_direct
from recpipe.store.s3 import S3Store
from tests.contracts.store import content, get, put
from tests.services.certificates import KeyPairs
from tests.services.proxy import flaky_proxy
from tests.services.s3 import S3Server, rclone_s3


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(8)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("this is the client")


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is sent directly, or not at all."""
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)


def opened(server: S3Server, prefix: str) -> S3Store:
    store = S3Store(server.settings(), server.bucket, prefix)
    store._heeds_conditions = True  # finding this out is the client's
    return store


@pytest.mark.usefixtures("no_client")
def test_reading_takes_one_connection_and_gives_it_back_with_the_last_byte(s3_server: S3Server, prefix: str) -> None:
    store = opened(s3_server, prefix)
    put(store, "t/r-1", content(700_000))
    place = store._clients.direct._place
    assert place is not None
    open_streams = []
    for _ in range(3):
        open_streams.append(store.read("t/r-1", 1, 600_000))
        assert open_streams[-1].read(600_000) == content(700_000)[1:600_001]
        assert get(store, "t/r-1") == content(700_000)
    assert place.connections.made == 1


@pytest.mark.usefixtures("no_client")
def test_a_body_is_read_without_a_copy(s3_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(s3_server, prefix)
    put(store, "t/r-1", content(700_000))
    monkeypatch.setattr("http.client.HTTPResponse.read", refuse)  # makes bytes of its own
    assert get(store, "t/r-1") == content(700_000)


def test_a_proxy_of_the_machine_is_taken(s3_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given: a host that only the proxy knows; SeaweedFS answers what a proxy is asked as well
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, s3_server.endpoint)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    store = opened(replace(s3_server, endpoint="http://s3.invalid"), prefix)
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
    put(store, "t/r-1", content(1000))
    assert get(store, "t/r-1") == content(1000)


def test_a_proxy_of_the_machine_leads_to_a_store_with_tls(
    tmp_path: Path, key_pairs: KeyPairs, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "subjectAltName=IP:127.0.0.1,DNS:s3.invalid"
    pair = key_pairs.get("s3-named", "-addext", names)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pair.certificate_path))
    tls = pair.certificate_path, pair.key_path
    with rclone_s3(tmp_path, tls=tls) as server, flaky_proxy(server.endpoint) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.endpoint.replace("//", "//a%40b:secret@"))
        monkeypatch.setenv("https_proxy", proxy.endpoint.replace("//", "//a%40b:secret@"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        store = opened(replace(server, endpoint="https://s3.invalid"), prefix)
        store._heeds_conditions = False  # rclone does not
        monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
        direct = store._clients.direct
        headers = {"Content-Type": "application/octet-stream"}
        body = bytearray(content(300_000))
        assert direct.put("t/r-1", body, hashlib.sha256(body).hexdigest(), headers) is not None
        assert get(S3Store(replace(server, endpoint="https://s3.invalid").settings(), server.bucket), "t/r-1") == body
    assert {line.split(b" ")[1] for line in proxy.asked} == {b"s3.invalid:443"}
    assert all(b"Proxy-Authorization: Basic " + base64.b64encode(b"a@b:secret") in line for line in proxy.asked)


def test_the_stores_certificate_is_checked(
    tmp_path: Path, key_pairs: KeyPairs, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = key_pairs.get("s3", "-addext", "subjectAltName=IP:127.0.0.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pair.certificate_path))
    with rclone_s3(tmp_path, tls=(pair.certificate_path, pair.key_path)) as server:
        put(S3Store(server.settings(), server.bucket, prefix), "t/r-1", content(300_000))
        # Stores that asked nothing yet: the client would make ready for both what they ask with.
        trusting = opened(server, prefix)
        monkeypatch.delenv("AWS_CA_BUNDLE")
        stranger = opened(server, prefix)
        assert stranger._clients.direct.get(f"{prefix}/t/r-1", "") is None
        with pytest.raises(StoreRejected, match="not trusted"):
            stranger.read("t/r-1")
        monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
        assert get(trusting, "t/r-1") == content(300_000)


@pytest.mark.parametrize("token", [None, "a token/of=a role"])
@pytest.mark.parametrize(
    ("method", "headers", "query"),
    [
        ("GET", {}, ""),
        ("GET", {"Range": "bytes=0-99"}, ""),
        ("HEAD", {"x-amz-checksum-mode": "ENABLED"}, ""),
        ("PUT", {}, "?partNumber=2&uploadId=a%2Fb%2B%3D"),
        ("PUT", {"Content-Type": "application/octet-stream", s3_direct.CHECKSUM: "YQ==", "If-None-Match": "*"}, ""),
    ],
)
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8333/acme", "https://s3.example:443/b", "https://b.s3.example"])
def test_a_signature_is_the_one_that_botocore_makes(
    method: str, headers: dict[str, str], query: str, token: str | None, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = secrets.token_hex(32)
    credentials = Credentials("access", secrets.token_hex(16), token).get_frozen_credentials()
    url = f"{endpoint}/a%20b~/{quote('ü:1.wav')}{query}"

    class Plain(botocore.auth.S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return sha256

    host = Plain(credentials, "s3", "r1").headers_to_sign(AWSRequest(url=endpoint))["host"]
    for day in (1, 2):
        now = datetime.datetime(2026, 3, day, 12, 0, 5)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda now=now: now)
        theirs = AWSRequest(method, url, headers | {"User-Agent": "recpipe/1"})
        Plain(credentials, "s3", "r1").add_auth(theirs)
        ours: Any = s3_direct._Request(method, url, headers | {"User-Agent": "recpipe/1", "Host": host})
        s3_direct._Signature(credentials, "r1", sha256).add_auth(ours)
        assert ours.headers == dict(theirs.headers.items()) | {"Host": host}
        assert f"/2026030{day}/r1/s3/" in ours.headers["Authorization"]
