"""Proof of possession: only who holds the private key can read the code inside an envelope.

The code has 160 bits, so a salted SHA-256 keeps it as well as a slow hash would: nobody guesses it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import os
from dataclasses import dataclass

from keys.envelope import Sealer
from keys.errors import ChallengeFailed

_CODE_BYTES = 20  # 160 bits: 32 characters in eight groups
_SALT_BYTES = 16
# Crockford's alphabet: no I, L, O, U, and what looks alike is read alike.
_FROM_RFC4648 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_LOOKALIKES = str.maketrans("OIL", "011")

_TEXT = """\
You have opened the envelope: your private key works.

To prove it, give back this code:

    {code}

Capital or small letters and the dashes do not matter.
"""


@dataclass(frozen=True, slots=True)
class Challenge:
    """An envelope to give to the person, and what to keep of it.

    Attributes:
        envelope: the bytes of `challenge.enc`; opens with the documented openssl command.
        answer_hash: `sha256$SALT$SUM`; not secret enough to matter, the code itself is nowhere kept.
    """

    envelope: bytes
    answer_hash: str


def make(certificate: bytes) -> Challenge:
    """Seal a fresh code for one certificate (DER).

    Raises:
        CertificateRejected: it is no certificate that could have been accepted.
    """
    letters = base64.b32encode(os.urandom(_CODE_BYTES)).decode().translate(_FROM_RFC4648)
    code = "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))
    text = _TEXT.format(code=code).encode()
    with Sealer([certificate]).begin(len(text)).open(io.BytesIO(text), hashes=False) as reader:
        envelope = reader.read()
    return Challenge(envelope, _hashed(code, os.urandom(_SALT_BYTES).hex()))


def check(answer_hash: str, answer: str) -> None:
    """Compare an answer, whatever its case, blanks and dashes.

    Raises:
        ChallengeFailed: it is not the code.
    """
    kind, _, rest = answer_hash.partition("$")
    salt = rest.partition("$")[0]
    right = hmac.compare_digest(_hashed(answer, salt).encode(), answer_hash.encode()) and kind == "sha256"
    if not right:
        raise ChallengeFailed(
            "This is not the code inside the envelope. Open challenge.enc with the private key and copy the code again."
        )


def _hashed(answer: str, salt: str) -> str:
    code = "".join(character for character in answer.upper() if character.isalnum()).translate(_LOOKALIKES)
    return f"sha256${salt}${hashlib.sha256(f'{salt}:{code}'.encode('utf-8', 'replace')).hexdigest()}"
