"""Vet what a tenant pastes as its key, and describe it.

A certificate is used for nothing but its RSA key and its issuer and serial number, which name the recipient in the
envelope. So nothing is verified up a chain: who holds the private key is proven with `keys.challenge`.

Source: RFC 5280 (profile), RFC 5652 section 10.2.4 (IssuerAndSerialNumber), and the measured compatibility of readers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from asn1crypto import core, keys, x509

from keys import pasted as paste
from keys import profile, strict
from keys.errors import CertificateRejected
from keys.names import display, display_serial, name_values
from keys.pasted import Kind

EXPIRES_SOON = timedelta(days=90)

_USUAL_EXPONENTS = (3, 17, 65537)
_SMALL_PRIMES = math.prod(n for n in range(3, 1000) if all(n % d for d in range(2, min(n, 32))))
_NEW_PAIR = (
    "Make an RSA key pair with: openssl req -newkey rsa:2048 -nodes -keyout myprivatekey.pem -x509 -days 1825 "
    "-out mypublickey.pem and paste the contents of mypublickey.pem."
)


@dataclass(frozen=True, slots=True)
class CertificateWarning:
    """Something a person should know about an accepted certificate.

    Attributes:
        code: a stable kebab-case word: `expired`, `not-yet-valid`, `expires-soon`, `key-usage`, `empty-issuer`,
            `unusual-exponent`, `serial-not-positive`, `weak-issuer`, `weak-signature`, `synthesised`, `chain`.
        message: one sentence for a person.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that recordings can be sealed for.

    Attributes:
        der: the certificate itself; keep this, `load` reads it again.
        subject, issuer: for display, with everything unprintable escaped (`CN=acme, O=Acme Ltd`).
        serial: upper hex without separators, as `openssl x509 -serial` prints it; a minus sign when negative.
        fingerprint: SHA-256 of `der`, lower hex.
        not_before, not_after: aware, UTC; both days included.
        synthesised: made around a bare public key, so that name, serial and dates mean nothing.
    """

    der: bytes
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    warnings: tuple[CertificateWarning, ...]
    synthesised: bool = False


@dataclass(frozen=True, slots=True)
class RecipientParts:
    """What an envelope needs of a certificate; the DER pieces are copied from it byte for byte."""

    fingerprint: str
    issuer_der: bytes
    serial_der: bytes
    modulus: int
    exponent: int
    key_identifier: bytes | None


def vet(pasted: bytes | str, *, now: datetime) -> Certificate:
    """Accept one certificate or public key out of whatever was pasted or uploaded.

    Understands PEM, DER and bare base64, any line ends, byte-order marks, UTF-16, text around it, PKCS#7 bundles
    (`.p7b`), and a chain whose leaf is clear (the leaf is taken). A bare public key gets a certificate made around it.

    Args:
        pasted: as received, at most 128 KiB.
        now: aware; for the warnings about validity.

    Raises:
        CertificateRejected: with a reason and advice. Nothing of the input is in it.
    """
    found = paste.pieces(pasted)
    certificates = [piece.der for piece in found if piece.kind is Kind.CERTIFICATE]
    public_keys = [_public_key(piece) for piece in found if piece.kind is not Kind.CERTIFICATE]
    if not certificates:
        if len(public_keys) > 1:
            raise _several("public keys", [])
        return _described(_around(public_keys[0]), now)
    leaf, rest = _leaf([(der, _parsed(der)) for der in certificates])
    leaf_key = leaf[1]["tbs_certificate"]["subject_public_key_info"]
    if any(_rsa(key) != _rsa(leaf_key) for key in public_keys):
        raise _several("keys", [display(leaf[1].subject)])
    described = _described(leaf[0], now, chain=[certificate for _, certificate in rest])
    if rest:
        note = CertificateWarning(
            "chain",
            f"{1 + len(rest)} certificates were given; only the leaf, {described.subject}, is used.",
        )
        described = replace(described, warnings=(*described.warnings, note))
    return described


def load(der: bytes, *, now: datetime) -> Certificate:
    """Describe a certificate that was vetted and kept before; the warnings are those of `now`.

    Raises:
        CertificateRejected: it is no certificate that could have been accepted.
    """
    return _described(der, now)


def recipient(der: bytes) -> RecipientParts:
    """The parts of a certificate that name a recipient and encrypt to it.

    Raises:
        CertificateRejected: it is not an acceptable RSA certificate.
    """
    certificate = _parsed(der)
    body = certificate["tbs_certificate"]
    modulus, exponent = _acceptable(body["subject_public_key_info"])
    return RecipientParts(
        fingerprint=hashlib.sha256(der).hexdigest(),
        issuer_der=body["issuer"].dump(),
        serial_der=body["serial_number"].dump(),
        modulus=modulus,
        exponent=exponent,
        key_identifier=certificate.key_identifier,
    )


# --- reading ----------------------------------------------------------------------------------------------


def _parsed(der: bytes) -> Any:
    certificate = _certificate_or_none(der)
    if certificate is None:
        raise CertificateRejected(
            "damaged",
            "This looks like a certificate, but it is cut or damaged.",
            "Check it with: openssl x509 -noout -text -in FILE, then copy it again, whole.",
        )
    body = certificate["tbs_certificate"]
    _check_copied("issuer", strict.check_issuer, body["issuer"].dump())
    _check_copied("serial number", strict.check_serial, body["serial_number"].dump())
    return certificate


def _check_copied(what: str, check: Callable[[bytes], None], der: bytes) -> None:
    """Refuse what would make every envelope unreadable: it is copied into them byte for byte."""
    why = ""
    try:
        check(der)
    except strict.Unreadable as unreadable:
        why = str(unreadable)
    if why:
        raise CertificateRejected(
            f"unreadable-{what.split()[0]}",
            f"The {what} of this certificate is malformed: {why}. OpenSSL could not read what is sealed for it.",
            "Give the public key of the same private key instead: openssl pkey -in myprivatekey.pem -pubout "
            "-out mypublickey.pem; or have the certificate issued again, with its names in UTF-8.",
        )


def _certificate_or_none(der: bytes) -> Any | None:
    """None for everything that cannot be read to the last field: raising here would keep the input in a context."""
    try:
        certificate = x509.Certificate.load(der, strict=True)
        body = certificate["tbs_certificate"]
        for part in ("version", "serial_number", "signature", "validity"):
            _ = body[part].native
        for field in (*name_values(body["issuer"]), *name_values(body["subject"])):
            field["value"].dump()
        key = body["subject_public_key_info"]
        _ = key["algorithm"]["algorithm"].dotted
        if key["algorithm"]["algorithm"].dotted == profile.RSA_ENCRYPTION:
            _ = key["public_key"].parsed.native
        _ = certificate["signature_algorithm"]["algorithm"].dotted, certificate["signature_value"].native
        _ = certificate.key_usage_value and certificate.key_usage_value.native, certificate.key_identifier
        dates = body["validity"]["not_before"].native, body["validity"]["not_after"].native
        if not all(isinstance(date, datetime) and date.tzinfo is not None for date in dates):
            return None
    except Exception:  # asn1crypto lets a dozen kinds of errors through on hostile input
        return None
    return certificate


def _public_key(piece: paste.Piece) -> Any:
    key = _public_key_or_none(piece)
    if key is None:
        raise CertificateRejected(
            "damaged", "This looks like a public key, but it is cut or damaged.", "Copy it again, whole."
        )
    return key


def _public_key_or_none(piece: paste.Piece) -> Any | None:
    try:
        if piece.kind is Kind.RSA_PUBLIC_KEY:
            return keys.PublicKeyInfo.wrap(keys.RSAPublicKey.load(piece.der, strict=True), "rsa")
        key = keys.PublicKeyInfo.load(piece.der, strict=True)
        if key["algorithm"]["algorithm"].dotted == profile.RSA_ENCRYPTION:
            _ = key["public_key"].parsed.native
        else:
            _ = key["algorithm"]["algorithm"].dotted
    except Exception:  # as above
        return None
    return key


def _rsa(key: Any) -> tuple[int, int] | None:
    if key["algorithm"]["algorithm"].dotted != profile.RSA_ENCRYPTION:
        return None
    numbers = key["public_key"].parsed
    return numbers["modulus"].native, numbers["public_exponent"].native


def _acceptable(key: Any) -> tuple[int, int]:
    """Modulus and exponent of an RSA key that every reader of envelopes can use."""
    algorithm = key["algorithm"]["algorithm"].dotted
    if algorithm == profile.RSASSA_PSS:
        raise CertificateRejected("rsa-pss-key", "This RSA key is marked for signatures only (RSA-PSS).", _NEW_PAIR)
    if algorithm == profile.RSAES_OAEP:
        raise CertificateRejected("rsa-oaep-key", "This RSA key is marked for RSA-OAEP only.", _NEW_PAIR)
    if algorithm == profile.EC_PUBLIC_KEY:
        raise CertificateRejected("ec-key", "This is an elliptic-curve key; openssl smime needs RSA.", _NEW_PAIR)
    if algorithm == profile.DSA:
        raise CertificateRejected(
            "dsa-key", "This is a DSA key, which can only sign; openssl smime needs RSA.", _NEW_PAIR
        )
    if algorithm in profile.EDWARDS:
        name = profile.EDWARDS[algorithm]
        raise CertificateRejected(f"{name.lower()}-key", f"This is an {name} key; openssl smime needs RSA.", _NEW_PAIR)
    numbers = _rsa(key)
    if numbers is None:
        raise CertificateRejected("not-rsa", "This is not an RSA key; openssl smime needs RSA.", _NEW_PAIR)
    modulus, exponent = numbers
    bits = modulus.bit_length()
    if modulus <= 0 or bits < profile.SMALLEST_RSA_BITS:
        raise CertificateRejected(
            "rsa-too-short",
            f"This RSA key has {max(bits, 0)} bits; at least {profile.SMALLEST_RSA_BITS} are needed.",
            _NEW_PAIR,
        )
    if bits > profile.LARGEST_RSA_BITS:
        raise CertificateRejected(
            "rsa-too-long", f"This RSA key has {bits} bits; at most {profile.LARGEST_RSA_BITS} can be used.", _NEW_PAIR
        )
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > profile.LARGEST_RSA_EXPONENT_BITS:
        raise CertificateRejected("rsa-exponent", "The public exponent of this RSA key cannot be used.", _NEW_PAIR)
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRIMES) != 1:
        raise CertificateRejected(
            "rsa-modulus", "The modulus of this RSA key has small factors: it protects nothing.", _NEW_PAIR
        )
    return modulus, exponent


# --- choosing ---------------------------------------------------------------------------------------------


def _several(what: str, names: Sequence[str]) -> CertificateRejected:
    listed = ": " + "; ".join(names[:5]) if names else ""
    return CertificateRejected(
        "several-certificates",
        f"Several different {what} were given{listed}.",
        "Which one should recordings be sealed for? Give that one alone.",
    )


def _leaf(found: list[tuple[bytes, Any]]) -> tuple[tuple[bytes, Any], list[tuple[bytes, Any]]]:
    """The one certificate that issued none of the others while all others lead up from it, and those others."""
    subjects = [certificate["tbs_certificate"]["subject"].dump() for _, certificate in found]
    issuers = [certificate["tbs_certificate"]["issuer"].dump() for _, certificate in found]
    leaves = [
        at
        for at in range(len(found))
        if not any(issuers[other] == subjects[at] for other in range(len(found)) if other != at)
    ]
    if len(leaves) == 1:
        chain = [leaves[0]]
        while len(chain) < len(found):
            above = [at for at in range(len(found)) if at not in chain and subjects[at] == issuers[chain[-1]]]
            if len(above) != 1:
                break
            chain.append(above[0])
        if len(chain) == len(found):
            return found[chain[0]], [found[at] for at in chain[1:]]
    raise _several("certificates", [display(certificate.subject) for _, certificate in found])


def _around(key: Any) -> bytes:
    """A certificate around a bare public key, the same one every time.

    The documented command passes only the private key, so name and serial number need only be unique. Nobody here
    holds the private key and nobody checks the signature: its place is filled with a hash of what it would sign.
    """
    modulus, exponent = _acceptable(key)
    key = keys.PublicKeyInfo.wrap(keys.RSAPublicKey({"modulus": modulus, "public_exponent": exponent}), "rsa")
    print_of_key = hashlib.sha256(key.dump()).digest()
    name = x509.Name.build({"common_name": f"public key {print_of_key[:8].hex()}"})
    signature_algorithm = {"algorithm": "sha256_rsa", "parameters": core.Null()}
    body = x509.TbsCertificate(
        {
            "version": "v3",
            "serial_number": int.from_bytes(b"\x01" + print_of_key[:15], "big"),
            "signature": signature_algorithm,
            "issuer": name,
            "validity": {
                "not_before": x509.Time({"utc_time": datetime(2000, 1, 1, tzinfo=UTC)}),
                # RFC 5280 section 4.1.2.5: the value of a certificate without a known end.
                "not_after": x509.Time({"general_time": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}),
            },
            "subject": name,
            "subject_public_key_info": key,
            "extensions": [
                {"extn_id": _SYNTHESISED, "critical": False, "extn_value": core.ParsableOctetString(b"\x05\0")}
            ],
        }
    )
    filler = hashlib.shake_256(body.dump()).digest((modulus.bit_length() + 7) // 8)
    return bytes(
        x509.Certificate(
            {"tbs_certificate": body, "signature_algorithm": signature_algorithm, "signature_value": filler}
        ).dump()
    )


_SYNTHESISED = "2.25.70944697150157420675341701549449623891"  # X.667: an arc from a random UUID; marks our own


# --- describing -------------------------------------------------------------------------------------------


def _described(der: bytes, now: datetime, chain: Sequence[Any] = ()) -> Certificate:
    certificate = _parsed(der)
    body = certificate["tbs_certificate"]
    modulus, exponent = _acceptable(body["subject_public_key_info"])
    serial = body["serial_number"].native
    synthesised = any(extension["extn_id"].dotted == _SYNTHESISED for extension in body["extensions"] or ())
    not_before, not_after = (body["validity"][end].native.astimezone(UTC) for end in ("not_before", "not_after"))
    warnings = list(_date_warnings(not_before, not_after, now))
    usage = certificate.key_usage_value
    if usage is not None and "key_encipherment" not in usage.native:
        warnings.append(
            CertificateWarning("key-usage", "Its key usage does not name key encipherment; openssl opens all the same.")
        )
    if not len(body["issuer"].chosen):
        warnings.append(
            CertificateWarning("empty-issuer", "Its issuer is empty: gpgsm cannot open recordings sealed for it.")
        )
    if exponent not in _USUAL_EXPONENTS:
        warnings.append(CertificateWarning("unusual-exponent", f"Its public exponent {exponent} is unusual."))
    if serial <= 0:
        warnings.append(
            CertificateWarning("serial-not-positive", "Its serial number is not positive, against RFC 5280.")
        )
    if synthesised:
        text = "A bare public key was given; a certificate was made around it. Name, serial and dates mean nothing."
        warnings.append(CertificateWarning("synthesised", text))
    else:
        warnings.extend(_issuer_warnings(certificate, chain))
    return Certificate(
        der=bytes(der),
        subject=display(body["subject"]),
        issuer=display(body["issuer"]),
        serial=display_serial(serial),
        fingerprint=hashlib.sha256(der).hexdigest(),
        key_bits=modulus.bit_length(),
        not_before=not_before,
        not_after=not_after,
        warnings=tuple(warnings),
        synthesised=synthesised,
    )


def _date_warnings(not_before: datetime, not_after: datetime, now: datetime) -> list[CertificateWarning]:
    if now > not_after:
        return [CertificateWarning("expired", f"It expired on {not_after:%Y-%m-%d}.")]
    if now < not_before:
        return [CertificateWarning("not-yet-valid", f"It is not valid before {not_before:%Y-%m-%d}.")]
    if not_after - now <= EXPIRES_SOON:
        return [
            CertificateWarning("expires-soon", f"It expires on {not_after:%Y-%m-%d}, in {(not_after - now).days} days.")
        ]
    return []


def _issuer_warnings(certificate: Any, chain: Sequence[Any]) -> list[CertificateWarning]:
    warnings = []
    algorithm = certificate["signature_algorithm"]["algorithm"].dotted
    if algorithm in profile.WEAK_SIGNATURES:
        name = profile.WEAK_SIGNATURES[algorithm]
        warnings.append(CertificateWarning("weak-signature", f"It is signed with {name}, which can be forged."))
    # An RSA signature is as long as its key (RFC 8017 section 8.2): the issuer need not be at hand.
    signed_by_rsa = algorithm.startswith("1.2.840.113549.1.1.")
    bits = [8 * len(certificate["signature_value"].native)] if signed_by_rsa else []
    bits += [
        numbers[0].bit_length()
        for above in chain
        if (numbers := _rsa(above["tbs_certificate"]["subject_public_key_info"]))
    ]
    weakest = min(bits, default=profile.SMALLEST_RSA_BITS)
    if weakest < profile.SMALLEST_RSA_BITS - 8:
        warnings.append(
            CertificateWarning("weak-issuer", f"It was issued with a {weakest}-bit RSA key, which can be broken.")
        )
    return warnings
