"""The only maker of object keys. Opaque: no phone number, person, file name or date is in one."""

from __future__ import annotations

import re
import secrets

from recpipe.errors import StoreRejected

KEY_LIMIT = 900  # characters; the least that the S3 servers we tried accept (SeaweedFS)
SEGMENT_LIMIT = 200  # leaves room below the 255 of most file systems

# No leading dot: `.` and `..` are then impossible, and a directory store can keep its own things under dot names.
_SEGMENT = r"[0-9a-z_-][0-9a-z._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)


def recording_prefix(tenant_id: str, recording_id: str) -> str:
    """What every attempt to store this recording starts with, so that a crashed one can be found."""
    return f"{tenant_id}/{recording_id[:2]}/{recording_id}-"


def attempt_prefix(tenant_id: str, recording_id: str, spool_id: str) -> str:
    """Attempts of one spool: its owner (and nobody else) may clear away what it left here."""
    return f"{recording_prefix(tenant_id, recording_id)}{spool_id}-"


def new_object_key(tenant_id: str, recording_id: str, spool_id: str) -> str:
    """A key for a fresh attempt; the catalogue row remembers which attempt won."""
    return f"{attempt_prefix(tenant_id, recording_id, spool_id)}{secrets.token_hex(4)}"


def check_key(key: str) -> str:
    """Return `key` when it is one that this module could have made; stores call it before they touch anything.

    Raises:
        StoreRejected: it could climb out of a folder, or is not lower-case letters, digits, `-`, `_`, `.` and `/`.
    """
    if len(key) > KEY_LIMIT or _KEY.fullmatch(key) is None or any(len(s) > SEGMENT_LIMIT for s in key.split("/")):
        raise StoreRejected(
            f"{key[:80]!r} is not an object key: those are lower-case letters, digits, hyphens, underscores and dots "
            "in segments joined by single slashes. Nothing was read or written. Run recpipe verify if it came from "
            "the catalogue."
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` when some key could start with it; "" is every key's.

    Raises:
        StoreRejected: none could.
    """
    if prefix:
        check_key(prefix + ("x" if prefix.endswith("/") else ""))
    return prefix
