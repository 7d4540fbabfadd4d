"""What only a real S3 server shows: refusals, conditions, checksums, parts, URLs."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from recpipe.errors import ObjectDamaged, ObjectExists, ObjectMissing, SettingsInvalid, StoreRejected
from recpipe.model import StoredObject
from recpipe.settings import load
from recpipe.store.opening import open_store, ready
from recpipe.store.s3 import S3Store
from tests.contracts.store import PART, Breaking, SpoolGone, Trickle, content, get, put
from tests.services.s3 import S3Server, below


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(8)


@cache
def _opened(server: S3Server) -> S3Store:
    return S3Store(server.settings(s3_part_bytes=PART), server.bucket, attempts=2)


def opened(server: S3Server, prefix: str) -> S3Store:
    """What a new process would see."""
    return below(_opened(server), prefix)


def open_parts(server: S3Server, prefix: str) -> list[str]:
    found = server.client().list_multipart_uploads(Bucket=server.bucket)
    return [u["Key"] for u in found.get("Uploads", []) if u["Key"].startswith(prefix)]


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"s3_secret_key": "not-the-secret"}, "s3_secret_key"),
        ({"s3_access_key": "nobody"}, "s3_access_key"),
        ({"store_url": "s3://no-such-bucket-here/x"}, "bucket"),
    ],
)
def test_a_wrong_setting_is_rejected_with_what_to_do(
    s3_server: S3Server, prefix: str, wrong: dict[str, str], advice: str
) -> None:
    store = open_store(s3_server.settings(prefix, **wrong))
    for ask in (
        lambda: put(store, "t/r-1", b"x"),
        lambda: put(store, "t/r-1", content(9_000_000)),
        lambda: store.read("t/r-1"),
        lambda: list(store.list()),
        lambda: ready(store),
    ):
        with pytest.raises(StoreRejected, match=advice) as raised:
            ask()
        assert "not-the-secret" not in str(raised.value)


def test_missing_credentials_are_rejected_with_what_to_do(s3_server: S3Server, tmp_path: Path, prefix: str) -> None:
    script = (
        "import io\n"
        "from recpipe.settings import load\n"
        "from recpipe.store.opening import open_store, ready\n"
        f"ready(open_store(load(store_url='s3://acme/x', s3_endpoint={s3_server.endpoint!r})))\n"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env = clean | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=env)
    assert "StoreRejected: There are no credentials" in done.stderr


def test_a_bucket_that_works_is_ready(s3_server: S3Server, prefix: str) -> None:
    ready(open_store(s3_server.settings(prefix)))


def test_the_proxy_settings_of_the_machine_do_not_reach_loopback(
    s3_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    put(opened(s3_server, prefix), "t/r-1", b"x")


# --- opening ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x", "objects", "/var/objects", "file://objects", "file://host/x", "file:///", "s3://", "s3:///x",
        "s3://b", "s3://user:pass@bucket/x", "s3://bucket:80/x", "s3://bucket/x?region=y", "memory:x", "s3://bucket:x/y",
    ],
)  # fmt: skip
def test_a_store_url_that_is_none_says_what_to_write(url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"file:///.*s3://") as raised:
        open_store(load(store_url=url))
    assert "pass@" not in str(raised.value)


@pytest.mark.parametrize("half", [{"s3_access_key": "a"}, {"s3_secret_key": "b"}])
def test_half_a_credential_is_a_mistake(half: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="belong together"):
        open_store(load(store_url="s3://bucket/x", **half))


def test_a_directory_store_does_not_pay_for_boto3(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from recpipe.settings import load\n"
        "from recpipe.store.opening import open_store, ready\n"
        f"ready(open_store(load(store_url='file://{tmp_path}/a%20b')))\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('boto3', 'botocore')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "a b").is_dir()


# --- conditions and verification --------------------------------------------------------------------------


def test_seaweedfs_heeds_conditions_and_rclone_does_not_and_both_are_noticed(
    s3_server: S3Server, rclone_server: S3Server, prefix: str
) -> None:
    for server, heeds in ((s3_server, True), (rclone_server, False)):
        store = opened(server, prefix)
        put(store, "t/r-1", b"first")
        assert store._heeds_conditions is heeds
        with pytest.raises(ObjectExists):
            put(store, "t/r-1", b"other")
        with pytest.raises(ObjectExists):
            put(store, "t/r-1", content(PART + 1))
        put(store, "t/r-2", content(PART + 1))
        with pytest.raises(ObjectExists):
            put(store, "t/r-2", content(PART + 1, seed=1))
        assert get(store, "t/r-1") == b"first"
        assert get(store, "t/r-2") == content(PART + 1)


def test_a_new_process_that_knows_nothing_yet_overwrites_nothing(rclone_server: S3Server, prefix: str) -> None:
    put(opened(rclone_server, prefix), "t/r-1", b"first")
    with pytest.raises(ObjectExists):
        put(opened(rclone_server, prefix), "t/r-1", b"other")
    assert get(opened(rclone_server, prefix), "t/r-1") == b"first"


class Mallory(S3Store):
    """A store whose objects are exchanged behind its back between upload and verification."""

    exchanged: bytes | None = None
    server: S3Server

    def _verify(self, key: str, sent: Any, answer: Any) -> StoredObject:
        at = {"Bucket": self._bucket, "Key": self._prefix + key}
        if self.exchanged is None:
            self.server.client().delete_object(**at)
        else:
            self.server.client().put_object(**at, Body=self.exchanged)
        return super()._verify(key, sent, answer)


@pytest.mark.parametrize("verify", ["checksum", "reread"])
@pytest.mark.parametrize("size", [1000, PART + 1000])
@pytest.mark.parametrize("how", ["other bytes", "shorter", "gone"])
@pytest.mark.parametrize("kind", ["seaweedfs", "rclone"])
def test_an_object_that_is_not_what_was_sent_is_noticed_and_removed(
    request: pytest.FixtureRequest, prefix: str, verify: str, size: int, how: str, kind: str
) -> None:
    server: S3Server = request.getfixturevalue("s3_server" if kind == "seaweedfs" else "rclone_server")
    store = Mallory(server.settings(s3_part_bytes=PART, s3_verify=verify), server.bucket, prefix)
    store.server = server
    store.exchanged = {"other bytes": content(size, 1), "shorter": content(size - 1), "gone": None}[how]
    with pytest.raises(ObjectDamaged) as raised:
        put(store, "t/r-1", content(size))
    assert raised.value.key == "t/r-1"
    with pytest.raises(ObjectMissing):
        store.head("t/r-1")


def test_a_checksum_that_a_store_only_repeats_is_not_believed(rclone_server: S3Server, prefix: str) -> None:
    """rclone answers HEAD with the checksum header of the upload, whatever the bytes are."""
    lie = hashlib.sha256(b"sent").digest()
    client = rclone_server.client()
    client.put_object(
        Bucket=rclone_server.bucket,
        Key=f"{prefix}/t/r-1",
        Body=b"kept",
        ChecksumSHA256=base64.b64encode(lie).decode(),
    )
    store = opened(rclone_server, prefix)
    assert store.head("t/r-1").sha256 == ""
    with pytest.raises(ObjectExists):
        put(store, "t/r-1", b"sent")


def test_the_store_itself_refuses_bytes_that_do_not_match_their_checksum(s3_server: S3Server, prefix: str) -> None:
    """Why a HEAD checksum of SeaweedFS may be believed."""
    client = s3_server.client()
    with pytest.raises(client.exceptions.ClientError, match="BadDigest"):
        client.put_object(
            Bucket=s3_server.bucket,
            Key=f"{prefix}/x",
            Body=b"kept",
            ChecksumSHA256="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        )


# --- parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["short", "long", "source fails"])
def test_parts_of_a_failed_upload_are_given_up(s3_server: S3Server, prefix: str, failure: str) -> None:
    store = opened(s3_server, prefix)
    size = 2 * PART + 10
    seen: list[str] = []

    class Watched(Trickle):
        def readinto(self, buffer: memoryview, /) -> int:
            if not seen and self.given > PART:
                seen.extend(open_parts(s3_server, prefix))
            return super().readinto(buffer)

    bodies = {
        "short": Watched(content(size - 1)),
        "long": Watched(content(size + 1)),
        "source fails": Breaking(content(size), PART + 1, SpoolGone("gone")),
    }
    with pytest.raises((StoreRejected, SpoolGone)):
        store.put("t/r-1", bodies[failure], size)
    assert seen or failure == "source fails", "parts are seen while they are sent"
    assert open_parts(s3_server, prefix) == []


def test_parts_are_given_up_when_somebody_else_was_faster(s3_server: S3Server, prefix: str) -> None:
    store = opened(s3_server, prefix)

    class Overtaken(Trickle):
        def readinto(self, buffer: memoryview, /) -> int:
            if self.given == 0:
                s3_server.client().put_object(Bucket=s3_server.bucket, Key=f"{prefix}/t/r-1", Body=b"faster")
            return super().readinto(buffer)

    with pytest.raises(ObjectExists):
        store.put("t/r-1", Overtaken(content(PART + 1)), PART + 1)
    assert get(store, "t/r-1") == b"faster"
    assert open_parts(s3_server, prefix) == []


def test_parts_grow_where_there_would_be_too_many(
    s3_server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recpipe.store.s3.MAX_PARTS", 2)
    size = 3 * PART + 1
    put(opened(s3_server, prefix), "t/r-1", content(size))
    head = s3_server.client().head_object(Bucket=s3_server.bucket, Key=f"{prefix}/t/r-1")
    assert head["ETag"].strip('"').endswith("-2")
    assert get(opened(s3_server, prefix), "t/r-1") == content(size)


# --- streams ----------------------------------------------------------------------------------------------


def test_streams_closed_early_block_no_connection_and_leak_no_descriptor(s3_server: S3Server, prefix: str) -> None:
    store = S3Store(s3_server.settings(), s3_server.bucket, prefix, threads=2)
    put(store, "t/r-1", content(3_000_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        streams = [store.read("t/r-1") for _ in range(8)]
        for stream in streams:
            assert stream.read(10) == content(3_000_000)[:10]
            stream.close()
    started = time.monotonic()
    assert get(store, "t/r-1") == content(3_000_000)
    assert time.monotonic() - started < 5
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_more_streams_than_pooled_connections_are_served_at_once(s3_server: S3Server, prefix: str) -> None:
    store = S3Store(s3_server.settings(), s3_server.bucket, prefix, threads=2)
    data = content(3_000_000)
    put(store, "t/r-1", data)
    streams = [store.read("t/r-1", n) for n in range(6)]
    assert [s.read() == data[n:] for n, s in enumerate(streams)] == [True] * 6
    for stream in streams:
        stream.close()


# --- URLs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["call.wav", 'a"b\r\nSet-Cookie: x=1;.wav', "Gespräch – Müller.wav", "../../etc/passwd"]
)
def test_a_url_gives_the_object_under_a_name_that_cannot_break_out(s3_server: S3Server, prefix: str, name: str) -> None:
    store = opened(s3_server, prefix)
    put(store, "t/r-1", b"sound")
    url = store.presign("t/r-1", seconds=60, download_name=name, media_type="audio/wav")
    assert url is not None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as answer:
        assert answer.read() == b"sound"
        assert answer.headers["Content-Type"] == "audio/wav"
        assert "Set-Cookie" not in answer.headers
        disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.count('"') == 2
    assert urllib.parse.unquote(disposition.partition("filename*=UTF-8''")[2]) == name


def test_a_url_without_a_name_plays_in_place_and_ends_in_time(s3_server: S3Server, prefix: str) -> None:
    store = opened(s3_server, prefix)
    put(store, "t/r-1", b"sound")
    # A URL counts whole seconds from the last one on, so one of a second may be over before it is used.
    lasting, short = (
        store.presign("t/r-1", seconds=seconds, download_name="", media_type="audio/mpeg") for seconds in (60, 1)
    )
    assert lasting is not None and short is not None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    time.sleep(2.1)
    with opener.open(lasting) as answer:
        assert answer.headers["Content-Disposition"] is None
    with pytest.raises(urllib.error.HTTPError) as raised:
        opener.open(short)
    raised.value.close()
    assert raised.value.code == 403


def test_memory_stays_small_however_large_the_object(s3_server: S3Server, prefix: str) -> None:
    script = (
        "import resource, sys\n"
        "from recpipe.settings import load\n"
        "from recpipe.store.opening import open_store\n"
        "class Body:\n"
        "    left = 90_000_000\n"
        "    def readinto(self, b):\n"
        "        n = min(len(b), self.left); self.left -= n; return n\n"
        f"store = open_store(load(store_url='s3://{s3_server.bucket}/{prefix}', s3_endpoint={s3_server.endpoint!r},\n"
        f"    s3_access_key={s3_server.access_key!r}, s3_secret_key={s3_server.secret_key!r}))\n"
        "list(store.list())\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "store.put('t/r-1', Body(), 90_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=100, capture_output=True, text=True)
    assert int(done.stdout) < 32_000  # KiB: one part of 8 MiB and what boto3 needs


def test_threads_that_meet_a_new_store_at_once_agree_on_it(rclone_server: S3Server, prefix: str) -> None:
    store = opened(rclone_server, prefix)
    barrier = threading.Barrier(6)
    results: list[str] = []

    def one(n: int) -> None:
        barrier.wait()
        results.append(put(store, f"t/r-{n}", content(100_000, n)).sha256)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(hashlib.sha256(content(100_000, n)).hexdigest() for n in range(6))
    assert store._heeds_conditions is False
