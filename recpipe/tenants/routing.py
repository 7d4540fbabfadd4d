"""Call Routing, and Offices & Users: the rules as people look at them and change them, many at once."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import check_limit, read_cursor, write_cursor
from recpipe.errors import InputInvalid, NotFound
from recpipe.messages import message
from recpipe.model import Asker, CallPolicy, InboundRoute, Page, Seen, SeenKind, Tenant
from recpipe.policy import values
from recpipe.policy.judge import number_of
from recpipe.policy.values import Values
from recpipe.tenants.changes import Kind, PendingChanges

MOST_SEEN_SHOWN = 200
_NEW: Mapping[Kind, Values] = {  # what a rule says that nobody gave values
    Kind.ROUTE: values.of_route(values.route("0", values.NONE)),
    Kind.EXTENSION: values.of_extension(values.extension("0", values.NONE)),
}
_CALLED = {Kind.ROUTE: "call route", Kind.EXTENSION: "extension"}
_TRUE = frozenset({"yes", "true", "1", "on", "locked", "lock", "x"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it will be once everything is applied."""

    subject: str
    values: Values
    pending: bool = False
    removed: bool = False  # once it is applied


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind of a tenant, and what decides about them.

    Attributes:
        rules: those that were looked for, in the order of their numbers.
        every: how many there are in all.
        seen: of what PBXs asked, or calls were, while no rule speaks of it.
    """

    policy: CallPolicy
    service: Rule
    rules: Sequence[Rule]
    every: int
    seen: Sequence[Seen]
    askers: Sequence[Asker]


class CallRouting:
    """The rules of tenants, seen with the changes that wait. Thread-safe."""

    def __init__(self, catalogue: Catalogue, trail: AuditTrail, changes: PendingChanges) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._changes = changes

    def look(self, by: Principal, tenant_id: str, kind: Kind, find: str = "") -> Rules:
        """The rules of one kind.

        Args:
            kind: `Kind.ROUTE` or `Kind.EXTENSION`.
            find: part of a number, a name or an office.

        Raises:
            NotFound, Forbidden: `by` may not change which calls of this tenant are recorded.
        """
        self._trail.require(by, Action.POLICY, tenant_id)
        seen_kind = SeenKind.ROUTE if kind is Kind.ROUTE else SeenKind.EXTENSION
        with self._catalogue.read() as work:
            scope = work.of(tenant_id)
            policy = scope.policy.whole()
            waiting = {
                (c.kind, c.subject): c.new for c in scope.changes.pending([kind.value, Kind.SERVICE_POLICY.value])
            }
            seen, askers = scope.policy.seen(seen_kind), scope.policy.askers()
            in_calls = scope.policy.in_calls(seen_kind)
        applied = _applied(policy, kind)
        pending = {subject: new for (of, subject), new in waiting.items() if of == kind.value}
        every = [_rule(kind, subject, applied.get(subject), pending) for subject in {**applied, **pending}]
        every.sort(key=_place)
        wanted = find.strip().casefold()
        asked = {one.subject: one for one in seen}
        if kind is Kind.ROUTE:
            in_calls = [replace(one, subject=number_of(one.subject, policy.region)) for one in in_calls]
        both = {**{one.subject: one for one in in_calls}, **asked}
        undecided = [one for one in both.values() if one.subject not in applied and one.subject not in pending]
        service = waiting.get((Kind.SERVICE_POLICY.value, ""))
        return Rules(
            policy=policy,
            service=Rule("", service or values.of_service(policy.service), pending=service is not None),
            rules=[rule for rule in every if wanted in _text_of(rule)],
            every=len(every),
            seen=sorted(undecided, key=lambda one: one.last_seen_at, reverse=True)[:MOST_SEEN_SHOWN],
            askers=askers,
        )

    def one(self, by: Principal, tenant: Tenant, kind: Kind, written: str) -> Rule:
        """One rule as it will be, by its number or extension, however it is written.

        Raises:
            NotFound: there is none, and none is saved; or as `look`.
            Forbidden: as `look`.
        """
        self._trail.require(by, Action.POLICY, tenant.id)
        subjects = [written]
        with contextlib.suppress(InputInvalid):
            subjects.append(_checked(kind, written, tenant))
        with self._catalogue.read() as work:
            scope = work.of(tenant.id)
            for subject in subjects:  # as it is written first: the region may have changed since
                applied = scope.policy.route(subject) if kind is Kind.ROUTE else scope.policy.extension(subject)
                waiting = scope.changes.pending_of(kind.value, subject)
                if applied is not None or waiting is not None:
                    of = values.of_route(applied) if isinstance(applied, InboundRoute) else values.of_extension(applied)
                    return _rule(kind, subject, of, {} if waiting is None else {subject: waiting.new})
        raise NotFound(_CALLED[kind], written)

    def page(
        self, by: Principal, tenant_id: str, kind: Kind, find: str = "", cursor: str | None = None, limit: int = 100
    ) -> Page[Rule]:
        """Some of the rules of `look`, in its order.

        Raises:
            QueryInvalid: the cursor is not of such a list, or no page is so long.
            NotFound, Forbidden: as `look`.
        """
        since = (0, "") if cursor is None else tuple(read_cursor(cursor, int, str))
        check_limit(limit)
        found = [rule for rule in self.look(by, tenant_id, kind, find).rules if _place(rule) > since]
        more = len(found) > limit
        return Page(tuple(found[:limit]), write_cursor(*_place(found[limit - 1])) if more else None)

    def save(self, by: Principal, tenant: Tenant, kind: Kind, wanted: Mapping[str, Values]) -> int:
        """Make changes pending, all of them or none; how many rules differ from what was to be before.

        Args:
            wanted: number or extension as somebody typed it -> what is to be; what is not said stays as it is, and of
                a new one is `default`. No values: it is to be removed.

        Raises:
            InputInvalid: one of them cannot be; nothing was saved.
            NotFound, Forbidden: as `look`.
        """
        now = self._as_it_will_be(by, tenant.id, kind)
        changed: dict[str, Values] = {}
        for written, given in wanted.items():
            subject = written if written in now else _checked(kind, written, tenant)
            before = now.get(subject, values.NONE)
            if not given:
                if before:
                    changed[subject] = values.NONE
                continue
            to_be = {**_NEW[kind], **before, **given}
            if before != to_be:
                changed[subject] = _normal(kind, subject, to_be)
        return self._keep(by, tenant, kind, changed)

    def _keep(self, by: Principal, tenant: Tenant, kind: Kind, changed: Mapping[str, Values]) -> int:
        if changed:
            self._changes.save_all(by, tenant.id, kind, changed)
        return len(changed)

    def _as_it_will_be(self, by: Principal, tenant_id: str, kind: Kind) -> Mapping[str, Values]:
        """Every rule of a kind as it is once everything is applied; of one that is to be removed, no values."""
        self._trail.require(by, Action.POLICY, tenant_id)
        with self._catalogue.read() as work:
            scope = work.of(tenant_id)
            pending = {change.subject: change.new for change in scope.changes.pending([kind.value])}
            return {**_applied(scope.policy.whole(), kind), **pending}

    def import_csv(self, by: Principal, tenant: Tenant, kind: Kind, content: bytes) -> int:
        """Save the rules of a table; how many of them are changes.

        Args:
            content: UTF-8, with a line of headings; `number` or `extension` is needed, other columns may be left out.

        Raises:
            InputInvalid: a line cannot be understood, and which; nothing was saved.
            NotFound, Forbidden: as `look`.
        """
        self._trail.require(by, Action.POLICY, tenant.id)
        key = "number" if kind is Kind.ROUTE else "extension"
        known = set(_NEW[kind])
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputInvalid("file", "The file is not UTF-8. Save it as CSV UTF-8.") from None
        first = text.partition("\n")[0]
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), restkey="?")
        headings = [(heading or "").strip().casefold() for heading in rows.fieldnames or ()]
        rows.fieldnames = ["locked" if heading == "lock" else heading for heading in headings]
        unknown = [heading for heading in rows.fieldnames if heading not in known | {key}]
        if key not in rows.fieldnames or unknown:
            shown = message("{key} is missing", key=key)
            if unknown:
                shown = message("{column!r} is none of them", column=unknown[0][:40])
            raise InputInvalid(
                "file",
                message(
                    "The first line names the columns: {columns}; {shown}.",
                    columns=", ".join((key, *sorted(known))),
                    shown=shown,
                ),
            )
        wanted: dict[str, Values] = {}
        try:
            for count, row in enumerate(rows, 1):  # of lines, not of rules: one rule may be named on all of them
                if count > values.MOST_RULES:
                    raise InputInvalid(
                        "file", message("there are more than {most_rules:,} lines", most_rules=values.MOST_RULES)
                    )
                subject = _checked(kind, (row.pop(key, "") or "").strip(), tenant)
                if "?" in row:
                    raise InputInvalid("file", "there are more cells than headings")
                given = {name: _cell(kind, name, cell.strip()) for name, cell in row.items() if cell is not None}
                wanted[subject] = _normal(kind, subject, {**_NEW[kind], **given})
        except (InputInvalid, csv.Error) as error:
            raise InputInvalid("file", message("Line {line}: {error}", line=rows.line_num, error=str(error))) from None
        now = self._as_it_will_be(by, tenant.id, kind)
        return self._keep(by, tenant, kind, {one: to_be for one, to_be in wanted.items() if now.get(one) != to_be})

    def save_service(self, by: Principal, tenant_id: str, wanted: Values) -> bool:
        """Make a change of what holds for the whole service pending; whether something is left to change.

        Raises:
            InputInvalid: it cannot be.
            NotFound, Forbidden: as `look`.
        """
        to_be = values.of_service(values.service(wanted))
        return self._changes.save(by, tenant_id, Kind.SERVICE_POLICY, to_be) is not None


def _applied(policy: CallPolicy, kind: Kind) -> Mapping[str, Values]:
    if kind is Kind.ROUTE:
        return {number: values.of_route(route) for number, route in policy.routes.items()}
    return {name: values.of_extension(one) for name, one in policy.extensions.items()}


def _rule(kind: Kind, subject: str, applied: Values | None, pending: Mapping[str, Values]) -> Rule:
    new = pending.get(subject)
    said = {**_NEW[kind], **(new or applied or values.NONE)}  # a change that says less was not saved here
    return Rule(subject, said, pending=new is not None, removed=new is not None and not new)


def _place(rule: Rule) -> tuple[int, str]:
    """In the order of numbers: 99 comes before 100."""
    return len(rule.subject), rule.subject


def _text_of(rule: Rule) -> str:
    told = (rule.values.get(name, "") for name in ("name", "office"))
    return " ".join(str(one) for one in (rule.subject, *told)).casefold()


def _checked(kind: Kind, written: str, tenant: Tenant) -> str:
    return values.check_number(written, tenant.region) if kind is Kind.ROUTE else values.check_extension(written)


def _normal(kind: Kind, subject: str, given: Values) -> Values:
    if kind is Kind.ROUTE:
        return values.of_route(values.route(subject, given))
    return values.of_extension(values.extension(subject, given))


def _cell(kind: Kind, name: str, cell: str) -> object:
    return cell.casefold() in _TRUE if name == "locked" else cell or _NEW[kind][name]
