"""Between a recording and `keys`: which certificates seal it, and what happens when none can.

The one rule that matters: a tenant with encryption on never gets a plain object. There is no fallback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from keys.envelope import Sealer, Sealing
from keys.errors import CertificateRejected, MessageTooLarge
from keys.profile import LARGEST_SMIME_CONTENT_BYTES
from recpipe.errors import Held
from recpipe.messages import message
from recpipe.model import CertificateState, Envelope, Readable, Tenant, TenantCertificate


def usable(certificates: Iterable[TenantCertificate], now: datetime) -> tuple[TenantCertificate, ...]:
    """The certificates that new recordings are sealed for at this moment."""
    return tuple(c for c in certificates if c.seals_at(now))


def why_not(certificates: Iterable[TenantCertificate], now: datetime) -> str:
    """Say why `usable` is empty, and what to do, in a sentence for an operator."""
    certificates = tuple(certificates)
    active = [c for c in certificates if c.state.trusted]
    if any(c.not_after < now for c in active):
        latest = max(c.not_after for c in active)
        return message(
            "its certificate expired on {day}. Add a new one: recpipe certificate add", day=f"{latest:%Y-%m-%d}"
        )
    if active:
        first = min(c.not_before for c in active)
        return message(
            "its certificate is not valid before {when} UTC. Wait, or add another one", when=f"{first:%Y-%m-%d %H:%M}"
        )
    if any(c.state is CertificateState.UNPROVEN for c in certificates):
        return message("its certificate is not proven yet. Finish the proof: recpipe certificate verify")
    return message("it has no certificate. Add one: recpipe certificate add")


def require(
    tenant: Tenant, certificates: Iterable[TenantCertificate], size_bytes: int, now: datetime
) -> tuple[TenantCertificate, ...]:
    """Choose the certificates to seal for; cheap, so that a held file is not read again and again.

    Args:
        size_bytes: of what is to be sealed, as far as known.

    Returns:
        The usable certificates; none when the tenant's encryption is off.

    Raises:
        Held: as for `begin`.
    """
    if not tenant.encryption:
        return ()
    certificates = tuple(certificates)
    chosen = usable(certificates, now)
    if not chosen:
        raise Held(
            "no-usable-certificate",
            f"Recordings of {tenant.name} must be sealed, but {why_not(certificates, now)}. "
            "Until then they wait in the spool; none is stored in the clear.",
        )
    if size_bytes > LARGEST_SMIME_CONTENT_BYTES:
        raise Held("too-large-to-seal", str(MessageTooLarge(size_bytes, LARGEST_SMIME_CONTENT_BYTES)))
    return chosen


def begin(tenant: Tenant, certificates: Iterable[TenantCertificate], size_bytes: int, now: datetime) -> Sealing | None:
    """Start sealing one recording for every active certificate of its tenant.

    Args:
        size_bytes: exact length of the tagged recording.

    Returns:
        The sealing, whose content key lives as long as this object; None when the tenant's encryption is off.

    Raises:
        Held: encryption is on and there is no usable certificate, or the recording is too large for the
            documented openssl command. It must wait in the spool.
    """
    chosen = require(tenant, certificates, size_bytes, now)
    if not chosen:
        return None
    try:
        return _sealer(tuple(c.der for c in chosen)).begin(size_bytes)
    except CertificateRejected as rejected:
        raise Held(
            "no-usable-certificate",
            f"Recordings of {tenant.name} must be sealed, but one of its certificates cannot serve: {rejected} "
            "Retire it and add another one: recpipe certificate retire, recpipe certificate add.",
        ) from rejected


@lru_cache(maxsize=256)
def _sealer(certificates: tuple[bytes, ...]) -> Sealer:
    """The header template of a set of certificates is worth keeping: 3 microseconds a file instead of 280."""
    return Sealer(certificates)


def envelope_of(sealing: Sealing) -> Envelope:
    """What the catalogue keeps so that a player can decrypt a range."""
    return Envelope(
        content_offset=sealing.content_offset,
        content_bytes=sealing.content_bytes,
        iv=sealing.iv,
        fingerprints=sealing.fingerprints,
    )


class HashingReader:
    """The plain counterpart of a sealing reader: passes a stream through and hashes it on the way."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0  # that went through so far

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._source.readinto(buffer)
        self.size_bytes += count
        self._sha256.update(buffer[:count])
        return count

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()
