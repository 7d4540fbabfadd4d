"""The algorithm suite of an envelope and its limits: named constants, each with its source.

What is written is one profile only (the first block); the rest is what other people's envelopes may hold and
`keys.opening` understands. Why these and no better ones: the documented command of the tenants is
`openssl smime -decrypt`, which knows neither AES-GCM (RFC 5084) nor RSA-OAEP without extra options.
"""

from __future__ import annotations

from dataclasses import dataclass

# --- what is written --------------------------------------------------------------------------------------

DATA = "1.2.840.113549.1.7.1"  # id-data, RFC 5652 section 4
ENVELOPED_DATA = "1.2.840.113549.1.7.3"  # id-envelopedData, RFC 5652 section 6.1
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"  # rsaEncryption: RSAES-PKCS1-v1_5, RFC 3370 section 4.2.1
AES256_CBC = "2.16.840.1.101.3.4.1.42"  # id-aes256-CBC, RFC 3565 section 4.1

CONTENT_KEY_BYTES = 32
BLOCK_BYTES = 16  # AES block, and so the length of the IV

# --- limits -----------------------------------------------------------------------------------------------

LARGEST_SMIME_MESSAGE_BYTES = 1_610_612_732  # measured: openssl smime's memory BIO grows no further
LARGEST_SMIME_CONTENT_BYTES = 1_500_000_000  # what may be sealed: room for headers, whatever the recipients

SMALLEST_RSA_BITS = 2048  # NIST SP 800-131A: less is disallowed
LARGEST_RSA_BITS = 8192  # every reader of the compatibility matrix but gpgsm opens this
LARGEST_RSA_EXPONENT_BITS = 64  # OpenSSL refuses more (RSA_R_BAD_E_VALUE) above 3072 bits

# --- keys that a certificate may hold ---------------------------------------------------------------------

RSASSA_PSS = "1.2.840.113549.1.1.10"  # RFC 4055: a key for signatures only
RSAES_OAEP = "1.2.840.113549.1.1.7"  # RFC 4055: as a key it forbids PKCS#1 v1.5; as transport, RFC 3560
EC_PUBLIC_KEY = "1.2.840.10045.2.1"  # RFC 5480
DSA = "1.2.840.10040.4.1"  # RFC 3279
EDWARDS = {"1.3.101.110": "X25519", "1.3.101.111": "X448", "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448"}  # RFC 8410

# --- what may be read -------------------------------------------------------------------------------------

AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"  # RFC 5083
MGF1 = "1.2.840.113549.1.1.8"  # RFC 4055
P_SPECIFIED = "1.2.840.113549.1.1.9"  # RFC 4055, the OAEP label
HASHES = {
    "1.3.14.3.2.26": "SHA-1",
    "2.16.840.1.101.3.4.2.4": "SHA-224",
    "2.16.840.1.101.3.4.2.1": "SHA-256",
    "2.16.840.1.101.3.4.2.2": "SHA-384",
    "2.16.840.1.101.3.4.2.3": "SHA-512",
}


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A block cipher in CBC mode with PKCS#7 padding (RFC 5652 section 6.3)."""

    name: str
    key_bytes: int
    block_bytes: int


CONTENT_CIPHERS = {
    "2.16.840.1.101.3.4.1.2": ContentCipher("AES-128-CBC", 16, 16),  # RFC 3565
    "2.16.840.1.101.3.4.1.22": ContentCipher("AES-192-CBC", 24, 16),
    AES256_CBC: ContentCipher("AES-256-CBC", 32, 16),
    "1.2.840.113549.3.7": ContentCipher("3DES-CBC", 24, 8),  # RFC 3370 section 5.1
}

KEY_TRANSPORT = {RSA_ENCRYPTION: "RSA PKCS#1 v1.5", RSAES_OAEP: "RSA-OAEP"}

# Weak signatures on a certificate do not weaken an envelope, but they say that the issuer is not to be trusted.
WEAK_SIGNATURES = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
}
