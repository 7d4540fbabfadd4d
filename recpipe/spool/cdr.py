"""Call detail records: Asterisk's Master.csv, followed as it grows, and FreeSWITCH's XML files, one a leg."""

from __future__ import annotations

import csv
import os
import re
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from recpipe import log as logs
from recpipe.errors import Unfit
from recpipe.model import CallFacts, Direction
from recpipe.settings import check_timezone
from recpipe.spool.files import plain, read_small
from recpipe.spool.naming import direction_by_extensions, direction_of, looks_like_extension
from recpipe.spool.when import to_utc

_log = logs.get(__name__)

LEGS_KEPT = 200_000  # about 100 MB; a leg older than these has had days to be joined
FIRST_READ_BYTES = 64 * 1024 * 1024  # of an old, huge file only the end is read
XML_LIMIT_BYTES = 4 * 1024 * 1024
_LINE_LIMIT_BYTES = 64 * 1024
_HEAD_BYTES = 256
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLID = re.compile(r'"([^"]*)"')
_EPOCH = re.compile(r"(?:.*-)?([0-9]{9,10})\.[0-9]+")


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
    started_at: datetime | None
    billed_seconds: int | None
    sequence: int


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
        own = next((leg for leg in legs if leg.unique_id == call_id), legs[0])
        first = legs[0]
        direction = _direction_by_context(first)
        ours = first.destination if direction is Direction.INBOUND else first.source
        return CallFacts(
            started_at=own.started_at or first.started_at,
            timezone=self._timezone,
            duration_ms=None if own.billed_seconds is None else own.billed_seconds * 1000,
            direction=direction,
            caller=first.source,
            callee=first.destination,
            caller_name=first.caller_name,
            extension=ours if looks_like_extension(ours) else "",
            call_id=own.unique_id,
            linked_id=own.linked_id,
            tenant_hint=next((leg.account for leg in (own, *legs) if leg.account), ""),
        )

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
                _log.warning("call detail records unreadable", why=error.strerror)
                return
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
            row = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")], strict=True), [])
            leg = _leg(row, self._timezone)
        except (csv.Error, ValueError):
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
        started_at=started_at,
        billed_seconds=int(row[13]) if row[13].isascii() and row[13].isdecimal() and len(row[13]) < 8 else None,
        sequence=int(row[20]) if len(row) > 20 and row[20].isascii() and row[20].isdecimal() else 0,
    )


def _direction_by_context(leg: Leg) -> Direction:
    """FreePBX's contexts say when a call came from outside; all else is left to the shape of the numbers."""
    if leg.context.startswith(("from-trunk", "from-pstn", "from-did", "ext-did", "from-digital")):
        return Direction.INBOUND
    return direction_by_extensions(leg.source, leg.destination)


class FreeswitchCdr:
    """Reads `{uuid}.cdr.xml` or `a_{uuid}.cdr.xml` from a folder of mod_xml_cdr.

    Source: FreeSWITCH mod_xml_cdr; values under `variables` are URL-encoded, `*_uepoch` are microseconds, UTC.
    """

    def __init__(self, folder: Path, timezone: str) -> None:
        self._folder = folder
        self._timezone = timezone

    def facts(self, call_id: str) -> CallFacts | None:
        """Facts of the leg with this uuid; None when its record is not there yet, or not complete."""
        uuid = call_id.lower()
        if not _UUID.fullmatch(uuid):
            return None
        for prefix in ("", "a_", "b_"):
            root = self._read(self._folder / f"{prefix}{uuid}.cdr.xml")
            if root is not None:
                return self._facts(root, uuid)
        return None

    def _read(self, path: Path) -> Element | None:
        try:
            root = fromstring(read_small(path, XML_LIMIT_BYTES), forbid_dtd=True)
        except FileNotFoundError:
            return None
        except (OSError, ParseError, DefusedXmlException, Unfit, ValueError) as error:
            _log.warning("call detail record unreadable", why=type(error).__name__)
            return None
        assert isinstance(root, Element)
        return root if root.tag == "cdr" else None

    def _facts(self, root: Element, uuid: str) -> CallFacts:
        variables = {
            child.tag: plain(unquote(child.text or "", errors="replace")) for child in root.iterfind("variables/*")
        }
        profile = root.find("callflow/caller_profile")

        def get(*names: str) -> str:
            return next((variables[name] for name in names if variables.get(name)), "")

        def caller(name: str) -> str:
            return plain(unquote(profile.findtext(name) or "", errors="replace")) if profile is not None else ""

        source = get("caller_id_number", "effective_caller_id_number") or caller("caller_id_number")
        target = get("caller_destination", "destination_number") or caller("destination_number")
        direction = direction_of(get("call_direction"))
        if direction is Direction.UNKNOWN:
            direction = direction_by_extensions(source, target)
        ours = target if direction is Direction.INBOUND else source
        zone = get("timezone")
        return CallFacts(
            started_at=_micros(get("start_uepoch")),
            timezone=zone if zone and _is_zone(zone) else self._timezone,
            duration_ms=_first_number((get("record_ms"), 1), (get("record_seconds"), 1000), (get("billsec"), 1000)),
            direction=direction,
            caller=source,
            callee=target,
            caller_name=get("caller_id_name") or caller("caller_id_name"),
            callee_name=get("callee_id_name"),
            extension=ours if looks_like_extension(ours) else "",
            route=get("cc_queue", "ring_group_uuid"),
            call_id=uuid,
            # Both legs name the first one: the second knows it as its originator.
            linked_id=get("originating_leg_uuid", "originator") or (uuid if get("bridge_uuid", "signal_bond") else ""),
            tenant_hint=get("domain_name") or get("accountcode"),
        )


def _is_zone(name: str) -> bool:
    try:
        check_timezone(name)
    except ValueError:
        return False
    return True


def _micros(text: str) -> datetime | None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 17 or int(text) == 0:
        return None
    return datetime.fromtimestamp(int(text) // 1_000_000, UTC).replace(microsecond=int(text) % 1_000_000)


def _first_number(*candidates: tuple[str, int]) -> int | None:
    for text, factor in candidates:
        if text.isascii() and text.isdecimal() and len(text) < 12:
            return int(text) * factor
    return None
