"""One file through all stages: describe, tenant, probe, transcode, tag, seal, store. The commit follows.

Every step may be repeated. What a failed upload had prepared is kept and sent again byte for byte; what a
crash left in the store is found by its prefix and cleared by the owner of the spool that left it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from keys.envelope import Sealing
from keys.errors import SourceSizeMismatch
from recpipe import numbers, recovery_notes, seal
from recpipe.audio import codecs, fax, probe, tags
from recpipe.audio.splice import SpliceReader
from recpipe.catalogue import Catalogue
from recpipe.errors import (
    CatalogueError,
    Held,
    NotFound,
    ObjectDamaged,
    ObjectMissing,
    SourceChanged,
    StoreError,
    Unfit,
    Waits,
)
from recpipe.model import (
    CallFacts,
    Container,
    FileIdentity,
    Readable,
    Recording,
    RecordingKind,
    Settled,
    Splice,
    StoreFormat,
    Tenant,
    TenantCertificate,
)
from recpipe.pipeline.dating import dated
from recpipe.pipeline.derived import as_mp3, waveform
from recpipe.pipeline.formats import OtherFormats
from recpipe.pipeline.names import display_name
from recpipe.pipeline.recognise import recognise
from recpipe.settings import Spool
from recpipe.spool.describe import Describer
from recpipe.spool.files import Kind, safe_text
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.layouts import kind_in
from recpipe.store import layout
from recpipe.store.base import Store
from recpipe.times import Clock

# The pipeline's view of a tenant is at most this old: what a switch to "sealed" may lag behind.
TENANT_CACHE_SECONDS = 0.5
_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ServedSpool:
    """One spool with what belongs to it."""

    spool: Spool
    folder: SpoolFolder
    describer: Describer
    keep_source: bool = False  # stored files stay: an import reads, and what is the PBX's own is left to it


@dataclass(frozen=True, slots=True)
class Job:
    line: ServedSpool
    settled: Settled
    # An earlier attempt may have got as far as the catalogue: look before uploading.
    look_first: bool = False


@dataclass(slots=True)
class Attempt:
    """Everything decided about one file, so that a retry sends the same bytes under the same key."""

    source: FileIdentity
    tenant: Tenant
    recording_id: str
    object_key: str
    splice: Splice
    sealing: Sealing | None
    draft: Recording  # complete but for what the upload tells
    scratch: Path | None  # transcoded audio, inside the spool


@dataclass(frozen=True, slots=True)
class AlreadyStored:
    """This very file, or the same call in another format, is stored and committed."""

    recording_id: str


class Stages:
    """Takes single files through the stages. Used by several threads at once; holds no state of a file."""

    def __init__(self, catalogue: Catalogue, store: Store, clock: Clock, recovery_key: bytes) -> None:
        self._catalogue = catalogue
        self._recovery_key = recovery_key
        self._store = store
        self._clock = clock
        self.formats = OtherFormats()
        self._tenants: dict[str, tuple[float, Tenant, tuple[TenantCertificate, ...]]] = {}

    # --- stages -------------------------------------------------------------------------------------------

    def prepare(self, job: Job) -> Attempt | AlreadyStored:
        """Everything up to the upload.

        Raises:
            Unfit: quarantine it.
            Held: leave it in the spool and tell somebody.
            NotARecording: leave it in the spool.
            SourceChanged: let it settle again.
            CatalogueUnavailable, StoreError, SpoolRefused, OSError: try again later.
        """
        line, settled = job.line, job.settled
        if kind_in(settled.path.name, line.spool.layout) is Kind.UNKNOWN:
            with open_source(job) as source:
                recognise(source, settled.path.name)
        with _held_for(Waits.DESCRIPTION):
            facts = line.describer.describe(settled)
            tenant_name = line.describer.tenant_of(settled, facts)
        tenant, certificates = self.tenant(tenant_name)
        transcodes = tenant.store_format is StoreFormat.MP3
        with _held_for(Waits.TENANT, tenant_name):
            seal.require(tenant, certificates, 0 if transcodes else settled.size_bytes, self._clock())
        with open_source(job) as source:
            return self._planned(job, source, facts, tenant, certificates)

    def _planned(
        self,
        job: Job,
        source: Path,
        facts: CallFacts,
        tenant: Tenant,
        certificates: tuple[TenantCertificate, ...],
    ) -> Attempt | AlreadyStored:
        line, settled = job.line, job.settled
        # `source` is a descriptor without a name: the name and its ending are those of `settled`.
        source_sha256 = hash_unchanged(source, settled)
        known_as = line.describer.name_of(settled, facts)
        recording_id = derived_id(tenant.id, known_as, source_sha256)
        if (line.folder.crash_may_have_had(settled) or job.look_first or line.spool.keeps) and self._stored_before(
            tenant.id, recording_id, line.folder.spool_id
        ):
            return AlreadyStored(recording_id)

        is_fax = facts.kind is RecordingKind.FAX
        audio = (fax if is_fax else probe).probe(source, settled.path.name)
        is_its_name = known_as == settled.relative  # a number that is given again says nothing of other formats
        if (
            is_its_name
            and line.spool.formats != "all"
            and (other := self.formats.of(line.spool.label, settled, audio.duration_ms))
        ):
            self.confirm(other.id, other.object_key)
            return AlreadyStored(other.id)
        facts, flags = dated(facts, settled, audio, self._clock())
        scratch: Path | None = None
        try:
            path = source
            if tenant.store_format is StoreFormat.MP3 and audio.container is not Container.MP3 and not is_fax:
                if (made := as_mp3(path, audio, aside := line.folder.scratch())) is None:
                    flags += (codecs.NOT_CONVERTED,)
                else:
                    path, audio, scratch = aside, made, aside
            # The rhythm of a sealed call is content: it gets no waveform.
            drawn = b"" if tenant.encryption or is_fax else waveform(path, audio)
            if drawn is None and codecs.NO_WAVEFORM not in audio.flags:
                flags += (codecs.NO_WAVEFORM,)
            caller, callee = numbers.e164(facts.caller, tenant.region), numbers.e164(facts.callee, tenant.region)
            splice = tags.plan(path, audio, tags.Tags.from_call(facts, tenant.title, recording_id))
            now = self._clock()
            sealing = seal.begin(tenant, certificates, splice.size_bytes, now)
            started_at = facts.started_at
            assert started_at is not None  # dated saw to it
            draft = Recording(
                id=recording_id,
                tenant_id=tenant.id,
                name=display_name(known_as, audio.container, sealed=sealing is not None),
                day=started_at.astimezone(ZoneInfo(tenant.timezone)).strftime("%Y-%m-%d"),
                started_at=started_at,
                timezone=facts.timezone,
                duration_ms=audio.duration_ms,
                facts=facts,
                audio=tags.stored(audio, splice),
                caller_e164=caller,
                callee_e164=callee,
                source_name=safe_text(known_as),
                source_sha256=source_sha256,
                content_bytes=splice.size_bytes,
                content_sha256="",
                object_key=layout.new_object_key(tenant.id, recording_id, line.folder.spool_id),
                stored_bytes=sealing.size_bytes if sealing else splice.size_bytes,
                stored_sha256="",
                envelope=seal.envelope_of(sealing) if sealing else None,
                spool=line.spool.label,
                ingested_at=now,
                flags=(*audio.flags, *flags),
                peaks=drawn or b"",
            )
        except BaseException:
            if scratch is not None:
                scratch.unlink(missing_ok=True)
            raise
        return Attempt(settled.identity, tenant, recording_id, draft.object_key, splice, sealing, draft, scratch)

    def upload(self, job: Job, attempt: Attempt, on_read: Callable[[], None] = lambda: None) -> Recording:
        """Send the recording and have the store prove that it has it.

        Args:
            on_read: called whenever the store takes some of it.

        Raises:
            SourceChanged: the file moved meanwhile; discard the attempt.
            StoreError: see `Store.put`; the attempt may be uploaded again.
        """
        size = attempt.draft.stored_bytes

        def note(stored_sha256: str) -> bytes:
            whole = plain.size_bytes == attempt.splice.size_bytes
            content_sha256 = plain.sha256 if whole else _hash(job, attempt)
            known = replace(attempt.draft, content_sha256=content_sha256, stored_sha256=stored_sha256)
            return recovery_notes.note_of(self._recovery_key, known, attempt.tenant.name)

        with ExitStack() as stack:
            source = stack.enter_context(_opened(job, attempt))
            plain = seal.HashingReader(_Heard(source, on_read))
            if attempt.sealing is None:
                stored = self._store.put(attempt.object_key, plain, size, note)
            else:
                # The store hashes what it is given, so the envelope need not be hashed here as well.
                sealed = stack.enter_context(attempt.sealing.open(plain, hashes=False))
                try:
                    stored = self._store.put(attempt.object_key, sealed, size, note)
                except SourceSizeMismatch as error:
                    raise SourceChanged(job.settled.path) from error
        if (
            stored.size_bytes != size
            or not stored.sha256
            or (attempt.sealing is None and stored.sha256 != plain.sha256)
        ):
            raise ObjectDamaged(attempt.object_key, f"{stored.size_bytes} bytes are there of {size} that were sent")
        if not job.line.folder.unchanged(job.settled):
            raise SourceChanged(job.settled.path)
        return replace(attempt.draft, content_sha256=plain.sha256, stored_sha256=stored.sha256)

    def still_right(self, job: Job, attempt: Attempt) -> bool:
        """Whether a kept attempt may be sent again: same file, and the tenant's sealing has not changed."""
        if job.settled.identity != attempt.source or not job.line.folder.unchanged(job.settled):
            return False
        tenant, certificates = self.tenant(attempt.tenant.name)
        if attempt.sealing is None:
            return not tenant.encryption
        wanted = {c.fingerprint for c in seal.usable(certificates, self._clock())}
        return tenant.encryption and wanted == set(attempt.sealing.fingerprints)

    def discard(self, attempt: Attempt) -> None:
        """Give an attempt up: nothing of it stays, neither in the store nor in the spool.

        The object of a row stays: the answer to its commit may have been lost on the way.

        Raises:
            CatalogueUnavailable, StoreError: its object may still be there.
        """
        if attempt.scratch is not None:
            attempt.scratch.unlink(missing_ok=True)
        if self._committed_key(attempt.tenant.id, attempt.recording_id) != attempt.object_key:
            self._store.delete(attempt.object_key)

    def confirm(self, recording_id: str, object_key: str) -> None:
        """Return when the store has the object of a row, without which its source must not be removed.

        Raises:
            Held: `object-missing`.
            StoreError: nothing can be said.
        """
        try:
            self._store.head(object_key)
        except ObjectMissing as error:
            raise Held(
                "object-missing",
                f"Recording {recording_id} is in the catalogue, but its object is gone from the store. The file is "
                "kept: restore the object from a backup or a former version (recpipe verify names it), then retry.",
            ) from error

    # --- what the stages need -----------------------------------------------------------------------------

    def tenant(self, name: str) -> tuple[Tenant, tuple[TenantCertificate, ...]]:
        """The tenant of this name or alias and its certificates, at most TENANT_CACHE_SECONDS old.

        Raises:
            Unfit: `unknown-tenant`.
        """
        cached = self._tenants.get(name)
        if cached is not None and time.monotonic() - cached[0] < TENANT_CACHE_SECONDS:
            return cached[1], cached[2]
        try:
            with self._catalogue.read() as work:
                tenant = work.tenants.named(name)
                certificates = tuple(work.of(tenant.id).certificates.list())
        except NotFound as error:
            self._tenants.pop(name, None)
            raise Unfit(
                "unknown-tenant",
                f"No tenant has the name or alias {name!r}. Create it (recpipe tenant create {name!r}) or add the "
                "alias, then run recpipe quarantine retry.",
            ) from error
        self._tenants[name] = (time.monotonic(), tenant, certificates)
        return tenant, certificates

    def _stored_before(self, tenant_id: str, recording_id: str, spool_id: str) -> bool:
        """Whether the row is there; also clears away what a crashed attempt of this spool left in the store."""
        kept = self._committed_key(tenant_id, recording_id)
        for leftover in list(self._store.list(layout.attempt_prefix(tenant_id, recording_id, spool_id))):
            if leftover.key != kept:
                self._store.delete(leftover.key)
        if kept:
            self.confirm(recording_id, kept)
        return bool(kept)

    def _committed_key(self, tenant_id: str, recording_id: str) -> str:
        """The object of a recording's row; "" where there is no row."""
        with self._catalogue.read() as work:
            try:
                return work.of(tenant_id).recordings.get(recording_id).object_key
            except NotFound:
                return ""


@contextmanager
def _held_for(waits: Waits, tenant: str = "") -> Iterator[None]:
    """Say what a file that is held in this block waits for."""
    try:
        yield
    except Held as held:
        held.waits, held.tenant = waits, tenant
        raise


class _Heard:
    """Tells of each read."""

    def __init__(self, body: Readable, on_read: Callable[[], None]) -> None:
        self._body = body
        self._on_read = on_read

    def readinto(self, buffer: memoryview, /) -> int:
        self._on_read()
        return self._body.readinto(buffer)


def in_log(error: Exception) -> str:
    """What an error may say in the log: not the name of a file, which may hold a telephone number."""
    if isinstance(error, (StoreError, CatalogueError)):
        return str(error)
    cause = error if isinstance(error, OSError) else error.__cause__
    return (isinstance(cause, OSError) and cause.strerror) or type(error).__name__


@contextmanager
def open_source(job: Job) -> Iterator[Path]:
    """The file that settled, open; see `SpoolFolder.opened`.

    Raises:
        SourceChanged: it is another one by now, or gone.
        Held: `unreadable`.
    """
    with ExitStack() as stack:
        try:
            source = stack.enter_context(job.line.folder.opened(job.settled))
        except PermissionError as error:
            raise Held(
                "unreadable",
                f"{safe_text(job.settled.relative)} may not be read. Let the user that runs recpipe read and remove "
                "the files of this spool; it is tried again by itself.",
                Waits.FILE,
            ) from error
        yield source


def hash_unchanged(source: Path, settled: Settled) -> str:
    """SHA-256, in hex, of the file that settled.

    Raises:
        SourceChanged: it was written to meanwhile.
    """
    digest = hashlib.sha256()
    buffer = bytearray(min(_HASH_BLOCK_BYTES, max(settled.size_bytes, 1)))
    view = memoryview(buffer)
    with source.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(view[:count])
        if FileIdentity.of(os.fstat(stream.fileno())) != settled.identity:
            raise SourceChanged(settled.path)
    return digest.hexdigest()


@contextmanager
def _opened(job: Job, attempt: Attempt) -> Iterator[SpliceReader]:
    """What is sent of an attempt, from its start."""
    if attempt.scratch is not None:
        with SpliceReader(attempt.splice) as reader:
            yield reader
        return
    with open_source(job) as path, SpliceReader(replace(attempt.splice, path=path), job.settled) as reader:
        yield reader


def _hash(job: Job, attempt: Attempt) -> str:
    """SHA-256, in hex, of what is about to be sent."""
    buffer = memoryview(bytearray(_HASH_BLOCK_BYTES))
    with _opened(job, attempt) as source:
        reader = seal.HashingReader(source)
        while reader.readinto(buffer):
            pass
    return reader.sha256


def derived_id(tenant_id: str, source_name: str, source_sha256: str) -> str:
    """Derived, so that every retry and every crash ends at the same recording."""
    parts = (tenant_id.encode(), os.fsencode(source_name), source_sha256.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
