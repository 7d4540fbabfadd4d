"""Secrets that machines carry: their shape, and what is kept of them (a hash, never the secret)."""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

TOKEN_PREFIX = "rp_"  # noqa: S105 - the published mark by which secret scanners know our tokens
SHOWN_CHARACTERS = 8  # of a token, to recognise it by; 131 random bits stay hidden

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARACTERS = 27  # 160 bits
_CHECK_CHARACTERS = 6  # 62 ** 6 > 2 ** 32


def new_token() -> str:
    """A bearer token: `rp_`, 27 random characters, and a CRC-32 of those so that scanners and typos are told apart."""
    body = "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARACTERS))
    return f"{TOKEN_PREFIX}{body}{_check(body)}"


def well_formed(token: str) -> bool:
    """Whether this could be one of our tokens; says nothing of whether it is."""
    body = token[len(TOKEN_PREFIX) : -_CHECK_CHARACTERS]
    return (
        len(token) == len(TOKEN_PREFIX) + _RANDOM_CHARACTERS + _CHECK_CHARACTERS
        and token.startswith(TOKEN_PREFIX)
        and token.isascii()
        and token.endswith(_check(body))
    )


def new_secret() -> str:
    """A secret for a cookie or a link: 192 bits, safe in a URL."""
    return secrets.token_urlsafe(24)


def fingerprint(secret: str) -> str:
    """What is kept of a random secret: SHA-256, lower-case hex. For 80 bits or more, not for passwords."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check(body: str) -> str:
    rest = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECK_CHARACTERS):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits
