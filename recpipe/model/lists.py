"""What is asked of the catalogue, and what lists and searches give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from recpipe.model.recording import Direction, Recording, RecordingKind

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, and where the next ones start."""

    items: tuple[Item, ...]
    next_cursor: str | None = None  # opaque; None on the last page
    # Of a search that was not ended: what lies behind this moment was not looked at; `next_cursor` goes on there.
    searched_to: datetime | None = None


class NumberMatch(StrEnum):
    """How a number is looked for. A full number, however it is written and typed, is found in all three ways."""

    EXACT = "exact"
    ENDING = "ending"  # two digits or more
    CONTAINING = "containing"  # three digits or more


@dataclass(frozen=True, slots=True)
class RecordingQuery:
    """What to look for; every part that is set must hold."""

    started_from: datetime | None = None  # inclusive
    started_before: datetime | None = None  # exclusive
    number: str = ""  # caller or callee, as a person types it
    number_match: NumberMatch = NumberMatch.EXACT
    # A number, name, extension or call id, or a name and a number: see `catalogue.anything`.
    anything: str = ""
    direction: Direction | None = None
    kind: RecordingKind | None = None
    extension: str = ""
    route: str = ""
    # Hours of the week in which it began, on the clock of `timezone`: 0 is Monday from midnight to one. Empty: any.
    week_hours: tuple[int, ...] = ()
    timezone: str = "UTC"
    # Of calls: times are those at which they began, not those of their legs.
    of_whole_calls: bool = False
    duration_min_ms: int | None = None  # inclusive
    duration_max_ms: int | None = None  # inclusive
    text: str = ""  # in the file name or the name of a party, upper and lower case alike
    call_id: str = ""
    call: str = ""  # id of the call that it is a leg of
    sealed: bool | None = None
    starred: bool | None = None
    reviewed: bool | None = None
    tag: str = ""  # one of its tags, upper and lower case alike
    noted: str = ""  # in the note or the tags, upper and lower case alike
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A search that a person keeps under a name."""

    id: str
    name: str
    query: str  # as it stands in an address


@dataclass(frozen=True, slots=True)
class CappedCount:
    count: int
    capped: bool = False  # True: there are more than `count`, or there may be: not everything was looked at


@dataclass(frozen=True, slots=True)
class FoundTotal:
    """What a search finds in all."""

    count: int
    stored_bytes: int  # of those counted
    capped: bool = False  # as in `CappedCount`
    recordings: int = 0  # that those counted have: of calls, all their legs


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one recording handed to the catalogue."""

    recording: Recording  # as the catalogue has it: the name may differ, and so does the object key of an older row
    new: bool  # False: it was there already
    deleted: bool = False  # it was there once and was deleted: nothing was added, `recording` is what was handed in

    @property
    def object_key(self) -> str:
        """The object that the catalogue speaks of; any other of this recording is to be removed. Empty when deleted."""
        return "" if self.deleted else self.recording.object_key


class DayEntry(NamedTuple):
    """What a folder listing needs of a recording. A tuple: 100,000 of them are made for one folder."""

    id: str
    name: str
    stored_bytes: int
    stored_sha256: str
    started_at: datetime
    linked_id: str = ""


class CallEntry(NamedTuple):
    """Which call a recording of a folder is a leg of."""

    name: str
    started_at: datetime
    linked_id: str
    call: str


@dataclass(frozen=True, slots=True)
class DayTotal:
    day: str  # YYYY-MM-DD, the folder
    recordings: int
    stored_bytes: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a deleted recording: enough to prove the deletion, and no number or name."""

    id: str
    tenant_id: str
    day: str
    object_key: str
    stored_sha256: str
    deleted_at: datetime
    deleted_by: str
    reason: str = ""
    remains: str = ""  # what the store did not let go of, in words; known to who deletes alone
