"""Both SHA-256 sums of a stream while it is sealed, on a helper thread where that pays; and the buffers for it.

Source: measured. AES-256-CBC and two SHA-256 cost about the same, so two cores halve the time of a large file.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

CHUNK_BYTES = 128 * 1024  # read, encrypted and hashed at a time: stays in a core's second-level cache
OVERLAP_FROM_BYTES = 256 * 1024  # from here on a helper thread hashes: below, handing over costs more than it gains


class Buffers:
    """Plaintext buffers kept between files: allocating one a file costs more than sealing a small file."""

    def __init__(self, keep: int) -> None:
        self._free: deque[memoryview] = deque(maxlen=keep)

    def take(self) -> memoryview:
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(bytearray(CHUNK_BYTES))

    def give(self, buffer: memoryview) -> None:
        self._free.append(buffer)


BUFFERS = Buffers(keep=32)


class _Helper:
    """The thread that hashes what another one has encrypted; started at first use, anew after a fork."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._pool = None

    def submit(self, hashing: Hashing, plain: memoryview, sealed: memoryview) -> Future[None]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="recpipe-hash")
        return self._pool.submit(hashing.update, plain, sealed)


_HELPER = _Helper()


class Hashing:
    """Both running SHA-256 sums of one file, either inline or one piece behind on the helper thread."""

    def __init__(self, *, overlap: bool) -> None:
        self.plain = hashlib.sha256()
        self.sealed = hashlib.sha256()
        self._overlap = overlap
        self._pending: Future[None] | None = None
        # A piece being hashed must not be overwritten: the caller's buffer is copied, the plaintext buffer swapped.
        self._copy = BUFFERS.take() if overlap else None
        self._spare = BUFFERS.take() if overlap else None

    def update(self, plain: memoryview, sealed: memoryview) -> None:
        self.plain.update(plain)
        self.sealed.update(sealed)

    def piece(self, buffer: memoryview, plain_bytes: int, sealed: memoryview) -> memoryview:
        """Hash one piece; returns the buffer that the next plaintext may be read into."""
        if self._copy is None or self._spare is None:
            self.update(buffer[:plain_bytes], sealed)
            return buffer
        self.wait()
        copy = self._copy[: len(sealed)]
        copy[:] = sealed
        self._pending = _HELPER.submit(self, buffer[:plain_bytes], copy)
        free, self._spare = self._spare, buffer
        return free

    def wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def close(self) -> None:
        self.wait()
        for buffer in (self._copy, self._spare):
            if buffer is not None:
                BUFFERS.give(buffer)
        self._copy = self._spare = None
