"""What a search walks: an index in the order of lists, a stretch of it at a time.

Statements are made and compiled once for each `Shape`, since putting one together, and finding what it was compiled to
before, takes ten times as long as running it. What was typed comes as values.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    cast,
    exists,
    extract,
    func,
    literal_column,
    select,
    true,
    tuple_,
)

from recpipe.catalogue.mark_tables import call_mark
from recpipe.catalogue.repository import Selection, is_one_of
from recpipe.catalogue.rows import WITHOUT_PEAKS
from recpipe.catalogue.tables import (
    phone_number,
    recording,
    recording_extension,
    recording_number,
    recording_text,
    tenant,
)
from recpipe.catalogue.types import Utc, folded, one_line
from recpipe.model import RecordingKind, RecordingQuery
from recpipe.times import HOURS_A_WEEK


class Key(NamedTuple):
    """A place in the order of recordings or calls. An id of "" or `_LAST` is before or behind all of that moment."""

    started_at: datetime
    id: str


_LAST = "~"
LONGEST_CALL = timedelta(days=1)  # legs that begin later than this after the first are not looked for by time
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_EXTENSION: Any = bindparam("extension")
# Word for word as the condition of the indexes of what is no call, or planners do not take them.
_CALL: Any = literal_column("'call'")


class Stretch(NamedTuple):
    """What one step looks through: from a place on (exclusive), as far as a moment (inclusive)."""

    after: Key | None = None
    until: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The parameters that stand for it."""
        place = {} if self.after is None else {"place_at": self.after.started_at, "place_id": self.after.id}
        return place if self.until is None else place | {"until": self.until}


class Shape(NamedTuple):
    """What the statements of a search differ in.

    Args:
        given: the names of all values that are asked with: those of `values_of` and of the stretch.
        tenants: how many, as `list_size` has it; the same for the others.
        numbers: telephone numbers whose calls are searched; 0 where a search is not for a number.
        few: recordings, where no others are to be looked at; 0 where all are.
        marked: those are the legs of calls of which something was said; else they are such as have the text.
        calls: calls are wanted, in the order of their first legs; else their recordings, each by itself.
    """

    dialect: str
    given: frozenset[str]
    tenants: int
    numbers: int = 0
    few: int = 0
    marked: bool = False
    calls: bool = False


def values_of(query: RecordingQuery) -> dict[str, Any]:
    """What is searched for but the number, by the names of parameters. What is not asked for is not in it."""
    asked = {
        "started_from": query.started_from,
        "call_from": query.started_from and _longest_before(query.started_from),
        "started_before": query.started_before,
        "direction": query.direction and query.direction.value,
        "call_kind" if query.kind is RecordingKind.CALL else "kind": query.kind and query.kind.value,
        "extension": query.extension or None,
        "route": query.route or None,
        "week_hours": _mask(query.week_hours) if query.week_hours else None,
        "timezone": query.timezone if query.week_hours else None,
        "duration_min_ms": query.duration_min_ms,
        "duration_max_ms": query.duration_max_ms,
        "text": folded(query.text) if query.text else None,
        "call_id": query.call_id or None,
        "call": query.call or None,
        "tag": f"\n{one_line(query.tag)}\n" if query.tag else None,
        "noted": one_line(query.noted) if query.noted else None,
        # These are in the statements themselves.
        "starred" if query.starred else "unstarred": None if query.starred is None else True,
        "reviewed" if query.reviewed else "unreviewed": None if query.reviewed is None else True,
        "sealed" if query.sealed else "plain": None if query.sealed is None else True,
        "oldest_first": query.oldest_first or None,
        "of_whole_calls": query.of_whole_calls or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _mask(week_hours: Collection[int]) -> str:
    """A 1 for each hour of the week that is among these, else a 0."""
    wanted = frozenset(week_hours)
    return "".join("1" if hour in wanted else "0" for hour in range(HOURS_A_WEEK))


def _longest_before(moment: datetime) -> datetime:
    """When a call may have begun at the earliest that has a leg at this moment or later."""
    return max(moment, _EARLIEST + LONGEST_CALL) - LONGEST_CALL


@dataclass(frozen=True, slots=True)
class Branches:
    """The index that is walked, once for each of its owners.

    Attributes:
        at, id: the order: when recordings began and their ids, or those of their calls.
        started_at: when recordings began.
    """

    shape: Shape
    at: ColumnElement[Any]
    id: ColumnElement[Any]
    started_at: ColumnElement[Any]
    key: ColumnElement[Any]
    owner: Table
    bounds: tuple[ColumnElement[bool], ...] = ()  # kept by the index itself
    filters: tuple[ColumnElement[bool], ...] = ()  # looked at call by call
    joined: tuple[tuple[Table, ColumnElement[bool]], ...] = ()  # what `filters` speak of besides

    @property
    def when(self) -> ColumnElement[Any]:
        """What is compared with times: when recordings began, or where it is asked for, their calls."""
        return self.at if self.shape.calls and "of_whole_calls" in self.shape.given else self.started_at

    @property
    def owners(self) -> int:
        return self.shape.numbers if self.owner is phone_number else self.shape.tenants

    def rows(self, *, filtered: bool = True, chosen: Select[Any] | None = None) -> Select[Any]:
        """Place and id of the branch's calls, or what else is chosen of them; without owner, order and limit."""
        if chosen is None:
            places: Select[Any] = select(self.at.label("at"), self.id.label("id"))
            chosen = places.distinct() if self.shape.calls else places
        given = self.shape.given
        found: Any = chosen.where(*self.bounds)
        if filtered:
            for table, how in self.joined:
                found = found.join(table, how)
            found = found.where(*self.filters)
        began = self.when
        if "started_from" in given:
            found = found.where(began >= bindparam("started_from"))
            found = found.where(self.at >= bindparam("call_from")) if self.shape.calls else found
        if "started_before" in given:
            found = found.where(began < bindparam("started_before"))
            found = found.where(self.at < bindparam("started_before")) if self.shape.calls else found
        if "until" in given:
            until: Any = bindparam("until")
            found = found.where(self.at <= until if "oldest_first" in given else self.at >= until)
        if "place_at" in given:
            key, place = (
                tuple_(self.at, self.id),
                tuple_(bindparam("place_at", type_=Utc()), bindparam("place_id")),
            )
            found = found.where(key > place if "oldest_first" in given else key < place)
        rows: Select[Any] = found
        return rows

    def mine(self) -> ColumnElement[bool]:
        return is_one_of(self.key, "number" if self.owner is phone_number else "tenant", self.owners)

    def owned(self) -> ColumnElement[bool]:
        """As `mine`, where the owners themselves are gone through."""
        return is_one_of(self.owner.c.id, "number" if self.owner is phone_number else "tenant", self.owners)

    def order(self, at: ColumnElement[Any], one: ColumnElement[Any]) -> tuple[Any, ...]:
        if "oldest_first" in self.shape.given:
            return at, one
        return at.desc(), one.desc()


def behind(moment: datetime, query: RecordingQuery) -> Key:
    """The place behind all that began at a moment, in the order of the query."""
    return Key(moment, _LAST if query.oldest_first else "")


@lru_cache(maxsize=256)
def branches_of(shape: Shape) -> Branches:
    """The index to walk for a search."""
    c, links, ours, texts = recording.c, recording_number.c, recording_extension.c, recording_text.c
    given = shape.given
    bounds, filters = tuple(_bounds_of(shape)), tuple(_filters_of(given, shape.dialect))
    its_text = (_has_text(shape.dialect),) if "text" in given and (shape.marked or not shape.few) else ()
    joined: list[tuple[Table, ColumnElement[bool]]] = []
    if shape.numbers:
        filters = (*bounds, *filters)
        if filters:
            joined.append((recording, c.id == links.recording_id))
        if "extension" in given:
            filters = (*filters, is_of(_EXTENSION, links, links.recording_id))
        if its_text:
            joined.append((recording_text, texts.recording_id == links.recording_id))
        return _walked(shape, links, phone_number, links.number_id, (), (*filters, *its_text), joined)
    if "extension" in given and not bounds:
        if filters:
            joined.append((recording, c.id == ours.recording_id))
        if its_text:
            joined.append((recording_text, texts.recording_id == ours.recording_id))
        its_own = (ours.extension == _EXTENSION,)
        return _walked(shape, ours, tenant, ours.tenant_id, its_own, (*filters, *its_text), joined)
    if "extension" in given:
        filters = (*filters, is_of(_EXTENSION, c, c.id))
    if its_text and not bounds and not shape.calls:
        if filters:
            joined.append((recording, c.id == texts.recording_id))
        return _walked(shape, texts, tenant, texts.tenant_id, (), (*its_text, *filters), joined)
    if its_text:
        # By the whole key: texts lie in nearly the same order as calls do.
        its_key = (texts.tenant_id == c.tenant_id) & (texts.started_at == c.started_at) & (texts.recording_id == c.id)
        joined.append((recording_text, its_key))
    return _walked(shape, c, tenant, c.tenant_id, bounds, (*filters, *its_text), joined)


def _walked(
    shape: Shape,
    columns: Any,
    owner: Table,
    key: ColumnElement[Any],
    bounds: tuple[ColumnElement[bool], ...],
    filters: tuple[ColumnElement[bool], ...],
    joined: list[tuple[Table, ColumnElement[bool]]],
) -> Branches:
    by_itself = columns.started_at, columns.id if columns is recording.c else columns.recording_id
    at, one = (columns.call_at, columns.call) if shape.calls else by_itself
    made = Branches(shape, at, one, columns.started_at, key, owner, bounds, filters, tuple(joined))
    if "week_hours" in shape.given:
        return replace(made, filters=(*filters, _in_week(shape.dialect, made.when)))
    return made


@lru_cache(maxsize=256)
def page_of(shape: Shape) -> Selection:
    """The recordings of a stretch in their order, at most `count`."""
    branches, c = branches_of(shape), recording.c
    if branches.owners == 1 and branches.id is c.id:
        rows = branches.rows(chosen=select(*WITHOUT_PEAKS)).where(branches.mine())
        return Selection(rows.order_by(*branches.order(c.started_at, c.id)).limit(_count()))
    found = _page(branches).subquery("found")
    rows = select(*WITHOUT_PEAKS).join_from(found, recording, c.id == found.c.id)
    rows = rows.where(is_one_of(c.tenant_id, "tenant", shape.tenants))
    return Selection(rows.order_by(*branches.order(found.c["at"], found.c.id)))


@lru_cache(maxsize=256)
def calls_of(shape: Shape) -> Selection:
    """Where the calls of a stretch have their places, and their ids, in their order, at most `count`."""
    return Selection(_page(branches_of(shape)))


def _page(branches: Branches) -> Select[Any]:
    page = branches.rows().order_by(*branches.order(branches.at, branches.id)).limit(_count())
    return page.where(branches.mine()) if branches.owners == 1 else _best(branches, page)


@lru_cache(maxsize=256)
def edge_of(shape: Shape) -> Selection:
    """Where the one stands that a walk past `passed` recordings a branch comes to first; no row where there is none."""
    branches = branches_of(shape)
    walked = branches.rows(filtered=False, chosen=select(branches.at))
    walked = walked.order_by(*branches.order(branches.at, branches.id))
    walked = walked.offset(bindparam("passed", type_=Integer())).limit(1)
    if branches.owners == 1:
        return Selection(walked.where(branches.mine()))
    owner = branches.owner
    edges = walked.where(branches.key == owner.c.id).correlate(owner).scalar_subquery()
    nearest = func.min if "oldest_first" in shape.given else func.max
    return Selection(select(nearest(edges, type_=Utc())).where(branches.owned()))


@lru_cache(maxsize=256)
def number_of(shape: Shape) -> Selection:
    """How many recordings or calls of a stretch there are, counted to `count`."""
    branches = branches_of(shape)
    found = branches.rows().where(branches.mine())
    if not shape.calls:
        found = found.with_only_columns(branches.id)
    if branches.owner is phone_number:  # a call between two of them is one call
        found = found.distinct()
    return Selection(select(func.count()).select_from(found.limit(_count()).subquery()))


@lru_cache(maxsize=256)
def weight_of(shape: Shape) -> Selection:
    """As `number_of`, and the bytes that are stored of them."""
    branches, c = branches_of(shape), recording.c
    found = branches.rows().where(branches.mine()).with_only_columns(branches.id.label("id"))
    if branches.owner is phone_number:
        found = found.distinct()
    some = found.limit(_count()).subquery()
    weighed = select(func.count(), func.coalesce(func.sum(c.stored_bytes), 0))
    return Selection(weighed.select_from(some).join(recording, c.id == some.c.id))


def _count() -> ColumnElement[int]:
    return bindparam("count", type_=Integer())


def _best(branches: Branches, page: Select[Any]) -> Select[Any]:
    """The page among the pages of all branches. A call between two matching numbers is in two of them."""
    owner = branches.owner
    page = page.where(branches.key == owner.c.id).correlate(owner)
    if branches.shape.dialect == "postgresql":
        found = page.lateral("part")
        at, one = found.c["at"], found.c.id
        merged = select(at, one).select_from(owner).join(found, true())
    else:
        # SQLite has no LATERAL; a subquery after IN is evaluated once for each branch just the same.
        part = recording.alias("part")
        at, one = (part.c.call_at, part.c.call) if branches.shape.calls else (part.c.started_at, part.c.id)
        mine: Any = one.in_(select(page.subquery("of_branch").c.id).correlate(owner))
        if branches.shape.calls:
            mine &= part.c.tenant_id == (owner.c.tenant_id if owner is phone_number else owner.c.id)
        merged = select(at.label("at"), one.label("id")).select_from(owner).join(part, mine)
    return merged.where(branches.owned()).distinct().order_by(*branches.order(at, one)).limit(_count())


def _has_text(dialect: str) -> ColumnElement[bool]:
    """Whether a call that is walked past has a text.

    Not as LIKE, for which PostgreSQL would take its trigram index even where that has to be read whole, as for two
    letters. `by_trigrams` is for when it is wanted.
    """
    return _holds(recording_text.c.text, "text", dialect)


def _holds(column: ColumnElement[Any], name: str, dialect: str) -> ColumnElement[bool]:
    """Whether a column has the value of a parameter in it."""
    place = func.strpos if dialect == "postgresql" else func.instr
    wanted: Any = bindparam(name, type_=String())
    found: ColumnElement[bool] = place(column, wanted, type_=Integer()) > 0
    return found


def _in_week(dialect: str, when: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a time is in one of the hours of the week that are asked for, on the clock of the zone asked for."""
    zone: Any = bindparam("timezone", type_=String())
    if dialect == "postgresql":
        local = func.timezone(zone, when)
        hour: Any = (extract("isodow", local) - 1) * 24 + extract("hour", local)
    else:
        hour = func.hour_of_week(when, zone)  # see `engine`
    its = func.substr(bindparam("week_hours", type_=String()), cast(hour, Integer()) + 1, 1, type_=String())
    return its == "1"


def by_trigrams(wanted: str) -> ColumnElement[bool]:
    """The condition for a text in the form that the trigram index serves."""
    return recording_text.c.text.contains(folded(wanted), autoescape=True)


def is_of(extension: Any, recordings: Any, recording_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether an extension took part in a recording.

    Args:
        recordings: the columns of a table with the tenant and the start of recordings.
        recording_id: the column with their ids.
    """
    c = recording_extension.c
    return exists().where(
        c.tenant_id == recordings.tenant_id,
        c.extension == extension,
        c.started_at == recordings.started_at,
        c.recording_id == recording_id,
    )


def _bounds_of(shape: Shape) -> list[ColumnElement[bool]]:
    """What an index of the recordings begins with."""
    c = recording.c
    bounds: list[ColumnElement[bool]] = []
    if shape.few:
        bounds.append(is_one_of(c.id, "few", shape.few))
    if "call_id" in shape.given:
        bounds.append(c.call_id == bindparam("call_id"))
    if "call" in shape.given:
        bounds.append(c.call == bindparam("call"))
    if "kind" in shape.given:
        bounds += [c.kind != _CALL, c.kind == bindparam("kind")]
    return bounds


def marks_of(given: frozenset[str], dialect: str) -> list[ColumnElement[bool]]:
    """What a call's marks must be, where a search is for calls of which something was said."""
    m = call_mark.c
    conditions: dict[str, ColumnElement[bool]] = {
        "starred": m.starred,
        "reviewed": m.reviewed_at.is_not(None),
        "tag": _holds(m.words, "tag", dialect),
        "noted": _holds(m.words, "noted", dialect),
    }
    return [condition for name, condition in conditions.items() if name in given]


def _filters_of(given: frozenset[str], dialect: str) -> list[ColumnElement[bool]]:
    """What has to be looked at call by call."""
    c, m = recording.c, call_mark.c
    said = exists().where(m.tenant_id == c.tenant_id, m.call == c.call)
    wanted = marks_of(given, dialect)
    # The index has this one of the four that are there or not together.
    conditions: dict[str, ColumnElement[bool]] = {
        "direction": c.direction == bindparam("direction"),
        "call_kind": c.kind == bindparam("call_kind"),
        "duration_min_ms": c.duration_ms >= bindparam("duration_min_ms"),
        "duration_max_ms": c.duration_ms <= bindparam("duration_max_ms"),
        "sealed": c.envelope_offset.is_not(None),
        "plain": c.envelope_offset.is_(None),
        "unstarred": ~said.where(m.starred),
        "unreviewed": ~said.where(m.reviewed_at.is_not(None)),
        "route": c.route == bindparam("route"),
    }
    chosen = [condition for name, condition in conditions.items() if name in given]
    return [*chosen, said.where(*wanted)] if wanted else chosen
