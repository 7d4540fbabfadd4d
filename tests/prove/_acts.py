"""What a process of a proof does in place of a command, where there is no command for it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from recpipe import settings, wiring
from recpipe.access.principal import operator
from recpipe.errors import AlreadyExists
from recpipe.model import CertificateState
from recpipe.tenants.changes import Kind


def save(tenant: str) -> None:
    """Make two changes pending: recording on, encryption off."""
    with wiring.open_parts(settings.load(Path("recpipe.toml"))) as parts:
        changes, tenant_id = parts.changes, _id(parts, tenant)
        changes.agree(operator(), tenant_id)
        changes.save(operator(), tenant_id, Kind.RECORDING, {"recording": True})
        changes.save(operator(), tenant_id, Kind.ENCRYPTION, {"encryption": False})


def apply(tenant: str) -> None:
    """View PBX Changes, Apply: all that is pending."""
    with wiring.open_parts(settings.load(Path("recpipe.toml"))) as parts:
        changes, tenant_id = parts.changes, _id(parts, tenant)
        changes.apply(operator(), tenant_id, [one.id for one in changes.pending(operator(), tenant_id)])


def rotate(tenant: str, pem: str) -> None:
    """Vouch for a new certificate, then retire every other."""
    with wiring.open_parts(settings.load(Path("recpipe.toml"))) as parts:
        tenant_id, new = _id(parts, tenant), Path(pem).read_bytes()
        with suppress(AlreadyExists):  # done before the kill
            parts.keyring.add(operator(), tenant_id, new, vouch=True, label="new")
        for one in parts.keyring.list(operator(), tenant_id):
            if one.label != "new" and one.state is not CertificateState.RETIRED:
                parts.keyring.retire(operator(), tenant_id, one.id)


def _id(parts: wiring.Parts, name: str) -> str:
    with parts.catalogue.read() as work:
        return work.tenants.named(name).id
