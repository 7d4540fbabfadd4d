"""Tenants and their keys, as the API takes and gives them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from keys.certificate import Certificate
from recpipe.model import CertificateState, StoreFormat, Tenant, TenantCertificate
from recpipe.web.schemas import examples
from recpipe.web.schemas.base import RequestModel, ResponseModel, SingleLine


class TenantResponse(ResponseModel):
    """One tenant."""

    id: str
    name: str
    title: str
    timezone: str
    region: str
    group: str = Field(description="of the operator's services; empty: in none")
    encryption: bool = Field(description="new recordings are sealed")
    store_format: StoreFormat
    aliases: list[str] = Field(description="domains and account ids that mean this tenant")
    recording_enabled: bool = Field(description="the call recording add-on; files that arrive are ingested either way")
    disclaimer_agreed_at: datetime | None
    disclaimer_agreed_by: str
    created_at: datetime

    @classmethod
    def of(cls, tenant: Tenant) -> TenantResponse:
        return cls.model_validate(tenant, from_attributes=True)


class TenantRequest(RequestModel):
    """A new tenant."""

    name: SingleLine = Field(min_length=1, examples=["acme"])
    title: SingleLine = ""
    timezone: SingleLine = Field("UTC", examples=["Europe/London"])
    region: SingleLine = Field("", description="ISO 3166 code that national numbers are read in", examples=["GB"])
    group: SingleLine = Field("", max_length=60, description="of the operator's services", examples=["North"])
    store_format: StoreFormat = StoreFormat.SOURCE
    aliases: list[SingleLine] = Field([], max_length=100)


class TenantChange(RequestModel):
    """What is left out stays."""

    title: SingleLine | None = None
    timezone: SingleLine | None = None
    region: SingleLine | None = None
    group: SingleLine | None = Field(None, max_length=60)
    store_format: StoreFormat | None = None
    aliases: list[SingleLine] | None = Field(None, max_length=100)


class Switch(RequestModel):
    """On or off."""

    on: bool


class RecordingSwitch(Switch):
    """Call recording; the disclaimer must be agreed to once."""

    agreed: bool = False


class Pasted(RequestModel):
    """A certificate, public key or PKCS#7 bundle, PEM or DER in base64, with whatever was pasted around it."""

    pasted: str = Field(max_length=200_000, examples=[examples.CERTIFICATE])


class CertificateRequest(Pasted):
    """A new certificate of a tenant."""

    label: SingleLine = Field("", max_length=100)
    vouch: bool = Field(False, description="an administrator answers for the key in place of the proof")


class Answer(RequestModel):
    """The code that was inside challenge.enc."""

    answer: str = Field(min_length=1, max_length=1000)


class WarningResponse(ResponseModel):
    """Something to know about a certificate that is taken all the same."""

    code: str
    message: str


class CheckedResponse(ResponseModel):
    """What a pasted certificate is."""

    fingerprint: str
    subject: str
    issuer: str
    serial: str
    key_bits: int
    not_before: datetime
    not_after: datetime
    synthesised: bool
    warnings: list[WarningResponse]

    @classmethod
    def of(cls, vetted: Certificate) -> CheckedResponse:
        return cls.model_validate(vetted, from_attributes=True)


class CertificateResponse(ResponseModel):
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
    def of(cls, held: TenantCertificate) -> CertificateResponse:
        return cls.model_validate(held, from_attributes=True)


class AddedResponse(ResponseModel):
    """A certificate that was added, and the proof that is still owed."""

    certificate: CertificateResponse
    warnings: list[WarningResponse]
    challenge: str | None = Field(description="base64 of challenge.enc; null when vouched for")
