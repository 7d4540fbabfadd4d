"""File names of FreePBX and Asterisk: recordings of calls, and the others that lie beside them.

TYPE-DST-SRC-YYYYMMDD-HHMMSS-UNIQUEID.wav     a call: in, out, internal, q, rg, ... and types of somebody's own
TYPE-NUMBER-YYYYMMDD-HHMMSS-UNIQUEID.wav      conf, conference, page, dictate, vm, ...: one number, or none
ROOM-ROOM-ACTION-YYYYMMDD-HHMMSS-UNIQUEID.wav a conference
confbridge-ROOM-EPOCH.wav                     the same, of ConfBridge itself
.../MAILBOX/INBOX/msg0000.wav                 a voicemail
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from recpipe.model import CallFacts, Direction, RecordingKind
from recpipe.spool import conference_names
from recpipe.spool.files import plain
from recpipe.spool.grammar import (
    ambiguous,
    direction_by_extensions,
    looks_like_extension,
    not_understood,
    number_in_name,
    our_extensions,
    without_ending,
)
from recpipe.times import local_time, to_utc

FREEPBX_TYPES = frozenset(
    ("in", "out", "internal", "external", "parked", "ondemand", "q", "rg", "force", "exten")
)  # fmt: skip
_OUR_SIDE_LAST = frozenset({"out", "force"})  # SRC is an extension, so DST keeps further hyphens
_OUR_SIDE_FIRST = frozenset({"in", "external", "exten", "q", "rg"})  # DST is ours, so SRC keeps them
_NOBODYS = frozenset({"q", "rg", "parked"})  # DST is a queue, a ring group, a parking place: nobody's extension
# What else is recorded, and the word for it. DST is a room, a mailbox or a group, and there may be no SRC.
_OTHERS = {
    "vm": "voicemail", "voicemail": "voicemail",
    "conf": "conference", "conference": "conference", "confbridge": "conference", "meetme": "conference",
    "page": "page", "paging": "page", "intercom": "page", "dictate": "dictation", "dictation": "dictation",
}  # fmt: skip
_OWN_MAILBOX = frozenset({"voicemail", "dictation"})  # whose DST is an extension

_UNIQUE_ID = re.compile(r"([0-9]{9,10})\.[0-9]{1,12}")
_EPOCH = re.compile(r"[0-9]{9,10}")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,19}")
_MESSAGE = re.compile(r"msg[0-9]{3,6}")
_EXPECTED = "TYPE-DST-SRC-YYYYMMDD-HHMMSS-UNIQUEID.wav, as FreePBX names recordings"


def parse(relative: str, timezone: str) -> CallFacts:
    """See `naming.parse`."""
    folder, _, name = relative.rpartition("/")
    stem = without_ending(name)
    if stem is None:
        raise not_understood(relative, _EXPECTED)
    parts = stem.split("-")
    if parts[0].lower() == "confbridge" and _EPOCH.fullmatch(parts[-1]):
        return conference_names.confbridge(relative, timezone)
    if len(parts) > 5 and parts[0] == parts[1] and looks_like_extension(parts[0]) and _WORD.fullmatch(parts[2]):
        parts = ["conf", parts[0], *parts[3:]]
    if parts[0].lower() in _OTHERS or _MESSAGE.fullmatch(stem):
        return _other(folder, parts, timezone)
    if not _WORD.fullmatch(parts[0]) or (last := _UNIQUE_ID.fullmatch(parts[-1])) is None:
        raise not_understood(relative, _EXPECTED)
    epoch = int(last[1])
    # The system name in front of the unique id and the numbers may hold hyphens and even dates.
    places = [i for i in range(3, len(parts) - 2) if _date_at(parts, i) is not None]
    if len(places) > 1:
        places = [i for i in places if abs(_date_at(parts, i, "UTC").timestamp() - epoch) <= 26 * 3600]  # type: ignore[union-attr]
    if not places:
        raise not_understood(relative, _EXPECTED)
    if len(places) > 1:
        raise ambiguous(relative, "more than one date and time fits")
    place = places[0]
    local = _date_at(parts, place)
    assert local is not None  # it is one of `places`
    kind, numbers = parts[0], parts[1:place]
    if len(numbers) == 2:
        target, source = numbers
    elif kind in _OUR_SIDE_LAST:
        target, source = "-".join(numbers[:-1]), numbers[-1]
    elif kind in _OUR_SIDE_FIRST:
        target, source = numbers[0], "-".join(numbers[1:])
    else:
        raise ambiguous(relative, "hyphens inside the two numbers leave open where one ends and the other begins")
    target, source = number_in_name(target), number_in_name(source)
    direction = _direction(kind, target, source)
    ours = our_extensions(direction, source, "" if kind in _NOBODYS else target)
    return CallFacts(
        started_at=to_utc(local, timezone, epoch),
        timezone=timezone,
        direction=direction,
        caller=source,
        callee=target,
        extension=ours[0] if ours else "",
        more_extensions=ours[1:],
        route=plain({"q": f"queue {target}", "rg": f"ring group {target}"}.get(kind, kind)),
        call_id=plain("-".join(parts[place + 2 :])),
    )


def _other(folder: str, parts: list[str], timezone: str) -> CallFacts:
    """Voicemail, conferences and so on: what can be told of them. Where no time is named, that of the file counts."""
    is_message = parts[0].lower() not in _OTHERS
    kind = _OTHERS.get(parts[0].lower(), "voicemail")
    facts = CallFacts(timezone=timezone, route=kind)
    last = _UNIQUE_ID.fullmatch(parts[-1])
    place = next((i for i in range(1, len(parts) - 1) if _date_at(parts, i) is not None), 0)
    if place and (local := _date_at(parts, place)) is not None:
        facts = replace(facts, started_at=to_utc(local, timezone, int(last[1]) if last else None))
    if last is not None:
        began = datetime.fromtimestamp(int(last[1]), UTC)
        facts = replace(
            facts,
            started_at=facts.started_at or began,
            call_id=plain("-".join(parts[place + 2 :]) if place else parts[-1]),
        )
    numbers = [number_in_name(part) for part in parts[1 : place or (len(parts) - 1 if last else len(parts))]]
    if not numbers:  # .../voicemail/default/201/INBOX/msg0000.wav
        numbers = [part for part in folder.split("/")[-2:] if looks_like_extension(part)][-1:]
    target, source = numbers[0] if numbers else "", "-".join(numbers[1:])
    own = target if kind in _OWN_MAILBOX and looks_like_extension(target) else ""
    return replace(
        facts,
        # vm-... is what MixMonitor recorded of a call to a mailbox, and no message.
        kind=RecordingKind.CONFERENCE
        if kind == "conference"
        else RecordingKind.VOICEMAIL
        if is_message
        else RecordingKind.CALL,
        mailbox=target if kind == "voicemail" else "",
        conference=target if kind == "conference" else "",
        caller=source,
        callee=target,
        direction=direction_by_extensions(source, target) if source else Direction.UNKNOWN,
        extension=own or (source if looks_like_extension(source) else ""),
        more_extensions=(source,) if own and looks_like_extension(source) and source != own else (),
    )


def _date_at(parts: list[str], i: int, zone: str = "") -> datetime | None:
    if len(parts[i]) != 8 or len(parts[i + 1]) != 6:
        return None
    try:
        local = local_time(parts[i] + parts[i + 1])
    except ValueError:
        return None
    return local.replace(tzinfo=UTC) if zone else local


def _direction(kind: str, target: str, source: str) -> Direction:
    if kind == "out":
        return Direction.OUTBOUND
    if kind in ("in", "external"):
        return Direction.INBOUND
    if kind == "internal":
        return Direction.INTERNAL
    if kind in ("q", "rg", "exten"):  # rung here; from a colleague or from outside
        return Direction.INTERNAL if looks_like_extension(source) else Direction.INBOUND
    return direction_by_extensions(source, target)  # force, ondemand and parked say why it was recorded, not the way
