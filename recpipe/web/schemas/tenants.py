"""Tenants and their keys, as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from keys.certificate import Certificate
from recpipe.model import CertificateState, StoreFormat, Tenant, TenantCertificate
from recpipe.web.schemas import examples
from recpipe.web.schemas.base import Given, Line, Taken


class TenantGiven(Given):
    """One tenant."""

    id: str
    name: str
    title: str
    timezone: str
    region: str
    encryption: bool = Field(description="new recordings are sealed")
    store_format: StoreFormat
    aliases: list[str] = Field(description="domains and account ids that mean this tenant")
    recording_enabled: bool = Field(description="the call recording add-on; files that arrive are ingested either way")
    disclaimer_agreed_at: datetime | None
    disclaimer_agreed_by: str
    created_at: datetime

    @classmethod
    def of(cls, tenant: Tenant) -> TenantGiven:
        return cls.model_validate(tenant, from_attributes=True)


class TenantWanted(Taken):
    """A new tenant."""

    name: Line = Field(min_length=1, examples=["acme"])
    title: Line = ""
    timezone: Line = Field("UTC", examples=["Europe/London"])
    region: Line = Field("", description="ISO 3166 code that national numbers are read in", examples=["GB"])
    store_format: StoreFormat = StoreFormat.SOURCE
    aliases: list[Line] = Field([], max_length=100)


class TenantChange(Taken):
    """What is left out stays."""

    title: Line | None = None
    timezone: Line | None = None
    region: Line | None = None
    store_format: StoreFormat | None = None
    aliases: list[Line] | None = Field(None, max_length=100)


class Switch(Taken):
    """On or off."""

    on: bool


class RecordingSwitch(Switch):
    """Call recording; the disclaimer must be agreed to once."""

    agreed: bool = False


class Pasted(Taken):
    """A certificate, public key or PKCS#7 bundle, PEM or DER in base64, with whatever was pasted around it."""

    pasted: str = Field(max_length=200_000, examples=[examples.CERTIFICATE])


class CertificateWanted(Pasted):
    """A new certificate of a tenant."""

    label: Line = Field("", max_length=100)
    vouch: bool = Field(False, description="an administrator answers for the key in place of the proof")


class Answer(Taken):
    """The code that was inside challenge.enc."""

    answer: str = Field(min_length=1, max_length=1000)


class WarningGiven(Given):
    """Something to know about a certificate that is taken all the same."""

    code: str
    message: str


class CheckedGiven(Given):
    """What a pasted certificate is."""

    fingerprint: str
    subject: str
    issuer: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool
    warnings: list[WarningGiven]

    @classmethod
    def of(cls, vetted: Certificate) -> CheckedGiven:
        return cls.model_validate(vetted, from_attributes=True)


class CertificateGiven(Given):
    """One certificate of a tenant."""

    id: str
    label: str
    state: CertificateState
    fingerprint: str = Field(description="SHA-256 of the DER form, lower-case hex")
    subject: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool = Field(description="made around a bare public key")
    added_at: datetime
    decided_at: datetime | None
    decided_by: str

    @classmethod
    def of(cls, held: TenantCertificate) -> CertificateGiven:
        return cls.model_validate(held, from_attributes=True)


class AddedGiven(Given):
    """A certificate that was added, and the proof that is still owed."""

    certificate: CertificateGiven
    warnings: list[WarningGiven]
    challenge: str | None = Field(description="base64 of challenge.enc; null when vouched for")
