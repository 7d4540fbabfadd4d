"""The search form of Call Recordings: what stands in the address, understood, and what it offers to choose from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request

from recpipe import times
from recpipe.access.principal import Action
from recpipe.errors import QueryInvalid
from recpipe.messages import message
from recpipe.model import Direction, NumberMatch, RecordingKind, RecordingQuery, Tenant
from recpipe.web.dashboard.pages import Portal, Viewer
from recpipe.web.dashboard.service_choice import Chosen, chosen
from recpipe.web.search_params import SearchParams, resolve

PAGE_SIZES = (25, 50, 100)
_LONGEST = 200  # characters of anything that is typed into the search
_NAMES = (
    "call",
    "service",
    "from",
    "to",
    "find",
    "match",
    "direction",
    "kind",
    "extension",
    "route",
    "weekday",
    "hour",
    "began",
    "shortest",
    "longest",
    "sealed",
    "mark",
    "tag",
    "size",
)

# Whether they are to be starred, and reviewed.
_MARKS: Mapping[str, tuple[bool | None, bool | None]] = {
    "starred": (True, None),
    "reviewed": (None, True),
    "unreviewed": (None, False),
}

Word = TypeVar("Word", bound=StrEnum)


class FieldRefused(QueryInvalid):
    """What stands in one field of the search cannot be understood.

    Attributes:
        field: its name in the form.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search as it stands in the address; what is empty is left out, so that addresses stay short."""

    values: dict[str, str]
    cursor: str
    chosen: Chosen
    zone: str
    query: RecordingQuery
    tenant_ids: list[str] | None

    @property
    def tenant(self) -> Tenant | None:
        return self.chosen.tenant

    @property
    def size(self) -> int:
        return int(self.values.get("size", "50"))

    def address(self, path: str = "/recordings", **more: str) -> str:
        """This search at another address, from its first page unless a cursor is given."""
        query = urlencode(self.values | {name: value for name, value in more.items() if value})
        return f"{path}?{query}" if query else path


def as_typed(request: Request, portal: Portal, viewer: Viewer) -> Wanted:
    """What the form shows again, understood or not."""
    values = {
        name: value.strip()[:_LONGEST]
        for name in _NAMES
        if (value := request.query_params.get(name, "")).strip() and value.isprintable()
    }
    if "find" not in values and (number := request.query_params.get("number", "").strip()[:_LONGEST]):
        values["find"] = number  # as addresses had it before there was one box
    searchable = viewer.with_right(Action.SEARCH)
    viewer.principal.require(Action.SEARCH, searchable[0].id if searchable else None)
    meant = chosen(values.get("service", ""), searchable) or Chosen(searchable)
    zone = meant.zone(viewer.zone)
    if values.get("size", "50") not in {str(size) for size in PAGE_SIZES}:
        values.pop("size")
    match = values.get("match")
    number_match = NumberMatch(match) if match in list(NumberMatch) else NumberMatch.ENDING
    return Wanted(values, "", meant, zone, RecordingQuery(number_match=number_match), None)


def wanted_by(request: Request, portal: Portal, viewer: Viewer) -> Wanted:
    """The search of an address, understood.

    Raises:
        QueryInvalid: it cannot be; `FieldRefused` where one field is to blame.
    """
    typed = as_typed(request, portal, viewer)
    values, zone = typed.values, typed.zone
    if "service" in values and typed.chosen.ids is None:
        raise FieldRefused("service", "There is no such service. Choose one of the list.")
    _check_dates(values, zone)
    query = RecordingQuery(
        anything=values.get("find", ""),
        number_match=_one_of(NumberMatch, values.get("match"), "match") or NumberMatch.ENDING,
        direction=_one_of(Direction, values.get("direction"), "direction"),
        kind=_one_of(RecordingKind, values.get("kind"), "kind"),
        extension=values.get("extension", ""),
        route=values.get("route", ""),
        week_hours=_week_hours(values),
        of_whole_calls="began" in values,
        duration_min_ms=_length(values, "shortest"),
        duration_max_ms=_length(values, "longest"),
        sealed={"yes": True, "no": False}.get(values.get("sealed", "")),
        starred=_MARKS.get(values.get("mark", ""), (None, None))[0],
        reviewed=_MARKS.get(values.get("mark", ""), (None, None))[1],
        tag=values.get("tag", ""),
    )
    if None not in (low := query.duration_min_ms, high := query.duration_max_ms) and low > high:  # type: ignore[operator]
        raise FieldRefused("longest", "The longest call is shorter than the shortest. Swap the two lengths.")
    asked = SearchParams([], values.get("from", ""), values.get("to", ""), zone, query)
    _, understood = resolve(portal.context, viewer.principal, asked)  # which services is known already
    cursor = request.query_params.get("cursor", "")[:500]
    return Wanted(values, cursor, typed.chosen, zone, understood, typed.chosen.ids)


def params_of(wanted: Wanted, viewer: Viewer) -> SearchParams:
    """The search as exports take it.

    Raises:
        QueryInvalid: it is no search but one call.
    """
    if "call" in wanted.values:
        raise QueryInvalid("One call is downloaded by itself.")
    names = {t.id: t.name for t in viewer.tenants}
    first, last = wanted.values.get("from", ""), wanted.values.get("to", "")
    return SearchParams([names[t] for t in wanted.tenant_ids or ()], first, last, wanted.zone, wanted.query)


def is_cheap(wanted: Wanted) -> bool:
    """Whether counting reads an index only: rows that must be looked at one by one are not counted."""
    query = wanted.query
    looked_at = (query.direction, query.sealed, query.duration_min_ms, query.duration_max_ms, query.extension or None)
    # The other kinds have an index.
    walked_past = query.anything or query.route or query.week_hours or query.kind is RecordingKind.CALL
    said = (query.starred, query.reviewed, query.tag or None)
    return not walked_past and all(part is None for part in (*looked_at, *said))


def presets(portal: Portal, zone: str) -> list[tuple[str, str, str]]:
    """Label, first and last day."""
    today = portal.parts.clock().astimezone(ZoneInfo(zone)).date()
    monday = today - timedelta(days=today.weekday())
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    ranges = (
        (message("Today"), today, today),
        (message("Yesterday"), today - timedelta(days=1), today - timedelta(days=1)),
        (message("This week"), monday, today),
        (message("Last week"), monday - timedelta(days=7), monday - timedelta(days=1)),
        (message("Last 30 days"), today - timedelta(days=29), today),
        (message("This month"), month, today),
        (message("Last month"), before.replace(day=1), before),
    )
    return [
        (message("Any time"), "", ""),
        *((label, first.isoformat(), last.isoformat()) for label, first, last in ranges),
    ]


def _one_of(kind: type[Word], word: str | None, field: str) -> Word | None:
    if not word:
        return None
    try:
        return kind(word)
    except ValueError:
        raise FieldRefused(
            field, message("{word!r} is no {field}. Choose one of the list.", word=word[:20], field=field)
        ) from None


def _check_dates(values: Mapping[str, str], zone: str) -> None:
    moments = {}
    for field, whole_day in (("from", False), ("to", True)):
        if typed := values.get(field):
            try:
                moments[field] = times.from_iso(typed, ZoneInfo(zone), whole_day=whole_day)
            except ValueError:
                raise FieldRefused(field, "This is no date. Write one such as 2025-03-27.") from None
    if len(moments) == 2 and moments["from"] >= moments["to"]:
        raise FieldRefused("to", "The last day is before the first. Swap the two dates.")


def _week_hours(values: Mapping[str, str]) -> tuple[int, ...]:
    for field, days, hours in (("weekday", values.get("weekday", ""), ""), ("hour", "", values.get("hour", ""))):
        try:
            times.week_hours(days, hours)
        except ValueError as error:
            raise FieldRefused(field, error.args[0]) from None
    return times.week_hours(values.get("weekday", ""), values.get("hour", ""))


_LENGTH = re.compile(
    r"(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d{1,2})|(?:(?P<hours>\d+)\s*h)?\s*(?:(?P<minutes>\d+)\s*m(?:in)?)?\s*"
    r"(?:(?P<seconds>\d+(?:[.,]\d+)?)\s*(?:s(?:ec)?)?)?",
    re.IGNORECASE,
)


def _length(values: Mapping[str, str], field: str) -> int | None:
    """Milliseconds of a length as people write it: 90, 1:30, 1:02:03, 2 min, 1 h 5 m."""
    typed = values.get(field)
    if not typed:
        return None
    read = _LENGTH.fullmatch(typed) if typed.isascii() else None
    if read is None:
        raise FieldRefused(field, "This is no length. Write minutes and seconds such as 1:30, or seconds such as 90.")
    part = {name: float((found or "0").replace(",", ".")) for name, found in read.groupdict().items()}
    hours, minutes, seconds = (part[a] + part[b] for a, b in (("h", "hours"), ("m", "minutes"), ("s", "seconds")))
    return min(round((hours * 3600 + minutes * 60 + seconds) * 1000), 10**10)
