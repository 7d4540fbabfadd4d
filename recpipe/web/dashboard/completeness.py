"""Reports > Completeness: was it recorded?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.completeness.report import Asked, total
from recpipe.errors import QueryInvalid
from recpipe.messages import message
from recpipe.model import BY_THE_PBX, EXCUSES, FINDINGS, HERE, CallState, DayCompleteness, Finding, Tenant
from recpipe.web.api.completeness import as_csv
from recpipe.web.completeness_csv import Of
from recpipe.web.dashboard import filters
from recpipe.web.dashboard.addons import chosen
from recpipe.web.dashboard.pages import Portal, SignedIn, ThePortal, Viewer
from recpipe.web.routes import page_router

_NAMES = ("service", "from", "to", "kind", "rule", "open")
_PAGE = 50

WORDS = {
    CallState.MISSING: message("Missing"),
    CallState.IN_ERROR: message("Recorded in error"),
    CallState.DIFFERS: message("Length differs"),
    CallState.NO_CALL_RECORD: message("No call record"),
    CallState.UNCONFIRMED: message("Unconfirmed"),
}
MEANINGS = {
    CallState.MISSING: message("It should be there and is not."),
    CallState.IN_ERROR: message("It is there, though the PBX was told to skip the call."),
    CallState.DIFFERS: message("It is there, and much shorter or longer than the PBX says."),
    CallState.NO_CALL_RECORD: message("It is there, and no call detail record tells of the call."),
    CallState.UNCONFIRMED: message("The PBX was told to record; neither recording nor call detail record came."),
}
_DIRECTIONS = {"inbound": message("inbound"), "outbound": message("outbound"), "internal": message("internal")}
_GRAVE = (CallState.MISSING, CallState.IN_ERROR)

router = page_router()


@dataclass(frozen=True, slots=True)
class Row:
    """A finding, and where it leads.

    Attributes:
        lasted: how long it was open, in words; "" while it is.
        recording: id of its recording, where the person may find that.
        call: an id by which recordings of the same call are searched for.
    """

    finding: Finding
    lasted: str
    recording: str
    call: str


@router.get("/completeness")
def completeness(request: Request, portal: ThePortal, viewer: SignedIn, cursor: str = "") -> Response:
    """Counts by day and rule, and what is not as it should be."""
    tenant, values, asked = _asked(request, portal, viewer)
    report, who = portal.parts.completeness, viewer.principal
    days = report.days(who, tenant, asked)
    found = report.findings(who, tenant, asked, cursor or None, _PAGE)
    known = portal.parts.reader.findable(who, {one.recording_id for one in found.items if one.recording_id})
    return portal.page(
        request,
        "completeness.html",
        viewer,
        tenant=tenant,
        choices=viewer.with_right(Action.SEARCH),
        values=values,
        asked=asked,
        days=sorted(days, key=lambda one: (one.day, one.rule), reverse=True),
        sums=_sums(days),
        rows=[_row(one, one.recording_id if one.recording_id in known else "") for one in found.items],
        found=found,
        kinds=FINDINGS,
        grave=_GRAVE,
        kind_words=WORDS,
        meanings=MEANINGS,
        rule_words=rule_words,
        address=lambda path, **more: f"{path}?{urlencode(_without_empty(values | more))}",
    )


@router.get("/completeness/export.csv")
def export(request: Request, portal: ThePortal, viewer: SignedIn, of: Of = Of.FINDINGS) -> Response:
    """The findings of the filter, or the counts of its days."""
    tenant, _, asked = _asked(request, portal, viewer)
    return as_csv(portal.context, viewer.principal, tenant, asked, of)


def rule_words(rule: str) -> str:
    """A rule as people speak of it."""
    kind, _, rest = rule.partition(":")
    if kind == "route":
        return message("Route {route}", route=rest)
    if kind == "extension":
        extension, _, direction = rest.rpartition(":")
        return message(
            "Extension {extension}, {direction}", extension=extension, direction=_DIRECTIONS.get(direction, direction)
        )
    words = {"service": message("The service"), BY_THE_PBX: message("As the PBX says"), "": message("Nothing said")}
    return words.get(rule, rule)


def _asked(request: Request, portal: Portal, viewer: Viewer) -> tuple[Tenant, dict[str, str], Asked]:
    """Whose report, what was typed, and what that asks for.

    Raises:
        NotFound, Forbidden: the person may not search that service's recordings.
        QueryInvalid: a date is none.
    """
    values = {name: value[:250] for name in _NAMES if (value := request.query_params.get(name, "").strip())}
    tenant = chosen(portal, viewer, values.get("service", ""), Action.SEARCH)
    kind = values.get("kind")
    asked = portal.parts.completeness.asked(
        tenant,
        _day(values.get("from")),
        _day(values.get("to")),
        kind=CallState(kind) if kind in FINDINGS else None,
        rule=None if "rule" not in values else "" if values["rule"] == "-" else values["rule"],
        only_open=values.get("open") == "yes",
    )
    return tenant, values | {"service": tenant.name, "from": str(asked.first), "to": str(asked.last)}, asked


def _day(typed: str | None) -> date | None:
    try:
        return date.fromisoformat(typed) if typed else None
    except ValueError:
        raise QueryInvalid("A date is written as 2025-03-27.") from None


def _sums(days: Sequence[DayCompleteness]) -> dict[str, int]:
    counts = total(days)

    def of(*states: CallState) -> int:
        return sum(counts.get(state.value, 0) for state in states)

    lost = (CallState.MISSING, CallState.UNCONFIRMED)
    return {
        "expected": of(*HERE, *EXCUSES, *lost),
        "arrived": of(*HERE),
        "excused": of(*EXCUSES),
        **{kind.value: of(kind) for kind in FINDINGS},
    }


def _row(finding: Finding, recording: str) -> Row:
    lasted = "" if finding.closed_at is None else filters.ago(finding.opened_at, finding.closed_at).removesuffix(" ago")
    return Row(finding, lasted, recording, "" if recording else finding.linked_id or finding.call_id)


def _without_empty(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
