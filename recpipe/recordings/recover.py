"""Adopting objects that no recording knows: a catalogue that was restored from a backup is older than its store.

What was kept beside each object (`recpipe.recovery_notes`) says what it is. An object is adopted when it is whole: its
size and, where one was written down, its SHA-256 are those of the note. Everything else is named and left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from keys.errors import NoteUnreadable
from recpipe import recovery_notes
from recpipe.access.audit import AuditTrail, event
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import ObjectMissing
from recpipe.model import Recording, StoredObject
from recpipe.recordings.looks import IN_WORK, Finding, Looks, ingest_runs, read_whole, sizes, waveform
from recpipe.store.base import Store
from recpipe.times import Clock

RECOVERED = "recovered"  # flag of a recording
_BATCH = 500


class Fate(StrEnum):
    """What became of an object without a recording."""

    RECOVERED = "recovered"
    IN_WORK = "in-work"  # its row may still come
    DELETED = "deleted"  # its recording was deleted; the nightly look removes it
    SECOND = "second"  # its recording is in the catalogue, with another object
    UNKNOWN_TENANT = "unknown-tenant"
    WITHOUT_NOTE = "without-note"
    NOTE_UNREADABLE = "note-unreadable"
    DAMAGED = "damaged"
    STRANGE = "strange"  # no key of ours


Found = Finding[Fate]  # of one object without a recording


@dataclass(slots=True)
class Report:
    """What was looked at, and what became of it."""

    dry_run: bool
    objects: int = 0
    found: list[Found] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many had each fate."""
        return dict(sorted(Counter(one.kind.value for one in self.found).items()))

    @property
    def left(self) -> list[Found]:
        """What a person has to look at."""
        return [one for one in self.found if one.kind not in (Fate.RECOVERED, Fate.DELETED)]


def recover(
    catalogue: Catalogue,
    store: Store,
    keys: Iterable[bytes],
    by: Principal,
    *,
    dry_run: bool = False,
    clock: Clock,
    trail: AuditTrail,
    on_object: Callable[[], None] = lambda: None,
) -> Report:
    """Give every whole object that no recording knows its row again. May be repeated; removes nothing.

    Args:
        keys: the recovery keys that notes may be under.
        dry_run: change nothing, and say what would be done.
        on_object: called for each object of the store.

    Raises:
        Forbidden: `by` may not operate the system.
        StoreUnavailable, StoreRejected, CatalogueUnavailable: no answer; what was recovered so far is kept.
    """
    trail.require(by, Action.SYSTEM)
    with catalogue.read() as work:
        tenants = {tenant.id: tenant for tenant in work.tenants.list()}
    looks = Looks(catalogue, store, tenants)
    now = clock()
    recovery = Recovery(catalogue, looks, tuple(keys), by, dry_run, now, ingest_runs(catalogue, now))
    report = Report(dry_run)
    batch: list[StoredObject] = []
    for stored in store.list():
        report.objects += 1
        on_object()
        batch.append(stored)
        if len(batch) == _BATCH:
            report.found += recovery.of(batch)
            batch = []
    report.found += recovery.of(batch)
    return report


@dataclass(frozen=True, slots=True)
class Recovery:
    """Takes objects back one by one; `recover` says what each part is."""

    catalogue: Catalogue
    looks: Looks
    keys: tuple[bytes, ...]
    by: Principal
    dry_run: bool
    now: datetime
    ingest_runs: bool

    def of(self, objects: list[StoredObject]) -> list[Found]:
        """What became of those of them that no recording knows."""
        return [self.one(stored) for stored in self.looks.without_row(objects)] if objects else []

    def one(self, stored: StoredObject) -> Found:
        """What became of an object that no recording knows."""
        tenant, recording_id = self.looks.owner(stored.key)
        named = "" if tenant is None else tenant.name

        def found(fate: Fate, message: str) -> Found:
            return Finding(fate, stored.key, message, named, recording_id)

        if not recording_id:
            return found(Fate.STRANGE, f"{stored.key} is no name that recpipe gives. It was left alone.")
        if self.ingest_runs and stored.modified_at is not None and self.now - stored.modified_at < IN_WORK:
            return found(Fate.IN_WORK, f"{stored.key} is so new that its row may still come. Run recover again later.")
        if self.looks.tombstone(stored.key) is not None:
            return found(Fate.DELETED, f"Recording {recording_id} was deleted. The nightly look removes {stored.key}.")
        try:
            note = self.looks.store.head(stored.key).note
            if not note:
                return found(
                    Fate.WITHOUT_NOTE,
                    f"Nothing is kept beside {stored.key}: it is older than that, or was copied without its metadata.",
                )
            noted = recovery_notes.read(self.keys, note, stored.key, stored.key.partition("/")[0], recording_id)
            if tenant is None:
                return found(
                    Fate.UNKNOWN_TENANT,
                    f"{stored.key} is of the tenant {noted.tenant!r}, whose id this catalogue does not know: it was "
                    "made after the backup. Restore a later backup of the catalogue.",
                )
            recording, wrong = self._checked(noted.recording)
        except ObjectMissing:
            return found(Fate.DELETED, f"{stored.key} has gone meanwhile.")
        except NoteUnreadable as error:
            return found(Fate.NOTE_UNREADABLE, f"What is kept beside {stored.key} cannot be read. {error}")
        if wrong:
            return found(Fate.DAMAGED, f"{stored.key} is not what was stored: {wrong}. It was left alone.")
        return self._adopt(recording, found)

    def _checked(self, recording: Recording) -> tuple[Recording, str]:
        """The recording with the checksum of its object, and what is wrong with that."""
        stored_sha256, size_bytes = read_whole(self.looks.store, recording.object_key)
        written_down = recording.stored_sha256 or ("" if recording.sealed else recording.content_sha256)
        wrong = ""
        if size_bytes != recording.stored_bytes:
            wrong = sizes(size_bytes, recording.stored_bytes)
        elif written_down and written_down != stored_sha256:
            wrong = "its SHA-256 is another one"
        flags = (*(flag for flag in recording.flags if flag != RECOVERED), RECOVERED)
        return replace(recording, stored_sha256=stored_sha256, flags=flags), wrong

    def _adopt(self, recording: Recording, found: Callable[[Fate, str], Found]) -> Found:
        told = f"{recording.name} of {recording.day}"
        if self.dry_run:
            with self.catalogue.read() as work:
                there = work.of(recording.tenant_id).recordings.exists(recording.id)
            return self._second(recording, found) if there else found(Fate.RECOVERED, f"{told} can be taken back.")
        recording = replace(recording, peaks=waveform(self.looks.store, recording))
        with self.catalogue.begin() as work:
            [added] = work.add_recordings([recording])
            if added.new:
                work.audit.add(event(self.by, "recover", self.now, tenant_id=recording.tenant_id, subject=recording.id))
        if added.deleted:
            return found(Fate.DELETED, f"Recording {recording.id} was deleted meanwhile.")
        if not added.new:
            return self._second(recording, found)
        return found(Fate.RECOVERED, f"{told} is in the catalogue again.")

    def _second(self, recording: Recording, found: Callable[[Fate, str], Found]) -> Found:
        return found(
            Fate.SECOND,
            f"Recording {recording.id} is in the catalogue with another object; {recording.object_key} is what an "
            "interrupted upload of the same call left.",
        )
