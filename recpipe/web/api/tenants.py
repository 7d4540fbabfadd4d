"""Tenants and their certificates."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from keys.certificate import vet
from recpipe.web.api.openapi import declared
from recpipe.web.deps import API, AUTHENTICATED, Caller, Context, KnownFirst
from recpipe.web.schemas import (
    AddedResponse,
    Answer,
    CertificateRequest,
    CertificateResponse,
    CheckedResponse,
    Listed,
    Pasted,
    RecordingSwitch,
    Switch,
    TenantChange,
    TenantRequest,
    TenantResponse,
    WarningResponse,
)

router = APIRouter(prefix=API, dependencies=AUTHENTICATED, route_class=KnownFirst)

TenantWord = Annotated[str, Path(min_length=1, max_length=100, description="name or id", examples=["acme"])]
CertificateId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/tenants", operation_id="list_tenants", tags=["tenants"], responses=declared())
def every(
    context: Context,
    principal: Caller,
    group: Annotated[str | None, Query(max_length=60, description="only those of this group; empty: of none")] = None,
) -> Listed[TenantResponse]:
    """The tenants you may see, by name."""
    found = context.parts.reader.tenants(principal)
    return Listed(items=[TenantResponse.of(one) for one in found if group is None or one.group == group])


@router.post("/tenants", operation_id="create_tenant", tags=["tenants"], status_code=201, responses=declared(409))
def create(context: Context, principal: Caller, wanted: TenantRequest) -> TenantResponse:
    """Make a tenant. Encryption is off until a key is proven."""
    made = context.parts.tenants.create(
        principal,
        wanted.name,
        title=wanted.title,
        timezone=wanted.timezone,
        region=wanted.region,
        group=wanted.group,
        store_format=wanted.store_format,
        aliases=wanted.aliases,
    )
    return TenantResponse.of(made)


@router.get("/tenants/{tenant}", operation_id="get_tenant", tags=["tenants"], responses=declared(404))
def get(context: Context, principal: Caller, tenant: TenantWord) -> TenantResponse:
    """One tenant."""
    return TenantResponse.of(context.parts.reader.tenant_named(principal, tenant))


@router.patch("/tenants/{tenant}", operation_id="change_tenant", tags=["tenants"], responses=declared(404, 409))
def change(context: Context, principal: Caller, tenant: TenantWord, wanted: TenantChange) -> TenantResponse:
    """Change a tenant. Recordings already stored stay as they are."""
    held = context.parts.reader.tenant_named(principal, tenant)
    changed = context.parts.tenants.change(
        principal,
        held.id,
        title=wanted.title,
        timezone=wanted.timezone,
        region=wanted.region,
        group=wanted.group,
        store_format=wanted.store_format,
        aliases=wanted.aliases,
    )
    return TenantResponse.of(changed)


@router.put("/tenants/{tenant}/recording", operation_id="set_recording", tags=["tenants"], responses=declared(404, 409))
def set_recording(context: Context, principal: Caller, tenant: TenantWord, wanted: RecordingSwitch) -> TenantResponse:
    """Switch call recording on or off."""
    held = context.parts.reader.tenant_named(principal, tenant)
    return TenantResponse.of(context.parts.tenants.set_recording(principal, held.id, wanted.on, agreed=wanted.agreed))


@router.put("/tenants/{tenant}/encryption", operation_id="set_encryption", tags=["keys"], responses=declared(404, 409))
def set_encryption(context: Context, principal: Caller, tenant: TenantWord, wanted: Switch) -> TenantResponse:
    """Seal new recordings, or stop sealing them. On needs a certificate that is proven and in date."""
    held = context.parts.reader.tenant_named(principal, tenant)
    return TenantResponse.of(context.parts.keyring.set_encryption(principal, held.id, wanted.on))


@router.post("/certificates/check", operation_id="check_certificate", tags=["keys"], responses=declared())
def check(context: Context, _principal: Caller, wanted: Pasted) -> CheckedResponse:
    """What a certificate is, or precisely why it cannot serve. Nothing is kept."""
    return CheckedResponse.of(vet(wanted.pasted, now=context.parts.clock()))


@router.get("/tenants/{tenant}/certificates", operation_id="list_certificates", tags=["keys"], responses=declared(404))
def certificates(context: Context, principal: Caller, tenant: TenantWord) -> Listed[CertificateResponse]:
    """All certificates of a tenant, retired ones too, oldest first."""
    held = context.parts.reader.tenant_named(principal, tenant)
    return Listed(items=[CertificateResponse.of(one) for one in context.parts.keyring.list(principal, held.id)])


@router.post(
    "/tenants/{tenant}/certificates",
    operation_id="add_certificate",
    tags=["keys"],
    status_code=201,
    responses=declared(404, 409),
)
def add(context: Context, principal: Caller, tenant: TenantWord, wanted: CertificateRequest) -> AddedResponse:
    """Add a certificate. It seals nothing before it is proven: decrypt `challenge` and send the code as the proof."""
    held = context.parts.reader.tenant_named(principal, tenant)
    added = context.parts.keyring.add(principal, held.id, wanted.pasted, vouch=wanted.vouch, label=wanted.label)
    return AddedResponse(
        certificate=CertificateResponse.of(added.certificate),
        warnings=[WarningResponse(code=one.code, message=one.message) for one in added.vetted.warnings],
        challenge=None if added.challenge is None else base64.b64encode(added.challenge).decode(),
    )


@router.post(
    "/tenants/{tenant}/certificates/{certificate_id}/challenge",
    operation_id="make_challenge",
    tags=["keys"],
    response_class=Response,
    responses={
        200: {
            "description": "challenge.enc, to be decrypted as a recording is.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **declared(404, 409),
    },
)
def challenge(context: Context, principal: Caller, tenant: TenantWord, certificate_id: CertificateId) -> Response:
    """A fresh challenge.enc; the code of an earlier one is worth nothing from now on."""
    held = context.parts.reader.tenant_named(principal, tenant)
    return Response(
        context.parts.keyring.challenge(principal, held.id, certificate_id),
        media_type="application/octet-stream",
        headers={"content-disposition": 'attachment; filename="challenge.enc"'},
    )


@router.post(
    "/tenants/{tenant}/certificates/{certificate_id}/proof",
    operation_id="prove_certificate",
    tags=["keys"],
    responses=declared(404, 409),
)
def prove(
    context: Context, principal: Caller, tenant: TenantWord, certificate_id: CertificateId, wanted: Answer
) -> CertificateResponse:
    """Prove that somebody holds the private key: send the code that was inside challenge.enc."""
    held = context.parts.reader.tenant_named(principal, tenant)
    return CertificateResponse.of(context.parts.keyring.verify(principal, held.id, certificate_id, wanted.answer))


@router.post(
    "/tenants/{tenant}/certificates/{certificate_id}/retire",
    operation_id="retire_certificate",
    tags=["keys"],
    responses=declared(404, 409),
)
def retire(
    context: Context, principal: Caller, tenant: TenantWord, certificate_id: CertificateId
) -> CertificateResponse:
    """Seal for it no more. What was sealed for it stays readable with its key."""
    held = context.parts.reader.tenant_named(principal, tenant)
    return CertificateResponse.of(context.parts.keyring.retire(principal, held.id, certificate_id))
