"""The list of calls as its template shows it: days, calls, and the legs of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from zoneinfo import ZoneInfo

from recpipe import languages
from recpipe.model import FORMATS, Call, Page, Recording, Tenant
from recpipe.web.dashboard.pages import Viewer
from recpipe.web.playable import needs_conversion


@dataclass(frozen=True, slots=True)
class Row:
    """One recording as the list shows it."""

    recording: Recording
    tenant: Tenant
    kind: str  # media type of what is inside
    may_play: bool
    may_download: bool
    may_annotate: bool
    may_share: bool
    may_delete: bool

    @property
    def on(self) -> date:
        """The day of the call on the clock of its service."""
        return self.recording.started_at.astimezone(ZoneInfo(self.tenant.timezone)).date()

    @property
    def source(self) -> str:
        """What the player plays."""
        what = "playable" if needs_conversion(self.recording) else "media"
        return f"/recordings/{self.recording.id}/{what}"

    @property
    def plain_name(self) -> str:
        name = self.recording.name
        return name.removesuffix(".enc") if self.recording.sealed else name


def rows_of(found: Iterable[Recording], viewer: Viewer) -> Iterable[Row]:
    """Recordings with what the viewer may do with each."""
    tenants = {t.id: t for t in viewer.tenants}
    for recording in found:
        tenant = tenants[recording.tenant_id]
        kind = FORMATS[recording.audio.container].media_type
        may = (viewer.may(action, tenant) for action in ("play", "download", "annotate", "share", "delete"))
        yield Row(recording, tenant, kind, *may)


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as the list shows it: a line of its own above those of its legs, where it has several."""

    call: Call
    legs: list[Row]

    @property
    def first(self) -> Row:
        return self.legs[0]

    @property
    def several(self) -> bool:
        return self.call.leg_count > 1

    @property
    def duration_ms(self) -> int:
        """How long it is to be listened to: its legs one after another."""
        return sum(leg.recording.duration_ms for leg in self.legs)

    @property
    def stored_bytes(self) -> int:
        return sum(leg.recording.stored_bytes for leg in self.legs)

    @property
    def sealed(self) -> int:
        """How many of its legs are sealed."""
        return sum(leg.recording.sealed for leg in self.legs)

    @property
    def extensions(self) -> list[str]:
        """Those of all legs, each once, in the order in which they took part."""
        facts = (leg.recording.facts for leg in self.legs)
        return list(dict.fromkeys(one for each in facts for one in (each.extension, *each.more_extensions) if one))


@dataclass(frozen=True, slots=True)
class Day:
    """The calls of one day, as far as they are on this page."""

    date: date
    calls: list[CallRow]
    whole: bool  # no call of that day is on another page

    @property
    def label(self) -> str:
        return languages.written(self.date, "%a %-d %b %Y")


def days_of(found: Page[Call], zone_name: str, cursor: str, viewer: Viewer) -> list[Day]:
    """The page by days on the clock that its dates are of: those on which the calls began.

    Args:
        cursor: "" on the first page.
    """
    zone = ZoneInfo(zone_name)
    calls = (CallRow(call, list(rows_of(call.legs, viewer))) for call in found.items)
    by_day = groupby(calls, lambda row: row.call.started_at.astimezone(zone).date())
    days = [(day, list(rows)) for day, rows in by_day]
    first_may_be_cut, last_may_be_cut = bool(cursor), found.next_cursor is not None
    return [
        Day(day, rows, not (first_may_be_cut and n == 0) and not (last_may_be_cut and n == len(days) - 1))
        for n, (day, rows) in enumerate(days)
    ]
