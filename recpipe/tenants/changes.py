"""Settings that are saved first and take effect when somebody applies them: pending changes and their history.

Each kind of change is a row of `_KINDS`: how the setting is read, when it may be changed, and the change itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from recpipe.access.audit import AuditTrail, event
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import Conflict
from recpipe.model import Change, Page, Tenant
from recpipe.tenants import switches
from recpipe.times import Clock

Values = Mapping[str, object]


class Kind(StrEnum):
    """The settings that can be changed in this way. The values are stored: never rename one."""

    RECORDING = "call-recording"
    ENCRYPTION = "encryption"


@dataclass(frozen=True, slots=True)
class _Handling:
    read: Callable[[Work, Tenant, str], Values]
    check: Callable[[Work, Tenant, str, Values, datetime], None]
    make_true: Callable[[Work, Tenant, str, Values, datetime], object]  # checks once more
    audited_as: str


class PendingChanges:
    """Changes of tenants' add-ons: saved, looked at, applied in one transaction, kept. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._trail = trail

    def save(self, by: Principal, tenant_id: str, kind: Kind, wanted: Values, subject: str = "") -> Change | None:
        """Make a change pending; None where nothing is left to change.

        Raises:
            Conflict: `disclaimer-not-agreed`, `no-proven-key`: it could not be applied.
            NotFound, Forbidden: `by` may not change this tenant's add-ons.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        handling, now = _KINDS[kind], self._clock()
        with self._catalogue.begin() as work:
            tenant = work.tenants.get(tenant_id)
            old = handling.read(work, tenant, subject)
            handling.check(work, tenant, subject, wanted, now)
            change = work.of(tenant_id).changes.save(kind.value, subject, old, wanted, now, by.name)
            work.audit.add(event(by, "change.save", now, tenant_id=tenant_id, subject=tenant_id, kind=kind.value))
        return change

    def agree(self, by: Principal, tenant_id: str) -> Tenant:
        """Keep who agreed to the disclaimer of call recording, and when. It is not undone by discarding a change.

        Raises:
            NotFound, Forbidden: as `save`.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        now = self._clock()
        with self._catalogue.begin() as work:
            tenant = work.tenants.to_change(tenant_id)
            if tenant.disclaimer_agreed_at is not None:
                return tenant
            agreed = switches.agree(work, tenant, by.name, now)
            work.audit.add(event(by, "disclaimer.agree", now, tenant_id=tenant_id, subject=tenant_id))
        return agreed

    def pending(self, by: Principal, tenant_id: str) -> Sequence[Change]:
        """List the changes that wait for `apply`, oldest first.

        Raises:
            NotFound, Forbidden: as `save`.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        with self._catalogue.read() as work:
            return work.of(tenant_id).changes.pending()

    def waiting(self, by: Principal) -> int:
        """Count the pending changes of every tenant whose keys and add-ons `by` may manage."""
        tenant_ids = by.tenants(Action.KEYS)
        if tenant_ids is not None and not tenant_ids:
            return 0
        with self._catalogue.read() as work:
            return work.across(tenant_ids).pending_changes()

    def discard(self, by: Principal, tenant_id: str, change_id: str) -> None:
        """Forget a pending change.

        Raises:
            NotFound: there is none; or as `save`.
            Forbidden: as `save`.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        with self._catalogue.begin() as work:
            work.of(tenant_id).changes.discard(change_id)
            work.audit.add(event(by, "change.discard", self._clock(), tenant_id=tenant_id, subject=change_id))

    def apply(self, by: Principal, tenant_id: str, change_ids: Collection[str]) -> int:
        """Make changes effective, all of them or none; returns how many.

        Args:
            change_ids: those the person looked at. One that was amended since has the same id and is applied as it is.

        Raises:
            Conflict: one is not pending any more, what it changes is not as it was when it was saved, or it lacks
                something (`no-proven-key`, `disclaimer-not-agreed`). Nothing was changed.
            NotFound, Forbidden: as `save`.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        now = self._clock()
        with self._catalogue.begin() as work:
            changes = work.of(tenant_id).changes
            chosen = [c for c in changes.pending() if c.id in set(change_ids)]
            for change in chosen:
                handling = _KINDS[Kind(change.kind)]
                tenant = work.tenants.to_change(tenant_id)
                found = dict(handling.read(work, tenant, change.subject))
                if found not in (dict(change.old), dict(change.new)):
                    raise Conflict(
                        "changed-meanwhile",
                        "This setting was changed elsewhere since the change was saved. Discard it and save it again.",
                    )
                handling.make_true(work, tenant, change.subject, change.new, now)
                work.audit.add(
                    event(
                        by,
                        handling.audited_as,
                        now,
                        tenant_id=tenant_id,
                        subject=tenant_id,
                        old=_in_words(change.old),
                        new=_in_words(change.new),
                        saved_by=change.created_by,
                    )
                )
            changes.mark_applied(change_ids, now, by.name)
        return len(chosen)

    def history(self, by: Principal, tenant_id: str, cursor: str | None = None, limit: int = 50) -> Page[Change]:
        """Applied changes, newest first.

        Raises:
            QueryInvalid: the cursor is not of this list.
            NotFound, Forbidden: as `save`.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        with self._catalogue.read() as work:
            return work.of(tenant_id).changes.history(cursor, limit)


def _in_words(values: Values) -> str:
    return ", ".join(f"{name}: {value}" for name, value in sorted(values.items()))


# --- call recording -----------------------------------------------------------------------------------------------


def _recording(_work: Work, tenant: Tenant, _subject: str) -> Values:
    return {"recording": tenant.recording_enabled}


def _recording_can(_work: Work, tenant: Tenant, _subject: str, wanted: Values, _now: datetime) -> None:
    switches.check_recording(tenant, bool(wanted["recording"]))


def _switch_recording(work: Work, tenant: Tenant, _subject: str, wanted: Values, _now: datetime) -> Tenant:
    return switches.set_recording(work, tenant, bool(wanted["recording"]))


# --- encryption ---------------------------------------------------------------------------------------------------


def _encryption(_work: Work, tenant: Tenant, _subject: str) -> Values:
    return {"encryption": tenant.encryption}


def _encryption_can(work: Work, tenant: Tenant, _subject: str, wanted: Values, now: datetime) -> None:
    switches.check_encryption(work, tenant, bool(wanted["encryption"]), now)


def _switch_encryption(work: Work, tenant: Tenant, _subject: str, wanted: Values, now: datetime) -> Tenant:
    return switches.set_encryption(work, tenant, bool(wanted["encryption"]), now)


_KINDS: Mapping[Kind, _Handling] = {
    Kind.RECORDING: _Handling(_recording, _recording_can, _switch_recording, "tenant.recording"),
    Kind.ENCRYPTION: _Handling(_encryption, _encryption_can, _switch_encryption, "tenant.encryption"),
}
