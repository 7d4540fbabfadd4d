"""Certificates and CMS envelopes: knows bytes, nothing of recordings, tenants or S3.

For most uses, call these. `vet` takes whatever a person pasted and returns the one `Certificate` in it, or raises
`CertificateRejected` with advice. `make_challenge` seals a code for that certificate and `check_challenge` looks at the
answer: only who has the private key can read it. `seal_file` seals a file for several certificates; to seal a stream,
keep a `Sealer` for them, `begin` each file with its exact size, and read the envelope out of `open`. On the other side
`load_private_key`, `open_file` or `open_envelope`, and `inspect`, which reads a header without a key. Each error is a
`KeysError`.

    certificate = keys.vet(pasted, now=datetime.now(UTC))
    sealing = keys.Sealer([certificate.der]).begin(size_bytes)
    with sealing.open(source) as envelope:
        shutil.copyfileobj(envelope, out)

The caller keeps its part: certificates are vetted before they are sealed for, `begin` is called for each file (another
envelope has another content key), and what was written before an error is thrown away.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keys.certificate import Certificate, vet
    from keys.challenge import check as check_challenge
    from keys.challenge import make as make_challenge
    from keys.envelope import Sealer, seal_file
    from keys.errors import CertificateRejected, KeysError
    from keys.opening import inspect, open_envelope, open_file
    from keys.privatekey import load_private_key

__all__ = [
    "Certificate",
    "CertificateRejected",
    "KeysError",
    "Sealer",
    "check_challenge",
    "inspect",
    "load_private_key",
    "make_challenge",
    "open_envelope",
    "open_file",
    "seal_file",
    "vet",
]

_HOMES = {
    "Certificate": ("certificate", "Certificate"),
    "CertificateRejected": ("errors", "CertificateRejected"),
    "KeysError": ("errors", "KeysError"),
    "Sealer": ("envelope", "Sealer"),
    "check_challenge": ("challenge", "check"),
    "inspect": ("opening", "inspect"),
    "load_private_key": ("privatekey", "load_private_key"),
    "make_challenge": ("challenge", "make"),
    "open_envelope": ("opening", "open_envelope"),
    "open_file": ("opening", "open_file"),
    "seal_file": ("envelope", "seal_file"),
    "vet": ("certificate", "vet"),
}


def __getattr__(name: str) -> object:
    """Import the module of a public name when it is first asked for: `keys.errors` alone loads no cryptography."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found: object = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = found
    return found
