"""Settings that are saved first and take effect when somebody applies them: pending changes and their history.

Each kind of change is a row of `_KINDS`: who may change it, how its settings are read, when they may be changed, and
the changes themselves. Each takes many settings at once: a thousand extensions are one transaction of few statements.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from recpipe.access.audit import AuditTrail, event
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import Conflict, InputInvalid
from recpipe.messages import message
from recpipe.model import Change, Extension, InboundRoute, Page, SeenKind, Tenant
from recpipe.policy import values
from recpipe.policy.values import Values
from recpipe.tenants import switches
from recpipe.times import Clock


class Kind(StrEnum):
    """The settings that can be changed in this way. The values are stored: never rename one."""

    RECORDING = "call-recording"
    ENCRYPTION = "encryption"
    SERVICE_POLICY = "service-policy"
    ROUTE = "inbound-route"
    EXTENSION = "extension"


R = TypeVar("R", InboundRoute, Extension)
Wanted = Mapping[str, Values]  # by subject; "" where there is one of a kind


@dataclass(frozen=True, slots=True)
class _Handling:
    action: Action
    read: Callable[[Work, Tenant, Collection[str]], Wanted]
    check: Callable[[Work, Tenant, Wanted, datetime], None]
    make_true: Callable[[Work, Tenant, Wanted, datetime], object]  # checks once more
    audited_as: str
    decides: bool = False  # a rule of which PBXs ask: the version of the policy grows with it


class PendingChanges:
    """Changes of tenants' settings: saved, looked at, applied in one transaction, kept. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._trail = trail

    def save(self, by: Principal, tenant_id: str, kind: Kind, wanted: Values, subject: str = "") -> Change | None:
        """Make a change pending; None where nothing is left to change.

        Raises:
            Conflict: `disclaimer-not-agreed`, `no-proven-key`: it could not be applied.
            InputInvalid: it cannot be kept.
            NotFound, Forbidden: `by` may not change these settings of this tenant.
        """
        found = self.save_all(by, tenant_id, kind, {subject: wanted})
        return found[0] if found else None

    def save_all(self, by: Principal, tenant_id: str, kind: Kind, wanted: Wanted) -> Sequence[Change]:
        """Make changes of one kind pending, all of them or none; where nothing is left to change there is none.

        Args:
            wanted: subject -> how it is to be; no values: it is to be removed.

        Raises:
            Conflict, InputInvalid, NotFound, Forbidden: as `save`.
        """
        handling, now = _KINDS[kind], self._clock()
        self._trail.require(by, handling.action, tenant_id)
        with self._catalogue.begin() as work:
            tenant = work.tenants.get(tenant_id)
            old = handling.read(work, tenant, wanted)
            handling.check(work, tenant, wanted, now)
            changed = {subject: (old.get(subject, values.NONE), to_be) for subject, to_be in wanted.items()}
            found = work.of(tenant_id).changes.save_all(kind.value, changed, now, by.name)
            detail: dict[str, Any] = {"kind": kind.value} | ({"changes": len(wanted)} if len(wanted) != 1 else {})
            work.audit.add(event(by, "change.save", now, tenant_id=tenant_id, subject=tenant_id, **detail))
        return found

    def agree(self, by: Principal, tenant_id: str) -> Tenant:
        """Keep who agreed to the disclaimer of call recording, and when. It is not undone by discarding a change.

        Raises:
            NotFound, Forbidden: `by` may not change this tenant's add-ons.
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

    def pending(self, by: Principal, tenant_id: str, under: Action | None = None) -> Sequence[Change]:
        """List the changes that wait for `apply`, of the kinds that `by` may change, oldest first.

        Args:
            under: of those that this action allows alone; None: of all.

        Raises:
            NotFound, Forbidden: `by` may change no settings of this tenant, or none of those.
        """
        kinds = self._kinds(by, tenant_id, under)
        with self._catalogue.read() as work:
            return work.of(tenant_id).changes.pending(kinds)

    def pending_page(
        self,
        by: Principal,
        tenant_id: str,
        cursor: str | None = None,
        limit: int = 100,
        under: Action | None = None,
    ) -> Page[Change]:
        """Some of `pending`.

        Raises:
            QueryInvalid: the cursor is not of this list.
            NotFound, Forbidden: as `pending`.
        """
        kinds = self._kinds(by, tenant_id, under)
        with self._catalogue.read() as work:
            return work.of(tenant_id).changes.pending_page(cursor, limit, kinds)

    def pending_of_all(self, by: Principal) -> Mapping[str, Sequence[Change]]:
        """The changes that wait for `apply` in every tenant, by its id, of the kinds that `by` may change there."""
        found: dict[str, list[Change]] = {}
        with self._catalogue.read() as work:
            for tenant_ids, kinds in self._everywhere(by).items():
                for tenant_id, changes in work.across(tenant_ids).pending(kinds).items():
                    found.setdefault(tenant_id, []).extend(changes)
        return {tenant_id: sorted(changes, key=lambda c: (c.created_at, c.id)) for tenant_id, changes in found.items()}

    def waiting(self, by: Principal) -> int:
        """Count the pending changes of every tenant, of the kinds that `by` may change there."""
        kinds = self._everywhere(by)
        if not kinds:
            return 0
        with self._catalogue.read() as work:
            return sum(work.across(tenant_ids).pending_changes(some) for tenant_ids, some in kinds.items())

    @staticmethod
    def _everywhere(by: Principal) -> dict[frozenset[str] | None, list[str]]:
        """The kinds of changes that `by` may make, by the tenants where that is so."""
        kinds: dict[frozenset[str] | None, list[str]] = {}
        for kind, handling in _KINDS.items():
            tenant_ids = by.tenants(handling.action)
            if tenant_ids is None or tenant_ids:
                kinds.setdefault(tenant_ids, []).append(kind.value)
        return kinds

    def discard(self, by: Principal, tenant_id: str, change_id: str, under: Action | None = None) -> None:
        """Forget a pending change.

        Args:
            under: as of `pending`.

        Raises:
            NotFound: there is none; or as `pending`.
            Forbidden: as `pending`.
        """
        kinds = self._kinds(by, tenant_id, under)
        with self._catalogue.begin() as work:
            work.of(tenant_id).changes.discard(change_id, kinds)
            work.audit.add(event(by, "change.discard", self._clock(), tenant_id=tenant_id, subject=change_id))

    def apply(self, by: Principal, tenant_id: str, change_ids: Collection[str], under: Action | None = None) -> int:
        """Make changes effective, all of them or none; returns how many.

        Args:
            change_ids: those the person looked at. One that was amended since has the same id and is applied as it is.
            under: as of `pending`.

        Raises:
            Conflict: one is not pending any more, what it changes is not as it was when it was saved, or it lacks
                something (`no-proven-key`, `disclaimer-not-agreed`). Nothing was changed.
            NotFound, Forbidden: as `pending`.
        """
        kinds, now = self._kinds(by, tenant_id, under), self._clock()
        wanted_ids = frozenset(change_ids)
        with self._catalogue.begin() as work:
            changes = work.of(tenant_id).changes
            chosen = [c for c in changes.pending(kinds) if c.id in wanted_ids]
            if len(chosen) != len(wanted_ids):
                raise Conflict("changed-meanwhile", "Somebody applied or discarded a change just now. Look again.")
            work.tenants.to_change(tenant_id)
            for kind in Kind:  # the switches first, as they stand above
                some = [c for c in chosen if c.kind == kind.value]
                if some:
                    self._make_true(work, by, tenant_id, kind, some, now)
            if any(_KINDS[Kind(c.kind)].decides for c in chosen):
                work.of(tenant_id).policy.grow(now)
            changes.mark_applied(wanted_ids, now, by.name)
        return len(chosen)

    @staticmethod
    def _make_true(
        work: Work, by: Principal, tenant_id: str, kind: Kind, chosen: Sequence[Change], now: datetime
    ) -> None:
        handling = _KINDS[kind]
        tenant = work.tenants.get(tenant_id)
        found = handling.read(work, tenant, [c.subject for c in chosen])
        for change in chosen:
            if dict(found.get(change.subject, values.NONE)) not in (dict(change.old), dict(change.new)):
                raise Conflict(
                    "changed-meanwhile",
                    "This setting was changed elsewhere since the change was saved. Discard it and save it again.",
                )
        handling.make_true(work, tenant, {c.subject: c.new for c in chosen}, now)
        work.audit.add(
            *(
                event(
                    by,
                    handling.audited_as,
                    now,
                    tenant_id=tenant_id,
                    # A route is called by a number, and none of those is on the audit log.
                    subject=change.id if change.subject else tenant_id,
                    old=_in_words(change.old),
                    new=_in_words(change.new),
                    saved_by=change.created_by,
                )
                for change in chosen
            )
        )

    def history(
        self,
        by: Principal,
        tenant_id: str,
        cursor: str | None = None,
        limit: int = 50,
        under: Action | None = None,
    ) -> Page[Change]:
        """Applied changes of the kinds that `by` may change, newest first.

        Args:
            under: as of `pending`.

        Raises:
            QueryInvalid: the cursor is not of this list.
            NotFound, Forbidden: as `pending`.
        """
        kinds = self._kinds(by, tenant_id, under)
        with self._catalogue.read() as work:
            return work.of(tenant_id).changes.history(cursor, limit, kinds)

    def _kinds(self, by: Principal, tenant_id: str, under: Action | None = None) -> Collection[str] | None:
        """The kinds that `by` may change; None: all of them."""
        allowed = {one.action for one in _KINDS.values() if by.may(one.action, tenant_id)} if under is None else {under}
        if under is not None or not allowed:
            self._trail.require(by, under or Action.KEYS, tenant_id)
        kinds = [kind.value for kind, handling in _KINDS.items() if handling.action in allowed]
        return None if len(kinds) == len(_KINDS) else kinds


def _in_words(given: Values) -> str:
    return ", ".join(f"{name}: {value}" for name, value in sorted(given.items()))


# --- call recording -----------------------------------------------------------------------------------------------


def _recording(_work: Work, tenant: Tenant, _subjects: Collection[str]) -> Wanted:
    return {"": {"recording": tenant.recording_enabled}}


def _recording_can(_work: Work, tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    switches.check_recording(tenant, bool(wanted[""]["recording"]))


def _switch_recording(work: Work, tenant: Tenant, wanted: Wanted, now: datetime) -> Tenant:
    return switches.set_recording(work, tenant, bool(wanted[""]["recording"]), now)


# --- encryption ---------------------------------------------------------------------------------------------------


def _encryption(_work: Work, tenant: Tenant, _subjects: Collection[str]) -> Wanted:
    return {"": {"encryption": tenant.encryption}}


def _encryption_can(work: Work, tenant: Tenant, wanted: Wanted, now: datetime) -> None:
    switches.check_encryption(work, tenant, bool(wanted[""]["encryption"]), now)


def _switch_encryption(work: Work, tenant: Tenant, wanted: Wanted, now: datetime) -> Tenant:
    return switches.set_encryption(work, tenant, bool(wanted[""]["encryption"]), now)


# --- which calls are recorded -------------------------------------------------------------------------------------


def _service(work: Work, tenant: Tenant, _subjects: Collection[str]) -> Wanted:
    return {"": values.of_service(work.of(tenant.id).policy.service())}


def _service_can(_work: Work, _tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    values.service(wanted[""])


def _set_service(work: Work, tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    work.of(tenant.id).policy.set_service(values.service(wanted[""]))


def _routes(work: Work, tenant: Tenant, _subjects: Collection[str]) -> Wanted:
    return {route.number: values.of_route(route) for route in work.of(tenant.id).policy.routes()}


def _routes_can(_work: Work, _tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    _checked("number", values.route, wanted)


def _set_routes(work: Work, tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    policy, there = work.of(tenant.id).policy, _checked("number", values.route, wanted)
    policy.set_routes(there)
    policy.remove_routes(_removed(wanted))
    policy.forget_seen(SeenKind.ROUTE, [route.number for route in there])
    _check_room(policy.count_routes(), "numbers")


def _extensions(work: Work, tenant: Tenant, _subjects: Collection[str]) -> Wanted:
    return {one.extension: values.of_extension(one) for one in work.of(tenant.id).policy.extensions()}


def _extensions_can(_work: Work, _tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    _checked("extension", values.extension, wanted)


def _set_extensions(work: Work, tenant: Tenant, wanted: Wanted, _now: datetime) -> None:
    policy, there = work.of(tenant.id).policy, _checked("extension", values.extension, wanted)
    policy.set_extensions(there)
    policy.remove_extensions(_removed(wanted))
    policy.forget_seen(SeenKind.EXTENSION, [one.extension for one in there])
    _check_room(policy.count_extensions(), "extensions")


def _checked(field: str, rule: Callable[[str, Values], R], wanted: Wanted) -> Sequence[R]:
    """The rules that are to be, as many as a tenant may change at once."""
    _check_room(len(wanted), f"{field}s")
    there = ((subject, to_be) for subject, to_be in wanted.items() if to_be)
    return [rule(values.check_subject(field, subject), to_be) for subject, to_be in there]


def _removed(wanted: Wanted) -> Sequence[str]:
    return [subject for subject, to_be in wanted.items() if not to_be]


def _check_room(count: int, what: str) -> None:
    if count > values.MOST_RULES:
        raise InputInvalid(
            what,
            message(
                "A service has at most {most_rules:,} {what}; these would be {count:,}.",
                most_rules=values.MOST_RULES,
                what=what,
                count=count,
            ),
        )


_KINDS: Mapping[Kind, _Handling] = {
    Kind.RECORDING: _Handling(Action.KEYS, _recording, _recording_can, _switch_recording, "tenant.recording"),
    Kind.ENCRYPTION: _Handling(Action.KEYS, _encryption, _encryption_can, _switch_encryption, "tenant.encryption"),
    Kind.SERVICE_POLICY: _Handling(Action.POLICY, _service, _service_can, _set_service, "policy.service", decides=True),
    Kind.ROUTE: _Handling(Action.POLICY, _routes, _routes_can, _set_routes, "policy.route", decides=True),
    Kind.EXTENSION: _Handling(
        Action.POLICY, _extensions, _extensions_can, _set_extensions, "policy.extension", decides=True
    ),
}
