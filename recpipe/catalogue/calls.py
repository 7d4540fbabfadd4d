"""Which recordings are legs of one call, and when that call began.

A recording says by itself which call it is a leg of (`recpipe.model.call_of`), so nothing has to be found for that.
What is kept beside is the start of the first leg, `call_at`: lists of calls walk an index by it. It is put right in the
transaction that adds, changes or deletes a leg.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Integer, bindparam, func, select, update

from recpipe.catalogue.repository import Selection, is_one_of, list_size, listed
from recpipe.catalogue.rows import WITHOUT_PEAKS, recording_of
from recpipe.catalogue.tables import recording, recording_extension, recording_number
from recpipe.catalogue.types import Utc
from recpipe.catalogue.walk import is_of
from recpipe.model import Call, Direction, Recording

MOST_LEGS = 100  # of one call that are read with it
_AT_ONCE = 500
# The first half of the advisory locks of tenants' calls.
_CALLS_LOCK = 0x63616C

_MINE: BindParameter[str] = bindparam("owner")
_CALL: BindParameter[str] = bindparam("call")
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_AT: BindParameter[datetime] = bindparam("at", type_=Utc())
_leg = recording.alias("leg")
_of = (
    select(recording.c.call).where(recording.c.tenant_id == _MINE, recording.c.id.in_(_IDS)).distinct().subquery("of_")
)
# Each of the two is one step in the index, however many legs a call has.
_SPREAD = select(
    _of.c.call,
    *(
        select(end(_leg.c.call_at, type_=Utc()))
        .where(_leg.c.tenant_id == _MINE, _leg.c.call == _of.c.call)
        .scalar_subquery()
        for end in (func.min, func.max)
    ),
)
_BEGAN = select(func.min(recording.c.started_at, type_=Utc())).where(
    recording.c.tenant_id == _MINE, recording.c.call == _CALL
)
_EARLIER = select(recording.c.id).where(
    recording.c.tenant_id == _MINE, recording.c.call == _CALL, recording.c.call_at < _AT
)
_LATER = select(recording.c.id).where(
    recording.c.tenant_id == _MINE, recording.c.call == _CALL, recording.c.call_at > _AT
)
_MOVE = tuple(
    update(table).where(table.c.tenant_id == _MINE, column.in_(_IDS)).values(call_at=_AT)
    for table, column in (
        (recording, recording.c.id),
        (recording_number, recording_number.c.recording_id),
        (recording_extension, recording_extension.c.recording_id),
    )
)


def lock_calls(connection: Connection, tenant_id: str) -> None:
    """Let those who change legs of a tenant's calls wait for each other, until the end of the transaction.

    First of all locks: two that add legs of one call at the same time would not see each other's.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_CALLS_LOCK, func.hashtext(tenant_id))))


def settle_added(connection: Connection, tenant_id: str, added: Sequence[Recording]) -> None:
    """Give new recordings, and where one of them is the first also the other legs, the start of their call."""
    ids = [one.id for one in added if one.call != one.id]
    for place in range(0, len(ids), _AT_ONCE):
        asked = {"owner": tenant_id, "ids": ids[place : place + _AT_ONCE]}
        for call, first, last in connection.execute(_SPREAD, asked).all():
            if first < last:
                _move(connection, tenant_id, call, first)


def settle(connection: Connection, tenant_id: str, calls: Iterable[str]) -> None:
    """Give all legs of these calls the start of the first one, after some were changed or deleted."""
    for call in sorted(set(calls)):
        began = connection.execute(_BEGAN, {"owner": tenant_id, "call": call}).scalar_one()
        if began is not None:
            _move(connection, tenant_id, call, began)


def _move(connection: Connection, tenant_id: str, call: str, at: datetime) -> None:
    asked: dict[str, Any] = {"owner": tenant_id, "call": call, "at": at}
    ids = [*connection.execute(_LATER, asked).scalars(), *connection.execute(_EARLIER, asked).scalars()]
    for place in range(0, len(ids), _AT_ONCE):
        for statement in _MOVE:
            connection.execute(statement, {"owner": tenant_id, "ids": ids[place : place + _AT_ONCE], "at": at})


def calls_with_legs(
    connection: Connection,
    tenant_ids: Collection[str],
    calls: Sequence[str],
    *,
    extension: str = "",
    direction: Direction | None = None,
) -> list[Call]:
    """The calls with their legs, in the order asked for; one without any leg to be seen is left out.

    Args:
        extension: only legs in which this extension took part.
        direction: only legs of this direction.
    """
    tenants = sorted(tenant_ids)
    asked = listed("tenant", tenants) | {"count": MOST_LEGS}
    if extension:
        asked["extension"] = extension
    if direction is not None:
        asked["direction"] = direction.value
    given = frozenset(asked)

    counted = _number_of_legs(given, len(tenants), list_size(calls))
    counts: dict[str, int] = {}
    counts.update(map(tuple, counted.rows(connection, asked | listed("call", calls))))
    legs: dict[str, list[Recording]] = {call: [] for call in counts}
    small = [call for call, number in counts.items() if number <= MOST_LEGS]
    large = [call for call, number in counts.items() if number > MOST_LEGS]
    for some in filter(None, (small, *([call] for call in large))):
        statement = _legs_of(given, len(tenants), list_size(some), few=some is small)
        for row in statement.rows(connection, asked | listed("call", some)):
            *of_leg, call = row
            legs[call].append(recording_of(of_leg))
    return [Call(call, legs[call][0].tenant_id, tuple(legs[call]), counts[call]) for call in calls if legs.get(call)]


@lru_cache(maxsize=64)
def _number_of_legs(given: frozenset[str], tenants: int, calls: int) -> Selection:
    c = recording.c
    return Selection(select(c.call, func.count()).where(*_seen(given, tenants, calls)).group_by(c.call))


@lru_cache(maxsize=64)
def _legs_of(given: frozenset[str], tenants: int, calls: int, *, few: bool) -> Selection:
    """Legs in their order; `few`: all of them, else the first `count`."""
    c = recording.c
    rows = select(*WITHOUT_PEAKS, c.call).where(*_seen(given, tenants, calls)).order_by(c.started_at, c.id)
    return Selection(rows if few else rows.limit(bindparam("count", type_=Integer())))


def _seen(given: frozenset[str], tenants: int, calls: int) -> list[ColumnElement[bool]]:
    """Which legs are seen: of these tenants and calls, and of those of the extension and direction that are given."""
    c = recording.c
    seen = [is_one_of(c.tenant_id, "tenant", list_size(range(tenants))), is_one_of(c.call, "call", calls)]
    if "extension" in given:
        extension: BindParameter[str] = bindparam("extension")
        seen.append(is_of(extension, c, c.id))
    if "direction" in given:
        seen.append(c.direction == bindparam("direction"))
    return seen


def weight_of_calls(connection: Connection, tenant_ids: Collection[str], calls: Sequence[str]) -> tuple[int, int]:
    """How many legs these calls have, and what is stored of all of them."""
    c = recording.c
    mine = c.tenant_id.in_(sorted(tenant_ids)), c.call.in_(calls)
    weighed = select(func.count(), func.coalesce(func.sum(c.stored_bytes), 0)).where(*mine)
    count, stored_bytes = connection.execute(weighed).one()
    return int(count), int(stored_bytes)
