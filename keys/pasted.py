"""Recognise what a person pasted where a certificate was asked for.

Private keys come first: whatever else is in the paste, one of them spoils it, and nothing of it may survive, so no
function here puts input into a message and none raises inside an `except` (which would keep the inner error alive).

Source: RFC 7468 (textual encodings), RFC 5208/5958 (PKCS#8), RFC 8017 appendix A (PKCS#1), RFC 5915 (EC keys),
RFC 7292 (PKCS#12), RFC 5652 section 5 (PKCS#7 bundles).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import Enum

from keys import bundle, tlv
from keys.errors import CertificateRejected

LARGEST_PASTE_BYTES = 128 * 1024  # a bundle with the certificates of its authorities has some 10 KiB

_MAKE_ONE = (
    "Make a key pair with: openssl req -newkey rsa:2048 -nodes -keyout myprivatekey.pem -x509 -days 1825 "
    "-out mypublickey.pem and paste the contents of mypublickey.pem."
)
_PASTE_CERTIFICATE = (
    "Paste the part from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, both lines included."
)
_EXPOSED = (
    "Nothing of it was kept. If it was sent from its owner's computer, as by pasting it into a page, treat it as "
    "exposed. " + _MAKE_ONE + " Keep the old private key only as long as recordings made for it must be opened."
)
_OUT_OF_PKCS12 = (
    "Take the certificate alone out of it: openssl pkcs12 -in FILE -clcerts -nokeys -out mypublickey.pem and give "
    "mypublickey.pem; or on Windows, export it from certmgr.msc without the private key and give the .cer. "
)


class Kind(Enum):
    """What a piece of DER is."""

    CERTIFICATE = "certificate"
    PUBLIC_KEY = "public-key"  # SubjectPublicKeyInfo
    RSA_PUBLIC_KEY = "rsa-public-key"  # PKCS#1
    PRIVATE_KEY = "private-key"
    PKCS12 = "pkcs12"
    REQUEST = "certificate-request"
    PKCS7 = "pkcs7"
    REVOCATIONS = "revocation-list"
    UNKNOWN = "not-a-certificate"


_REFUSALS = {
    Kind.REQUEST: (
        "This is a certificate request (CSR), which is only the question to a certificate authority.",
        "Paste the certificate that the authority sent back, or a self-signed one. " + _MAKE_ONE,
    ),
    Kind.PKCS7: (
        "This is a PKCS#7 or CMS file, and no bundle of certificates: it was signed or sealed, or it is damaged.",
        _PASTE_CERTIFICATE + " Or export the certificate as .cer or .p7b.",
    ),
    Kind.REVOCATIONS: ("This is a certificate revocation list.", _PASTE_CERTIFICATE),
    Kind.UNKNOWN: ("There is no certificate in this.", _PASTE_CERTIFICATE + " If you have none: " + _MAKE_ONE),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One certificate or public key that was found, as DER."""

    kind: Kind
    der: bytes


def private_key_found(what: str = "a private key", advice: str = "") -> CertificateRejected:
    """The refusal of anything secret; `advice` goes before what is said of every private key."""
    return CertificateRejected(
        "private-key", f"This contains {what}, which must never leave its owner.", advice + _EXPOSED
    )


def _pkcs12_found() -> CertificateRejected:
    return private_key_found("a PKCS#12 file, and with it most likely a private key", _OUT_OF_PKCS12)


def classify(der: bytes) -> Kind:
    """What this DER is, judged by its outer shape alone; cut files are recognised as well."""
    outer = tlv.peek(der)
    if not outer or outer[0][0] != tlv.SEQUENCE:
        return Kind.UNKNOWN
    inner = tlv.peek(der, outer[0][1], outer[0][2])
    tags = [tag for tag, _, _ in inner]
    match tags[:3]:
        case [tlv.INTEGER, tlv.SEQUENCE, tlv.OCTET_STRING, *_]:
            return Kind.PRIVATE_KEY  # PKCS#8
        case [tlv.INTEGER, tlv.INTEGER, tlv.INTEGER, *_]:
            return Kind.PRIVATE_KEY  # PKCS#1 RSA, or DSA
        case [tlv.INTEGER, tlv.OCTET_STRING, *_]:
            return Kind.PRIVATE_KEY  # EC
        case [tlv.SEQUENCE, tlv.OCTET_STRING]:
            return Kind.PRIVATE_KEY  # PKCS#8, encrypted
        case [tlv.INTEGER, tlv.INTEGER]:
            return Kind.RSA_PUBLIC_KEY
        case [tlv.INTEGER, tlv.SEQUENCE, *_]:
            return Kind.PKCS12
        case [tlv.OID, *_]:
            return Kind.PKCS7
        case [tlv.SEQUENCE, tlv.BIT_STRING]:
            return Kind.PUBLIC_KEY
        case [tlv.SEQUENCE, *_]:
            return _signed(der, inner[0])
    return Kind.UNKNOWN


def _signed(der: bytes, body: tuple[int, int, int]) -> Kind:
    """A signed body: certificate, request or revocation list."""
    tags = [tag for tag, _, _ in tlv.peek(der, body[1], body[2])]
    if tags[:1] == [tlv.CONTEXT_0]:
        return Kind.CERTIFICATE
    if tlv.UTC_TIME in tags or tlv.GENERALIZED_TIME in tags:  # directly in the body
        return Kind.REVOCATIONS
    if tags[:3] == [tlv.INTEGER, tlv.SEQUENCE, tlv.SEQUENCE]:
        return Kind.CERTIFICATE if tags[3:6] == [tlv.SEQUENCE] * 3 else Kind.REQUEST
    return Kind.UNKNOWN


# Every repetition is bounded: what is searched is hostile, and an unbounded one would take minutes on 128 KiB.
_PRIVATE_TEXT = re.compile(
    r"(?:BEGIN|END)\s{1,4}(?:[A-Z0-9]{1,20}\s{1,4}){0,3}PRIVATE\s{1,4}KEY"  # however mangled the dashes are
    r"|PuTTY-User-Key-File|^[ \t]{0,8}(?:Private-(?:Lines|MAC|Key)|privateExponent)\s?:|AGE-SECRET-KEY-1",
    re.IGNORECASE | re.MULTILINE,
)
_PRIVATE_XML = ("<RSAKeyValue>", "<D>")
_PRIVATE_JWK = (re.compile(r'"kty"\s{0,8}:'), re.compile(r'"d"\s{0,8}:'))
_MARKER = re.compile(r"-{2,10}\s{0,4}(BEGIN|END) ([A-Z0-9 #]{1,40}?)\s{0,4}-{2,10}")
_BASE64_RUN = re.compile(r"(?:[A-Za-z0-9+/]{8,}={0,2}\s*)+")
_SSH = re.compile(r"\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-\w+|sk-\w+@openssh\.com) AAAA|BEGIN SSH2 PUBLIC KEY")
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_CLEAN = str.maketrans({**_DASHES, 0xA0: " ", 0x200B: "", 0xFEFF: "", 0x2060: "", 0: ""})


def pieces(pasted: bytes | str) -> list[Piece]:
    """Certificates and public keys in the paste or file, in order and without repetition; at least one.

    Raises:
        CertificateRejected: for everything that is neither, each with its reason; first of all for private keys.
    """
    raw = pasted.encode("utf-8", "replace") if isinstance(pasted, str) else bytes(pasted)
    if len(raw) > LARGEST_PASTE_BYTES:
        if _holds_private_text(raw.replace(b"\0", b"").decode("latin-1")):
            raise private_key_found()
        raise CertificateRejected(
            "too-large",
            f"This is larger than {LARGEST_PASTE_BYTES // 1024} KiB; a certificate has one or two.",
            _PASTE_CERTIFICATE,
        )
    if not raw.strip(b" \t\r\n\0"):
        raise CertificateRejected(
            "empty", "There is nothing in it.", _PASTE_CERTIFICATE + " If you have none: " + _MAKE_ONE
        )
    if _holds_private_text(raw.replace(b"\0", b"").decode("latin-1")):
        raise private_key_found()
    _refuse_binary_keystores(raw)
    if raw[0] == tlv.SEQUENCE and len(raw) > 1 and (raw[1] >= 0x80 or raw[1] == len(raw) - 2):
        return list(dict.fromkeys(_unpacked(raw)))
    return _from_text(_as_text(raw), nested=False)


def _holds_private_text(text: str) -> bool:
    return (
        _PRIVATE_TEXT.search(text) is not None
        or all(mark in text for mark in _PRIVATE_XML)
        or all(mark.search(text) for mark in _PRIVATE_JWK)
    )


def _refuse_binary_keystores(raw: bytes) -> None:
    if raw.startswith((b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")):
        raise private_key_found("a Java key store, and with it most likely a private key")
    if b"openssh-key-v1\0" in raw:
        raise private_key_found("an OpenSSH private key")


def _as_text(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", "replace")
    elif raw[1::2].count(0) > len(raw) // 4:
        text = raw.decode("utf-16-le", "replace")
    elif raw[0::2].count(0) > len(raw) // 4:
        text = raw.decode("utf-16-be", "replace")
    else:
        text = raw.decode("utf-8", "replace")
    # Line ends arrive spelled out where a certificate went through JSON or an environment variable.
    return text.translate(_CLEAN).replace("\\r", "").replace("\\n", "\n")


def _from_text(text: str, *, nested: bool) -> list[Piece]:
    if _holds_private_text(text):
        raise private_key_found()
    bodies, loose, unpaired = _blocks(text)
    blocks = [(label, _decode(body)) for label, body in bodies]
    stray = _loose_base64(loose)
    for der in [*(der for _, der in blocks), *stray]:
        _refuse_private(der)
    if _SSH.search(text):
        raise CertificateRejected("ssh-public-key", "This is an SSH public key.", _MAKE_ONE)
    if "BEGIN PGP " in text:
        raise CertificateRejected("pgp-public-key", "This is a PGP block; recordings are sealed for X.509.", _MAKE_ONE)
    if unpaired:
        raise CertificateRejected(
            "incomplete",
            f"The block {unpaired} is cut: its BEGIN or its END line is missing or does not match.",
            _PASTE_CERTIFICATE,
        )
    if blocks:
        found = [piece for label, der in blocks for piece in _labelled(label, der)]
    elif stray:
        nested_pem = [der for der in stray if b"-----BEGIN " in der]
        if nested_pem and not nested:
            return _from_text(_as_text(nested_pem[0]), nested=True)
        found = _unpacked(max(stray, key=len))
    else:
        raise CertificateRejected(Kind.UNKNOWN.value, *_REFUSALS[Kind.UNKNOWN])
    return list(dict.fromkeys(found))


def _blocks(text: str) -> tuple[list[tuple[str, str]], str, str]:
    """Labels and bodies of the PEM blocks, the text outside of them, and the label of one that is cut (or "")."""
    bodies, outside, unpaired = [], [], ""
    opened: re.Match[str] | None = None
    done = 0
    for marker in _MARKER.finditer(text):
        if marker[1] == "BEGIN":
            if opened is not None:
                unpaired = opened[2].strip()
            opened = marker
        elif opened is not None and opened[2].strip() == marker[2].strip():
            outside.append(text[done : opened.start()])
            bodies.append((marker[2].strip(), text[opened.end() : marker.start()]))
            opened, done = None, marker.end()
        else:
            unpaired = marker[2].strip()
            opened = None
    if opened is not None:
        unpaired = opened[2].strip()
    outside.append(text[done:])
    return bodies, "\n".join(outside), unpaired


def _refuse_private(der: bytes | None) -> None:
    if der is None:
        return
    _refuse_binary_keystores(der)
    if _holds_private_text(der.decode("latin-1")):
        raise private_key_found()
    for tag, start, end in tlv.peek(der):
        # The peek is clipped: what follows a first element is looked at as well.
        kind = classify(tlv.element(tag, der[start:end])) if tag == tlv.SEQUENCE else Kind.UNKNOWN
        if kind is Kind.PRIVATE_KEY:
            raise private_key_found()
        if kind is Kind.PKCS12:
            raise _pkcs12_found()


def _loose_base64(text: str) -> list[bytes]:
    """Base64 outside of any block, decoded: long enough to be a key or certificate."""
    found = []
    whole = _decode(text)
    runs = [text] if whole is not None else [match[0] for match in _BASE64_RUN.finditer(text)]
    for run in ("".join(part.split()) for part in runs):
        for start in (0, *(place for place in (run.find("MII"), run.find("LS0tLS1CRUdJTi")) if place > 0)):
            decoded = _decode(run[start:]) if len(run) - start >= 64 else None
            if decoded and (decoded[0] == tlv.SEQUENCE or b"-----BEGIN " in decoded or b"openssh-key" in decoded):
                found.append(decoded)
                break
    return found


def _decode(body: str) -> bytes | None:
    compact = "".join(re.sub(r"(?m)^[ \t]*[>|]+", "", body).split()).rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9+/]+", compact) or len(compact) % 4 == 1:
        return None
    return base64.b64decode(compact + "=" * (-len(compact) % 4))


_LABELS = frozenset(
    ("CERTIFICATE", "X509 CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY", "PKCS7", "CMS", "PKCS #7 SIGNED DATA")
)


def _labelled(label: str, der: bytes | None) -> list[Piece]:
    """The pieces in a block with this label, or the refusal that the label calls for."""
    if label == "TRUSTED CERTIFICATE":
        raise CertificateRejected(
            "trusted-certificate",
            "This is OpenSSL's own TRUSTED CERTIFICATE form, which other programs do not read.",
            "Convert it with: openssl x509 -in FILE -out mypublickey.pem and paste the contents of mypublickey.pem.",
        )
    if label.endswith("CERTIFICATE REQUEST"):
        raise CertificateRejected(Kind.REQUEST.value, *_REFUSALS[Kind.REQUEST])
    if label == "PKCS12":
        raise _pkcs12_found()
    if label == "X509 CRL":
        raise CertificateRejected(Kind.REVOCATIONS.value, *_REFUSALS[Kind.REVOCATIONS])
    if label not in _LABELS:
        raise CertificateRejected(
            Kind.UNKNOWN.value, f"A block labelled {label} is not a certificate.", _PASTE_CERTIFICATE
        )
    if der is None:
        raise CertificateRejected(
            "damaged",
            "The text between BEGIN and END is not intact base64: characters were lost or added.",
            "Open the file in a plain text editor and copy it again, whole.",
        )
    return _unpacked(der)


def _unpacked(der: bytes) -> list[Piece]:
    """What is in this DER: one piece, or the certificates of a bundle, whatever its label says (certutil errs)."""
    if classify(der) is not Kind.PKCS7:
        return [_piece(der)]
    certificates = bundle.certificates_in(der)
    if not certificates:
        raise CertificateRejected(Kind.PKCS7.value, *_REFUSALS[Kind.PKCS7])
    return [_piece(certificate) for certificate in certificates]


def _piece(der: bytes) -> Piece:
    _refuse_private(der)
    kind = classify(der)
    if kind in _REFUSALS:
        raise CertificateRejected(kind.value, *_REFUSALS[kind])
    (_, start, end) = tlv.peek(der)[0]
    size = len(tlv.element(tlv.SEQUENCE, der[start:end]))
    if len(der) > size:
        raise CertificateRejected(
            "trailing-bytes",
            f"{len(der) - size} bytes follow the end of the certificate.",
            "Paste it alone. " + _PASTE_CERTIFICATE,
        )
    return Piece(kind, der)
