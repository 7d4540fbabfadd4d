"""The list of files that wait for a person, kept in step with what lies in the spools."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from recpipe import log
from recpipe.catalogue import Catalogue, Work
from recpipe.errors import CatalogueError, RecpipeError
from recpipe.model import CallFacts, Quarantined
from recpipe.pipeline.stages import Job, ServedSpool, Stages
from recpipe.spool.files import from_safe_text, safe_text
from recpipe.times import Clock

_log = log.get(__name__)

RENEW_AFTER = timedelta(hours=1)  # a held file's row says that it still waits


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the list says of a held file, and since when."""

    reason: str
    message: str
    at: datetime

    def says(self, reason: str, message: str, now: datetime) -> bool:
        """Whether the list need not be written to for this."""
        return (self.reason, self.message) == (reason, message) and now - self.at < RENEW_AFTER


class QuarantineList:
    """What `recpipe quarantine list` shows of the spools of this process."""

    def __init__(self, catalogue: Catalogue, order: Stages, clock: Clock) -> None:
        self._catalogue = catalogue
        self._order = order
        self._clock = clock
        self._lock = threading.Lock()
        # What is listed of held files, by spool and relative: so that neither a success nor the same again asks the
        # database.
        self._held: dict[tuple[str, str], _Listed] = {}

    def reconcile(self, line: ServedSpool) -> None:
        """At the start of a spool: forget held files that are gone, list quarantined ones that a crash left unlisted.

        Raises:
            CatalogueUnavailable: the database does not answer.
        """
        label = line.spool.label
        with self._catalogue.read() as work:
            entries = [entry for entry in _all(work) if entry.spool == label]
        listed = {entry.path for entry in entries}
        with self._catalogue.begin() as work:
            for entry in entries:
                if not entry.held:
                    continue
                if os.path.exists(from_safe_text(entry.path)):  # noqa: PTH110 - Path.exists raises where it may not look
                    self._held[label, entry.relative] = _Listed(entry.reason, entry.message, entry.last_seen_at)
                else:
                    work.quarantine.forget(spool=label, relative=entry.relative)
            for path, relative, size_bytes in line.folder.quarantined():
                if safe_text(str(path)) not in listed:
                    _log.warning("unlisted file found in quarantine", spool=label)
                    work.quarantine.record(
                        spool=label,
                        path=safe_text(str(path)),
                        relative=safe_text(relative),
                        tenant_id=None,
                        reason="found-in-quarantine",
                        message="It was moved to quarantine, but the process ended before it could say why. "
                        "Retry it to see the reason.",
                        held=False,
                        size_bytes=size_bytes,
                        at=self._clock(),
                    )

    def add(self, job: Job, reason: str, message: str, *, moved_to: Path | None = None) -> bool:
        """List a file: held where it is, or moved aside to `moved_to`.

        Returns:
            Whether it is news; a held file that is tried again is not.

        Raises:
            CatalogueUnavailable: it is not listed.
        """
        label, relative = job.line.spool.label, safe_text(job.settled.relative)
        now = self._clock()
        with self._lock:
            known = self._held.get((label, relative))
        if moved_to is None and known is not None and known.says(reason, message, now):
            return False
        with self._catalogue.begin() as work:
            work.quarantine.record(
                spool=label,
                path=safe_text(str(moved_to or job.settled.path)),
                relative=relative,
                tenant_id=self._tenant_id(job),
                reason=reason,
                message=message,
                held=moved_to is None,
                size_bytes=job.settled.size_bytes,
                at=now,
            )
        with self._lock:
            if moved_to is None:
                self._held[label, relative] = _Listed(reason, message, now)
            else:
                self._held.pop((label, relative), None)
        return known is None

    def set_aside(self, job: Job, reason: str, message: str) -> None:
        """Move a file to quarantine and list it, or neither; an import leaves it where it is.

        A crash in between leaves it for `reconcile` to find.

        Raises:
            CatalogueUnavailable: it is back in the spool, or nobody would know of it.
            SourceChanged, SpoolRefused: as `SpoolFolder.quarantine`.
        """
        folder = job.line.folder
        moved_to = None if job.line.keep_source else folder.quarantine(job.settled, reason)
        try:
            self.add(job, reason, message, moved_to=moved_to)
        except CatalogueError:
            if moved_to is not None:
                folder.restore(moved_to, job.settled.relative)
            raise

    def clear(self, job: Job) -> None:
        """The file went through after all.

        Raises:
            CatalogueUnavailable: it stays listed until the next start.
        """
        entry = (job.line.spool.label, safe_text(job.settled.relative))
        with self._lock:
            if self._held.pop(entry, None) is None:
                return
        with self._catalogue.begin() as work:
            work.quarantine.forget(spool=entry[0], relative=entry[1])

    def _tenant_id(self, job: Job) -> str | None:
        """Whose file it is, as far as can be told: also where its name was not understood."""
        describer, settled = job.line.describer, job.settled
        try:
            facts = describer.describe(settled)
        except RecpipeError:
            facts = CallFacts()
        try:
            return self._order.tenant(describer.tenant_of(settled, facts))[0].id
        except RecpipeError:
            return None


def _all(work: Work) -> Iterator[Quarantined]:
    page = work.quarantine.list(limit=1000)
    yield from page.items
    while page.next_cursor is not None:
        page = work.quarantine.list(page.next_cursor, limit=1000)
        yield from page.items
