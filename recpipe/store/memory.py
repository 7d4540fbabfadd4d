"""Objects in a dictionary: for tests, and for trying the pipeline without a disk. Gone when the process ends."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from recpipe.errors import ObjectExists, ObjectMissing
from recpipe.model import ByteStream, Readable, StoredObject
from recpipe.store.base import Note
from recpipe.store.body import check_range, expect_end, expect_length, fill
from recpipe.store.layout import check_key, check_prefix


class MemoryStore:
    """A `Store` that keeps its promises for as long as the process lives. Thread-safe."""

    is_local = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, StoredObject]] = {}

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        check_key(key)
        buffer = bytearray(size_bytes)
        expect_length(fill(body, memoryview(buffer)), size_bytes)
        expect_end(body, size_bytes)
        content = bytes(buffer)
        sha256 = hashlib.sha256(content).hexdigest()
        stored = StoredObject(key, size_bytes, sha256, datetime.now(UTC), note(sha256) if note else b"")
        with self._lock:
            there, known = self._objects.setdefault(key, (content, stored))
        if there != content:
            raise ObjectExists(key)
        return known

    def read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
        check_key(key)
        check_range(start, length)
        content, _ = self._find(key)
        return io.BytesIO(content[start : None if length is None else start + length])

    def head(self, key: str) -> StoredObject:
        check_key(key)
        return self._find(key)[1]

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        with self._lock:
            found = sorted((key, stored) for key, (_, stored) in self._objects.items() if key.startswith(prefix))
        return iter([stored for _, stored in found])

    def presign(self, key: str, *, seconds: int, download_name: str, media_type: str) -> str | None:
        check_key(key)
        return None

    def _find(self, key: str) -> tuple[bytes, StoredObject]:
        with self._lock:
            try:
                return self._objects[key]
            except KeyError:
                raise ObjectMissing(key) from None
