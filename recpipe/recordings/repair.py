"""Mending what `verify` found, where that needs no guess; everything else is left as it is, and named.

    object-of-deleted    the object is removed
    object-without-row   taken back as `recover` does; removed where its recording has a sound object of its own
    waveform-missing     drawn out of the stored object
    figures-differ       counted again, once all that changes recordings is done
    object-missing, object-damaged    left: only a backup, or an earlier version of the object, has the bytes

Each is looked at again before it is touched, so that an old report does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from recpipe.access.audit import AuditTrail, event
from recpipe.access.principal import Action, Principal
from recpipe.audio import codecs
from recpipe.catalogue import Catalogue
from recpipe.errors import NotFound, ObjectMissing, StoreError
from recpipe.model import Recording
from recpipe.recordings.counting import recount
from recpipe.recordings.looks import Finding, Looks, Problem, ProblemKind, has_sound, ingest_runs, waveform
from recpipe.recordings.recover import Fate, Recovery
from recpipe.store.base import Store
from recpipe.times import Clock, days_since_1970


class Mended(StrEnum):
    """What became of a problem."""

    RECOVERED = "recovered"
    REMOVED = "removed"
    DRAWN = "drawn"
    COUNTED = "counted"
    GONE = "gone"  # it is no problem any more
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each problem of a report."""

    mended: list[Finding[Mended]]
    left: list[Problem]


def repair(
    catalogue: Catalogue,
    store: Store,
    keys: Iterable[bytes],
    by: Principal,
    problems: Iterable[Problem],
    *,
    clock: Clock,
    trail: AuditTrail,
    on_problem: Callable[[], None] = lambda: None,
) -> Outcome:
    """Mend what needs no guess. May be repeated.

    Args:
        keys: the recovery keys that notes may be under.
        on_problem: called for each problem.

    Raises:
        Forbidden: `by` may not operate the system.
        StoreUnavailable, CatalogueUnavailable: no answer; what was mended so far stays so.
    """
    trail.require(by, Action.SYSTEM)
    with catalogue.read() as work:
        tenants = {tenant.id: tenant for tenant in work.tenants.list()}
    looks, now = Looks(catalogue, store, tenants), clock()
    recovery = Recovery(catalogue, looks, tuple(keys), by, False, now, ingest_runs(catalogue, now))
    ids = {tenant.name: tenant.id for tenant in tenants.values()}
    repairs = _Repairs(catalogue, looks, recovery, by, now, ids)
    outcome = Outcome([], [])
    for problem in sorted(problems, key=lambda one: one.kind is ProblemKind.FIGURES_DIFFER):
        found = repairs.of(problem)
        if found.kind is Mended.LEFT:
            outcome.left.append(
                Finding(
                    problem.kind, problem.object_key, found.message, problem.tenant, found.recording_id, problem.day
                )
            )
        else:
            outcome.mended.append(found)
        on_problem()
    return outcome


@dataclass(frozen=True, slots=True)
class _Repairs:
    catalogue: Catalogue
    looks: Looks
    recovery: Recovery
    by: Principal
    now: datetime
    ids: dict[str, str]  # of tenants, by name

    def of(self, problem: Problem) -> Finding[Mended]:
        """Mend one."""
        if problem.kind is ProblemKind.OBJECT_OF_DELETED:
            return self._deleted(problem)
        if problem.kind is ProblemKind.OBJECT_WITHOUT_ROW:
            return self._without_row(problem)
        if problem.kind is ProblemKind.WAVEFORM_MISSING:
            return self._draw(problem)
        if problem.kind is ProblemKind.FIGURES_DIFFER:
            return self._count(problem)
        return _found(problem, Mended.LEFT, problem.message)

    def _deleted(self, problem: Problem) -> Finding[Mended]:
        if self.looks.tombstone(problem.object_key) is None:
            return _found(problem, Mended.LEFT, problem.message)
        return self._remove(problem, "what was left of a deleted recording")

    def _without_row(self, problem: Problem) -> Finding[Mended]:
        try:
            stored = self.looks.store.head(problem.object_key)
        except ObjectMissing:
            return _found(problem, Mended.GONE, f"{problem.object_key} has gone meanwhile.")
        if not self.looks.without_row([stored]):
            return _found(problem, Mended.GONE, f"{problem.object_key} has a recording by now.")
        found = self.recovery.one(stored)
        if found.kind is Fate.RECOVERED:
            return _found(problem, Mended.RECOVERED, found.message)
        if found.kind is Fate.DELETED:
            return self._deleted(problem)
        if found.kind is Fate.SECOND:
            recording = self._recording(problem)
            if recording is not None and self.looks.at_bytes(recording) is None:
                return self._remove(problem, f"a second upload of recording {recording.id}, whose own object is sound")
        return _found(problem, Mended.LEFT, found.message)

    def _remove(self, problem: Problem, what: str) -> Finding[Mended]:
        try:
            self.looks.store.delete(problem.object_key)
        except StoreError as error:
            return _found(problem, Mended.LEFT, f"{problem.object_key} is {what}, and cannot be removed: {error}")
        with self.catalogue.begin() as work:
            tenant_id = self.ids.get(problem.tenant)
            work.audit.add(event(self.by, "repair", self.now, tenant_id=tenant_id, subject=problem.recording_id))
        return _found(problem, Mended.REMOVED, f"{problem.object_key}, {what}, was removed.")

    def _draw(self, problem: Problem) -> Finding[Mended]:
        recording = self._recording(problem)
        if recording is None or recording.peaks or recording.sealed or not has_sound(recording):
            return _found(problem, Mended.GONE, f"Recording {problem.recording_id} needs no waveform any more.")
        if (damage := self.looks.at_bytes(recording)) is not None:
            return _found(problem, Mended.LEFT, damage.message)
        drawn = waveform(self.looks.store, recording)
        flags = recording.flags if drawn else (*recording.flags, codecs.NO_WAVEFORM)
        with self.catalogue.begin() as work:
            work.of(recording.tenant_id).recordings.set_peaks(recording.id, drawn, flags)
        told = "has its waveform again" if drawn else "cannot be decoded here, and gets no waveform"
        return _found(problem, Mended.DRAWN, f"{recording.name} of {recording.day} {told}.")

    def _count(self, problem: Problem) -> Finding[Mended]:
        tenant_id, day = self.ids.get(problem.tenant), days_since_1970(date.fromisoformat(problem.day))
        if tenant_id is None:
            return _found(problem, Mended.GONE, f"{problem.tenant} has gone meanwhile.")
        recount(self.catalogue, tenant_id, day)
        return _found(problem, Mended.COUNTED, f"The figures of {problem.day} (UTC) were counted again.")

    def _recording(self, problem: Problem) -> Recording | None:
        tenant_id = self.ids.get(problem.tenant)
        if tenant_id is None:
            return None
        with self.catalogue.read() as work:
            try:
                return work.of(tenant_id).recordings.get(problem.recording_id)
            except NotFound:
                return None


def _found(problem: Problem, kind: Mended, message: str) -> Finding[Mended]:
    return Finding(kind, problem.object_key, message, problem.tenant, problem.recording_id, problem.day)
