"""The seam between recpipe and an object store: six methods, one contract suite (`tests/contracts/store.py`).

A `put` may be repeated with the same key and bytes; every other call may be repeated freely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from recpipe.model import ByteStream, Readable, StoredObject

# What to keep beside an object, asked for when its bytes were read: of its SHA-256, or of "" where a store must say it
# before it has read them all.
Note = Callable[[str], bytes]
MOST_NOTE_BYTES = 1400  # S3 keeps 2 KB of metadata with an object, and this is base64 there


class Store(Protocol):
    """Objects under opaque keys (`layout` makes them). All methods may be called from several threads.

    Attributes:
        is_local: no other machine is asked, so that opening an object takes less time than handing that to a thread.
    """

    @property
    def is_local(self) -> bool: ...

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        """Create an object and verify it: what is returned was read back from the store.

        Args:
            key: from `layout`; never a name or number.
            body: read once from its start to its end.
            size_bytes: its exact length.
            note: at most `MOST_NOTE_BYTES` that `head` gives back, and that go when the object goes. What is there
                already keeps the note it has.

        Returns:
            The object, with its SHA-256. The same bytes already being there counts as success.

        Raises:
            ObjectExists: other bytes are under this key; they were not touched.
            ObjectDamaged: the store holds something else than was sent; it was removed again.
            StoreUnavailable: no answer after bounded retries; nothing is left under the key, or the same bytes are.
            StoreRejected: credentials, bucket, quota, or `body` was not `size_bytes` long.
        """
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> ByteStream:
        """Open a range of an object as a stream (close it); one ranged GET, nothing buffered whole.

        Args:
            start: first byte, 0 <= start <= size.
            length: number of bytes; None reads to the end. A range past the end is cut there.

        Returns:
            A stream; one that the kernel can send by itself is `Sendable` too.

        Raises:
            ObjectMissing: there is none.
            StoreUnavailable, StoreRejected: as for `put`; also raised by the stream's own reads.
        """
        ...

    def head(self, key: str) -> StoredObject:
        """Size, note and, where the store keeps one, SHA-256.

        Raises:
            ObjectMissing: there is none.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key starts with `prefix`, in key order; pages behind the scenes. For `verify` only."""
        ...

    def presign(self, key: str, *, seconds: int, download_name: str, media_type: str) -> str | None:
        """A URL that gives this object to whoever holds it, for `seconds`; None where the store has no such thing."""
        ...


@runtime_checkable
class Chooses(Protocol):
    """A store that may find out that a setting does not suit its server, and goes on as if another were set."""

    def choices(self) -> Sequence[str]:
        """What it chose, and why; nothing where all is as set."""
        ...


@runtime_checkable
class RewritesNotes(Protocol):
    """A store that changes the note of an object without writing the object anew."""

    def rewrite_note(self, key: str, note: bytes) -> None:
        """Put another note in place of the one an object has: at any moment it has one of them, whole.

        An object that is not there gets none.

        Raises:
            StoreUnavailable, StoreRejected: the note is the one it was.
        """
