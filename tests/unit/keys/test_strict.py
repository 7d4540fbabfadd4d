"""What cannot be decoded is not copied into an envelope: judged by OpenSSL, name by name and over a public corpus."""

from __future__ import annotations

import io
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import tlv
from keys.certificate import vet
from keys.envelope import Sealer
from keys.errors import CertificateRejected
from keys.strict import Unreadable, check_issuer, check_serial
from tests.services.certificates import KeyPair, smime_decrypt

NOW = datetime(2026, 6, 1, tzinfo=UTC)
COMMON_NAME = tlv.oid("2.5.4.3")
ONE = tlv.element(tlv.INTEGER, b"\1")


def issuer(tag: int = 0x0C, value: bytes = b"acme", kind: bytes = COMMON_NAME) -> bytes:
    attribute = tlv.element(tlv.SEQUENCE, kind + tlv.element(tag, value))
    return tlv.element(tlv.SEQUENCE, tlv.element(tlv.SET, attribute))


def certificate(public_key: bytes, issuer: bytes, serial: bytes = ONE) -> bytes:
    """A certificate of this issuer and serial number around a key; nobody checks its signature."""
    algorithm = tlv.element(tlv.SEQUENCE, tlv.oid("1.2.840.113549.1.1.11") + b"\5\0")
    dates = tlv.element(tlv.UTC_TIME, b"200101000000Z") + tlv.element(tlv.UTC_TIME, b"400101000000Z")
    version = tlv.element(tlv.CONTEXT_0, tlv.element(tlv.INTEGER, b"\2"))
    body = version + serial + algorithm + issuer + tlv.element(tlv.SEQUENCE, dates) + b"\x30\0" + public_key
    signed = tlv.element(tlv.SEQUENCE, body) + algorithm + tlv.element(tlv.BIT_STRING, bytes(257))
    return tlv.element(tlv.SEQUENCE, signed)


@pytest.fixture(scope="module")
def public_key(key_pair: KeyPair) -> bytes:
    der = subprocess.run(
        ["openssl", "pkey", "-in", key_pair.key_path, "-pubout", "-outform", "DER"], capture_output=True, check=True
    )
    return der.stdout


def openssl_parses(public_key: bytes, name: bytes, serial: bytes = ONE) -> bool:
    """What libcrypto says, in this process: it decodes the issuer of a certificate as it does that of an envelope."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate(public_key, name, serial))
    except ssl.SSLError:
        return False
    return True


def readable(name: bytes, serial: bytes = ONE) -> bool:
    try:
        check_issuer(name)
        check_serial(serial)
    except Unreadable:
        return False
    return True


UNREADABLE = {
    "Latin-1 in a UTF8String": issuer(0x0C, "Müller Telecom".encode("latin-1")),
    "an overlong form": issuer(0x0C, b"\xc0\x80"),
    "a surrogate in a UTF8String": issuer(0x0C, b"\xed\xa0\x80"),
    "beyond Unicode": issuer(0x0C, b"\xf4\x90\x80\x80"),
    "a cut UTF8String": issuer(0x0C, b"acm\xc3"),
    "half a character in a BMPString": issuer(0x1E, b"\0a\0"),
    "a lone surrogate": issuer(0x1E, b"\xd8\0"),
    "a surrogate pair in a BMPString": issuer(0x1E, b"\xd8\x3d\xde\0"),
    "five bytes of UniversalString": issuer(0x1C, b"\0\0\0a\0"),
    "a UniversalString beyond Unicode": issuer(0x1C, b"\0\x11\0\0"),
    "a VisibleString": issuer(0x1A),
    "an OCTET STRING": issuer(0x04),
    "a bit string without its first octet": issuer(tlv.BIT_STRING, b""),
    "a padded object identifier": issuer(kind=tlv.element(tlv.OID, b"\x80\x55\4\3")),
    "an object identifier padded within": issuer(kind=tlv.element(tlv.OID, b"\x55\x80\4\3")),
    "a cut object identifier": issuer(kind=tlv.element(tlv.OID, b"\x55\4\x83")),
    "an empty object identifier": issuer(kind=tlv.element(tlv.OID, b"")),
    "an attribute without a value": tlv.element(
        tlv.SEQUENCE, tlv.element(tlv.SET, tlv.element(tlv.SEQUENCE, COMMON_NAME))
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_issuer_that_openssl_cannot_read_is_refused_with_what_to_do(what: str, public_key: bytes) -> None:
    assert not openssl_parses(public_key, UNREADABLE[what])
    with pytest.raises(CertificateRejected) as caught:
        vet(certificate(public_key, UNREADABLE[what]), now=NOW)
    assert caught.value.reason in ("unreadable-issuer", "damaged"), caught.value.message
    assert caught.value.__context__ is None


@pytest.mark.parametrize("content", [b"", b"\0\1", b"\xff\xff", b"\0\0\1"])
def test_a_serial_number_that_is_not_minimal_is_refused(content: bytes, public_key: bytes) -> None:
    serial = tlv.element(tlv.INTEGER, content)
    assert not openssl_parses(public_key, issuer(), serial)
    with pytest.raises(CertificateRejected) as caught:
        vet(certificate(public_key, issuer(), serial), now=NOW)
    assert caught.value.reason in ("unreadable-serial", "damaged")


READABLE = {
    "umlauts in UTF-8": issuer(0x0C, "Müller Telecom".encode()),
    "beyond the basic plane": issuer(0x0C, "acme \N{TELEPHONE RECEIVER}\N{GRINNING FACE}".encode()),
    "Latin-1 in a TeletexString": issuer(0x14, "Müller".encode("latin-1")),
    "Latin-1 in a PrintableString": issuer(0x13, "Müller".encode("latin-1")),
    "a BMPString": issuer(0x1E, "Müller 株式会社".encode("utf-16-be")),
    "a UniversalString": issuer(0x1C, "Müller".encode("utf-32-be")),
    "a unique identifier": issuer(tlv.BIT_STRING, b"\0ab", tlv.oid("2.5.4.45")),
    "an unknown attribute": issuer(kind=tlv.oid("1.3.6.1.4.1.99999.1.2147483649")),
    "no attribute at all": b"\x30\0",
}


@pytest.mark.parametrize("what", READABLE)
def test_an_odd_issuer_that_can_be_read_seals_and_the_documented_command_opens(
    what: str, public_key: bytes, key_pair: KeyPair, tmp_path: Path
) -> None:
    assert _opens(certificate(public_key, READABLE[what]), key_pair, tmp_path)


def _opens(der: bytes, key_pair: KeyPair, folder: Path) -> bool:
    with Sealer([vet(der, now=NOW).der]).begin(5).open(io.BytesIO(b"audio"), hashes=False) as sealed:
        (folder / "x.enc").write_bytes(sealed.read())
    (folder / "x").unlink(missing_ok=True)
    done = smime_decrypt(folder / "x.enc", folder / "x", key_pair.key_path)
    return done.returncode == 0 and (folder / "x").read_bytes() == b"audio"


@given(st.data())
def test_what_openssl_cannot_read_is_never_accepted(public_key: bytes, data: st.DataObject) -> None:
    tag = data.draw(st.sampled_from([0x03, 0x04, 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E, 0x30]))
    name = bytearray(issuer(tag, data.draw(st.binary(max_size=8))))
    for _ in range(data.draw(st.integers(0, 2))):
        name[data.draw(st.integers(0, len(name) - 1))] = data.draw(st.integers(0, 255))
    serial = tlv.element(tlv.INTEGER, data.draw(st.binary(max_size=4)))
    if readable(bytes(name), serial):
        assert openssl_parses(public_key, bytes(name), serial), bytes(name).hex()


# --- a public corpus ------------------------------------------------------------------------------------------


def _corpus() -> Iterator[Path]:
    import cryptography_vectors

    top = Path(cryptography_vectors.__file__).parent / "x509"
    yield from sorted(path for path in top.rglob("*") if path.suffix in (".pem", ".der", ".crt", ".cer"))


def _copied_parts(der: bytes) -> tuple[bytes, bytes] | None:
    """Issuer and serial number of a certificate, as bytes; None where this is no certificate."""

    def inside(data: bytes) -> list[bytes]:
        pieces, at = [], 0
        for _, _start, end in tlv.peek(data):
            pieces.append(data[at:end])
            at = end
        return pieces

    def content(data: bytes) -> bytes:
        _, start, end = tlv.peek(data)[0]
        return data[start:end]

    if not der.startswith(b"\x30"):
        return None
    outer = inside(content(der))
    body = inside(content(outer[0])) if outer and outer[0][:1] == b"\x30" else []
    if body and body[0][:1] == b"\xa0":
        body = body[1:]
    return (body[2], body[0]) if len(body) >= 6 and body[0][:1] == b"\2" and body[2][:1] == b"\x30" else None


def test_over_a_public_corpus_openssl_opens_what_is_accepted(
    public_key: bytes, key_pair: KeyPair, tmp_path: Path
) -> None:
    judged = refused = 0
    seen = set()
    for path in _corpus():
        raw = path.read_bytes()
        if b"-----BEGIN CERTIFICATE-----" in raw:
            try:
                raw = ssl.PEM_cert_to_DER_cert("-----BEGIN" + raw.decode("latin-1").split("-----BEGIN", 1)[1])
            except ValueError:
                continue
        parts = _copied_parts(raw)
        if parts is None or parts in seen:
            continue
        seen.add(parts)
        der = certificate(public_key, *parts)
        try:
            vet(der, now=NOW)
        except CertificateRejected:
            assert not openssl_parses(public_key, *parts), f"{path.name} is refused, but openssl reads it"
            refused += 1
            continue
        assert openssl_parses(public_key, *parts), path.name
        judged += 1
        if judged % 10 == 0:  # a process each: the rest was judged by the library of the same name
            assert _opens(der, key_pair, tmp_path), path.name
    assert judged > 250 and refused >= 1
