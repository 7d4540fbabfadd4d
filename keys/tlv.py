"""ASN.1 encodings without a schema: write DER, read BER as a tree, look at hostile bytes without trusting a length.

Source: ITU-T X.690 sections 8 (BER) and 10 (DER).
"""

from __future__ import annotations

from dataclasses import dataclass

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
CONSTRUCTED = 0x20
CONTEXT_0, CONTEXT_1 = 0xA0, 0xA1  # constructed
CONTEXT_0_PRIMITIVE = 0x80


class Malformed(ValueError):
    """These bytes are no BER; callers turn it into an error of their own."""


def length(size: int) -> bytes:
    """The DER length octets for `size` content bytes."""
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def element(tag: int, content: bytes) -> bytes:
    """One DER element; `tag` is the identifier octet."""
    return bytes((tag,)) + length(len(content)) + content


def oid(dotted: str) -> bytes:
    """A DER OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        content += bytes(reversed(septets))
    return element(OID, bytes(content))


def dotted(content: bytes) -> str:
    """The dotted form of an OBJECT IDENTIFIER's content; at most 64 bytes long ones are read.

    Raises:
        Malformed: it is empty, cut or absurdly long.
    """
    if not content or len(content) > 64 or content[-1] & 0x80:
        raise Malformed("an object identifier is cut or too long")
    arcs: list[int] = []
    arc = 0
    for octet in content:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - first * 40, *arcs[1:])))


@dataclass(frozen=True, slots=True)
class Node:
    """One element in memory: either `children` (constructed) or `content` (primitive)."""

    tag: int
    content: bytes
    children: tuple[Node, ...]

    @property
    def constructed(self) -> bool:
        return bool(self.tag & CONSTRUCTED)

    def der(self) -> bytes:
        """The same element with definite lengths."""
        if self.constructed:
            return element(self.tag, b"".join(child.der() for child in self.children))
        return element(self.tag, self.content)

    def octets(self) -> bytes:
        """The content of an OCTET STRING, whether primitive or in constructed pieces."""
        if self.constructed:
            return b"".join(child.octets() for child in self.children)
        return self.content


def peek(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[int, int, int]]:
    """The elements side by side in `data[start:end]`: (tag, content start, content end), lengths clipped to the data.

    Made for recognising things, even cut ones: it never raises and stops at what it does not understand.
    """
    end = len(data) if end is None else min(end, len(data))
    found: list[tuple[int, int, int]] = []
    while start + 2 <= end and len(found) < 32:
        tag, first = data[start], data[start + 1]
        start += 2
        if first < 0x80:
            size = first
        elif first == 0x80:
            size = end - start
        else:
            octets = first & 0x7F
            if octets > 8:
                break
            size = int.from_bytes(data[start : start + octets], "big")
            start += octets
        found.append((tag, start, min(start + size, end)))
        start += size
    return found
