"""Files that are held, by what they wait for: that is looked at once for all of them, and not each file by itself.

a tenant       its certificates are read once; each file is held against them
a description  of a folder in which nothing changed nothing is read; in others name, sidecar and record of each file
the file       asked whether it may be read
its removal    it is stored; the first of a folder is removed, and where that succeeds the others are
anything else  the next one is tried; where that goes through, the others are tried as well
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recpipe import metrics, seal
from recpipe.errors import Held, RecpipeError, SourceChanged, Waits
from recpipe.model import StoreFormat
from recpipe.pipeline.stages import Job, Stages
from recpipe.times import Clock

Key = tuple[str, str, str]  # spool, reason, and the tenant or folder that is looked at


@dataclass(slots=True)
class _Cause:
    """What some files wait for."""

    waits: Waits
    files: OrderedDict[Path, Job] = field(default_factory=OrderedDict)
    looked_at_ns: int = 0  # the folder's time at the last look


class HeldFiles:
    """Which files are held, and which may go. Thread-safe."""

    def __init__(self, order: Stages, clock: Clock) -> None:
        self._order = order
        self._clock = clock
        self._lock = threading.Lock()
        self._causes: dict[Key, _Cause] = {}
        self._key_of: dict[Path, Key] = {}
        self._ahead: dict[Path, Key] = {}  # tried in place of all of its cause
        self._shown: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        with self._lock:
            return len(self._key_of)

    def add(self, job: Job, held: Held) -> None:
        """One more file, or one again that was tried in vain."""
        path = job.settled.path
        scope = held.tenant if held.waits is Waits.TENANT else str(path.parent)
        key = (job.line.spool.label, held.reason, scope)
        with self._lock:
            self._forget(path)
            self._causes.setdefault(key, _Cause(held.waits)).files[path] = job
            self._key_of[path] = key

    def over(self, path: Path) -> list[Job]:
        """A file has gone through, or to quarantine.

        Returns:
            The files that it went ahead of, held no more.
        """
        with self._lock:
            self._forget(path)
            key = self._ahead.pop(path, None)
            cause = self._causes.pop(key, None) if key is not None else None
            if cause is None:
                return []
            for other in cause.files:
                del self._key_of[other]
            return list(cause.files.values())

    def unremovable(self) -> dict[str, int]:
        """Stored files that cannot be removed, by the label of their spool."""
        found: dict[str, int] = {}
        with self._lock:
            for (spool, _, _), cause in self._causes.items():
                if cause.waits is Waits.REMOVAL:
                    found[spool] = found.get(spool, 0) + len(cause.files)
        return found

    def look(self) -> tuple[list[Job], list[Job]]:
        """Look at each cause once.

        Returns:
            Files that may be tried again, and such as are gone from their spool; both are held no more.

        Raises:
            CatalogueUnavailable: nothing can be said of the tenants.
        """
        with self._lock:
            causes = [(key, cause, list(cause.files.values())) for key, cause in self._causes.items()]
        free: list[Job] = []
        gone: list[Job] = []
        for key, cause, jobs in causes:
            there = [job for job in jobs if os.path.lexists(job.settled.path)]
            go = list(self._free(key, cause, there))
            left = [job for job in jobs if not os.path.lexists(job.settled.path)]
            with self._lock:
                gone += self._release(key, left)
                free += self._release(key, go)
        self._show()
        return free, gone

    # --- inside -------------------------------------------------------------------------------------------

    def _free(self, key: Key, cause: _Cause, jobs: list[Job]) -> Iterable[Job]:
        if not jobs:
            return []
        if cause.waits is Waits.TENANT:
            return self._fits(key[2], jobs)
        if cause.waits is Waits.DESCRIPTION:
            return self._described(cause, Path(key[2]), key[1], jobs)
        if cause.waits is Waits.FILE:
            return (job for job in jobs if os.access(job.settled.path, os.R_OK))
        if cause.waits is Waits.REMOVAL:
            return _removed(jobs)
        with self._lock:
            self._ahead[jobs[0].settled.path] = key
        return jobs[:1]

    def _fits(self, tenant_name: str, jobs: list[Job]) -> Iterator[Job]:
        tenant, certificates = self._order.tenant(tenant_name)
        transcodes = tenant.store_format is StoreFormat.MP3
        for job in jobs:
            try:
                seal.require(tenant, certificates, 0 if transcodes else job.settled.size_bytes, self._clock())
            except Held:
                continue
            yield job

    def _described(self, cause: _Cause, folder: Path, reason: str, jobs: list[Job]) -> Iterator[Job]:
        try:
            changed_ns = folder.stat().st_mtime_ns
        except OSError:
            return
        if reason == "sidecar-missing" and changed_ns == cause.looked_at_ns:
            return
        cause.looked_at_ns = changed_ns
        for job in jobs:
            describer, settled = job.line.describer, job.settled
            try:
                describer.tenant_of(settled, describer.describe(settled))
            except Held as held:
                if held.reason == reason:
                    continue
            except RecpipeError:
                pass  # another verdict: the pipeline's to make
            yield job

    def _release(self, key: Key, jobs: list[Job]) -> list[Job]:
        still_held = [job for job in jobs if self._key_of.get(job.settled.path) == key]
        for job in still_held:
            self._forget(job.settled.path)
        return still_held

    def _forget(self, path: Path) -> None:
        key = self._key_of.pop(path, None)
        if key is not None:
            del self._causes[key].files[path]
            if not self._causes[key].files:
                del self._causes[key]

    def _show(self) -> None:
        with self._lock:
            now: dict[tuple[str, str], int] = {}
            for (spool, reason, _), cause in self._causes.items():
                now[spool, reason] = now.get((spool, reason), 0) + len(cause.files)
        for labels in self._shown | set(now):
            metrics.HELD_NOW.labels(*labels).set(now.get(labels, 0))
        self._shown = set(now)


def _removed(jobs: list[Job]) -> Iterator[Job]:
    """Those that are gone from the spool now, and such as turned out to be other files by now."""
    for job in jobs:
        try:
            job.line.folder.finish(job.settled)
        except SourceChanged:
            pass
        except RecpipeError:
            return
        yield job
