"""Check that an issuer and a serial number can be decoded by whoever opens an envelope that names them.

An envelope names its recipient by bytes of the certificate. OpenSSL decodes them before it looks for the key, so one
character that is not what its string type says makes the whole envelope unreadable, for every recipient in it.

Source: ITU-T X.690 sections 8 and 10 (DER), RFC 5280 appendix A (AttributeValue), and OpenSSL's ASN1_PRINTABLE, the
types that it takes as the value of an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keys import tlv

_UNIVERSAL_STRING, _UTF8_STRING, _BMP_STRING = 0x1C, 0x0C, 0x1E
# NumericString, PrintableString, TeletexString, IA5String: any octet is a character to OpenSSL.
_OCTET_STRINGS = frozenset({0x12, 0x13, 0x14, 0x16})


class Unreadable(ValueError):
    """What cannot be decoded, as half a sentence; callers turn it into an error of their own."""


def check_issuer(der: bytes) -> None:
    """Return when this is a Name (RFC 5280 section 4.1.2.4) that decodes to the last character.

    Raises:
        Unreadable: which part does not.
    """
    for relative_name in _elements(_only(der, tlv.SEQUENCE)):
        for attribute in _elements(_content(relative_name, tlv.SET)):
            parts = list(_elements(_content(attribute, tlv.SEQUENCE)))
            if len(parts) != 2:
                raise Unreadable("one of its attributes is not a type and a value")
            _check_oid(_content(parts[0], tlv.OID))
            _check_value(*parts[1])


def check_serial(der: bytes) -> None:
    """Return when this is an INTEGER in its shortest form.

    Raises:
        Unreadable: it is empty or padded.
    """
    content = _only(der, tlv.INTEGER)
    if not content:
        raise Unreadable("it is empty")
    if len(content) > 1 and content[0] in (0x00, 0xFF) and content[0] >> 7 == content[1] >> 7:
        raise Unreadable("it is not in its shortest form")


def _check_oid(content: bytes) -> None:
    if not content or content[-1] & 0x80:
        raise Unreadable("an object identifier in it is cut")
    if any(octet == 0x80 and (not at or not content[at - 1] & 0x80) for at, octet in enumerate(content)):
        raise Unreadable("an object identifier in it is not in its shortest form")


def _check_value(tag: int, content: bytes) -> None:
    if tag in _OCTET_STRINGS or tag == tlv.SEQUENCE:
        return
    if tag == tlv.BIT_STRING:
        if not content or content[0] > 7:
            raise Unreadable("a bit string in it is damaged")
    elif tag in _DECODERS:
        name, decode = _DECODERS[tag]
        if not _decodes(decode, content):
            raise Unreadable(f"a {name} in it holds bytes that are no {name}")
    else:
        raise Unreadable(f"one of its values has the type {tag:#04x}, which no name may have")


def _decodes(decode: Callable[[bytes], object], content: bytes) -> bool:
    try:
        decode(content)
    except ValueError:
        return False
    return True


def _bmp(content: bytes) -> str:
    """The Basic Multilingual Plane alone: UTF-16 without its pairs of surrogates."""
    text = content.decode("utf-16-be")
    if len(text) * 2 != len(content):
        raise ValueError("a surrogate pair")
    return text


_DECODERS: dict[int, tuple[str, Callable[[bytes], object]]] = {
    _UTF8_STRING: ("UTF8String", lambda content: content.decode("utf-8")),
    _BMP_STRING: ("BMPString", _bmp),
    _UNIVERSAL_STRING: ("UniversalString", lambda content: content.decode("utf-32-be")),
}


# --- DER ------------------------------------------------------------------------------------------------------


def _only(der: bytes, tag: int) -> bytes:
    elements = list(_elements(der))
    if len(elements) != 1:
        raise Unreadable("it is not one whole element")
    return _content(elements[0], tag)


def _content(element: tuple[int, bytes], tag: int) -> bytes:
    if element[0] != tag:
        raise Unreadable(f"an element of it has the type {element[0]:#04x} in place of {tag:#04x}")
    return element[1]


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements side by side: definite lengths in their shortest form, nothing left over."""
    at = 0
    while at < len(content):
        found = tlv.peek(content[at : at + 16])
        tag, start, _ = found[0] if found else (0, 0, 0)
        size = _length(content[at + 1 : at + start])
        if tag & 0x1F == 0x1F or size is None or at + start + size > len(content):
            raise Unreadable("it is not encoded in DER")
        yield tag, content[at + start : at + start + size]
        at += start + size


def _length(octets: bytes) -> int | None:
    """A length from its octets; None where DER would write other ones."""
    size = int.from_bytes(octets[1:], "big") if len(octets) > 1 else octets[0] if octets else 0
    return size if octets == tlv.length(size) else None
