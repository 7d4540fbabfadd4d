"""KAZOO's call detail records, as files of what its API answers: a folder that something fetches them into.

Read are the legs themselves (`cdrs/ID`, `cdrs/legs/ID`, the documents of the database), the list of them (`cdrs`, as
JSON or CSV) and the documents of recordings (`recordings`); one of them, a list, an answer with its `data`, `rows` of
a view, or one a line. A folder below may be named after the account, which the list does not say.

A document and the list differ where it matters: `timestamp` is the end of the leg in the one and its start in the
other. A direction is the switch's, not the tenant's: "inbound" is also a desk phone that calls out.

Source: KAZOO 4.3, cdr_channel_destroy, cb_cdrs and kzd_cdrs (times are seconds since the year 0; CSV without any
quotation marks), kzc_recording (the document of a recording), ecallmgr_call_command (`Media-Recordings`, `Media-Names`
of a channel on which a recording was begun).
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recpipe import log as logs
from recpipe.errors import Unfit
from recpipe.model import KEEP_CALL_RECORDS, CallFacts, Direction
from recpipe.spool.files import plain, read_small, safe_text
from recpipe.spool.grammar import direction_by_extensions, looks_like_extension, only_extensions
from recpipe.spool.told_calls import ToldCall
from recpipe.times import from_gregorian

_log = logs.get(__name__)

LIMIT_BYTES = 64 * 1024 * 1024
LEGS_KEPT = 200_000
_YOUNG_SECONDS = 60  # a file that cannot be read and is younger may be half written
_LONG_LOOK_SECONDS = 0.05  # after one of so long nobody looks again for 20 times that
_LONGEST_SECONDS = 30 * 24 * 3600
_MOST_RECORDINGS = 20  # of one leg
_LONG_NUMBER = 20  # digits

_RECORDING_ID = re.compile(r"[0-9]{6}-[0-9a-f]{32}")
_MEDIUM = re.compile(r"([0-9a-f]{32})\.[a-z0-9]{2,4}")


@dataclass(frozen=True, slots=True)
class _Leg:
    """One leg as far as a record tells of it.

    Attributes:
        rank: the document of a leg says more of it than the list does, and that more than the document of a recording.
    """

    rank: int
    call_id: str
    linked_id: str
    started_at: datetime | None
    seconds_ms: int | None
    answered: bool
    recording_ms: int | None
    direction: Direction
    caller: str
    callee: str
    caller_name: str
    callee_name: str
    extensions: tuple[str, ...]
    account: str
    recordings: tuple[str, ...]
    media: tuple[str, ...]


class KazooCdr:
    """Follows a folder of records; remembers the newest legs by call id and by the names of media. Thread-safe."""

    def __init__(self, folder: Path, timezone: str, legs_kept: int = LEGS_KEPT) -> None:
        self._folder = folder
        self._timezone = timezone
        self._legs_kept = legs_kept
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[int, int]] = {}  # size and time of those that were read
        self._said: set[Path] = set()  # that they cannot be read: once is enough
        self._legs: OrderedDict[str, _Leg] = OrderedDict()
        self._media: OrderedDict[str, _Leg] = OrderedDict()
        self._owners: OrderedDict[str, str] = OrderedDict()  # of recordings: the leg that first told of each
        self._seen: dict[int, None] = {}  # records that were read lately: what is fetched overlaps
        self._told: OrderedDict[int, ToldCall] = OrderedDict()
        self._known: set[ToldCall] = set()  # those of them
        self._number = 0
        self._look_at = 0.0

    def facts(self, call_id: str) -> CallFacts | None:
        """Facts of the leg with this call id, or with a recording of this name; None when no record tells of it yet."""
        with self._lock:
            self._refresh()
            leg = self._legs.get(call_id) or self._media.get(call_id.lower())
        if leg is None:
            return None
        return CallFacts(
            started_at=leg.started_at,
            timezone=self._timezone,
            duration_ms=leg.seconds_ms,
            direction=leg.direction,
            caller=leg.caller,
            callee=leg.callee,
            caller_name=leg.caller_name,
            callee_name=leg.callee_name,
            extension=leg.extensions[0] if leg.extensions else "",
            more_extensions=leg.extensions[1:],
            call_id=leg.call_id,
            linked_id=leg.linked_id,
            tenant_hint=leg.account,
        )

    @staticmethod
    def beginning(since: datetime) -> int:
        """The place from which `after` gives all calls of a time, and perhaps earlier ones."""
        return 0

    def after(self, mark: int, most: int) -> tuple[list[ToldCall], int]:
        """What was read after a place, in order, and the next place. Begin with 0.

        Args:
            most: at most so many at once.
        """
        with self._lock:
            self._refresh()
            first = max(mark, self._number - len(self._told))
            last = min(self._number, first + most)
            return [self._told[number] for number in range(first + 1, last + 1)], last

    # --- following the folder -------------------------------------------------------------------------------

    def _refresh(self) -> None:
        began = time.monotonic()
        if began < self._look_at:
            return
        for path, account, state in sorted(self._changed(), key=lambda one: (one[2][1], one[0])):
            try:
                records = list(_records(path, read_small(path, LIMIT_BYTES)))
            except (OSError, ValueError, RecursionError, Unfit) as error:
                if time.time() - state[1] / 1e9 > _YOUNG_SECONDS:
                    self._files[path] = state
                    self._say(path, error)
                continue
            self._files[path] = state
            for record in records:
                said = hash((account, repr(record)))
                if said not in self._seen and (leg := _leg(record, account)) is not None:
                    self._take(leg)
                self._seen[said] = None
            while len(self._seen) > self._legs_kept:
                del self._seen[next(iter(self._seen))]
        taken = time.monotonic() - began
        self._look_at = began + 20 * taken if taken > _LONG_LOOK_SECONDS else 0.0

    def _changed(self) -> Iterator[tuple[Path, str, tuple[int, int]]]:
        """Files that are new or were written since, each with the account that its folder is named after."""
        oldest = time.time() - KEEP_CALL_RECORDS.total_seconds()
        there = set()
        for path, account in self._listed():
            there.add(path)
            try:
                found = path.lstat()
            except OSError:
                continue
            state = (found.st_size, found.st_mtime_ns)
            if stat.S_ISREG(found.st_mode) and found.st_mtime > oldest and self._files.get(path) != state:
                yield path, account, state
        self._files = {path: state for path, state in self._files.items() if path in there}
        self._said &= there

    def _listed(self) -> Iterator[tuple[Path, str]]:
        folders = []
        for entry in _entries(self._folder):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry)
            elif entry.name.endswith((".json", ".csv")):
                yield Path(entry.path), ""
        for folder in folders:
            for entry in _entries(folder.path):
                if entry.name.endswith((".json", ".csv")):
                    yield Path(entry.path), plain(folder.name)

    def _say(self, path: Path, error: Exception) -> None:
        if path not in self._said:
            self._said.add(path)
            _log.warning("call detail records unreadable", file=safe_text(path.name), why=type(error).__name__)

    def _take(self, leg: _Leg) -> None:
        for medium in leg.media:
            _keep(self._media, medium, leg, self._legs_kept)
        before = self._legs.get(leg.call_id)
        if before is None or leg.rank >= before.rank:
            _keep(self._legs, leg.call_id, leg, self._legs_kept)
        elif leg.recording_ms is None:
            return  # the list, of a leg whose document was read
        if leg.started_at is None:
            return
        owners = [self._owners.setdefault(recording, leg.call_id) for recording in leg.recordings]
        while len(self._owners) > self._legs_kept:
            self._owners.popitem(last=False)
        owner = leg.call_id if leg.call_id in owners else next(iter(owners), "")
        told = ToldCall(
            tenant_hint=leg.account,
            call_id=leg.call_id,
            linked_id=leg.linked_id,
            started_at=leg.started_at,
            talk_ms=leg.seconds_ms or 0,
            answered=leg.answered,
            recording_ms=leg.recording_ms,
            direction=leg.direction,
            extension=leg.extensions[0] if leg.extensions else "",
            says_recorded=bool(leg.recordings),
            recording_name=f"call_recording_{owner}.mp3" if owner else "",
        )
        if told not in self._known:
            self._number += 1
            self._told[self._number] = told
            self._known.add(told)
            while len(self._told) > self._legs_kept:
                self._known.discard(self._told.popitem(last=False)[1])


def _keep(kept: OrderedDict[str, _Leg], key: str, value: _Leg, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []


# --- reading a file -----------------------------------------------------------------------------------------


def _records(path: Path, data: bytes) -> Iterator[Mapping[str, Any]]:
    """Whatever objects of records there are.

    Raises:
        ValueError, RecursionError: it is none of the forms, or its end is not there yet.
    """
    if path.name.endswith(".csv"):
        yield from _rows(data.decode("utf-8-sig", "replace"))
        return
    text = data.decode("utf-8-sig")
    try:
        content = _parsed(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        content = [_parsed(line) for line in lines]
    yield from _objects(content)


def _parsed(text: str) -> Any:
    return json.loads(text, parse_constant=lambda _: None, parse_int=_whole)


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONG_NUMBER else None


def _objects(content: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a list, of an answer, of a view, or the one there is; at most that deep."""
    for _ in range(3):
        if isinstance(content, dict):
            inner = next((content[name] for name in ("data", "rows", "results") if name in content), None)
            if isinstance(inner, dict | list):
                content = inner
                continue
            content = [content]
        break
    if isinstance(content, list):
        for one in content:
            if isinstance(one, dict):
                inner = one.get("doc")
                yield inner if isinstance(inner, dict) else one


def _rows(text: str) -> Iterator[Mapping[str, Any]]:
    """Lines of as many fields as there are columns: in a longer one nobody can say which field a comma is in."""
    lines = csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_NONE)
    columns = next(lines, [])
    for line in lines:
        if len(line) == len(columns):
            yield dict(zip(columns, line, strict=True))


# --- reading a record ---------------------------------------------------------------------------------------


def _leg(record: Mapping[str, Any], folder: str) -> _Leg | None:
    """What a record tells; None where it is none of a leg or recording."""
    call_id = _text(record, "call_id")
    if not call_id:
        return None
    variables = _variables(record)
    is_recording = record.get("media_source") == "recorded"
    is_document = "call_direction" in record
    account = next((text for text in (_text(variables, "account_id"), _text(record, "pvt_account_id")) if text), folder)
    caller, callee = _parties(record)
    direction, ours = _whose(record, variables, caller, callee)
    linked = (_text(record, "interaction_id"), _text(variables, "call_interaction_id"))
    bridge = (_text(variables, "bridge_id"), _text(record, "bridge_id"))  # before there were interactions
    media = _media(record.get("name")) if is_recording else _media(variables.get("media_names"))
    made = _Leg(
        rank=0 if is_recording else 2 if is_document else 1,
        call_id=call_id,
        linked_id=next((text for text in (*linked, *bridge) if text), ""),
        started_at=None,
        seconds_ms=None,
        answered=False,
        recording_ms=None,
        direction=direction,
        caller=caller,
        callee=callee,
        caller_name=_text(record, "caller_id_name"),
        callee_name=_text(record, "callee_id_name"),
        extensions=ours,
        account=account,
        recordings=_recordings(record, variables),
        media=media,
    )
    if is_recording:
        length = _number(record.get("duration_ms"), _LONGEST_SECONDS * 1000)
        own = _RECORDING_ID.fullmatch(_text(record, "id") or _text(record, "_id"))
        return replace(
            made,
            started_at=from_gregorian(_number(record.get("start"))),
            seconds_ms=length,
            answered=True,
            recording_ms=length,
            recordings=(own[0],) if own else made.recordings or (call_id,),
        )
    talked = _number(record.get("billing_seconds"), _LONGEST_SECONDS)
    # Whoever waits in a menu is billed, too. What is recorded is recorded there as well.
    spoke = bool(talked) and bool(_text(record, "other_leg_call_id") or made.recordings)
    return replace(
        made,
        started_at=_start(record, is_document),
        seconds_ms=None if talked is None else talked * 1000,
        answered=spoke,
    )


def _variables(record: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the channel, whose names a document of a recording writes as `Account-ID`."""
    given = record.get("custom_channel_vars")
    return {name.lower().replace("-", "_"): value for name, value in given.items()} if isinstance(given, dict) else {}


def _start(record: Mapping[str, Any], is_document: bool) -> datetime | None:
    created = _number(record.get("channel_created_time"))
    if created is not None and 10**15 < created < 4 * 10**15:  # microseconds, from 2001 on
        return datetime.fromtimestamp(created // 10**6, UTC) + timedelta(microseconds=created % 10**6)
    stamp = from_gregorian(_number(record.get("timestamp")))
    if stamp is None or not is_document:
        return stamp
    return stamp - timedelta(seconds=_number(record.get("duration_seconds"), _LONGEST_SECONDS) or 0)


def _parties(record: Mapping[str, Any]) -> tuple[str, str]:
    """Who called and whom, as a leg towards the switch says it, and one away from it."""
    outbound = (_text(record, "call_direction") or _text(record, "direction")) == "outbound"
    caller = _text(record, "caller_id_number") or _user(_text(record, "from"))
    dialed = (_user(_text(record, name)) for name in (("to",) if outbound else ("request", "to")))
    called = (_text(record, "dialed_number"), *dialed, _text(record, "callee_id_number"))
    answerer = _text(record, "callee_id_number") if outbound else ""
    return caller, answerer or next((text for text in called if text), "")


def _whose(
    record: Mapping[str, Any], variables: Mapping[str, Any], caller: str, callee: str
) -> tuple[Direction, tuple[str, ...]]:
    """Which way the call went for the tenant, and its extensions on it."""
    calling = only_extensions((caller, _user(_text(record, "from")), _user(_text(variables, "presence_id"))))[:1]
    called = only_extensions((callee, _user(_text(record, "to"))))[:1]
    resource = _text(variables, "resource_type")
    if resource.endswith("-origination") or (
        _text(record, "call_direction") == "inbound" and _text(variables, "authorizing_type") == "resource"
    ):
        return Direction.INBOUND, called
    if resource.endswith("-termination"):
        return Direction.OUTBOUND, calling
    direction = direction_by_extensions("".join(calling) or caller, "".join(called) or callee)
    if direction is Direction.INTERNAL:
        return direction, only_extensions((*calling, *called))
    return direction, called if direction is Direction.INBOUND else calling


def _recordings(record: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the recordings that were begun on the channel."""
    found = (record.get("media_recordings"), variables.get("media_recordings"))
    texts = [text for one in found for text in (one if isinstance(one, list) else [one]) if isinstance(text, str)]
    ids = dict.fromkeys(one for text in texts for one in _RECORDING_ID.findall(text[:10_000]))
    return tuple(ids)[:_MOST_RECORDINGS]


def _media(names: object) -> tuple[str, ...]:
    """What the files of its recordings are called, without their endings."""
    texts = [text for text in (names if isinstance(names, list) else [names]) if isinstance(text, str)]
    found = dict.fromkeys(one for text in texts for one in _MEDIUM.findall(text[:10_000]))
    return tuple(found)[:_MOST_RECORDINGS]


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return plain(value) if isinstance(value, str) else ""


def _user(address: str) -> str:
    """The user part of `user@realm`, also of `sip:user@realm`; "" where it is no number."""
    user = address.partition("@")[0].removeprefix("sip:")
    return user if user.lstrip("+").isdecimal() or looks_like_extension(user) else ""


def _number(value: object, most: int | None = None) -> int | None:
    """A whole number that is not negative, also one that is written as text; None where it is none, or too large."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONG_NUMBER:
        value = int(value)
    if isinstance(value, float) and value.is_integer() and value < 10**15:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value if most is None or value <= most else None
