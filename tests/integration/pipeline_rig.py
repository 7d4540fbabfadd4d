"""A write path on SQLite and a memory store, with one spool and one tenant."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keys import certificate
from recpipe import samples
from recpipe.catalogue import Catalogue
from recpipe.errors import StoreUnavailable
from recpipe.model import (
    CertificateState,
    Quarantined,
    Readable,
    Recording,
    RecordingQuery,
    StoredObject,
    StoreFormat,
    Tenant,
    TenantCertificate,
)
from recpipe.pipeline.ingest import Ingest
from recpipe.settings import Settings, Spool
from recpipe.store.base import Note
from recpipe.store.memory import MemoryStore
from recpipe.times import utc_now
from tests.services.sqlite import new_catalogue

TENANT_ID = "7" * 32


class FaultyStore(MemoryStore):
    """A store that goes away: after taking the bytes, before saying so, as often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.failures_left = 0
        self.is_deaf_to_deletes = False
        self.received: list[tuple[str, bytes]] = []

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        stored = super().put(key, body, size_bytes, note)
        self.received.append((key, self.read(key).read()))
        if self.failures_left > 0:
            self.failures_left -= 1
            raise StoreUnavailable("The store does not answer.")
        return stored

    def delete(self, key: str) -> None:
        if self.is_deaf_to_deletes:
            raise StoreUnavailable("The store does not answer.")
        super().delete(key)

    def keys(self) -> list[str]:
        return [stored.key for stored in self.list()]


@dataclass
class Rig:
    root: Path
    spool: Spool
    settings: Settings
    catalogue: Catalogue
    store: FaultyStore = field(default_factory=FaultyStore)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def make(cls, root: Path, **spool: object) -> Rig:
        made = Spool.model_validate(
            {"path": root / "spool", "tenant": "acme", "layout": "freepbx", "settle_seconds": 0} | spool
        )
        made.path.mkdir(exist_ok=True)
        settings = Settings(data_dir=root / "data", spool=(made,), held_retry_seconds=0.2)
        new_catalogue(settings.data_dir / "recpipe.sqlite3")
        rig = cls(root, made, settings, Catalogue.open(settings.database))
        tenant = Tenant(TENANT_ID, "acme", "Acme", "Europe/Berlin", "DE", False, StoreFormat.SOURCE, rig.now)
        with rig.catalogue.begin() as work:
            work.tenants.add(tenant)
        return rig

    def change_tenant(self, **values: object) -> None:
        with self.catalogue.begin() as work:
            work.tenants.update(replace(work.tenants.get(TENANT_ID), **values))  # type: ignore[arg-type]

    def add_certificate(self, pem: bytes, *, expired: bool = False, suffix: int = 0) -> str:
        vetted = certificate.vet(pem, now=self.now)
        held = TenantCertificate(
            id=f"{vetted.fingerprint[:31]}{suffix}",
            tenant_id=TENANT_ID,
            label="",
            der=vetted.der,
            fingerprint=vetted.fingerprint,
            subject=vetted.subject,
            serial=vetted.serial,
            key_bits=vetted.key_bits,
            not_before=vetted.not_before,
            not_after=self.now - timedelta(days=1) if expired else vetted.not_after,
            synthesised=vetted.synthesised,
            state=CertificateState.PROVEN,
            added_at=self.now,
        )
        with self.catalogue.begin() as work:
            return work.of(TENANT_ID).certificates.add(held).id

    def drop(self, sample: str = "order-inquiry.wav", number: int = 0, name: str | None = None) -> Path:
        source = samples.paths()[sample]
        name = (
            name
            or f"out-0301234{number:04}-201-20260901-0925{number:02}-{1_790_000_000 + number}.{number}{source.suffix}"
        )
        target = self.spool.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return target

    def ingest(self, **options: object) -> Ingest:
        options = {"clock": utc_now} | options
        return Ingest(self.settings, self.catalogue, self.store, **options)  # type: ignore[arg-type]

    def drain(self) -> Ingest:
        ingest = self.ingest()
        assert ingest.drain(patience_seconds=10)
        return ingest

    def crash(self) -> None:
        """Leave the spool as an owner does that was killed: its name is still in the lock file."""
        (self.spool.path / ".recpipe").mkdir(exist_ok=True)
        (self.spool.path / ".recpipe/lock").write_text("process 1 on a machine that lost power\n")

    def recordings(self) -> list[Recording]:
        with self.catalogue.read() as work:
            page = work.of(TENANT_ID).recordings.search(RecordingQuery(), limit=1000)
            return [work.of(TENANT_ID).recordings.get(recording.id) for recording in page.items]

    def waiting(self) -> list[Quarantined]:
        with self.catalogue.read() as work:
            return list(work.quarantine.list().items)

    def files(self) -> list[str]:
        """Recordings in the spool, without recpipe's own folder."""
        found = (p for p in self.spool.path.rglob("*") if p.is_file() and ".recpipe" not in p.parts)
        return sorted(str(p.relative_to(self.spool.path)) for p in found)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
