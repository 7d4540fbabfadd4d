"""A tenant's certificates and its recordings: what seals, and what makes a recording wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recpipe import seal
from recpipe.errors import Held
from recpipe.model import CertificateState, StoreFormat, Tenant, TenantCertificate
from tests.services.certificates import KeyPair, openssl
from tests.unit.keys.test_strict import UNREADABLE, certificate

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_kept_certificate_that_cannot_serve_holds_recordings_and_says_so(key_pair: KeyPair) -> None:
    public_key = openssl("pkey", "-in", key_pair.key_path, "-pubout", "-outform", "DER")
    acme = Tenant("t", "acme", "Acme", "UTC", "", encryption=True, store_format=StoreFormat.SOURCE, created_at=NOW)
    kept = TenantCertificate(
        id="c",
        tenant_id=acme.id,
        label="",
        der=certificate(public_key, UNREADABLE["Latin-1 in a UTF8String"]),
        fingerprint="00",
        subject="CN=acme",
        serial="01",
        key_bits=2048,
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
        synthesised=False,
        state=CertificateState.VOUCHED,
        added_at=NOW,
    )
    with pytest.raises(Held, match=r"issuer of this certificate is malformed.*certificate retire") as caught:
        seal.begin(acme, [kept], 100, NOW)
    assert caught.value.reason == "no-usable-certificate"
