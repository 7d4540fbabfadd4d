"""Short texts under one secret key: AES-256-GCM, bound to what they are about.

A closed note is a version byte, the first bytes of the key's SHA-256 (so that a person can be told which key is
missing), a random nonce, and the ciphertext with its tag.

Source: NIST SP 800-38D (with random nonces of 96 bits a key is good for 2^32 notes).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.errors import NoteUnreadable

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = 1 + _ID_BYTES + _NONCE_BYTES


def new_key() -> bytes:
    """A fresh key."""
    return os.urandom(KEY_BYTES)


def key_id(key: bytes) -> str:
    """What notes under this key are marked with, in hex."""
    return _mark(key).hex()


def id_of(note: bytes) -> str:
    """The id of the key that a note is under; "" where it is none."""
    return note[1 : 1 + _ID_BYTES].hex() if note.startswith(_VERSION) and len(note) >= _HEAD_BYTES else ""


def derived(key: bytes, purpose: str) -> bytes:
    """A key of its own for one purpose, which tells neither this key nor that of another purpose.

    Source: RFC 5869 (HKDF with SHA-256; the purpose is its `info`).
    """
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(key)


def closed(key: bytes, text: bytes, about: str) -> bytes:
    """The note for `text`, which can be opened with the same key and the same `about` alone."""
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + _mark(key) + nonce + AESGCM(key).encrypt(nonce, text, about.encode())


def opened(keys: Iterable[bytes], note: bytes, about: str) -> bytes:
    """The text of a note.

    Raises:
        NoteUnreadable: it is under none of these keys, about something else, or damaged.
    """
    if not note.startswith(_VERSION) or len(note) < _HEAD_BYTES:
        raise NoteUnreadable("It is none that this version makes, or it is damaged.")
    mark, nonce = note[1 : 1 + _ID_BYTES], note[1 + _ID_BYTES : _HEAD_BYTES]
    for key in keys:
        if _mark(key) == mark:
            try:
                return AESGCM(key).decrypt(nonce, note[_HEAD_BYTES:], about.encode())
            except InvalidTag:
                raise NoteUnreadable("It is damaged, or was made for another object.") from None
    raise NoteUnreadable(f"It needs the recovery key {mark.hex()}, which is not at hand.")


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(b"recpipe note" + key).digest()[:_ID_BYTES]
