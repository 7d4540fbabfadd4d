"""Time-based one-time passwords, as authenticator apps make them, and the codes for the day the phone is gone."""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
from datetime import datetime
from urllib.parse import quote, urlencode

from recpipe.access.passwords import readable_code
from recpipe.access.tokens import fingerprint

STEP_SECONDS = 30
DIGITS = 6
DRIFT_STEPS = 1  # clocks may be half a minute apart, and people take time to type
RECOVERY_CODES = 10


def new_secret() -> str:
    """A shared secret of 160 bits in base32. Source: RFC 4226 section 4 (R6 recommends 160 bits)."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def is_secret(text: str) -> bool:
    """Whether this is what `new_secret` makes."""
    try:
        return len(base64.b32decode(text)) == 20
    except ValueError:
        return False


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of one time step.

    Source: RFC 4226 section 5.3 (HOTP with HMAC-SHA-1 and dynamic truncation), RFC 6238 section 4 (step = time / 30 s).
    """
    mac = hmac.digest(secret, struct.pack(">Q", step), "sha1")
    (value,) = struct.unpack_from(">L", mac, mac[-1] & 0x0F)
    return f"{(value & 0x7FFFFFFF) % 10**digits:0{digits}d}"


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, at most one step from `now`; None when it is wrong.

    A step must be accepted once only: the caller remembers it. Source: RFC 6238 section 5.2.
    """
    typed = code.replace(" ", "")
    if len(typed) != DIGITS or not (typed.isascii() and typed.isdigit()):
        return None
    key = base64.b32decode(secret)
    here = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(here - DRIFT_STEPS, here + DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(key, step), typed):
            found = step
    return found


def uri(secret: str, account: str, issuer: str) -> str:
    """What a QR code carries to an authenticator app. Source: the Key Uri Format of Google Authenticator."""
    query = urlencode({"secret": secret, "issuer": issuer, "digits": DIGITS, "period": STEP_SECONDS}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{query}"


def new_recovery_codes() -> tuple[str, ...]:
    """Codes of 150 bits that each replace the second factor once. Show them once; keep `recovery_hash` of each."""
    return tuple("-".join(readable_code(6) for _ in range(5)) for _ in range(RECOVERY_CODES))


def recovery_hash(code: str) -> str:
    """What is kept of a recovery code. Spaces, hyphens and case do not matter.

    Source: OWASP ASVS 5.0, 6.5.2 (112 random bits and more need no slow hash).
    """
    return fingerprint("".join(c for c in code.lower() if c.isalnum()))
