"""Things to put into a catalogue."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.model import (
    AudioFacts,
    CallFacts,
    CertificateState,
    Container,
    Direction,
    Envelope,
    Recording,
    Role,
    StoreFormat,
    Tenant,
    TenantCertificate,
    User,
    UserStatus,
)
from recpipe.numbers import e164

NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, UTC)
DAY = "2026-03-14"
_numbers = itertools.count(1)


def a_tenant(**changes: Any) -> Tenant:
    number = next(_numbers)
    made = Tenant(
        id=new_id(),
        name=f"tenant{number}",
        title=f"Tenant {number}",
        timezone="Europe/Berlin",
        region="DE",
        group="North",
        encryption=False,
        store_format=StoreFormat.SOURCE,
        created_at=NOW,
    )
    return replace(made, **changes)


def kept_tenant(catalogue: Catalogue, **changes: Any) -> Tenant:
    with catalogue.begin() as work:
        return work.tenants.add(a_tenant(**changes))


def a_certificate(tenant_id: str, **changes: Any) -> TenantCertificate:
    number = next(_numbers)
    made = TenantCertificate(
        id=new_id(),
        tenant_id=tenant_id,
        label="office",
        der=bytes([0x30, 0x82, number % 256]),
        fingerprint=hashlib.sha256(str(number).encode()).hexdigest(),
        subject="CN=Büro",
        serial=str(2**150 + number),
        key_bits=2048,
        not_before=NOW,
        not_after=NOW + timedelta(days=1825),
        synthesised=False,
        state=CertificateState.UNPROVEN,
        added_at=NOW + timedelta(seconds=number),
    )
    return replace(made, **changes)


def a_user(**changes: Any) -> User:
    number = next(_numbers)
    made = User(id=new_id(), username=f"user{number}", role=Role.CLIENT, status=UserStatus.ACTIVE, created_at=NOW)
    return replace(made, **changes)


def a_recording(
    tenant: Tenant, *, caller: str = "", callee: str = "", facts: dict[str, Any] | None = None, **changes: Any
) -> Recording:
    """A recording that differs from all others; `minutes` moves its start."""
    number = next(_numbers)
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    started_at = NOW + timedelta(minutes=changes.pop("minutes", 0))
    sealed = Envelope(500, 960, b"\0" * 16, (digest,)) if changes.pop("sealed", False) else None
    made = Recording(
        id=new_id(),
        tenant_id=tenant.id,
        name=f"call-{number:06}.wav",
        day=DAY,
        started_at=started_at,
        timezone="Europe/Berlin",
        duration_ms=30_000,
        facts=CallFacts(
            started_at=started_at,
            timezone="Europe/Berlin",
            direction=Direction.INBOUND,
            caller=caller,
            callee=callee,
            **(facts or {}),
        ),
        audio=AudioFacts(Container.WAV, "pcm_s16le", 8000, 1, 30_000, 240_000, 44, 480_000),
        caller_e164=e164(caller, tenant.region),
        callee_e164=e164(callee, tenant.region),
        source_name=f"spool/call-{number}.wav",
        source_sha256=digest,
        content_bytes=480_044,
        content_sha256=digest,
        object_key=f"{tenant.id}/{number}",
        stored_bytes=480_044,
        stored_sha256=digest,
        envelope=sealed,
        spool="berlin",
        ingested_at=started_at + timedelta(minutes=1),
    )
    return replace(made, **changes)


def keep(catalogue: Catalogue, *recordings: Recording) -> list[Recording]:
    """Add recordings and return them as the catalogue has them."""
    with catalogue.begin() as work:
        return [added.recording for added in work.add_recordings(list(recordings))]
