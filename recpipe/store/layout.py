"""The only maker of object keys. Opaque: no phone number, person, file name or date is in one."""

from __future__ import annotations

import secrets


def recording_prefix(tenant_id: str, recording_id: str) -> str:
    """What every attempt to store this recording starts with, so that a crashed one can be found."""
    return f"{tenant_id}/{recording_id[:2]}/{recording_id}-"


def attempt_prefix(tenant_id: str, recording_id: str, spool_id: str) -> str:
    """Attempts of one spool: its owner (and nobody else) may clear away what it left here."""
    return f"{recording_prefix(tenant_id, recording_id)}{spool_id}-"


def new_object_key(tenant_id: str, recording_id: str, spool_id: str) -> str:
    """A key for a fresh attempt; the catalogue row remembers which attempt won."""
    return f"{attempt_prefix(tenant_id, recording_id, spool_id)}{secrets.token_hex(4)}"
