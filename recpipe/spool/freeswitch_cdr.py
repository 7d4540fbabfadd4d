"""FreeSWITCH's call detail records: XML files of mod_xml_cdr, one a leg.

It writes what it was told, and that is not always XML: the whole text percent- or base64-encoded where it could not be
posted, variables whose names are no XML names (`<set x>`, `<^^,y>`, `<1>`), values with raw `<sip:...>`. Such a record
is read by its variables alone. One with a document type or entities is never read: FreeSWITCH writes none.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import unescape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from recpipe import log as logs
from recpipe.errors import Unfit
from recpipe.model import CallFacts, Direction
from recpipe.spool.files import plain, read_small, safe_text
from recpipe.spool.freeswitch_app_log import NO_APP_LOG, AppLog
from recpipe.spool.freeswitch_transfers import linked
from recpipe.spool.grammar import direction_by_extensions, direction_of, looks_like_extension
from recpipe.spool.told_calls import ToldCall
from recpipe.times import check_timezone

_log = logs.get(__name__)

XML_LIMIT_BYTES = 4 * 1024 * 1024
FOLDERS_LOOKED_AT = 400  # the newest that `rotate` made; a year of them, where logs are rotated daily
_FOLDERS_FOR_SECONDS = 10.0
_YOUNG_SECONDS = 60  # a record that cannot be read and is younger may be half written
_BROKEN_KEPT = 10_000
_OVERLAP_NS = 600 * 10**9  # a record may be listed later than one that was written after it
_LEAST_MS = 3000  # of RECORD_MIN_SEC
_MOST_VARIABLES = 2000
_LONGEST_VALUE = 8 * 1024

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RECORD = re.compile(rf"(?:[ab]_)?({_UUID.pattern})\.cdr\.xml")
_ROTATED = re.compile(r"[0-9]{4}(?:-[0-9]{2}){5}")
_FORBIDDEN = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_OPENING = re.compile(r"<([^<>/!?][^<>]{0,200})>")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")  # of a variable, behind "set ", "^^," or "nolocal:"
_QUOTES = {"&quot;": '"', "&apos;": "'"}

# Where the extension of a call stands, the surest first.
_ANSWERED = ("last_sent_callee_id_number", "dialed_user", "dialed_extension", "cc_agent", "callee_id_number")
_CALLED_FROM = ("sip_from_user", "user_name", "sip_auth_username", "presence_id")


@dataclass(frozen=True, slots=True)
class _Record:
    variables: dict[str, str]
    caller: dict[str, str]  # of the first caller profile: whom the leg came from and where it went
    app_log: AppLog = NO_APP_LOG


class FreeswitchCdr:
    """Reads `{uuid}.cdr.xml` or `a_{uuid}.cdr.xml` from a folder of mod_xml_cdr or its dated subfolders. Thread-safe.

    Source: FreeSWITCH mod_xml_cdr; values under `variables` are URL-encoded, `*_uepoch` are microseconds, UTC;
    `rotate` makes subfolders such as 2026-11-28-02-10-00.
    """

    def __init__(self, folder: Path, timezone: str) -> None:
        self._folder = folder
        self._timezone = timezone
        self._lock = threading.Lock()
        self._rotated: list[Path] = []
        self._listed_until = 0.0
        self._broken: OrderedDict[Path, tuple[int, int]] = OrderedDict()  # size and time of those not to try again
        self._told: dict[Path, int] = {}  # records that `after` gave lately, by when they were written

    def facts(self, call_id: str) -> CallFacts | None:
        """Facts of the leg with this uuid; None when its record is not there yet, or cannot be read.

        `awaits_cdr` where records of other legs are still to come that may say that it belongs to another call.
        """
        uuid = call_id.lower()
        if not _UUID.fullmatch(uuid):
            return None
        record = self._found(uuid)
        return None if record is None else self._facts(record, uuid)

    def _found(self, uuid: str) -> _Record | None:
        names = [f"{prefix}{uuid}.cdr.xml" for prefix in ("", "a_", "b_")]
        paths = (folder / name for folder in self._folders() for name in names)
        return next((record for path in paths if (record := self._read(path)) is not None), None)

    def _variables(self, uuid: str) -> dict[str, str] | None:
        record = self._found(uuid) if _UUID.fullmatch(uuid) else None
        return None if record is None else record.variables

    @staticmethod
    def beginning(since: datetime) -> int:
        """The place from which `after` gives all calls of a time: no record is written before its call."""
        return int(since.timestamp()) * 10**9

    def after(self, mark: int, most: int) -> tuple[list[ToldCall], int]:
        """What was written after a time (nanoseconds since 1970), in order, and the time to go on from.

        Reads the names of all records: not for every second. Not to be called by two threads.

        Args:
            most: at most so many at once.
        """
        self._told = {path: at for path, at in self._told.items() if at > mark - _OVERLAP_NS}
        new: list[tuple[int, Path, str]] = []
        for folder in self._folders():
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if (named := _RECORD.fullmatch(entry.name)) is None:
                            continue
                        path, at = folder / entry.name, entry.stat(follow_symlinks=False).st_mtime_ns
                        if at > mark - _OVERLAP_NS and self._told.get(path) != at:
                            new.append((at, path, named[1]))
            except OSError:
                continue
        told: list[ToldCall] = []
        for at, path, uuid in sorted(new)[:most]:
            record = self._read(path)
            if record is None and path not in self._broken:
                continue  # half written: next time
            self._told[path], mark = at, max(mark, at)
            if record is not None and (one := self._told_by(record, uuid)) is not None:
                told.append(one)
        return told, mark

    def _told_by(self, record: _Record, uuid: str) -> ToldCall | None:
        facts, get = self._facts(record, uuid), record.variables.get
        if facts.started_at is None:
            return None
        answered = _micros(get("answer_uepoch", "")) is not None
        if get("RECORD_BRIDGE_REQ") == "true" and not get("bridge_uuid"):
            answered = False
        talked = _first_number((get("billmsec", ""), 1), (get("billsec", ""), 1000)) or 0
        recorded_ms = _first_number((get("record_ms", ""), 1), (get("record_seconds", ""), 1000))
        began = any(get(name) == "true" for name in ("record_session", "record_in_progress"))
        began = began or recorded_ms is not None or bool(get("cc_record_filename"))
        named = get("record_name") or get("record_path") or get("cc_record_filename") or ""
        least = _first_number((get("RECORD_MIN_SEC", ""), 1000))
        kept = record.app_log.kept_ms
        excuse = record.app_log.excuse if answered else ""
        if get("RECORD_DISCARDED") == "true" or get("record_completion_cause") == "input-too-short":
            excuse = "discarded"
        elif answered and min(talked, talked if kept is None else kept) < (_LEAST_MS if least is None else least):
            excuse = "too-short"
        return ToldCall(
            tenant_hint=facts.tenant_hint,
            call_id=uuid,
            linked_id=facts.linked_id,
            started_at=facts.started_at,
            talk_ms=talked if answered else 0,
            answered=answered,
            recording_ms=recorded_ms,
            direction=facts.direction,
            extension=facts.extension,
            says_recorded=began,
            recording_name=named.replace("\\", "/").rpartition("/")[2] if began else "",
            excuse=excuse,
        )

    def _folders(self) -> Iterator[Path]:
        yield self._folder
        with self._lock:
            if time.monotonic() > self._listed_until:
                began = time.monotonic()
                try:
                    with os.scandir(self._folder) as entries:
                        names = [one.name for one in entries if _ROTATED.fullmatch(one.name) and one.is_dir()]
                except OSError:
                    names = []
                self._rotated = [self._folder / name for name in sorted(names, reverse=True)[:FOLDERS_LOOKED_AT]]
                # A folder of a million records takes a second to list.
                self._listed_until = time.monotonic() + max(_FOLDERS_FOR_SECONDS, 20 * (time.monotonic() - began))
            rotated = self._rotated
        yield from rotated

    def _read(self, path: Path) -> _Record | None:
        try:
            found = path.lstat()
        except OSError:
            return None
        state = (found.st_size, found.st_mtime_ns)
        with self._lock:
            if self._broken.get(path) == state:
                return None
        try:
            return _record(read_small(path, XML_LIMIT_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ParseError, DefusedXmlException, Unfit, ValueError) as error:
            if time.time() - found.st_mtime > _YOUNG_SECONDS:
                self._give_up(path, state, error)
            return None

    def _give_up(self, path: Path, state: tuple[int, int], error: Exception) -> None:
        with self._lock:
            told = path in self._broken
            self._broken[path] = state
            while len(self._broken) > _BROKEN_KEPT:
                self._broken.popitem(last=False)
        if not told:
            _log.warning("call detail record unreadable", file=safe_text(path.name), why=type(error).__name__)

    def _facts(self, record: _Record, uuid: str) -> CallFacts:
        variables, caller = record.variables, record.caller

        def get(*names: str) -> str:
            return next((variables[name] for name in names if variables.get(name)), "")

        source = get("caller_id_number", "effective_caller_id_number") or caller.get("caller_id_number", "")
        target = get("caller_destination", "destination_number") or caller.get("destination_number", "")
        direction, ours = _whose(record, source, target)
        zone, call = get("timezone"), linked(uuid, variables, self._variables)
        return CallFacts(
            started_at=_micros(get("start_uepoch")),
            timezone=zone if zone and _is_zone(zone) else self._timezone,
            duration_ms=_first_number((get("record_ms"), 1), (get("record_seconds"), 1000), (get("billsec"), 1000)),
            direction=direction,
            caller=source,
            callee=target,
            caller_name=get("caller_id_name") or caller.get("caller_id_name", ""),
            callee_name=get("callee_id_name"),
            extension=ours[0] if ours else "",
            more_extensions=tuple(ours[1:]),
            route=get("cc_queue", "ring_group_uuid"),
            call_id=uuid,
            linked_id=call.linked_id,
            awaits_cdr=not call.sure,
            tenant_hint=get("domain_name") or get("accountcode"),
            masked=record.app_log.masked(_micros(get("end_uepoch"))),
        )


def _whose(record: _Record, source: str, target: str) -> tuple[Direction, list[str]]:
    """Which way a call went, and the extensions on our side of it.

    The number dialled is that of a ring group or a queue where one took the call; who answered stands elsewhere. The
    number shown may be the company's; who called stands elsewhere, too.
    """
    variables = record.variables
    group = any(variables.get(name) for name in ("ring_group_uuid", "cc_queue", "call_center_queue_uuid"))
    # To the second leg, whoever was last told of its other side is the caller.
    told = _ANSWERED[1:] if variables.get("originating_leg_uuid") or variables.get("originator") else _ANSWERED
    answered = _extensions(variables.get(name, "") for name in told)[:1]
    called = answered or ([] if group else _extensions((target, variables.get("destination_number", ""))))[:1]
    registered = [variables.get(name, "") for name in _CALLED_FROM]
    calling = _extensions((*registered, record.caller.get("username", ""), source))[:1]
    direction = direction_of(variables.get("call_direction", ""))
    if direction is Direction.UNKNOWN:
        direction = direction_by_extensions(*("".join(calling) or source, "".join(called) or target))
    if direction is Direction.INBOUND:
        return direction, called
    if direction is Direction.OUTBOUND:
        return direction, calling
    return direction, _extensions((*calling, *called)) if direction is Direction.INTERNAL else []


def _extensions(found: Iterable[str]) -> list[str]:
    users = (one.partition("@")[0] for one in found)
    return [user for user in dict.fromkeys(users) if looks_like_extension(user)]


# --- reading a record -------------------------------------------------------------------------------------


def _record(data: bytes) -> _Record:
    """Read one record, whichever way FreeSWITCH wrote it.

    Raises:
        ParseError, DefusedXmlException, ValueError: it is none, it is hostile, or its end is not there yet.
    """
    data = _decoded(data.strip())
    try:
        root = fromstring(data, forbid_dtd=True)
    except ParseError:
        return _mended(data.decode("utf-8", "replace"))
    assert isinstance(root, Element)
    if root.tag != "cdr":
        raise ValueError("no call detail record")
    variables = {child.tag: _value(child.text or "") for child in root.iterfind("variables/*")}
    log = AppLog.of(root.iterfind("app_log/application"))
    return _Record(variables, _profile(root.find("callflow/caller_profile")), log)


def _decoded(data: bytes) -> bytes:
    """The XML of a record that was written as it would have been posted."""
    if data[:4].lower() == b"cdr=":
        data = data[4:]
    if data[:3].lower() == b"%3c":
        return unquote_to_bytes(data).strip()
    if data[:4] in (b"PD94", b"PGNk"):  # "<?x" and "<cd"
        try:
            return base64.b64decode(data, validate=True).strip()
        except binascii.Error as error:
            raise ValueError("half a record in base64") from error
    return data


def _mended(text: str) -> _Record:
    """The variables of a record that is not well-formed: NAME and VALUE of each <NAME>VALUE</NAME>, as they stand.

    Nothing in it is parsed as XML but the call flow and the log of applications, and those without a document type, so
    that what was mended opens no door. Linear: a value is looked for within `_LONGEST_VALUE` characters.
    """
    if _FORBIDDEN.search(text):
        raise ValueError("a document type or an entity")
    place, end = text.find("<variables>"), text.rfind("</variables>")
    if not text.endswith("</cdr>") or not 0 <= place < end:
        raise ValueError("no whole record")
    place += len("<variables>")
    variables: dict[str, str] = {}
    for _ in range(_MOST_VARIABLES):
        opening = _OPENING.search(text, place, end)
        if opening is None:
            break
        place = opening.end()
        closing = text.find(f"</{opening[1]}>", place, min(end, place + _LONGEST_VALUE))
        if closing < 0:
            continue
        name = _NAME.search(opening[1])
        if name is not None and (name[0] == opening[1] or name[0] not in variables):
            variables[name[0]] = _value(unescape(text[place:closing], _QUOTES))
        place = closing + len(opening[1]) + 3
    flow, done = _part(text, "callflow", end), _part(text, "app_log", end)
    caller = {} if flow is None else _profile(flow.find("caller_profile"))
    return _Record(variables, caller, NO_APP_LOG if done is None else AppLog.of(done.iterfind("application")))


def _part(text: str, name: str, after: int) -> Element | None:
    """The first element of this name behind a place; None where there is none, or it is no XML."""
    begins, ends = text.find(f"<{name}", after), text.find(f"</{name}>", after)
    if not 0 <= begins < ends:
        return None
    try:
        found = fromstring(text[begins : ends + len(name) + 3], forbid_dtd=True)
    except ParseError:
        return None
    assert isinstance(found, Element)
    return found


def _profile(profile: Element | None) -> dict[str, str]:
    return {} if profile is None else {child.tag: _value(child.text or "") for child in profile}


def _value(text: str) -> str:
    return plain(unquote(text, errors="replace"))


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
