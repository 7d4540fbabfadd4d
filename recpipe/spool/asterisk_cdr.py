"""Asterisk's call detail records: Master.csv, followed as it grows.

Or a file of `cdr_custom` beside it that says more: the same columns and behind them the name of the recording, which
FreePBX keeps as `CDR(recordingfile)`; or a JSON object a line, with the names of these columns.
"""

from __future__ import annotations

import csv
import json
import os
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

from recpipe import log as logs
from recpipe.model import CallFacts, Direction
from recpipe.spool.files import plain
from recpipe.spool.grammar import direction_by_extensions, looks_like_extension
from recpipe.spool.told_calls import ToldCall
from recpipe.times import to_utc

_log = logs.get(__name__)

LEGS_KEPT = 200_000  # about 100 MB; a leg older than these has had days to be joined
FIRST_READ_BYTES = 64 * 1024 * 1024  # of an old, huge file only the end is read
_LINE_LIMIT_BYTES = 64 * 1024
_HEAD_BYTES = 256
_CLID = re.compile(r'"([^"]*)"')
_EPOCH = re.compile(r"(?:.*-)?([0-9]{9,10})\.[0-9]+")
# A phone's channel is named after its extension: PJSIP/201-0000001a, Local/201@from-queue-00000001;1, and, where
# FreePBX follows somebody, Local/FMPR-201@from-internal. A trunk's has a name, and a line card's a number of its own.
_PHONE = re.compile(r"(?:PJSIP|SIP|IAX2|SCCP|Skinny|Local|Agent)/(?:FM(?:PR|GL)-)?([0-9]+)#?(?:-[0-9a-f]+|@.*)?")
_COLUMNS = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer",
    "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield", "peeraccount", "linkedid",
    "sequence", "recordingfile",
)  # fmt: skip
# Where FreePBX rings several phones or none: the number dialled there is that of a queue, a group, a menu.
_NOBODYS = (
    "ext-queues", "ext-group", "ext-paging", "ext-meetme", "ext-intercom", "from-queue", "from-ringgroups", "ivr-",
    "app-", "timeconditions", "macro-", "vm-",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leg:
    """One row of Master.csv."""

    unique_id: str
    linked_id: str
    source: str
    destination: str
    caller_name: str
    context: str
    account: str
    calling: str  # the extension whose phone rang us, and the one whose phone was rung; "" where it was no phone
    called: str
    answered: bool
    started_at: datetime | None
    billed_seconds: int | None
    bridged: bool = False  # answered, by somebody: not by a menu or a queue that nobody came to
    recording: str = ""  # the file that FreePBX says it records into

    @property
    def rings_one(self) -> bool:
        """Whether the number dialled is that of one phone, not of a queue, a ring group or a menu."""
        return not self.context.startswith(_NOBODYS) and looks_like_extension(self.destination)


class AsteriskCdr:
    """Follows a Master.csv; remembers its newest legs by unique id and by linked id. Thread-safe.

    Rotation (another file under the name), truncation and `copytruncate` are noticed; what was written to a rotated
    file after the last look is read first. A line counts only once its end is there.

    Args:
        path: the file; it may come later.
        timezone: zone of its times; "UTC" when Asterisk has `usegmtime=yes`.
        legs_kept: forget the oldest beyond this.
    """

    def __init__(
        self,
        path: Path,
        timezone: str,
        legs_kept: int = LEGS_KEPT,
        first_read_bytes: int = FIRST_READ_BYTES,
    ) -> None:
        self._path = path
        self._timezone = timezone
        self._legs_kept = legs_kept
        self._first_read_bytes = first_read_bytes
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._offset = 0
        self._head = b""
        self._skipping = False
        self._told = False  # that it cannot be read: once is enough
        self._legs: OrderedDict[int, Leg] = OrderedDict()
        self._number = 0
        self._by_unique: dict[str, list[int]] = {}
        self._by_linked: dict[str, list[int]] = {}
        self.malformed = 0  # lines that were no record

    def legs(self, call_id: str) -> list[Leg]:
        """All legs of the call that this unique or linked id belongs to, in order; empty when there is no row yet."""
        with self._lock:
            self._refresh()
            numbers = self._by_unique.get(call_id) or self._by_linked.get(call_id) or []
            linked = {self._legs[n].linked_id for n in numbers} - {""}
            together = {*numbers, *(n for one in linked for n in self._by_linked.get(one, ()))}
            return [self._legs[n] for n in sorted(together)]

    def facts(self, call_id: str) -> CallFacts | None:
        """Facts of the call: who, which way and how long from its own leg, the first leg where that says nothing."""
        legs = self.legs(call_id)
        if not legs:
            return None
        mine = [leg for leg in legs if leg.unique_id == call_id] or legs[:1]
        own, first = next((leg for leg in mine if leg.answered), mine[0]), legs[0]
        answerers = _extensions(leg.called for leg in mine if leg.answered)
        answerers = answerers or _extensions(leg.called for leg in legs if leg.answered)
        calling = first.calling or (first.source if looks_like_extension(first.source) else "")
        called = answerers or ([first.destination] if first.rings_one else [])
        direction = _direction(first, bool(calling), bool(called))
        ours = called if direction is Direction.INBOUND else _extensions([calling])
        if direction is Direction.INTERNAL:
            ours = _extensions([calling, *called])
        return CallFacts(
            started_at=mine[0].started_at or first.started_at,
            timezone=self._timezone,
            duration_ms=None if own.billed_seconds is None else own.billed_seconds * 1000,
            direction=direction,
            caller=first.source,
            callee=first.destination,
            caller_name=first.caller_name,
            extension=ours[0] if ours else "",
            more_extensions=tuple(ours[1:]),
            call_id=own.unique_id,
            linked_id=own.linked_id,
            tenant_hint=next((leg.account for leg in (own, *legs) if leg.account), ""),
        )

    @staticmethod
    def beginning(since: datetime) -> int:
        """The place from which `after` gives all calls of a time, and perhaps earlier ones."""
        return 0

    def after(self, mark: int, most: int) -> tuple[list[ToldCall], int]:
        """What was written after a place in the file, in order, and the next place. Begin with 0.

        Args:
            most: at most so many at once.
        """
        with self._lock:
            self._refresh()
            first = max(mark, self._number - len(self._legs))
            last = min(self._number, first + most)
            legs = [self._legs[number] for number in range(first + 1, last + 1)]
        return [told for leg in legs if (told := _told(leg)) is not None], last

    # --- following the file ---------------------------------------------------------------------------

    def _refresh(self) -> None:
        try:
            named: os.stat_result | None = self._path.stat()
        except OSError:
            named = None
        if self._file is not None and (named is None or named.st_ino != os.fstat(self._file.fileno()).st_ino):
            self._read_on()
            self._file.close()
            self._file = None
        if named is None:
            return
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except OSError as error:
                if not self._told:
                    _log.warning("call detail records unreadable", why=error.strerror)
                self._told = True
                return
            self._told = False
            weakref.finalize(self, self._file.close)
            size = os.fstat(self._file.fileno()).st_size
            fresh = not self._number and not self.malformed
            self._offset = max(0, size - self._first_read_bytes) if fresh else 0
            self._skipping = self._offset > 0
            self._head = b""
        self._read_on()

    def _read_on(self) -> None:
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(0)
        head = self._file.read(_HEAD_BYTES)
        if size < self._offset or not head.startswith(self._head):
            self._offset, self._skipping = 0, False  # truncated: what is there now is new
        self._head = head
        self._file.seek(self._offset)
        while line := self._file.readline(_LINE_LIMIT_BYTES):
            if not line.endswith(b"\n"):
                if len(line) < _LINE_LIMIT_BYTES:
                    return  # its end is still to be written
                self._offset, self._skipping = self._offset + len(line), True
                continue
            self._offset += len(line)
            if self._skipping:
                self._skipping = False
            else:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.startswith("{"):
                row = _row_of_json(text, self._timezone)
            else:
                row = next(csv.reader([text], strict=True), [])
            leg = _leg(row, self._timezone)
        except (csv.Error, ValueError, RecursionError):
            self.malformed += 1
            return
        self._number += 1
        self._legs[self._number] = leg
        self._by_unique.setdefault(leg.unique_id, []).append(self._number)
        if leg.linked_id:
            self._by_linked.setdefault(leg.linked_id, []).append(self._number)
        while len(self._legs) > self._legs_kept:
            number, old = self._legs.popitem(last=False)
            for index, key in ((self._by_unique, old.unique_id), (self._by_linked, old.linked_id)):
                if key and (numbers := index.get(key)) is not None:
                    numbers.remove(number)
                    if not numbers:
                        del index[key]


def _leg(row: list[str], timezone: str) -> Leg:
    """A row of 17 (with uniqueid), 18 (userfield) or 21 fields (peeraccount, linkedid, sequence).

    Raises:
        ValueError: too few fields, or no unique id to find it by.
    """
    if len(row) < 17 or not row[16]:
        raise ValueError("no unique id")
    epoch = _EPOCH.fullmatch(row[16])
    began = int(epoch[1]) if epoch else None
    started_at: datetime | None
    try:
        started_at = to_utc(datetime.strptime(row[9], "%Y-%m-%d %H:%M:%S"), timezone, began)
    except (ValueError, OverflowError):
        started_at = datetime.fromtimestamp(began, UTC) if began is not None else None
    name = _CLID.search(row[4])
    return Leg(
        unique_id=plain(row[16]),
        linked_id=plain(row[19]) if len(row) > 19 else "",
        source=plain(row[1]),
        destination=plain(row[2]),
        caller_name=plain(name[1]) if name else "",
        context=row[3],
        account=plain(row[0]),
        calling=_phone(row[5]),
        called=_phone(row[6]),
        answered=row[14].upper() == "ANSWERED",
        started_at=started_at,
        billed_seconds=int(row[13]) if row[13].isascii() and row[13].isdecimal() and len(row[13]) < 8 else None,
        bridged=row[14].upper() == "ANSWERED" and bool(row[6]),
        recording=plain(row[21]) if len(row) > 21 else "",
    )


def _row_of_json(text: str, timezone: str) -> list[str]:
    """The columns of a record that is written as a JSON object.

    Raises:
        ValueError: it is none.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    row = []
    for name in _COLUMNS:
        value = content.get(name)
        if name in ("start", "answer", "end") and isinstance(value, int | float):
            try:
                value = f"{datetime.fromtimestamp(value, ZoneInfo(timezone)):%Y-%m-%d %H:%M:%S}" if value else ""
            except (OverflowError, OSError) as error:
                raise ValueError("no time") from error
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        row.append("" if value is None else str(value))
    return row


def _told(leg: Leg) -> ToldCall | None:
    """What a leg tells of its call; nothing where it does not say when that was."""
    if leg.started_at is None:
        return None
    calling = leg.calling or (leg.source if looks_like_extension(leg.source) else "")
    called = leg.called or (leg.destination if leg.rings_one else "")
    direction = _direction(leg, bool(calling), bool(called))
    talked = (leg.billed_seconds or 0) * 1000
    return ToldCall(
        tenant_hint=leg.account,
        call_id=leg.unique_id,
        linked_id=leg.linked_id,
        started_at=leg.started_at,
        talk_ms=talked if leg.answered else 0,
        answered=leg.bridged,
        # Who waited in a queue or a menu was answered long before anybody spoke.
        recording_ms=talked if leg.bridged and not leg.context.startswith(_NOBODYS) else None,
        direction=direction,
        extension=called if direction is Direction.INBOUND else calling or called,
        says_recorded=bool(leg.recording),
        recording_name=leg.recording,
    )


def _phone(channel: str) -> str:
    """The extension whose phone a channel leads to; "" where it leads to a trunk or elsewhere."""
    found = _PHONE.fullmatch(channel.partition(";")[0])
    return found[1] if found is not None and looks_like_extension(found[1]) else ""


def _extensions(found: Iterable[str]) -> list[str]:
    """Each once, in order, without the empty ones."""
    return [one for one in dict.fromkeys(found) if one]


def _direction(leg: Leg, calling: bool, called: bool) -> Direction:
    """FreePBX's contexts say when a call came from outside; all else is told by whose phones took part."""
    if leg.context.startswith(("from-trunk", "from-pstn", "from-did", "ext-did", "from-digital")):
        return Direction.INBOUND
    if calling and (called or looks_like_extension(leg.destination)):
        return Direction.INTERNAL
    if calling:
        return Direction.OUTBOUND
    return Direction.INBOUND if called else direction_by_extensions(leg.source, leg.destination)
