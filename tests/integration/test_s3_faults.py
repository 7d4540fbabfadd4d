"""A real S3 server behind a network that drops, delays, damages and swallows."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from recpipe.errors import ObjectExists, ObjectMissing, StoreRejected, StoreUnavailable
from recpipe.store.s3 import S3Store
from recpipe.store.s3_answers import hexadecimal
from tests.contracts.store import PART, Trickle, content, get, put
from tests.services.logs import captured
from tests.services.need import missing
from tests.services.proxy import FlakyProxy, flaky_proxy
from tests.services.s3 import S3Server, below, seaweedfs


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FlakyProxy]:
    with flaky_proxy(s3_server.endpoint) as proxy:
        yield proxy


def behind(proxy: FlakyProxy, server: S3Server, prefix: str, **options: Any) -> S3Store:
    settings = replace(server, endpoint=proxy.endpoint).settings(s3_part_bytes=PART)
    return S3Store(settings, server.bucket, prefix, **({"attempts": 3} | options))


@cache
def _direct(server: S3Server) -> S3Store:
    return S3Store(server.settings(), server.bucket)


def direct(server: S3Server, prefix: str) -> S3Store:
    return below(_direct(server), prefix)


@pytest.mark.parametrize("size", [300_000, 2 * PART + 1])
def test_a_connection_dropped_while_sending_is_tried_again(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str, size: int
) -> None:
    store = behind(proxy, s3_server, prefix)
    put(store, "t/first", b"learns what the store can do")
    proxy.cut_after, proxy.cut_requests = 200_000, 1
    put(store, "t/r-1", content(size))
    assert proxy.cuts == 1
    assert get(direct(s3_server, prefix), "t/r-1") == content(size)


@pytest.mark.parametrize("size", [300_000, PART + 1])
@pytest.mark.parametrize("lost", range(4))
def test_an_answer_lost_on_the_way_ends_in_one_whole_object(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str, size: int, lost: int
) -> None:
    """Whichever request it was: the store did it, but we were never told."""
    store = behind(proxy, s3_server, prefix)
    put(store, "t/first", b"learns what the store can do")
    left = lost
    original = proxy._take

    def take(fault: str) -> bool:
        nonlocal left
        if fault == "swallow_answers":
            left -= 1
            if left == -1:
                proxy.cuts += 1
                return True
            return False
        return original(fault)

    proxy._take = take  # type: ignore[method-assign]
    stored = put(store, "t/r-1", content(size))
    assert stored.size_bytes == size
    assert get(direct(s3_server, prefix), "t/r-1") == content(size)
    client = s3_server.client()
    for upload in client.list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads", []):
        if upload["Key"].startswith(prefix):  # begun, but we were never told its name
            left_over = client.list_parts(Bucket=s3_server.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            assert left_over.get("Parts", []) == []


def test_bytes_damaged_on_the_way_are_refused_and_leave_nothing(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str
) -> None:
    store = behind(proxy, s3_server, prefix)
    data = content(300_000)
    proxy.corrupt = (data[1000:1008], b"DAMAGED!")
    with pytest.raises(StoreUnavailable):
        put(store, "t/r-1", data)
    with pytest.raises(ObjectMissing):
        direct(s3_server, prefix).head("t/r-1")
    proxy.corrupt = None
    put(store, "t/r-1", data)


def test_a_connection_dropped_while_reading_is_an_error_of_the_stream(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str
) -> None:
    put(direct(s3_server, prefix), "t/r-1", content(3_000_000))
    store = behind(proxy, s3_server, prefix)
    proxy.cut_after, proxy.cut_answers = 500_000, 1
    with store.read("t/r-1") as stream, pytest.raises(StoreUnavailable, match="does not answer"):
        while stream.read(100_000):
            pass
    assert proxy.cuts == 1
    assert get(store, "t/r-1") == content(3_000_000)


def test_a_store_that_is_silent_is_given_up_in_time(proxy: FlakyProxy, s3_server: S3Server, prefix: str) -> None:
    store = behind(proxy, s3_server, prefix, attempts=2, read_seconds=0.5)
    proxy.stall = True
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="s3_endpoint"):
        put(store, "t/r-1", b"x")
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("size", [12_000_000, pytest.param(12_000_001, marks=pytest.mark.long)])
def test_a_slow_line_takes_as_long_as_it_takes(proxy: FlakyProxy, s3_server: S3Server, prefix: str, size: int) -> None:
    """Each time limit holds for a piece of a body, however many there are."""
    proxy.bytes_a_second = 3_000_000
    settings = replace(s3_server, endpoint=proxy.endpoint).settings(s3_part_bytes=12_000_000)
    store = S3Store(settings, s3_server.bucket, prefix, attempts=1, connect_seconds=0.5, read_seconds=2.5)
    store._heeds_conditions = True
    put(store, "t/r-1", content(size))
    assert direct(s3_server, prefix).head("t/r-1").size_bytes == size


def test_what_is_there_already_is_sent_once(proxy: FlakyProxy, s3_server: S3Server, prefix: str) -> None:
    store = behind(proxy, s3_server, prefix)
    put(store, "t/r-1", content(300_000))
    store._clients.client.put_object = store._clients.client.head_object = None  # type: ignore[assignment]
    put(store, "t/r-1", content(300_000))
    with pytest.raises(ObjectExists):
        put(store, "t/r-1", content(300_000, 1))
    with pytest.raises(ObjectMissing):
        store.head("t/r-2")


def test_a_store_that_says_501_to_conditions_is_looked_at_first_instead(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str
) -> None:
    store = behind(proxy, s3_server, prefix)
    proxy.refuse_header = b"if-none-match"
    put(store, "t/r-1", content(300_000))
    put(store, "t/r-2", content(PART + 1))
    put(store, "t/r-3", b"x")
    assert proxy.refused == 4, "directly and by the client, with checksums and without; then it is remembered"
    with pytest.raises(ObjectExists):
        put(store, "t/r-1", content(300_000, 1))
    assert get(store, "t/r-1") == content(300_000)
    assert get(store, "t/r-2") == content(PART + 1)


def test_a_server_that_stops_half_way_is_unavailable_and_nothing_is_taken_for_stored(
    tmp_path: Path, prefix: str
) -> None:
    try:
        context = seaweedfs(tmp_path)
        server = context.__enter__()
    except FileNotFoundError as error:
        missing(str(error))
        raise
    try:
        store = S3Store(server.settings(s3_part_bytes=PART), server.bucket, prefix, attempts=2)
        put(store, "t/r-1", b"x")
        stream = store.read("t/r-1")

        class Killing(Trickle):
            def readinto(self, buffer: memoryview, /) -> int:
                if self.given > PART and not hasattr(self, "done"):
                    self.done = True
                    os.kill(server.pid, signal.SIGKILL)
                return super().readinto(buffer)

        with pytest.raises(StoreUnavailable, match="Check that it runs"):
            store.put("t/r-2", Killing(content(3 * PART)), 3 * PART)
        stream.close()
        for ask in (
            lambda: put(store, "t/r-3", b"x"),
            lambda: store.read("t/r-1"),
            lambda: store.head("t/r-1"),
            lambda: store.delete("t/r-1"),
            lambda: list(store.list()),
        ):
            with pytest.raises(StoreUnavailable):
                ask()
    finally:
        context.__exit__(None, None, None)


@pytest.mark.parametrize("first", ["read", "head", "put"])
def test_work_goes_on_where_direct_requests_are_refused(s3_server: S3Server, prefix: str, first: str) -> None:
    store = S3Store(s3_server.settings(s3_part_bytes=PART), s3_server.bucket, prefix)
    put(store, "t/r-1", content(1000))
    assert get(store, "t/r-1") == content(1000)
    direct = store._clients.direct
    assert direct._place, "requests are direct as a rule"

    # Given: credentials that the store refuses there, as another kind of signature would be
    direct._credentials = Credentials("nobody", "nothing")
    if first == "read":
        assert get(store, "t/r-1") == content(1000)
    elif first == "head":
        assert store.head("t/r-1").size_bytes == 1000
    else:
        assert put(store, "t/r-3", content(1000)).size_bytes == 1000

    # Then: it is not tried again
    assert direct._closed and direct._place is None
    assert get(store, "t/r-1") == content(1000)
    with pytest.raises(ObjectMissing):
        get(store, "t/r-2")


def test_a_missing_object_does_not_end_direct_requests(s3_server: S3Server, prefix: str) -> None:
    store = S3Store(s3_server.settings(s3_part_bytes=PART), s3_server.bucket, prefix)
    with pytest.raises(ObjectMissing):
        get(store, "t/r-1")
    assert store._clients.direct._place


# --- checksums ------------------------------------------------------------------------------------------------

INVALID = b"<Error><Code>InvalidArgument</Code><Message>Unsupported header x-amz-checksum-sha256</Message></Error>"


@pytest.mark.parametrize("first", ["put", "parts", "head"])
@pytest.mark.parametrize("setting", ["when_supported", "when_required"])
def test_a_store_that_refuses_checksum_headers_is_used_without(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str, first: str, setting: str
) -> None:
    put(direct(s3_server, prefix), "t/there", content(1000))
    settings = replace(s3_server, endpoint=proxy.endpoint).settings(s3_part_bytes=PART, s3_checksums=setting)
    store = S3Store(settings, s3_server.bucket, prefix)
    proxy.refuse_header, proxy.refusal = b"x-amz-checksum-", (b"400 Bad Request", INVALID)
    with captured() as logs:
        if first == "head":
            assert store.head("t/there").size_bytes == 1000
        for size in (PART + 1, 300_000) if first == "parts" else (300_000, PART + 1):
            assert put(store, f"t/r-{size}", content(size)).size_bytes == size
            assert get(store, f"t/r-{size}") == content(size)
        with pytest.raises(ObjectExists):
            put(store, "t/r-300000", content(300_000, 1))
        refused = proxy.refused
        put(store, "t/last", content(10))
        store.delete("t/last")
        assert proxy.refused == refused, "what was learned is kept"
        with pytest.raises(ObjectMissing):
            store.head("t/last")
    chosen = [entry for entry in logs if entry["event"] == "store setting chosen"]
    assert [entry["setting"] for entry in chosen] == ['s3_checksums = "when_required"']
    assert len(store.choices()) == 1 and "reading it back" in store.choices()[0]


def test_a_refusal_that_is_not_about_checksums_is_told_as_it_is(
    proxy: FlakyProxy, s3_server: S3Server, prefix: str
) -> None:
    store = behind(proxy, s3_server, prefix)
    proxy.refuse_header, proxy.refusal = b"authorization", (b"400 Bad Request", INVALID)
    with pytest.raises(StoreRejected, match="400"):
        put(store, "t/r-1", b"x")
    assert store.choices() == []
    proxy.refuse_header = b""
    put(store, "t/r-1", b"x")
    assert store._clients.sends, "and changes nothing for later"


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_a_checksum_that_reads_otherwise_costs_no_good_object(
    s3_server: S3Server, prefix: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the store reports: composite or whole, base64 or hex, this kind or that. The bytes decide."""
    store = S3Store(s3_server.settings(s3_part_bytes=PART), s3_server.bucket, prefix)
    honest = store._head

    def otherwise(key: str) -> Any:
        return dict(honest(key)) | {"ChecksumSHA256": "b3RoZXIgYnl0ZXMgb3Igb3RoZXIgd29yZHM/Pz8/Pz8="}

    monkeypatch.setattr(store, "_head", otherwise)
    put(store, "t/r-1", content(size))
    assert get(direct(s3_server, prefix), "t/r-1") == content(size)
    assert put(store, "t/r-1", content(size)).size_bytes == size, "and it is known again"


@pytest.mark.parametrize(
    ("checksum", "is_hex"),
    [
        ("RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=", True),
        ("RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=-3", False),
        ("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", True),
        ("AAAAAA==", False),
        ("??", False),
    ],
)
def test_a_checksum_is_read_in_each_of_its_forms_and_never_misread(checksum: str, is_hex: bool) -> None:
    expected = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" if is_hex else ""
    assert hexadecimal(checksum) == expected
