"""Which calls are to be recorded: the rules of one tenant, of all tenants at once, and what PBXs were told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Table, bindparam, delete, func, or_, select

from recpipe.catalogue.policy_tables import (
    decision,
    policy_asker,
    policy_extension,
    policy_route,
    policy_seen,
    policy_service,
)
from recpipe.catalogue.repository import (
    Repository,
    Scoped,
    insert_new,
    page_by_time,
    row_of,
    upsert,
)
from recpipe.catalogue.tables import recording, tenant, tenant_alias
from recpipe.model import (
    Asker,
    CallPolicy,
    Decision,
    Direction,
    Extension,
    InboundRoute,
    Page,
    Seen,
    SeenKind,
    ServicePolicy,
    Verdict,
)

MOST_SEEN = 2000  # of one kind and tenant; whoever asks of ever new numbers fills no disk
MOST_ASKERS = 50
_AT_ONCE = 500  # parameters of one statement
_LATEST_CALLS = 1000
_VERDICTS = {one.value: one for one in Verdict}  # looked up: calling the class takes four times as long
_NUMBER, _EXTENSION = re.compile(r"\+?[0-9]{3,32}"), re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class PolicyHead(NamedTuple):
    """What tells whether the policy of a tenant changed since it was read."""

    tenant_id: str
    version: int
    enabled: bool
    region: str


class Policy(Scoped):
    """The rules of one tenant, and what its PBXs asked."""

    __slots__ = ()

    def whole(self) -> CallPolicy:
        """Everything that decides, as it was applied last.

        Raises:
            NotFound: the tenant is gone.
        """
        found = PoliciesOfAll(self._connection).of([self._tenant_id])
        return found.get(self._tenant_id, CallPolicy(self._tenant_id))

    def service(self) -> ServicePolicy:
        """What holds for the whole tenant."""
        c = policy_service.c
        row = self._connection.execute(select(policy_service).where(c.tenant_id == self._tenant_id)).first()
        return ServicePolicy() if row is None else _service_of(row)

    def set_service(self, wanted: ServicePolicy) -> None:
        """Replace it."""
        values = {"tenant_id": self._tenant_id, "version": 0, **row_of(policy_service, wanted)}
        renewed = ("otherwise", "unanswered", "beep_seconds", "announcement")
        self._connection.execute(self._upsert(policy_service, ("tenant_id",), renewed), values)

    def grow(self, at: datetime) -> int:
        """Begin a new version, in the transaction that makes its rules true; its number."""
        values = {
            "tenant_id": self._tenant_id,
            "version": 1,
            "applied_at": at,
            **row_of(policy_service, ServicePolicy()),
        }
        renewed = upsert(
            self._connection.dialect.name, policy_service, ("tenant_id",), ("applied_at",), add=("version",)
        )
        statement = renewed.returning(policy_service.c.version)
        return int(self._connection.execute(statement, values).scalar_one())

    def routes(self) -> Sequence[InboundRoute]:
        """Every route, by number."""
        c = policy_route.c
        rows = self._connection.execute(select(policy_route).where(c.tenant_id == self._tenant_id).order_by(c.number))
        return [_route_of(row) for row in rows]

    def route(self, number: str) -> InboundRoute | None:
        """The route of a number; None where there is none."""
        c = policy_route.c
        mine = select(policy_route).where(c.tenant_id == self._tenant_id, c.number == number)
        row = self._connection.execute(mine).first()
        return None if row is None else _route_of(row)

    def count_routes(self) -> int:
        """How many routes there are."""
        return self._count(policy_route)

    def set_routes(self, wanted: Collection[InboundRoute]) -> None:
        """Add routes, or replace those of the same number."""
        renewed = ("name", "timezone", "recording", "locked")
        self._put(policy_route, ("tenant_id", "number"), renewed, wanted)

    def remove_routes(self, numbers: Collection[str]) -> None:
        """Forget routes; one that is not there is no error."""
        self._remove(policy_route, policy_route.c.number == bindparam("subject"), numbers)

    def extensions(self) -> Sequence[Extension]:
        """Every extension, short ones first, so that 99 comes before 100."""
        c = policy_extension.c
        mine = select(policy_extension).where(c.tenant_id == self._tenant_id)
        rows = self._connection.execute(mine.order_by(func.length(c.extension), c.extension))
        return [_extension_of(row) for row in rows]

    def extension(self, name: str) -> Extension | None:
        """The extension of a name; None where there is none."""
        c = policy_extension.c
        mine = select(policy_extension).where(c.tenant_id == self._tenant_id, c.extension == name)
        row = self._connection.execute(mine).first()
        return None if row is None else _extension_of(row)

    def count_extensions(self) -> int:
        """How many extensions there are."""
        return self._count(policy_extension)

    def set_extensions(self, wanted: Collection[Extension]) -> None:
        """Add extensions, or replace those of the same name."""
        renewed = ("name", "office", "outbound", "inbound", "internal", "locked")
        self._put(policy_extension, ("tenant_id", "extension"), renewed, wanted)

    def remove_extensions(self, names: Collection[str]) -> None:
        """Forget extensions; one that is not there is no error."""
        self._remove(policy_extension, policy_extension.c.extension == bindparam("subject"), names)

    def seen(self, kind: SeenKind) -> Sequence[Seen]:
        """Numbers or extensions of which PBXs asked while no rule spoke of them, the latest first."""
        c = policy_seen.c
        mine = select(policy_seen).where(c.tenant_id == self._tenant_id, c.kind == kind.value)
        rows = self._connection.execute(mine.order_by(c.last_seen_at.desc(), c.subject))
        return [Seen(kind, row.subject, row.first_seen_at, row.last_seen_at) for row in rows]

    def note_seen(self, kind: SeenKind, subjects: Mapping[str, datetime]) -> None:
        """Remember of what PBXs asked, and when last; at most 2,000 of a kind, the others are not new any more."""
        if not subjects:
            return
        c = policy_seen.c
        mine = (c.tenant_id == self._tenant_id) & (c.kind == kind.value)
        known = set(self._connection.execute(select(c.subject).where(mine)).scalars())
        rows = []
        for subject, at in subjects.items():
            if subject in known or len(known) < MOST_SEEN:
                known.add(subject)
                rows.append(
                    {
                        "tenant_id": self._tenant_id,
                        "kind": kind.value,
                        "subject": subject,
                        "first_seen_at": at,
                        "last_seen_at": at,
                    }
                )
        if rows:
            key = ("tenant_id", "kind", "subject")
            self._connection.execute(self._upsert(policy_seen, key, ("last_seen_at",)), rows)

    def forget_seen(self, kind: SeenKind, subjects: Collection[str]) -> None:
        """Take them off the list: a rule speaks of them now."""
        c = policy_seen.c
        listed = {one.subject for one in self.seen(kind)}  # bounded; rules may be ten times as many
        some = sorted(listed.intersection(subjects))
        self._remove(policy_seen, (c.kind == kind.value) & (c.subject == bindparam("subject")), some)

    def in_calls(self, kind: SeenKind) -> Sequence[Seen]:
        """Numbers that were called, or extensions, in the latest recordings."""
        c = recording.c
        mine = select(c.started_at, c.route, c.extension).where(c.tenant_id == self._tenant_id)
        if kind is SeenKind.ROUTE:
            mine = mine.where(c.direction == Direction.INBOUND.value)
        latest = mine.order_by(c.started_at.desc(), c.id.desc()).limit(_LATEST_CALLS)
        found: dict[str, Seen] = {}
        for row in self._connection.execute(latest):
            # A route may be a queue or a ring group as well; an extension is one of several lines.
            subjects = [row.route] if kind is SeenKind.ROUTE else row.extension.split("\n")
            for subject in subjects:
                if (_NUMBER if kind is SeenKind.ROUTE else _EXTENSION).fullmatch(subject):
                    first = found.setdefault(subject, Seen(kind, subject, row.started_at, row.started_at))
                    found[subject] = replace(first, first_seen_at=row.started_at)
        return list(found.values())

    def askers(self) -> Sequence[Asker]:
        """Every PBX that asked, by name."""
        c = policy_asker.c
        rows = self._connection.execute(select(policy_asker).where(c.tenant_id == self._tenant_id).order_by(c.name))
        return [Asker(row.name, row.asked_at, row.policy_version) for row in rows]

    def note_askers(self, askers: Collection[Asker]) -> None:
        """Remember when PBXs asked last and of which version they were told; at most 50 of them."""
        c = policy_asker.c
        known = set(self._connection.execute(select(c.name).where(c.tenant_id == self._tenant_id)).scalars())
        rows = []
        for one in askers:
            if one.name in known or len(known) < MOST_ASKERS:
                known.add(one.name)
                rows.append({"tenant_id": self._tenant_id, **row_of(policy_asker, one)})
        if rows:
            renewed = ("asked_at", "policy_version")
            self._connection.execute(self._upsert(policy_asker, ("tenant_id", "name"), renewed), rows)

    def _count(self, table: Table) -> int:
        mine = select(func.count()).select_from(table).where(table.c.tenant_id == self._tenant_id)
        return self._connection.execute(mine).scalar_one()

    def _put(self, table: Table, key: Sequence[str], renewed: Sequence[str], things: Collection[Any]) -> None:
        rows = [{"tenant_id": self._tenant_id, **row_of(table, thing)} for thing in things]
        if rows:
            self._connection.execute(self._upsert(table, key, renewed), rows)

    def _remove(self, table: Table, which: ColumnElement[bool], subjects: Collection[str]) -> None:
        if subjects:
            gone = delete(table).where(table.c.tenant_id == self._tenant_id, which)
            self._connection.execute(gone, [{"subject": subject} for subject in subjects])

    def _upsert(self, table: Table, key: Sequence[str], renewed: Sequence[str]) -> Any:
        return upsert(self._connection.dialect.name, table, key, renewed)


class Decisions(Scoped):
    """What the PBXs of one tenant were told."""

    __slots__ = ()

    def list(
        self, at_from: datetime, at_before: datetime, cursor: str | None = None, limit: int = 1000
    ) -> Page[Decision]:
        """What was told in a time, oldest first.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = decision.c
        wanted = select(decision).where(c.tenant_id == self._tenant_id, c.at >= at_from, c.at < at_before)
        return page_by_time(self._connection, wanted, c.at, c.id, _decision_of, cursor, limit)

    def of_calls(self, ids: Collection[str]) -> Sequence[Decision]:
        """What was told of calls with one of these ids, as their own or as their linked id; oldest first."""
        c = decision.c
        asked = sorted({one for one in ids if one})
        found: dict[str, Decision] = {}
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            mine = select(decision).where(
                c.tenant_id == self._tenant_id, or_(c.call_id.in_(some), c.linked_id.in_(some))
            )
            found |= {row.id: _decision_of(row) for row in self._connection.execute(mine)}
        return sorted(found.values(), key=lambda one: (one.at, one.id))


class DecisionsOfAll(Repository):
    """Where what was told is written, for several tenants at once, and forgotten."""

    __slots__ = ()

    def add(self, told: Iterable[Decision]) -> None:
        """Keep what was told. One whose tenant is gone meanwhile, or that is kept already, is left out."""
        rows = [row_of(decision, one) for one in told]
        there = set(self._connection.execute(select(tenant.c.id)).scalars()) if rows else set()
        rows = [row for row in rows if row["tenant_id"] in there]
        if rows:
            self._connection.execute(insert_new(self._connection.dialect.name, decision), rows)

    def prune(self, before: datetime, most: int = 20_000) -> int:
        """Forget what was told before, the oldest first and not more than `most`; how many."""
        oldest = select(decision.c.id).where(decision.c.at < before).order_by(decision.c.at).limit(most)
        return self._connection.execute(delete(decision).where(decision.c.id.in_(oldest))).rowcount


class PoliciesOfAll(Repository):
    """The rules of every tenant, for who answers the PBXs of all of them."""

    __slots__ = ()

    def heads(self) -> Sequence[PolicyHead]:
        """Each tenant, and what tells whether its policy changed."""
        version = func.coalesce(policy_service.c.version, 0)
        joined = tenant.outerjoin(policy_service, policy_service.c.tenant_id == tenant.c.id)
        wanted = select(tenant.c.id, version, tenant.c.recording_enabled, tenant.c.region).select_from(joined)
        return [PolicyHead(*row) for row in self._connection.execute(wanted)]

    def names(self) -> Mapping[str, str]:
        """Every name and alias of a tenant, in lower case, with its id."""
        return {row.alias: row.tenant_id for row in self._connection.execute(select(tenant_alias))}

    def of(self, tenant_ids: Collection[str]) -> Mapping[str, CallPolicy]:
        """The policies of these tenants; of one that is gone, none."""
        found: dict[str, CallPolicy] = {}
        wanted = sorted(tenant_ids)
        for start in range(0, len(wanted), _AT_ONCE):
            found |= self._some(wanted[start : start + _AT_ONCE])
        return found

    def _some(self, ids: Sequence[str]) -> Mapping[str, CallPolicy]:
        rows = self._connection.execute(select(tenant).where(tenant.c.id.in_(ids)))
        found = {row.id: CallPolicy(row.id, enabled=row.recording_enabled, region=row.region) for row in rows}
        for row in self._connection.execute(select(policy_service).where(policy_service.c.tenant_id.in_(ids))):
            if row.tenant_id in found:
                held = found[row.tenant_id]
                found[row.tenant_id] = replace(
                    held, version=row.version, applied_at=row.applied_at, service=_service_of(row)
                )
        routes: dict[str, dict[str, InboundRoute]] = {}
        for row in self._connection.execute(select(policy_route).where(policy_route.c.tenant_id.in_(ids))):
            routes.setdefault(row.tenant_id, {})[row.number] = _route_of(row)
        extensions: dict[str, dict[str, Extension]] = {}
        for row in self._connection.execute(select(policy_extension).where(policy_extension.c.tenant_id.in_(ids))):
            extensions.setdefault(row.tenant_id, {})[row.extension] = _extension_of(row)
        return {
            key: replace(held, routes=routes.get(key, {}), extensions=extensions.get(key, {}))
            for key, held in found.items()
        }


def _service_of(row: Row[Any]) -> ServicePolicy:
    return ServicePolicy(Verdict(row.otherwise), Verdict(row.unanswered), row.beep_seconds, row.announcement)


def _route_of(row: Row[Any]) -> InboundRoute:
    return InboundRoute(row.number, row.name, row.timezone, Verdict(row.recording), row.locked)


def _extension_of(row: Row[Any]) -> Extension:
    by_place: Sequence[Any] = row  # as the table has them: a tenant may have 20,000
    _, extension, name, office, *words, locked = by_place
    outbound, inbound, internal = (_VERDICTS.get(word) or Verdict(word) for word in words)
    return Extension(extension, name, office, outbound, inbound, internal, locked)


def _decision_of(row: Row[Any]) -> Decision:
    values = {**row._asdict(), "direction": Direction(row.direction), "verdict": Verdict(row.verdict)}
    return Decision(**values)
