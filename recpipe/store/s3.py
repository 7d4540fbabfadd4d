"""Objects in S3 or a store that speaks it. With its `s3_*` neighbours, the only module that knows boto3.

How a `put` is made safe:

- `If-None-Match: *` lets the store itself refuse to overwrite. Not every store heeds it, so the first object of a
  process is looked for before and sent twice after; where the second is not refused, every later put looks first.
- Every request carries a SHA-256, which the store checks on arrival. Afterwards HEAD reads it back; where the store
  keeps none, only repeats what it was told, or has it in another form, the object is read back and hashed. To a store
  that refuses such headers none are sent.
- Larger objects go in parts, one buffer of `s3_part_bytes` at a time. Whatever fails, the parts are given up. Those of
  a process that was killed are not, nor is the empty upload whose making was never answered: a lifecycle rule
  (AbortIncompleteMultipartUpload) of the bucket clears them.

Source: S3 API reference, PutObject, CompleteMultipartUpload ("conditional writes"), "Checking object integrity";
botocore.handlers (a `bytearray` body is sent in one piece, without the round trip of Expect: 100-continue).
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from recpipe.errors import ObjectDamaged, ObjectExists, ObjectMissing, StoreError, StoreUnavailable, VersionsRemain
from recpipe.model import ByteStream, Readable, StoredObject
from recpipe.settings import Settings
from recpipe.store.base import Note
from recpipe.store.body import check_range, expect_end, expect_length, fill, sha256_of
from recpipe.store.layout import check_key, check_prefix
from recpipe.store.s3_answers import (
    NOTE,
    as_body,
    attachment,
    hexadecimal,
    kept_checksum,
    note_in,
    stream,
    utc,
    wire,
)
from recpipe.store.s3_client import Clients, Manner
from recpipe.store.s3_direct import CHECKSUM, METADATA
from recpipe.store.s3_errors import RangeBeyondEnd, code_of, translated

MAX_PARTS = 10_000  # S3 user guide, "Amazon S3 multipart upload limits"
MEDIA_TYPE = "application/octet-stream"  # the real one would tell a bucket reader what is inside
PRESIGN_SECONDS = 7 * 24 * 3600  # the most that signature version 4 allows


_Parts = list[dict[str, Any]]  # of CompleteMultipartUpload


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was handed to the store, to hold its answer against."""

    size_bytes: int
    sha256: str  # of the whole object, hex
    checksum: str  # as the store reports it: base64, for parts the digest of their digests and "-N"


class S3Store:
    """A `Store` in one bucket, below a prefix. One client for all threads.

    Args:
        settings: its s3_* part.
        bucket: must exist.
        prefix: what all keys of this store are below; "" for the whole bucket.
        threads: connections kept open; more are made where more threads come, and closed after use.
        attempts: tries of one request, with growing random pauses in between (botocore's "standard" mode).
        connect_seconds, read_seconds: how long one try waits for the connection, and for each piece of an answer.
    """

    is_local = False

    def __init__(
        self,
        settings: Settings,
        bucket: str,
        prefix: str = "",
        *,
        threads: int = 64,
        attempts: int = 4,
        connect_seconds: float = 5,
        read_seconds: float = 20,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._part_bytes = settings.s3_part_bytes
        self._believes_checksums = settings.s3_verify == "checksum"
        self._attempts = attempts
        self._heeds_conditions: bool | None = None  # None: not known yet
        self._learning = threading.Lock()
        self._clients = Clients(settings, bucket, Manner(threads, attempts, connect_seconds, read_seconds))

    def choices(self) -> Sequence[str]:
        """What the store makes us do otherwise than set: the setting that would say so, and why."""
        return [f"{setting}: {why}" for setting, why in self._clients.choices.items()]

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        check_key(key)
        if size_bytes > self._part_bytes:
            return self._put_in_parts(key, body, size_bytes, _metadata(note, ""))
        buffer = bytearray(size_bytes)
        expect_length(fill(body, memoryview(buffer)), size_bytes)
        expect_end(body, size_bytes)
        digest = hashlib.sha256(buffer)
        sent = _Sent(size_bytes, digest.hexdigest(), wire(digest.digest()))

        metadata = _metadata(note, sent.sha256)
        headers = {"Content-Type": MEDIA_TYPE} | {METADATA + name: value for name, value in metadata.items()}

        def send(condition: dict[str, Any]) -> Mapping[str, Any]:
            conditions = {"If-None-Match": "*"} if condition else {}

            def request(checksums: bool) -> Mapping[str, Any]:
                more = conditions | ({CHECKSUM: sent.checksum} if checksums else {})
                answer = self._clients.direct.put(self._prefix + key, buffer, sent.sha256, headers | more)
                if answer is not None:
                    return answer
                return self._clients.client.put_object(
                    **self._at(key),
                    Body=as_body(buffer),
                    ContentType=MEDIA_TYPE,
                    Metadata=metadata,
                    **_sums(sent.checksum, checksums),
                    **condition,
                )

            return self._clients.trying(request, self._clients.sends)

        stored, created = self._create(key, sent, send)
        if created and self._heeds_conditions is None:
            self._learn(send)
        return stored

    def read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
        check_key(key)
        check_range(start, length)
        if length == 0:
            self.head(key)
            return io.BytesIO()
        # S3 has no range for an empty object, so the whole one is asked for without a range.
        wanted: dict[str, Any] = {}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        if (body := self._clients.direct.get(self._prefix + key, wanted.get("Range", ""))) is not None:
            return stream(key, body)
        try:
            with translated(key):
                answer = self._clients.client.get_object(**self._at(key), **wanted)
        except RangeBeyondEnd:
            return io.BytesIO()
        return stream(key, answer["Body"])

    def head(self, key: str) -> StoredObject:
        """As `Store.head`. The SHA-256 is the one that the store checked on arrival, not that of a fresh read."""
        check_key(key)
        answer = self._head(key)
        composite = answer.get("ChecksumType") == "COMPOSITE"  # of its parts, also where it does not look like that
        kept = "" if composite else hexadecimal(kept_checksum(answer))
        return StoredObject(key, answer["ContentLength"], kept, utc(answer["LastModified"]), note_in(answer))

    def delete(self, key: str) -> None:
        """As `Store.delete`; in a bucket that keeps versions, every version of the object."""
        check_key(key)
        with suppress(ObjectMissing), translated(key):
            answer = self._clients.client.delete_object(**self._at(key))
            if answer.get("DeleteMarker") or answer.get("VersionId"):
                self._delete_versions(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """As `Store.list`. The order is the store's own: SeaweedFS sorts folder by folder, which for keys of `layout`
        comes to the same.
        """
        check_prefix(prefix)
        pages = iter(
            self._clients.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
        )
        while True:
            with translated(""):
                page = next(pages, None)
            if page is None:
                return
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._prefix)
                yield StoredObject(key, entry["Size"], "", utc(entry["LastModified"]))

    def presign(self, key: str, *, seconds: int, download_name: str, media_type: str) -> str | None:
        """As `Store.presign`; an empty `download_name` lets a browser show the object. Longest: seven days."""
        check_key(key)
        params = self._at(key) | {"ResponseContentType": media_type}
        if download_name:
            params["ResponseContentDisposition"] = attachment(download_name)
        with translated(key):
            return self._clients.client.generate_presigned_url(
                "get_object", Params=params, ExpiresIn=max(1, min(seconds, PRESIGN_SECONDS))
            )

    def _delete_versions(self, key: str) -> None:
        """Delete all versions of an object and the markers of its deletion: keys are never used twice.

        Raises:
            VersionsRemain: the bucket keeps some: object lock, or a right that is missing.
        """
        kept = 0
        pages = self._clients.client.get_paginator("list_object_versions")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + key):
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    if entry["Key"] == self._prefix + key:
                        try:
                            self._clients.client.delete_object(**self._at(key), VersionId=entry["VersionId"])
                        except ClientError as error:
                            if code_of(error)[1] != 403:
                                raise
                            kept += entry in page.get("Versions", ())
        except ClientError as error:
            if code_of(error)[1] not in (403, 501):
                raise
            raise VersionsRemain(key) from error
        if kept:
            raise VersionsRemain(key, kept)

    # --- creating -----------------------------------------------------------------------------------------

    def _create(
        self, key: str, sent: _Sent, send: Callable[[dict[str, Any]], Mapping[str, Any]]
    ) -> tuple[StoredObject, bool]:
        """Let `send` create the object under a condition and verify it; True when it was this call that did."""
        for attempt in range(self._attempts):
            if self._heeds_conditions is not True:
                with suppress(ObjectMissing):
                    return self._same(key, sent), False
            condition: dict[str, Any] = {} if self._heeds_conditions is False else {"IfNoneMatch": "*"}
            try:
                answer = send(condition)
            except ClientError as error:
                code, status = code_of(error)
                if status == 501 and condition:
                    self._heeds_conditions = False
                elif status in (409, 412) or code == "NoSuchUpload":
                    # Somebody else's object, or our own from a try whose answer was lost on the way.
                    with suppress(ObjectMissing):
                        return self._same(key, sent), False
                    if code == "NoSuchUpload":
                        raise StoreUnavailable(
                            "The store lost an upload in parts before it was complete; it will be sent again."
                        ) from error
                    time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - spreads contenders, hides nothing
                else:
                    with translated(key):
                        raise
            except BotoCoreError:
                with translated(key):
                    raise
            else:
                return self._verify(key, sent, answer), True
        raise StoreUnavailable("Other writers kept the store from answering; the object will be sent again.")

    def _learn(self, send: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Send the same object again to see whether the store refuses: harmless, as the bytes are the same."""
        if not self._learning.acquire(blocking=False):
            return
        try:
            send({"IfNoneMatch": "*"})
            self._heeds_conditions = False
        except ClientError as error:
            status = code_of(error)[1]
            if status in (412, 501):
                self._heeds_conditions = status == 412
        except BotoCoreError:
            pass  # the next put learns
        finally:
            self._learning.release()

    def _put_in_parts(self, key: str, body: Readable, size_bytes: int, metadata: dict[str, str]) -> StoredObject:
        # Known before gigabytes are sent; the condition at the end is what decides.
        with suppress(ObjectMissing):
            if self._head(key)["ContentLength"] != size_bytes:
                raise ObjectExists(key)

        def create(checksums: bool) -> Any:
            algorithm: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if checksums else {}
            return self._clients.client.create_multipart_upload(
                **self._at(key), ContentType=MEDIA_TYPE, Metadata=metadata, **algorithm
            )

        with translated(key):
            created = self._clients.trying(create, self._clients.sends)
        upload: dict[str, Any] = self._at(key) | {"UploadId": created["UploadId"]}
        done = False
        try:
            parts, sent = self._send_parts(key, body, size_bytes, upload)
            listed: Any = {"Parts": parts}

            def send(condition: dict[str, Any]) -> Mapping[str, Any]:
                return self._clients.patient().complete_multipart_upload(**upload, MultipartUpload=listed, **condition)

            stored, done = self._create(key, sent, send)
            return stored
        except ObjectDamaged:
            done = True
            raise
        finally:
            if not done:
                self._give_up(key, upload)

    def _send_parts(self, key: str, body: Readable, size_bytes: int, upload: dict[str, Any]) -> tuple[_Parts, _Sent]:
        part_bytes = max(self._part_bytes, math.ceil(size_bytes / MAX_PARTS))
        buffer = bytearray(part_bytes)
        whole, of_parts = hashlib.sha256(), hashlib.sha256()
        parts: _Parts = []
        for offset in range(0, size_bytes, part_bytes):
            if size_bytes - offset < part_bytes:
                del buffer[size_bytes - offset :]
            expect_length(offset + fill(body, memoryview(buffer)), offset + len(buffer))
            if offset + len(buffer) == size_bytes:
                expect_end(body, size_bytes)
            whole.update(buffer)
            digest = hashlib.sha256(buffer).digest()
            of_parts.update(digest)
            number = len(parts) + 1

            def send(checksums: bool, number: int = number, digest: bytes = digest) -> dict[str, Any]:
                return self._send_part(upload, number, buffer, digest, checksums)

            with translated(key):
                parts.append(self._clients.trying(send, self._clients.sends))
        return parts, _Sent(size_bytes, whole.hexdigest(), f"{wire(of_parts.digest())}-{len(parts)}")

    def _send_part(
        self, upload: dict[str, Any], number: int, buffer: bytearray, digest: bytes, checksums: bool
    ) -> dict[str, Any]:
        part = {"PartNumber": number} | _sums(wire(digest), checksums)
        headers = {CHECKSUM: wire(digest)} if checksums else {}
        query = {"partNumber": str(number), "uploadId": upload["UploadId"]}
        answer: Any = self._clients.direct.put(upload["Key"], buffer, digest.hex(), headers, **query)
        if answer is None:
            answer = self._clients.client.upload_part(**upload, **part, Body=as_body(buffer))
        return part | {"ETag": answer["ETag"]}

    def _give_up(self, key: str, upload: dict[str, Any]) -> None:
        with suppress(StoreError), translated(key):
            self._clients.client.abort_multipart_upload(**upload)

    # --- verifying ----------------------------------------------------------------------------------------

    def _verify(self, key: str, sent: _Sent, answer: Mapping[str, Any]) -> StoredObject:
        """Hold what the store has against what was sent."""
        # A store that works with checksums confirms one in its answer; others just repeat a header they do not know.
        confirmed = self._believes_checksums and answer.get("ChecksumSHA256") == sent.checksum
        try:
            there = self._head(key) if confirmed else None
            if there is None or kept_checksum(there) != sent.checksum:
                # One that reads otherwise proves nothing: stores have several forms. The bytes decide.
                there, sha256 = self._read_back(key)
                good, what = sha256 == sent.sha256, "reading it back gave other bytes"
                if good and self._believes_checksums and self._clients.sends:
                    self._clients.chose(
                        's3_verify = "reread"',
                        "The store reports no SHA-256 that can be compared. What it cannot prove is read back.",
                    )
            else:
                good, what = True, ""
        except ObjectMissing:
            raise ObjectDamaged(key, "the store acknowledged it, but does not have it") from None
        size = there["ContentLength"]
        if size != sent.size_bytes:
            good, what = False, f"{size:,} bytes are there instead of {sent.size_bytes:,}"
        if not good:
            self._remove_damaged(key, what)
        return StoredObject(key, size, sent.sha256, utc(there["LastModified"]))

    def _remove_damaged(self, key: str, detail: str) -> None:
        try:
            self.delete(key)
        except StoreError as error:
            detail += f"; removing it failed too ({error})"
        raise ObjectDamaged(key, detail)

    def _same(self, key: str, sent: _Sent) -> StoredObject:
        """What is under `key` when it is what was to be sent.

        Raises:
            ObjectMissing: nothing is.
            ObjectExists: something else is.
        """
        there = self._head(key)
        if there["ContentLength"] != sent.size_bytes:
            raise ObjectExists(key)
        # Another checksum proves nothing here: an object sent in other parts has another one.
        known = self._believes_checksums and kept_checksum(there) == sent.checksum
        if not known and self._read_back(key)[1] != sent.sha256:
            raise ObjectExists(key)
        return StoredObject(key, sent.size_bytes, sent.sha256, utc(there["LastModified"]))

    def _read_back(self, key: str) -> tuple[Mapping[str, Any], str]:
        """The answer to a GET, and the SHA-256 of what came with it."""
        with translated(key):
            answer = self._clients.client.get_object(**self._at(key))
        return answer, sha256_of(stream(key, answer["Body"]))

    def _head(self, key: str) -> Any:
        clients = self._clients

        def request(asks: bool) -> Any:
            mode: dict[str, Any] = {"ChecksumMode": "ENABLED"} if asks else {}
            return clients.client.head_object(**self._at(key), **mode)

        with translated(key):
            answer = clients.direct.head(self._prefix + key, asks=clients.asks)
            return answer if answer is not None else clients.trying(request, clients.asks)

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}


def _sums(checksum: str, wanted: bool) -> dict[str, Any]:
    return {"ChecksumSHA256": checksum} if wanted else {}


def _metadata(note: Note | None, sha256: str) -> dict[str, str]:
    return {NOTE: base64.b64encode(said).decode()} if note is not None and (said := note(sha256)) else {}
