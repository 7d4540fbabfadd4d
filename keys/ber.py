"""Walk a BER stream: definite and indefinite lengths, constructed strings, nothing trusted, little kept.

The envelope's header is kept in memory as `tlv.Node`s within a budget; its content is only passed through.

Source: ITU-T X.690 section 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from keys import tlv
from keys.errors import EnvelopeMalformed

LARGEST_HEADER_BYTES = 1024 * 1024  # some 900 recipients with 8192-bit keys
LARGEST_HEADER_ELEMENTS = 50_000
DEEPEST_NESTING = 24
CHUNK_BYTES = 128 * 1024

_END_OF_CONTENTS = 0x00


class BerStream:
    """Reads elements off a binary stream, hashing what passes.

    Raises:
        EnvelopeMalformed: from every method, when the bytes are cut or contradict themselves.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._scopes: list[int | None] = []  # absolute end of each open container; None: until end-of-contents
        self._budget_bytes = LARGEST_HEADER_BYTES
        self._budget_elements = LARGEST_HEADER_ELEMENTS
        self.position = 0
        self.hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, which the caller has bounded."""
        parts = []
        while size:
            part = self._source.read(size)
            if not part:
                raise EnvelopeMalformed(
                    f"The envelope ends after {self.position:,} bytes, in the middle. Fetch the file again, whole."
                )
            self.hash.update(part)
            self.position += len(part)
            size -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self) -> tuple[int, int | None]:
        """The next identifier octet and length; the length is None when it is indefinite."""
        tag, first = self.read(2)
        if tag & 0x1F == 0x1F:
            raise damaged(self.position)
        if first < 0x80:
            return tag, first
        if first == 0x80:
            if not tag & tlv.CONSTRUCTED:
                raise damaged(self.position)
            return tag, None
        if first & 0x7F > 8:
            raise damaged(self.position)
        return tag, int.from_bytes(self.read(first & 0x7F), "big")

    def enter(self, expected_tag: int) -> None:
        """Step into a container of this tag."""
        tag, size = self.head()
        if tag != expected_tag:
            raise damaged(self.position)
        self.push(size)

    def push(self, size: int | None) -> None:
        """Remember where the container whose head was just read ends."""
        end = None if size is None else self.position + size
        limit = self._limit()
        if end is not None and limit is not None and end > limit:
            raise damaged(self.position)
        if len(self._scopes) >= DEEPEST_NESTING:
            raise damaged(self.position)
        self._scopes.append(end)

    def more(self) -> tuple[int, int | None] | None:
        """The head of the next element of the innermost container; None, and out of it, where it ends."""
        end = self._scopes[-1]
        if end is not None:
            if self.position > end:
                raise damaged(self.position)
            if self.position == end:
                self._scopes.pop()
                return None
            return self.head()
        tag, size = self.head()
        if tag == _END_OF_CONTENTS and size == 0:
            self._scopes.pop()
            return None
        return tag, size

    def next(self) -> tuple[int, int | None]:
        """The head of an element that must be there."""
        head = self.more()
        if head is None:
            raise damaged(self.position)
        return head

    def node(self, head: tuple[int, int | None], depth: int = 0) -> tlv.Node:
        """The whole element whose head was read, in memory, within the budget."""
        tag, size = head
        self._budget_elements -= 1
        if depth > DEEPEST_NESTING or self._budget_elements < 0 or (size or 0) > self._budget_bytes:
            raise EnvelopeMalformed("The header of this envelope is implausibly large or deep; it is not opened.")
        if not tag & tlv.CONSTRUCTED:
            assert size is not None
            self._budget_bytes -= size
            limit = self._limit()
            if limit is not None and self.position + size > limit:
                raise damaged(self.position)
            return tlv.Node(tag, self.read(size), ())
        self.push(size)
        children = []
        while (child := self.more()) is not None:
            children.append(self.node(child, depth + 1))
        return tlv.Node(tag, b"", tuple(children))

    def strings(self, head: tuple[int, int | None], wanted_tag: int) -> Iterator[bytes]:
        """The octets of a string in chunks, whether it is primitive or nested in pieces."""
        tag, size = head
        if tag == wanted_tag:
            if size is None:
                raise damaged(self.position)
            self.push(size)
            left = size
            while left:
                part = self.read(min(left, CHUNK_BYTES))
                left -= len(part)
                yield part
            self.more()
        elif tag == wanted_tag | tlv.CONSTRUCTED:
            self.push(size)
            while (piece := self.more()) is not None:
                yield from self.strings(piece, tlv.OCTET_STRING)
        else:
            raise damaged(self.position)

    def leave(self) -> None:
        """Read over what is left in all open containers; then nothing may follow."""
        while self._scopes:
            while (head := self.more()) is not None:
                self.node(head)
        if self._source.read(1):
            raise EnvelopeMalformed(
                f"Something follows the end of the envelope, after {self.position:,} bytes. Fetch the file again."
            )

    def _limit(self) -> int | None:
        return next((end for end in reversed(self._scopes) if end is not None), None)


def damaged(position: int) -> EnvelopeMalformed:
    return EnvelopeMalformed(
        f"This is not a CMS envelope, or it is damaged near byte {position:,}. "
        "Fetch the file again, whole and in binary mode."
    )
