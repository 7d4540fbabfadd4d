"""Reports > Statistics: how much is called, when, by whom and with whom; each figure leads to its calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.completeness.report import MOST_DAYS as MOST_JUDGED_DAYS
from recpipe.completeness.report import Asked, total
from recpipe.errors import NotFound, QueryInvalid, SearchTooLong
from recpipe.languages import number, said, written
from recpipe.messages import Message, message
from recpipe.model import HERE, CallState, Dimension, Sum, Tenant, ValueSum
from recpipe.recordings.figures import MOST_VALUES, Edges, Figures, Range
from recpipe.times import WEEKDAYS
from recpipe.web.csv_stream import csv_stream
from recpipe.web.dashboard import charts, filters
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer
from recpipe.web.dashboard.service_choice import Chosen, chosen, offered
from recpipe.web.delivery import Generated, Streamed, disposition
from recpipe.web.routes import page_router

_NAMES = ("service", "from", "to", "show")
SHOWN = (("calls", message("Calls")), ("minutes", message("Minutes")))
TITLES = {
    Dimension.DIRECTION: message("Directions"),
    Dimension.EXTENSION: message("Extensions"),
    Dimension.ROUTE: message("Routes"),
    Dimension.CALLED: message("Numbers that were called"),
    Dimension.NUMBER: message("Numbers of others"),
}
_MOST_DAYS_APART, _MOST_WEEKS_APART = 92, 731  # days of a range that are drawn one by one, or by week

router = page_router()


@dataclass(frozen=True, slots=True)
class Looked:
    """What is looked at, and how it stands in the address."""

    values: dict[str, str]
    asked: Range
    chosen: Chosen

    @property
    def tenant(self) -> Tenant | None:
        return self.chosen.tenant

    @property
    def tenant_ids(self) -> list[str] | None:
        return self.chosen.ids

    def address(self, path: str = "/statistics", **more: str) -> str:
        query = urlencode({name: value for name, value in (self.values | more).items() if value})
        return f"{path}?{query}" if query else path

    def calls(self, of: Tenant | None = None, **more: str) -> str:
        """The list of the calls behind a figure.

        Args:
            of: the one tenant whose calls they are.
        """
        first, last = self.asked.first.isoformat(), self.asked.last.isoformat()
        if of is not None and self.chosen.several_zones:  # days on the clock of that service would be others
            first, last = f"{first}T00:00:00Z", f"{self.asked.last + timedelta(days=1)}T00:00:00Z"
        values = {
            "service": of.name if of else self.values.get("service", self.tenant.name if self.tenant else ""),
            "from": first,
            "to": last,
            "kind": "call",
            **more,
            "began": "yes",
        }
        return f"/recordings?{urlencode({name: value for name, value in values.items() if value})}"


@dataclass(frozen=True, slots=True)
class Row:
    """A value in a list of those with most calls."""

    label: str
    service: str
    calls: int
    duration_ms: int
    per_cent: float  # of the first one
    link: str


@router.get("/statistics")
def statistics(request: Request, portal: ThePortal, viewer: SignedIn) -> Response:
    """All figures of a range."""
    looked = _looked(request, portal, viewer)
    who, report = viewer.principal, portal.parts.figures
    found = report.of(who, looked.tenant_ids, looked.asked)
    tops: dict[Dimension, list[Row] | None] = {}
    edges: Edges | None = None
    for dimension in Dimension:
        try:
            edges = edges or report.edges(who, looked.tenant_ids, looked.asked)
            best = report.top(who, looked.tenant_ids, looked.asked, dimension, edges=edges)
            tops[dimension] = _rows(viewer, looked, dimension, best)
        except SearchTooLong:
            tops[dimension] = None
    try:
        listeners = report.listeners(who, looked.tenant_ids, looked.asked)
    except SearchTooLong:
        listeners = ()
    minutes = looked.values.get("show") == "minutes"
    parts = _parts(found, looked)
    return portal.page(
        request,
        "statistics.html",
        viewer,
        looked=looked,
        found=found,
        total=found.total,
        chart=charts.bars([_point(*part, minutes=minutes) for part in parts]),
        parts=parts,
        hours=_hours(found),
        heat=_heat(found, looked),
        weekdays=WEEKDAYS,
        tops=tops,
        titles=TITLES,
        shown=SHOWN,
        presets=presets(portal, looked.asked.zone),
        offered=offered(viewer.with_right(Action.SEARCH)),
        listeners=listeners,
        may_audit=viewer.may("audit"),
        recorded=_recorded(portal, viewer, looked),
        length=filters.length,
    )


@router.get("/statistics/export.csv")
def export(request: Request, portal: ThePortal, viewer: SignedIn, of: str = "days") -> Response:
    """One of the figures, every row of it."""
    looked = _looked(request, portal, viewer)
    columns, rows = _table(portal, viewer, looked, of)
    whose = looked.tenant.name if looked.tenant else looked.chosen.group or "all"
    name = f"statistics-{whose}-{looked.asked.first}-{looked.asked.last}-{of}.csv"
    headers = {"content-type": "text/csv; charset=utf-8", "content-disposition": disposition("attachment", name)}
    streams = portal.context.streams
    return Streamed(Generated(csv_stream(columns, [rows])), streams, streams.place(viewer.principal), 200, headers)


def presets(portal: Portal, zone: str) -> list[tuple[str, str, str]]:
    """Label, first and last day."""
    today = portal.parts.clock().astimezone(ZoneInfo(zone)).date()
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    ranges = (
        (message("Last 7 days"), today - timedelta(days=6), today),
        (message("Last 30 days"), today - timedelta(days=29), today),
        (message("Last 90 days"), today - timedelta(days=89), today),
        (message("This month"), month, today),
        (message("Last month"), before.replace(day=1), before),
        (message("This year"), today.replace(month=1, day=1), today),
    )
    return [(label, first.isoformat(), last.isoformat()) for label, first, last in ranges]


def _looked(request: Request, portal: Portal, viewer: Viewer) -> Looked:
    """What the address asks for.

    Raises:
        Forbidden: the person may search nothing.
        NotFound: there is no such service, or it is nothing to this person.
        QueryInvalid: a date is none, or the range is.
    """
    values = {name: value[:200] for name in _NAMES if (value := request.query_params.get(name, "").strip())}
    searchable = viewer.with_right(Action.SEARCH)
    viewer.principal.require(Action.SEARCH, searchable[0].id if searchable else None)
    only = searchable[0].name if len(searchable) == 1 else ""
    meant = chosen(values.get("service", only), searchable)
    if meant is None:
        raise NotFound("service", values["service"])
    zone = meant.zone("UTC")
    last = _day(values.get("to")) or portal.parts.clock().astimezone(ZoneInfo(zone)).date()
    try:
        first = _day(values.get("from")) or last - timedelta(days=29)
    except OverflowError:
        raise QueryInvalid("There are no days before the year 1.") from None
    asked = Range(first, last, zone)
    values |= {"from": first.isoformat(), "to": last.isoformat()}
    return Looked(values, asked, meant)


def _day(typed: str | None) -> date | None:
    try:
        return date.fromisoformat(typed) if typed else None
    except ValueError:
        raise QueryInvalid("A date is written as 2025-03-27.") from None


def _parts(found: Figures, looked: Looked) -> list[tuple[str, str, Sum, str]]:
    """Label, short label, sum and link of each day; of weeks or months where there are many days."""
    days = looked.asked.days
    parts: list[tuple[date, date, Sum]] = []
    for day, each in found.days:
        if parts and (
            (days > _MOST_WEEKS_APART and day.day != 1)
            or (_MOST_DAYS_APART < days <= _MOST_WEEKS_APART and day.weekday() != 0)
        ):
            first, _, so_far = parts[-1]
            parts[-1] = first, day, so_far + each
        else:
            parts.append((day, day, each))
    return [
        (
            written(first, "%a %-d %b %Y")
            if first == last
            else said(message("{first} to {last}", first=written(first, "%-d %b"), last=written(last, "%-d %b %Y"))),
            written(first, "%-d %b" if days <= _MOST_WEEKS_APART else "%b %Y"),
            each,
            looked.calls(None, **{"from": first.isoformat(), "to": last.isoformat()}),
        )
        for first, last, each in parts
    ]


def _point(label: str, short: str, each: Sum, link: str, *, minutes: bool) -> charts.Point:
    value = round(each.duration_ms / 60_000, 1) if minutes else each.calls
    return charts.Point(label, short, value, said(_amount(value, minutes=minutes)), link)


def _amount(value: float, *, minutes: bool) -> Message:
    written_so = number(value)
    return message("{amount} minutes", amount=written_so) if minutes else message("{amount} calls", amount=written_so)


def _hours(found: Figures) -> list[int]:
    """The hours of the day that have calls, and all between them."""
    busy = [hour % 24 for hour, each in enumerate(found.hours) if each.calls]
    return list(range(min(busy), max(busy) + 1)) if busy else []


def _heat(found: Figures, looked: Looked) -> list[tuple[int, int, str]]:
    """Calls, level and link of each hour of the week."""
    highest = max(each.calls for each in found.hours)
    return [
        (
            each.calls,
            charts.level(each.calls, highest),
            looked.calls(weekday=WEEKDAYS[hour // 24], hour=str(hour % 24)) if each.calls else "",
        )
        for hour, each in enumerate(found.hours)
    ]


def _rows(viewer: Viewer, looked: Looked, dimension: Dimension, values: Sequence[ValueSum]) -> list[Row]:
    tenants = {one.id: one for one in viewer.with_right(Action.SEARCH)}
    values = _of_all(values) if dimension is Dimension.DIRECTION else values
    return [
        Row(
            filters.WORDS[one.value] if dimension is Dimension.DIRECTION else one.value,
            "" if looked.tenant or not one.tenant_id else tenants[one.tenant_id].title,
            one.calls,
            one.duration_ms,
            round(100 * one.calls / values[0].calls, 1),
            looked.calls(None if looked.tenant else tenants.get(one.tenant_id), **_filter(dimension, one.value)),
        )
        for one in values
    ]


def _of_all(values: Iterable[ValueSum]) -> list[ValueSum]:
    """The same value of several tenants is one."""
    sums: dict[str, ValueSum] = {}
    for one in values:
        was = sums.get(one.value)
        sums[one.value] = ValueSum(
            "", one.value, one.calls + (was.calls if was else 0), one.duration_ms + (was.duration_ms if was else 0)
        )
    return sorted(sums.values(), key=lambda one: -one.calls)


def _filter(dimension: Dimension, value: str) -> Mapping[str, str]:
    """What the search calls it."""
    match dimension:
        case Dimension.CALLED:
            return {"find": value, "match": "exact", "direction": "inbound"}
        case Dimension.NUMBER:
            return {"find": value, "match": "exact"}
        case _:
            return {dimension.value: value}


def _recorded(portal: Portal, viewer: Viewer, looked: Looked) -> tuple[int, int] | None:
    """How many calls should have been recorded and were, and how many should have been; None where nothing tells."""
    if looked.tenant is None or looked.asked.days > MOST_JUDGED_DAYS:
        return None
    asked = Asked(looked.asked.first, looked.asked.last)
    counts = total(portal.parts.completeness.days(viewer.principal, looked.tenant, asked))
    arrived = sum(counts.get(state.value, 0) for state in HERE)
    lost = sum(counts.get(state.value, 0) for state in (CallState.MISSING, CallState.UNCONFIRMED))
    return (arrived, arrived + lost) if arrived + lost else None


def _table(portal: Portal, viewer: Viewer, looked: Looked, of: str) -> tuple[Sequence[str], list[Sequence[object]]]:
    """Columns and rows of one of the figures.

    Raises:
        QueryInvalid: there is no such figure.
    """
    report, who = portal.parts.figures, viewer.principal
    if of in ("days", "hours"):
        found = report.of(who, looked.tenant_ids, looked.asked)
        sums = ("calls", "recordings", "seconds", "longest_seconds", "stored_bytes", "sealed")
        if of == "days":
            return ("day", *sums), [(day.isoformat(), *_numbers(each)) for day, each in found.days]
        return ("weekday", "hour", *sums), [
            (WEEKDAYS[hour // 24], hour % 24, *_numbers(each)) for hour, each in enumerate(found.hours)
        ]
    if of == "listeners":
        listeners = report.listeners(who, looked.tenant_ids, looked.asked, MOST_VALUES)
        return ("who", "plays", "downloads"), [(one.actor, one.plays, one.downloads) for one in listeners]
    if of not in list(Dimension):
        raise QueryInvalid("There is no such figure. Choose days, hours, listeners, or what calls are told apart by.")
    names = {one.id: one.name for one in viewer.tenants}
    values = report.top(who, looked.tenant_ids, looked.asked, Dimension(of), MOST_VALUES)
    return ("service", of, "calls", "seconds"), [
        (names[one.tenant_id], one.value, one.calls, round(one.duration_ms / 1000)) for one in values
    ]


def _numbers(each: Sum) -> tuple[int, ...]:
    seconds, longest = round(each.duration_ms / 1000), round(each.longest_ms / 1000)
    return each.calls, each.recordings, seconds, longest, each.stored_bytes, each.sealed
