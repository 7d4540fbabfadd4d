"""The short way to S3 goes where botocore's client would go, as it would go, and signs as it signs."""

from __future__ import annotations

import datetime
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
from recpipe.store import s3_short
from recpipe.store.s3 import S3Store
from tests.contracts.store import content, get, put
from tests.services.certificates import KeyPairs
from tests.services.s3 import S3Server, rclone_s3


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(8)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("this is not the short way")


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is sent on the short way, or not at all."""
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)


def opened(server: S3Server, prefix: str) -> S3Store:
    store = S3Store(server.settings(), server.bucket, prefix)
    store._heeds_conditions = True  # finding this out is the client's
    return store


@pytest.mark.usefixtures("no_client")
def test_reading_takes_one_connection_and_gives_it_back_with_the_last_byte(s3_server: S3Server, prefix: str) -> None:
    store = opened(s3_server, prefix)
    put(store, "t/r-1", content(700_000))
    way = store._clients.short._way
    assert way is not None
    open_streams = []
    for _ in range(3):
        open_streams.append(store.read("t/r-1", 1, 600_000))
        assert open_streams[-1].read(600_000) == content(700_000)[1:600_001]
        assert get(store, "t/r-1") == content(700_000)
    assert way.pool.num_connections == 1


@pytest.mark.usefixtures("no_client")
def test_a_body_is_read_without_a_copy(s3_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(s3_server, prefix)
    put(store, "t/r-1", content(700_000))
    monkeypatch.setattr("urllib3.response.HTTPResponse.read", refuse)  # makes bytes of its own
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
    way = store._clients.short._way
    assert way is not None
    assert way.target.startswith("http://s3.invalid/"), "RFC 9112 section 3.2.2: a proxy is told the whole URL"


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
        assert stranger._clients.short.get(f"{prefix}/t/r-1", "") is None
        with pytest.raises(StoreRejected, match="not trusted"):
            stranger.read("t/r-1")
        monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
        assert get(trusting, "t/r-1") == content(300_000)


@pytest.mark.parametrize("token", [None, "a token/of=a role"])
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("GET", {"Range": "bytes=0-99"}),
        ("HEAD", {"x-amz-checksum-mode": "ENABLED"}),
        ("PUT", {"Content-Type": "application/octet-stream", s3_short.CHECKSUM: "YQ==", "If-None-Match": "*"}),
    ],
)
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8333/acme", "https://s3.example:443/b", "https://b.s3.example"])
def test_a_signature_is_the_one_that_botocore_makes(
    method: str, headers: dict[str, str], token: str | None, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = secrets.token_hex(32)
    credentials = Credentials("access", secrets.token_hex(16), token).get_frozen_credentials()
    url = f"{endpoint}/a%20b~/{quote('ü:1.wav')}"

    class Plain(botocore.auth.S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return sha256

    host = Plain(credentials, "s3", "r1").headers_to_sign(AWSRequest(url=endpoint))["host"]
    for day in (1, 2):
        now = datetime.datetime(2026, 3, day, 12, 0, 5)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda now=now: now)
        theirs = AWSRequest(method, url, headers | {"User-Agent": "recpipe/1"})
        Plain(credentials, "s3", "r1").add_auth(theirs)
        ours: Any = s3_short._Request(method, url, headers | {"User-Agent": "recpipe/1"})
        s3_short._Signature(credentials, "r1", sha256, host).add_auth(ours)
        assert ours.headers == dict(theirs.headers.items())
        assert f"/2026030{day}/r1/s3/" in ours.headers["Authorization"]
