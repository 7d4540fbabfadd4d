"""Tenants and their certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class StoreFormat(StrEnum):
    SOURCE = "source"
    MP3 = "mp3"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str  # random, 32 hex digits
    name: str  # short name: letters, digits, dot, hyphen, underscore
    title: str
    timezone: str
    region: str  # ISO 3166 code, reads national phone numbers; "" reads only +E.164
    encryption: bool
    store_format: StoreFormat
    created_at: datetime
    group: str = ""  # of an operator's services: a reseller, a region; "": in none
    aliases: tuple[str, ...] = ()  # domains, account ids that mean this tenant
    recording_enabled: bool = False  # the add-on, as agreed to; what arrives is ingested either way
    disclaimer_agreed_at: datetime | None = None
    disclaimer_agreed_by: str = ""


class CertificateState(StrEnum):
    UNPROVEN = "unproven"  # waits for the proof that somebody holds the private key
    PROVEN = "proven"
    VOUCHED = "vouched"
    RETIRED = "retired"

    @property
    def trusted(self) -> bool:
        """Proven or vouched for: somebody holds the private key. Retired ones are not."""
        return self in (CertificateState.PROVEN, CertificateState.VOUCHED)


@dataclass(frozen=True, slots=True)
class TenantCertificate:
    id: str
    tenant_id: str
    label: str
    der: bytes
    fingerprint: str  # SHA-256 of the DER, lower-case hex
    subject: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool  # built around a bare public key
    state: CertificateState
    added_at: datetime
    decided_at: datetime | None = None  # proven, vouched or retired
    decided_by: str = ""
    challenge: str = ""  # what the proof is compared with (a hash, never the answer)

    def seals_at(self, now: datetime) -> bool:
        """Whether recordings are sealed for it at this moment: trusted, and inside its validity, both ends included."""
        return self.state.trusted and self.not_before <= now <= self.not_after
