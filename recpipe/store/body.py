"""Taking exactly the promised bytes out of a `Readable`, for every store alike."""

from __future__ import annotations

import hashlib

from recpipe.errors import ObjectRefused
from recpipe.model import ByteStream, Readable

_PIECE_BYTES = 256 * 1024


def fill(body: Readable, view: memoryview) -> int:
    """Read until `view` is full or the body ends; the number of bytes read. The body's own errors pass through."""
    filled = 0
    while filled < len(view):
        count = body.readinto(view[filled:])
        if not count:
            break
        filled += count
    return filled


def expect_length(got_bytes: int, size_bytes: int) -> None:
    """Refuse a body that ended early.

    Raises:
        ObjectRefused: it did.
    """
    if got_bytes != size_bytes:
        raise ObjectRefused(
            f"The recording ended after {got_bytes:,} bytes; {size_bytes:,} were promised. Nothing was stored: "
            "the file changed while it was being read, so let it settle and try again."
        )


def expect_end(body: Readable, size_bytes: int) -> None:
    """Refuse a body that goes on after its promised length.

    Raises:
        ObjectRefused: it does.
    """
    if body.readinto(memoryview(bytearray(1))):
        raise ObjectRefused(
            f"The recording is longer than the {size_bytes:,} bytes that were promised. Nothing was stored: "
            "the file changed while it was being read, so let it settle and try again."
        )


def check_range(start: int, length: int | None) -> None:
    """A negative range is a mistake of the caller, not of the store.

    Raises:
        ValueError: it is negative.
    """
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"a range starts at 0 or later and has no negative length: start={start}, length={length}")


def sha256_of(stream: ByteStream) -> str:
    """SHA-256, in hex, of the rest of a stream; closes it."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE_BYTES))
    with stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
