"""The two switches of a tenant, encryption and call recording: when each may be switched on, and the switching.

Direct switches and pending changes go through here, so that both give the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from recpipe import seal
from recpipe.catalogue.work import Work
from recpipe.errors import Conflict
from recpipe.messages import message
from recpipe.model import Tenant, TenantCertificate


def may_encrypt(certificates: Iterable[TenantCertificate], now: datetime) -> bool:
    """Whether a tenant with these certificates may switch encryption on."""
    return any(certificate.seals_at(now) for certificate in certificates)


def check_encryption(work: Work, tenant: Tenant, on: bool, now: datetime) -> None:
    """Refuse a switch of encryption that cannot be made; what is so already needs no leave.

    Raises:
        Conflict: `no-proven-key`: no certificate is proven (or vouched for) and inside its validity.
    """
    if not on or tenant.encryption:
        return
    certificates = work.of(tenant.id).certificates.list()
    if not may_encrypt(certificates, now):
        why = seal.why_not(certificates, now)
        raise Conflict("no-proven-key", message("Encryption cannot be switched on: {why}.", why=why))


def set_encryption(work: Work, tenant: Tenant, on: bool, now: datetime) -> Tenant:
    """Switch sealing of new recordings.

    Args:
        tenant: read with `to_change` in this transaction, so that no certificate is retired meanwhile.

    Raises:
        Conflict: as `check_encryption`.
    """
    check_encryption(work, tenant, on, now)
    return tenant if tenant.encryption is on else work.tenants.update(replace(tenant, encryption=on))


def check_recording(tenant: Tenant, on: bool) -> None:
    """Refuse a switch of call recording that cannot be made; what is so already needs no leave.

    Raises:
        Conflict: `disclaimer-not-agreed`.
    """
    if on and not tenant.recording_enabled and tenant.disclaimer_agreed_at is None:
        raise Conflict("disclaimer-not-agreed", "Call recording starts once the disclaimer is agreed to.")


def set_recording(work: Work, tenant: Tenant, on: bool, now: datetime) -> Tenant:
    """Switch the call recording add-on of a tenant read with `to_change`; what its PBXs are told changes with it.

    Raises:
        Conflict: as `check_recording`.
    """
    check_recording(tenant, on)
    if tenant.recording_enabled is on:
        return tenant
    work.of(tenant.id).policy.grow(now)
    return work.tenants.update(replace(tenant, recording_enabled=on))


def agree(work: Work, tenant: Tenant, by: str, now: datetime) -> Tenant:
    """Keep who agreed to the disclaimer of call recording, and when; the first agreement counts."""
    if tenant.disclaimer_agreed_at is not None:
        return tenant
    return work.tenants.update(replace(tenant, disclaimer_agreed_at=now, disclaimer_agreed_by=by))
