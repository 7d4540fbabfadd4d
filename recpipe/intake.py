"""The write door, as `Reader` is the read door: who may upload into which spool, and how a file gets there.

A file appears in the spool whole and durable or not at all, the sidecar with the facts of its call before it.
"""

from __future__ import annotations

import os
import posixpath
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from recpipe import log
from recpipe.access.audit import AuditTrail, event
from recpipe.access.principal import Action, Kind, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import NotFound, RecpipeError, SpoolRefused, TooManySidecars
from recpipe.model import Tenant
from recpipe.settings import Spool
from recpipe.spool import files, layouts
from recpipe.spool.files import kind_of
from recpipe.spool.folder import DEEPEST_FOLDERS, SpoolFolder
from recpipe.spool.upload import Upload
from recpipe.times import Clock

__all__ = [
    "DEEPEST_FOLDERS",
    "FROM_FACTS",
    "FROM_PATH",
    "Destination",
    "IncomingFile",
    "Intake",
]

_log = log.get(__name__)

# NAME.wav.gz is a finished file that nobody will rename, and that cannot be read.
_PACKED = frozenset(
    {".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".enc", ".gpg", ".pgp", ".asc", ".p7m", ".age"}
)
MOST_ALONE, MOST_ALONE_BYTES = 10_000, 100_000_000  # sidecars of one sender that may lie in a spool without a recording
_COUNT_AGAIN_SECONDS = 60.0  # of one that has as many
FROM_PATH, FROM_FACTS = "from-path", "from-facts"  # what a spool of several tenants has as its tenant


@dataclass(slots=True)
class _Alone:
    """At most so many sidecars of a sender lie in a spool without a recording: those counted, and all sent since."""

    files: int = MOST_ALONE  # at first: to be counted
    size_bytes: int = 0
    full_until: float = 0.0  # monotonic seconds
    lock: threading.Lock = field(default_factory=threading.Lock)

    def has_room(self, size_bytes: int) -> bool:
        return self.files < MOST_ALONE and self.size_bytes + size_bytes <= MOST_ALONE_BYTES


class Intake:
    """Uploads into the spools of this machine. Thread-safe.

    Args:
        spools: those of the settings, filled in.
        reserve_bytes: of each spool's disk, left free for others.
    """

    def __init__(
        self, spools: Iterable[Spool], catalogue: Catalogue, trail: AuditTrail, clock: Clock, reserve_bytes: int
    ) -> None:
        self._spools = {spool.label: spool for spool in spools}
        self._catalogue = catalogue
        self._trail = trail
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._alone: dict[tuple[str, str], _Alone] = {}

    def destination(self, by: Principal, label: str) -> Destination:
        """Find the place where the files of a sender go.

        The FTP account of a tenant sends into the tenant's own spool, or into its own folder of a spool that tells
        tenants by folder; whoever else sends into a spool of several tenants says whose a file is by its path or facts.

        Raises:
            NotFound: there is no such spool, or `by` may not upload into it: not told apart, and on the audit log.
        """
        missing = NotFound("spool", label)
        spool = self._spools.get(label)
        tenant = None
        try:
            if spool is None:
                raise missing
            own = self._own_tenant(by)
            tenant = own if spool.tenant == FROM_PATH else self._tenant_of(spool, by)
            if not by.may_upload(label, tenant.id if tenant else None):
                raise missing
        except NotFound:
            self._trail.denied(by, Action.UPLOAD, missing, tenant_id=tenant.id if tenant else None, subject=label)
            raise missing from None
        prefix = f"{own.name}/" if own is not None and spool.tenant == FROM_PATH else ""
        return Destination(self, by, spool, tenant.id if tenant else None, prefix)

    def _own_tenant(self, by: Principal) -> Tenant | None:
        """The tenant whose media server an FTP account is; None for one that serves a whole spool, and for others."""
        if by.kind is not Kind.FTP or not by.grants:
            return None
        with self._catalogue.read() as work:
            return work.tenants.get(next(iter(by.grants)))

    def _tenant_of(self, spool: Spool, by: Principal) -> Tenant | None:
        """The one tenant of a spool; None where it has several.

        Raises:
            NotFound: it is not made yet. The media server of a whole spool need not wait for that.
        """
        if spool.tenant in (FROM_PATH, FROM_FACTS):
            return None
        try:
            with self._catalogue.read() as work:
                return work.tenants.named(spool.tenant)
        except NotFound:
            if by.kind is Kind.FTP and not by.grants:
                return None
            raise

    def _count_sidecar(self, place: Destination, size_bytes: int) -> None:
        """Count one that is about to be put into the spool.

        Raises:
            TooManySidecars: its sender has as many there without a recording as it may.
        """
        with self._lock:
            known = self._alone.setdefault((place.spool.label, place.by.name), _Alone())
        with known.lock:
            now = time.monotonic()
            if not known.has_room(size_bytes) and now >= known.full_until:
                there = place._folder.sent.without_recording(place.by.name)
                known.files, known.size_bytes = len(there), sum(one.size_bytes for one in there)
                known.full_until = 0.0 if known.has_room(size_bytes) else now + _COUNT_AGAIN_SECONDS
            if known.has_room(size_bytes):
                known.files, known.size_bytes = known.files + 1, known.size_bytes + size_bytes
                return
        raise TooManySidecars(
            "Too many descriptions of this sender lie here without a recording: send their recordings first."
        )

    def _note(self, place: Destination, size_bytes: int) -> None:
        self._trail.record(
            event(
                place.by,
                "upload",
                self._clock(),
                tenant_id=place.tenant_id,
                spool=place.spool.label,
                bytes=size_bytes,
            )
        )


class Destination:
    """The place where the files of one sender go. Made by `Intake.destination`; may be kept for a session.

    Attributes:
        tenant_id: the tenant that all its files belong to; None where the spool has several.
    """

    def __init__(self, intake: Intake, by: Principal, spool: Spool, tenant_id: str | None, prefix: str) -> None:
        self._intake = intake
        self._prefix = prefix
        self._folder = SpoolFolder(spool)
        self.by = by
        self.spool = spool
        self.tenant_id = tenant_id

    def is_final_name(self, name: str) -> bool:
        """Whether this file name (no folders) is a recording's or a sidecar's, so that `begin` takes it."""
        return layouts.is_taken_in(name, self.spool.layout)

    def is_working_name(self, name: str) -> bool:
        """Whether clients name so what they will rename: `.in.NAME`, `NAME.wav.1a2b.partial`, `NAME.wav_`."""
        if kind_of(name) in (files.Kind.TEMPORARY, files.Kind.HIDDEN) or self.is_final_name(name.rstrip("_-$!#")):
            return True
        stem, suffix = posixpath.splitext(name)
        return layouts.kind_in(stem, self.spool.layout) is files.Kind.RECORDING and suffix.lower() not in _PACKED

    def no_recording(self, name: str) -> SpoolRefused:
        """What whoever sends a file of another name is told."""
        return layouts.no_recording(name, self.spool.layout)

    def require_room(self, size_bytes: int) -> None:
        """Go on only where the disk has room for a file of this size, and the reserve besides.

        Raises:
            SpoolFull: it has not.
        """
        self._folder.require_room(self._intake._reserve_bytes, size_bytes)

    def begin(self, name: str, facts: bytes = b"") -> IncomingFile:
        """Begin a file.

        Args:
            name: path that it shall get, below the sender's root.
            facts: the sidecar to lay beside it (`sidecar.write`); empty: none.

        Raises:
            SpoolRefused: the name cannot be taken.
            SpoolFull: the disk has no more than the reserve.
        """
        below = self._vetted(name)
        upload = self._folder.accept_upload(below, self._intake._reserve_bytes, self._sender_of(below))
        return IncomingFile(self, self._intake, self._folder, upload, below, facts)

    def hold(self) -> IncomingFile:
        """Begin a file whose name is told later, to `IncomingFile.name`.

        Raises:
            SpoolFull: as `begin`.
        """
        upload = self._folder.hold_upload(self._intake._reserve_bytes)
        return IncomingFile(self, self._intake, self._folder, upload, "", b"")

    def _sender_of(self, below: str) -> str:
        """Who is to be counted for a sidecar; "" for a recording, and for a call detail record that the spool reads."""
        if kind_of(below.rpartition("/")[2]) is not files.Kind.SIDECAR:
            return ""
        path = os.path.realpath(self.spool.path / below)
        tables = [os.path.realpath(one) for one in (self.spool.cdr_csv, self.spool.cdr_dir) if one is not None]
        is_table = any(path == table or path.startswith(f"{table}/") for table in tables)
        return "" if is_table else self.by.name

    def _vetted(self, name: str) -> str:
        """The path below the spool.

        Raises:
            SpoolRefused: it is a sidecar's, and not sent by the media server itself: it might be laid beside another's
                recording.
        """
        if self.by.kind is not Kind.FTP and kind_of(name.rpartition("/")[2]) is files.Kind.SIDECAR:
            raise SpoolRefused(
                "Send the recording alone: what is known of its call belongs into the query string or form."
            )
        return self._prefix + name


class IncomingFile:
    """A file on its way in: `write` as often as needed, then `commit` or `abort`. Made by a `Destination`."""

    def __init__(
        self, place: Destination, intake: Intake, folder: SpoolFolder, upload: Upload, below: str, facts: bytes
    ) -> None:
        self._place = place
        self._intake = intake
        self._folder = folder
        self._upload = upload
        self._below = below
        self._facts = facts
        self.size_bytes = 0

    def name(self, name: str) -> None:
        """Say where `commit` shall put it, below the sender's root.

        Raises:
            SpoolRefused: the name cannot be taken, or another file has it.
        """
        self._below = self._place._vetted(name)
        self._folder.name_upload(self._upload, self._below, self._place._sender_of(self._below))
        self._upload.check()

    def write(self, data: bytes) -> int:
        """Append bytes; returns how many.

        Raises:
            SpoolFull: the disk has come down to the reserve.
            OSError: the disk does not take them.
        """
        self.size_bytes += len(data)
        return self._upload.write(data)

    def keep(self) -> None:
        """Make it durable where it lies, to be named later.

        Raises:
            OSError: the disk does not take it.
        """
        self._upload.keep()

    def commit(self, modified_at: datetime | None = None) -> None:
        """Make it durable and put it into the spool, its sidecar first, and keep that on the audit log.

        The same file sent again counts as success. An empty one is thrown away, which is on the audit log too.

        Args:
            modified_at: the time that the file shall show; None: now.

        Raises:
            SpoolRefused: another file has the name, or the file system said no; nothing of it was kept.
            TooManySidecars: it is one, and its sender has as many without a recording as it may; nothing was kept.
            CatalogueUnavailable: it is in the spool, but not on the audit log.
        """
        if not self.size_bytes:
            self.abort()
        elif self._facts:
            # First: the recording must not be found without what is known of it, nor another get what is known of this.
            self._upload.check()
            reserve_bytes = self._intake._reserve_bytes
            with self._folder.accept_upload(f"{self._below}.json", reserve_bytes, self._place.by.name) as beside:
                beside.write(self._facts)
                beside.commit()
                try:
                    self._upload.commit(modified_at)
                except BaseException:
                    self._take_back(beside)
                    raise
        else:
            if self._place._sender_of(self._below):
                try:
                    self._intake._count_sidecar(self._place, self.size_bytes)
                except SpoolRefused:
                    self.abort()
                    raise
            self._upload.commit(modified_at)
        self._intake._note(self._place, self.size_bytes)

    def _take_back(self, beside: Upload) -> None:
        try:
            beside.take_back()
        except RecpipeError as error:
            _log.warning(
                "sidecar left without its recording",
                spool=self._place.spool.label,
                why=str(error),
                effect="the recording of this name that comes next gets its facts",
            )

    def abort(self) -> None:
        """Throw away what was not committed."""
        self._upload.abort()
