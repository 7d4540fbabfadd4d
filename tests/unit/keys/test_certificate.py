"""What a tenant may paste, what it is told, and what is refused with which reason."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import crl, x509
from hypothesis import given
from hypothesis import strategies as st

from keys.certificate import Certificate, load, vet
from keys.errors import CertificateRejected
from tests.services.certificates import KeyPair, KeyPairs, openssl

NOW = datetime.now(UTC) + timedelta(hours=1)  # what openssl makes meanwhile is valid already


def rejection(pasted: bytes | str) -> CertificateRejected:
    with pytest.raises(CertificateRejected) as caught:
        vet(pasted, now=NOW)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert caught.value.advice.endswith("."), caught.value.advice
    return caught.value


def codes(certificate: Certificate) -> set[str]:
    return {warning.code for warning in certificate.warnings}


def pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


# --- forms that are understood ----------------------------------------------------------------------------

FORMS: dict[str, Callable[[KeyPair], bytes | str]] = {
    "pem": lambda pair: pair.pem,
    "text": lambda pair: pair.pem.decode(),
    "der": lambda pair: pair.der,
    "crlf": lambda pair: pair.pem.replace(b"\n", b"\r\n"),
    "old mac line ends": lambda pair: pair.pem.replace(b"\n", b"\r"),
    "byte-order mark": lambda pair: b"\xef\xbb\xbf" + pair.pem,
    "utf-16": lambda pair: pair.pem.decode().encode("utf-16"),
    "utf-16 without mark": lambda pair: pair.pem.decode().encode("utf-16-le"),
    "utf-16 big-endian without mark": lambda pair: pair.pem.decode().encode("utf-16-be"),
    "text around it": lambda pair: b"Dear support,\n\nhere is my key:\n" + pair.pem + b"\nRegards, J\xc3\xbcrgen\n",
    "openssl x509 -text": lambda pair: openssl("x509", "-in", pair.certificate_path, "-text"),
    "quoted in a mail": lambda pair: "".join(f"> {line}\n" for line in pair.pem.decode().splitlines()),
    "indented": lambda pair: "".join(f"    {line}\n" for line in pair.pem.decode().splitlines()),
    "one line": lambda pair: pair.pem.replace(b"\n", b" "),
    "line ends spelled out": lambda pair: pair.pem.replace(b"\n", b"\\n"),
    "word processor dashes": lambda pair: pair.pem.decode().replace("-----", "—–—"),
    "base64 alone": lambda pair: b"".join(pair.pem.splitlines()[1:-1]),
    "base64 lines alone": lambda pair: b"\n".join(pair.pem.splitlines()[1:-1]),
    "base64 of the PEM": lambda pair: base64.b64encode(pair.pem),
    "the same twice": lambda pair: pair.pem + pair.pem,
    "with its own public key": lambda pair: (
        pair.pem + openssl("x509", "-in", pair.certificate_path, "-pubkey", "-noout")
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_certificate_is_found_in_every_form_people_paste(form: str, key_pair: KeyPair) -> None:
    found = vet(FORMS[form](key_pair), now=NOW)
    assert found.der == key_pair.der
    assert not found.warnings


def test_it_is_described_as_openssl_describes_it(key_pair: KeyPair) -> None:
    found = vet(key_pair.pem, now=NOW)
    arguments = ("x509", "-noout", "-in", key_pair.certificate_path)
    assert openssl(*arguments, "-serial").decode().strip() == f"serial={found.serial}"
    fingerprint = openssl(*arguments, "-fingerprint", "-sha256").decode().strip().split("=")[1]
    assert fingerprint.replace(":", "").lower() == found.fingerprint
    end = openssl(*arguments, "-enddate", "-dateopt", "iso_8601").decode().strip().split("=")[1]
    assert datetime.fromisoformat(end.replace("Z", "+00:00")) == found.not_after
    assert (found.subject, found.issuer, found.key_bits) == ("CN=acme", "CN=acme", 2048)


def test_what_was_vetted_is_loaded_the_same(key_pair: KeyPair) -> None:
    found = vet(key_pair.pem, now=NOW)
    assert load(found.der, now=NOW) == found


@pytest.mark.parametrize("command", ["-pubout", "-RSAPublicKey_out"])
def test_a_bare_public_key_gets_the_same_certificate_every_time(command: str, key_pair: KeyPair) -> None:
    public = openssl("rsa", "-in", key_pair.key_path, command)
    first, second = vet(public, now=NOW), vet(public + b"\n", now=NOW + timedelta(days=1))
    assert first.der == second.der
    assert first.synthesised and codes(first) == {"synthesised"}
    assert load(first.der, now=NOW) == first
    assert openssl("x509", "-inform", "DER", "-noout", "-pubkey", stdin=first.der) == openssl(
        "pkey", "-in", key_pair.key_path, "-pubout"
    )


# --- chains and several -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(key_pairs: KeyPairs) -> tuple[bytes, bytes, bytes]:
    """Leaf, intermediate and root in PEM; the root has a 1024-bit key."""
    root = key_pairs.get("root", key="rsa:1024")
    ca = key_pairs.get("ca", "-CA", str(root.certificate_path), "-CAkey", str(root.key_path))
    leaf = key_pairs.get("leaf", "-CA", str(ca.certificate_path), "-CAkey", str(ca.key_path))
    return leaf.pem, ca.pem, root.pem


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 1)])
def test_of_a_chain_the_leaf_is_taken_and_said_so(order: tuple[int, ...], chain: tuple[bytes, bytes, bytes]) -> None:
    found = vet(b"".join(chain[at] for at in order), now=NOW)
    assert found.subject == "CN=leaf"
    assert codes(found) == ({"chain", "weak-issuer"} if 2 in order else {"chain"})


def bundle(tmp_path: Path, *certificates: bytes) -> bytes:
    """A certs-only PKCS#7 bundle, as the export wizard of Windows writes it (.p7b)."""
    named: list[str] = []
    for at, certificate in enumerate(certificates):
        (tmp_path / f"{at}.pem").write_bytes(certificate)
        named += ["-certfile", str(tmp_path / f"{at}.pem")]
    return openssl("crl2pkcs7", "-nocrl", *named, "-outform", "DER")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_of_a_bundle_the_leaf_is_taken_however_the_file_is_written(
    order: tuple[int, ...], chain: tuple[bytes, bytes, bytes], tmp_path: Path
) -> None:
    der = bundle(tmp_path, *(chain[at] for at in order))
    streamed = b"\x30\x80" + der[4:] + b"\0\0"
    forms = [der, streamed, base64.encodebytes(der), pem("PKCS #7 SIGNED DATA", der)]
    forms += [pem(label, der).replace(b"\n", b"\r\n") for label in ("PKCS7", "CMS", "CERTIFICATE")]  # certutil's label
    for form in forms:
        found = vet(form, now=NOW)
        assert (found.subject, codes(found)) == ("CN=leaf", {"chain", "weak-issuer"})


def test_a_bundle_of_one_certificate_is_that_certificate(key_pair: KeyPair, tmp_path: Path) -> None:
    assert vet(bundle(tmp_path, key_pair.pem, key_pair.pem), now=NOW) == vet(key_pair.der, now=NOW)


def test_a_bundle_without_a_clear_leaf_is_asked_about(
    key_pair: KeyPair, other_key_pair: KeyPair, tmp_path: Path
) -> None:
    error = rejection(bundle(tmp_path, key_pair.pem, other_key_pair.pem))
    assert error.reason == "several-certificates" and "CN=acme" in str(error) and "CN=globex" in str(error)


def test_a_leaf_signed_by_a_short_key_says_so_without_its_issuer(chain: tuple[bytes, bytes, bytes]) -> None:
    assert codes(vet(chain[1], now=NOW)) == {"weak-issuer"}


def test_several_different_certificates_are_asked_about(key_pair: KeyPair, other_key_pair: KeyPair) -> None:
    error = rejection(key_pair.pem + other_key_pair.pem)
    assert error.reason == "several-certificates"
    assert "CN=acme" in str(error) and "CN=globex" in str(error) and "Which one" in error.advice


def test_a_certificate_beside_another_public_key_is_asked_about(key_pair: KeyPair, other_key_pair: KeyPair) -> None:
    public = openssl("pkey", "-in", other_key_pair.key_path, "-pubout")
    assert rejection(key_pair.pem + public).reason == "several-certificates"


# --- private keys -----------------------------------------------------------------------------------------


def private_keys(pair: KeyPair) -> dict[str, bytes]:
    """Every form of a private key that openssl writes, and some that others do."""
    pkcs8 = pair.key_pem
    pkcs1 = openssl("rsa", "-in", pair.key_path, "-traditional")
    pkcs8_der = openssl("pkey", "-in", pair.key_path, "-outform", "DER")
    pkcs1_der = openssl("rsa", "-in", pair.key_path, "-outform", "DER", "-traditional")
    p12 = ("pkcs12", "-export", "-inkey", pair.key_path, "-in", pair.certificate_path, "-passout", "pass:x")
    encrypted = ("pkcs8", "-topk8", "-in", pair.key_path, "-passout", "pass:x")
    ec = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    ed25519 = openssl("genpkey", "-algorithm", "ed25519")
    openssh = b"openssh-key-v1\0" + bytes(200)
    return {
        "pkcs8": pkcs8,
        "pkcs8 der": pkcs8_der,
        "pkcs8 base64": base64.b64encode(pkcs8_der),
        "pkcs8 cut": base64.encodebytes(pkcs8_der)[:700],
        "pkcs8 der cut": pkcs8_der[:600],
        "pkcs8 encrypted": openssl(*encrypted),
        "pkcs8 encrypted der": openssl(*encrypted, "-outform", "DER"),
        "pkcs1": pkcs1,
        "pkcs1 der": pkcs1_der,
        "pkcs1 base64": base64.encodebytes(pkcs1_der),
        "pkcs1 encrypted": openssl("rsa", "-in", pair.key_path, "-traditional", "-aes128", "-passout", "pass:x"),
        "ec": ec,
        "ec der": openssl("ec", "-outform", "DER", stdin=ec),
        "ed25519": ed25519,
        "ed25519 der": openssl("pkey", "-outform", "DER", stdin=ed25519),
        "openssh": pem("OPENSSH PRIVATE KEY", openssh),
        "openssh base64": base64.b64encode(openssh),
        "pkcs12": openssl(*p12),
        "pkcs12 base64": base64.b64encode(openssl(*p12)),
        "openssl pkcs12 output": openssl("pkcs12", "-nodes", "-passin", "pass:x", stdin=openssl(*p12)),
        "utf-16": pkcs8.decode().encode("utf-16"),
        "utf-16 without mark": pkcs8.decode().encode("utf-16-be"),
        "base64 of the PEM": base64.b64encode(pkcs8),
        "under a certificate's label": pem("CERTIFICATE", pkcs8_der),
        "under a public key's label": pem("PUBLIC KEY", pkcs1_der),
        "behind a certificate, in one block": pem("CERTIFICATE", pair.der + pkcs8_der),
        "mangled dashes": pkcs8.replace(b"-----", b"-"),
        "only its end": pkcs8[300:],
        "openssl rsa -text": openssl("rsa", "-in", pair.key_path, "-text", "-noout"),
        "putty": b"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n",
        "pgp": b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxxxx\n-----END PGP PRIVATE KEY BLOCK-----\n",
        "jwk": b'{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}',
        "xml": b"<RSAKeyValue><Modulus>AQAB</Modulus><D>AQAB</D></RSAKeyValue>",
        "java key store": b"\xfe\xed\xfe\xed" + bytes(100),
        "too large as well": pkcs8 + b"\n" * 140_000,
    }


def test_a_private_key_of_any_kind_is_refused_as_exposed_and_never_echoed(key_pair: KeyPair) -> None:
    for name, private in private_keys(key_pair).items():
        error = rejection(private)
        assert error.reason == "private-key", (name, error)
        assert "exposed" in error.advice
        shown = "".join(traceback.format_exception(error)) + repr(error)
        if name == "pkcs12":
            assert "openssl pkcs12 -in FILE -clcerts -nokeys" in error.advice
        body = "".join(private.decode("latin-1").replace("\0", "").split())[100:130]
        assert not body or body not in shown, name


@pytest.mark.parametrize("before", [True, False])
def test_a_private_key_beside_a_certificate_is_refused_all_the_same(before: bool, key_pair: KeyPair) -> None:
    for name, private in private_keys(key_pair).items():
        if "der" in name.split() or name in ("utf-16", "utf-16 without mark", "pkcs12", "java key store"):
            continue  # binary beside text: not one paste
        mixed = private + b"\n\n" + key_pair.pem if before else key_pair.pem + b"\n\n" + private
        assert rejection(mixed).reason == "private-key", name


# --- everything else that is refused ----------------------------------------------------------------------


def revocation_lists(version: int) -> tuple[bytes, bytes]:
    """A list that revokes nothing, DER and PEM; nobody checks its signature."""
    algorithm = {"algorithm": "sha256_rsa"}
    body = {
        "version": f"v{version}",
        "signature": algorithm,
        "issuer": x509.Name.build({"common_name": "acme"}),
        "this_update": x509.Time({"utc_time": NOW.replace(microsecond=0)}),
    }
    if version == 1:
        del body["version"]
    der = crl.CertificateList({"tbs_cert_list": body, "signature_algorithm": algorithm, "signature": bytes(256)}).dump()
    return der, pem("X509 CRL", der)


def test_each_refusal_has_its_own_reason(key_pair: KeyPair, key_pairs: KeyPairs) -> None:
    csr = ("req", "-new", "-key", key_pair.key_path, "-subj", "/CN=x")
    pkcs7 = ("crl2pkcs7", "-nocrl", "-certfile", key_pair.certificate_path)
    cms = ("cms", "-binary", "-outform", "DER")
    signed = openssl(
        *(*cms, "-sign", "-nodetach", "-signer", key_pair.certificate_path, "-inkey", key_pair.key_path), stdin=b"x"
    )
    sealed = openssl(*cms, "-encrypt", key_pair.certificate_path, stdin=b"x")
    no_certificate = openssl("crl2pkcs7", "-outform", "DER", stdin=revocation_lists(2)[1])
    trusted = openssl("x509", "-in", key_pair.certificate_path, "-trustout", "-addtrust", "emailProtection")
    ed = key_pairs.get("ed25519", key="ed25519")
    dsa = openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024")
    dsa_public = openssl("pkey", "-pubout", stdin=openssl("genpkey", "-paramfile", "/dev/stdin", stdin=dsa))
    expected: dict[str, list[bytes | str]] = {
        "empty": [b"", "", b" \r\n\t", b"\xef\xbb\xbf".replace(b"\xef\xbb\xbf", b"")],
        "too-large": [key_pair.pem + b"x" * 131_072],
        "not-a-certificate": ["hello", b"\x30", b"\x30\x82", b"\x00\x01\x02", "-----", pem("ANYTHING ELSE", b"x")],
        "certificate-request": [openssl(*csr), openssl(*csr, "-outform", "DER")],
        "revocation-list": [one for version in (1, 2) for one in revocation_lists(version)],
        "pkcs7": [signed, pem("PKCS7", signed), sealed, no_certificate, openssl(*pkcs7, "-outform", "DER")[:-30]],
        "trusted-certificate": [trusted],
        "ssh-public-key": [b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ== me@host"],
        "pgp-public-key": ["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n-----END PGP PUBLIC KEY BLOCK-----\n"],
        "trailing-bytes": [key_pair.der + b"\n", pem("CERTIFICATE", key_pair.der + b"\0")],
        "incomplete": [key_pair.pem[:-20], key_pair.pem[:300], key_pair.pem[30:]],
        "damaged": [pem("CERTIFICATE", key_pair.der[:-40]), key_pair.pem.replace(b"\nM", b"\n?M", 1)],
        "rsa-pss-key": [key_pairs.get("pss", key="rsa-pss").pem],
        "ec-key": [key_pairs.get("ec", "-pkeyopt", "ec_paramgen_curve:P-256", key="ec").pem],
        "ed25519-key": [ed.pem, openssl("pkey", "-in", ed.key_path, "-pubout", "-outform", "DER")],
        "dsa-key": [dsa_public],
        "rsa-too-short": [key_pairs.get("short", key="rsa:1024").pem, key_pairs.get("almost", key="rsa:2040").pem],
    }
    for reason, pastes in expected.items():
        for at, pasted in enumerate(pastes):
            error = rejection(pasted)
            assert error.reason == reason, (reason, at, str(error))


def rsa_public_key(modulus: int, exponent: int) -> bytes:
    from asn1crypto.keys import RSAPublicKey

    return pem("RSA PUBLIC KEY", RSAPublicKey({"modulus": modulus, "public_exponent": exponent}).dump())


ODD_2048 = (1 << 2047) + 1


@pytest.mark.parametrize(
    ("modulus", "exponent", "reason"),
    [
        (ODD_2048, 1, "rsa-exponent"),
        (ODD_2048, -3, "rsa-exponent"),
        (ODD_2048, 65536, "rsa-exponent"),
        (ODD_2048, (1 << 64) + 1, "rsa-exponent"),
        ((1 << 8192) + 1, 65537, "rsa-too-long"),
        ((1 << 200_000) + 1, 65537, "rsa-too-long"),
        (-ODD_2048, 65537, "rsa-too-short"),
        (0, 65537, "rsa-too-short"),
        (1 << 2047, 65537, "rsa-modulus"),
        (3 * ((1 << 2046) + 1), 65537, "rsa-modulus"),
    ],
    ids=range(10),
)
def test_rsa_numbers_that_protect_nothing_are_refused(modulus: int, exponent: int, reason: str) -> None:
    assert rejection(rsa_public_key(modulus, exponent)).reason == reason


# --- warnings ---------------------------------------------------------------------------------------------


def test_dates_warn_and_do_not_refuse(key_pair: KeyPair) -> None:
    found = vet(key_pair.pem, now=NOW)
    soon = found.not_after - timedelta(days=89)
    assert codes(vet(key_pair.pem, now=soon)) == {"expires-soon"}
    assert codes(vet(key_pair.pem, now=found.not_after + timedelta(seconds=1))) == {"expired"}
    assert codes(vet(key_pair.pem, now=found.not_before - timedelta(seconds=1))) == {"not-yet-valid"}


@pytest.mark.parametrize(
    ("name", "options", "subject", "expected"),
    [
        ("usage", ("-addext", "keyUsage=digitalSignature"), None, {"key-usage"}),
        ("usage-right", ("-addext", "keyUsage=keyEncipherment"), None, set()),
        ("nameless", (), "/", {"empty-issuer"}),
        ("zero", ("-set_serial", "0"), None, {"serial-not-positive"}),
        ("negative", ("-set_serial", "-5"), None, {"serial-not-positive"}),
        ("sha1", ("-sha1",), None, {"weak-signature"}),
        ("e5", ("-pkeyopt", "rsa_keygen_pubexp:5"), None, {"unusual-exponent"}),
        ("e3", ("-pkeyopt", "rsa_keygen_pubexp:3"), None, set()),
    ],
)
def test_odd_certificates_are_accepted_with_a_warning(
    name: str, options: tuple[str, ...], subject: str | None, expected: set[str], key_pairs: KeyPairs
) -> None:
    found = vet(key_pairs.get(name, *options, subject=subject).pem, now=NOW)
    assert codes(found) == expected
    assert all(warning.message.endswith(".") for warning in found.warnings)


def test_a_negative_serial_is_shown_as_openssl_shows_it(key_pairs: KeyPairs) -> None:
    assert vet(key_pairs.get("negative", "-set_serial", "-5").pem, now=NOW).serial == "-05"


def test_hostile_names_cannot_break_a_line_or_a_terminal(key_pairs: KeyPairs) -> None:
    pair = key_pairs.get("hostile", "-utf8", subject="/CN=a\n\x1b[2J\u202ecod.exe/O=Büro, Söhne & <b>" + "x" * 40)
    found = vet(pair.pem, now=NOW)
    assert found.subject == r"CN=a\0A\1B[2J\E2\80\AEcod.exe, O=Büro\, Söhne & <b>" + "x" * 40


# --- whatever else ----------------------------------------------------------------------------------------


@given(st.one_of(st.binary(max_size=600), st.text(max_size=600)))
def test_nothing_pasted_raises_anything_but_a_rejection(pasted: bytes | str) -> None:
    rejection(pasted)


@given(data=st.data())
def test_a_certificate_with_changed_bytes_is_accepted_or_rejected_and_nothing_else(
    data: st.DataObject, key_pair_der: bytes
) -> None:
    der = bytearray(key_pair_der)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    armoured = data.draw(st.booleans())
    try:
        found = vet(pem("CERTIFICATE", bytes(der)) if armoured else bytes(der), now=NOW)
    except CertificateRejected as error:
        assert error.__context__ is None
    else:
        assert load(found.der, now=NOW).fingerprint == found.fingerprint


@pytest.fixture(scope="session")
def key_pair_der(key_pair: KeyPair) -> bytes:
    return key_pair.der


@pytest.mark.parametrize(
    "unit",
    [
        "-",
        "\n",
        " ",
        "-----BEGIN A-----",
        "-----BEGIN ",
        "BEGIN ",
        "END A ",
        "A",
        "<RSAKeyValue>",
        '"kty":',
        ">",
        "M" * 40,
    ],
)
@pytest.mark.timeout(5)
def test_128_kib_of_anything_repeated_is_answered_at_once(unit: str) -> None:
    rejection(unit * (131_072 // len(unit)))
