"""What file names say: one grammar a PBX. Pure functions; names are hostile text and every pattern is linear.

Caller is who rang, callee who was rung, whichever side is ours. What a grammar cannot tell apart for certain is
refused as `name-ambiguous`, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from recpipe.errors import SettingsInvalid, Unfit
from recpipe.model import CallFacts, Direction
from recpipe.spool.files import plain, safe_text
from recpipe.spool.when import local_time, to_utc

_LONGEST = 1024  # characters of a path that a grammar looks at
_AUDIO = r"\.(?:[wW][aA][vV](?:49|[eE])?|[mM][pP]3)"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_EXTENSION = re.compile(r"[0-9]{2,6}")

FREEPBX_TYPES = frozenset(
    ("in", "out", "internal", "external", "parked", "ondemand", "q", "rg", "force", "exten")
)  # fmt: skip
_OUR_SIDE_LAST = frozenset({"out", "force"})  # SRC is an extension, so DST keeps further hyphens
_OUR_SIDE_FIRST = frozenset({"in", "external", "exten", "q", "rg"})  # DST is ours, so SRC keeps them

_UNIQUE_ID = re.compile(r"([0-9]{9,10})\.[0-9]{1,12}")
_AUDIO_END = re.compile(_AUDIO)
_THREE_CX = re.compile(r"\[([^\]]*)\]_([^-_]+)-([^_]+)_([0-9]{14})\(([0-9]{1,9})\)" + _AUDIO)
_FUSION = re.compile(
    r"(?:recordings/)?(?:([^/]+)/)?archive/([0-9]{4})/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/([0-9]{2})/"
    rf"({_UUID}){_AUDIO}"
)
_KAZOO = re.compile(rf"(?:([0-9a-fA-F]{{32}})|call_recording_(.+?))\.?{_AUDIO}")
_MIKO = re.compile(rf"mikopbx-([0-9]{{9,10}})\.([0-9]{{1,12}})_([A-Za-z0-9]+){_AUDIO}")
_HIVE = re.compile(r"conversation_id=([^/]+)/")


def parse(relative: str, layout: str, pattern: str, timezone: str) -> CallFacts:
    """Read call facts from a path below the spool (below the tenant's folder, where there is one).

    Args:
        relative: "/"-separated, as the PBX wrote it.
        layout: a name of `settings.Layout`.
        pattern: for "generic": matched against the whole path if it has a "/", else against the file name.
        timezone: IANA zone of the times in the name.

    Raises:
        Unfit: `name-not-understood` or `name-ambiguous`, saying what was expected and what was found.
    """
    if len(relative) > _LONGEST:
        raise Unfit(
            "name-not-understood", f"The path is longer than {_LONGEST} characters. Rename the file, then retry."
        )
    if layout == "generic":
        return _generic(relative, pattern, timezone)
    return _GRAMMARS[layout](relative, timezone)


def check_pattern(pattern: str) -> None:
    """Raises:
    SettingsInvalid: the pattern of layout "generic" has a group that means nothing, or no group at all.
    """
    groups = set(re.compile(pattern).groupindex)
    unknown = groups - _GENERIC_GROUPS
    if unknown or not groups:
        raise SettingsInvalid(
            f"The spool's pattern has {', '.join(sorted(unknown)) or 'no named group'}. "
            f"Its groups may be: {', '.join(sorted(_GENERIC_GROUPS))}."
        )


def looks_like_extension(number: str) -> bool:
    return _EXTENSION.fullmatch(number) is not None


# --- FreePBX ----------------------------------------------------------------------------------------------


def _freepbx(relative: str, timezone: str) -> CallFacts:
    name = relative.rpartition("/")[2]
    expected = "TYPE-DST-SRC-YYYYMMDD-HHMMSS-UNIQUEID.wav, as FreePBX names recordings"
    ending = _AUDIO_END.search(name, max(0, len(name) - 6))
    parts = name[: ending.start()].split("-") if ending and ending.end() == len(name) else []
    if not parts or parts[0] not in FREEPBX_TYPES or (last := _UNIQUE_ID.fullmatch(parts[-1])) is None:
        raise _not_understood(relative, expected)
    epoch = int(last[1])
    # The system name in front of the unique id and the numbers may hold hyphens and even dates.
    places = [i for i in range(3, len(parts) - 2) if _date_at(parts, i) is not None]
    if len(places) > 1:
        places = [i for i in places if abs(_date_at(parts, i, "UTC").timestamp() - epoch) <= 26 * 3600]  # type: ignore[union-attr]
    if not places:
        raise _not_understood(relative, expected)
    if len(places) > 1:
        raise _ambiguous(relative, "more than one date and time fits")
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
        raise _ambiguous(relative, "hyphens inside the two numbers leave open where one ends and the other begins")
    direction = _freepbx_direction(kind, target, source)
    return CallFacts(
        started_at=to_utc(local, timezone, epoch),
        timezone=timezone,
        direction=direction,
        caller=plain(source),
        callee=plain(target),
        extension=_our_extension(direction, source, target),
        route=plain({"q": f"queue {target}", "rg": f"ring group {target}"}.get(kind, kind)),
        call_id=plain("-".join(parts[place + 2 :])),
    )


def _date_at(parts: list[str], i: int, zone: str = "") -> datetime | None:
    if len(parts[i]) != 8 or len(parts[i + 1]) != 6:
        return None
    try:
        local = local_time(parts[i] + parts[i + 1])
    except ValueError:
        return None
    return local.replace(tzinfo=UTC) if zone else local


def _freepbx_direction(kind: str, target: str, source: str) -> Direction:
    if kind == "out":
        return Direction.OUTBOUND
    if kind in ("in", "external"):
        return Direction.INBOUND
    if kind == "internal":
        return Direction.INTERNAL
    if kind in ("q", "rg", "exten"):  # rung here; from a colleague or from outside
        return Direction.INTERNAL if looks_like_extension(source) else Direction.INBOUND
    return direction_by_extensions(source, target)  # force, ondemand and parked say why it was recorded, not the way


def direction_by_extensions(caller: str, callee: str) -> Direction:
    """The way of a call when all that is known is which side has an extension (2 to 6 digits)."""
    ours, theirs = looks_like_extension(caller), looks_like_extension(callee)
    if ours and theirs:
        return Direction.INTERNAL
    if ours:
        return Direction.OUTBOUND
    return Direction.INBOUND if theirs else Direction.UNKNOWN


def _our_extension(direction: Direction, caller: str, callee: str) -> str:
    ours = callee if direction is Direction.INBOUND else caller
    return ours if looks_like_extension(ours) else ""


# --- 3CX --------------------------------------------------------------------------------------------------


def _three_cx(relative: str, timezone: str) -> CallFacts:
    folder, _, name = relative.rpartition("/")
    expected = "[Name]_CALLER-CALLEE_YYYYMMDDhhmmss(N).wav, as 3CX names recordings"
    match = _THREE_CX.fullmatch(name)
    if match is None:
        raise _not_understood(relative, expected)
    person, caller, callee, digits, number = match.groups()
    try:
        started_at = to_utc(local_time(digits), timezone)
    except ValueError:
        raise _not_understood(relative, f"{expected}; {digits} is no date and time") from None
    owner = folder.rpartition("/")[2]  # Recordings/{extension}/
    if owner == caller != callee:
        direction = Direction.INTERNAL if looks_like_extension(callee) else Direction.OUTBOUND
    elif owner == callee != caller:
        direction = Direction.INTERNAL if looks_like_extension(caller) else Direction.INBOUND
    else:
        direction = direction_by_extensions(caller, callee)
    inbound = direction is Direction.INBOUND
    return CallFacts(
        started_at=started_at,
        timezone=timezone,
        direction=direction,
        caller=plain(caller),
        callee=plain(callee),
        caller_name=plain(person) if inbound else "",  # the name is the other side's
        callee_name="" if inbound else plain(person),
        extension=plain(owner) if owner in (caller, callee) else _our_extension(direction, caller, callee),
        call_id=number,
    )


# --- the others -------------------------------------------------------------------------------------------


def _fusionpbx(relative: str, timezone: str) -> CallFacts:
    match = _FUSION.fullmatch(relative)
    if match is None:
        raise _not_understood(relative, "DOMAIN/archive/YYYY/Mon/DD/UUID.wav, as FusionPBX names recordings")
    # The day alone is no start: that comes from the call detail record or the audio file.
    return CallFacts(timezone=timezone, call_id=match[5].lower(), tenant_hint=plain(match[1] or ""))


def _kazoo(relative: str, timezone: str) -> CallFacts:
    match = _KAZOO.fullmatch(relative.rpartition("/")[2])
    if match is None:
        raise _not_understood(
            relative, "32 hex digits, or call_recording_CALLID, and .mp3 or .wav, as KAZOO names them"
        )
    return CallFacts(timezone=timezone, call_id=plain(match[1] or match[2]))


def _mikopbx(relative: str, timezone: str) -> CallFacts:
    match = _MIKO.fullmatch(relative.rpartition("/")[2])
    if match is None:
        raise _not_understood(relative, "mikopbx-UNIQUEID_RANDOM.mp3, as MikoPBX names recordings")
    call_id = f"mikopbx-{match[1]}.{match[2]}"
    return CallFacts(
        started_at=datetime.fromtimestamp(int(match[1]), UTC),
        timezone=timezone,
        call_id=call_id,
    )


def _sidecar(relative: str, timezone: str) -> CallFacts:
    """Names say nothing, but for the conversation in an export's folders."""
    match = _HIVE.search(relative)
    return CallFacts(timezone=timezone, linked_id=plain(match[1]) if match else "")


_TEXT_GROUPS = (
    "caller", "callee", "caller_name", "callee_name", "extension", "route", "call_id", "linked_id", "channels",
)  # fmt: skip
_GENERIC_GROUPS = frozenset({*_TEXT_GROUPS, "tenant", "direction", "date", "time", "datetime", "epoch", "duration"})
_DIRECTIONS = {
    "in": Direction.INBOUND, "inbound": Direction.INBOUND, "incoming": Direction.INBOUND,
    "out": Direction.OUTBOUND, "outbound": Direction.OUTBOUND, "outgoing": Direction.OUTBOUND,
    "internal": Direction.INTERNAL, "local": Direction.INTERNAL,
}  # fmt: skip


def direction_of(word: str) -> Direction:
    """in, inbound, incoming, out, ... in any case; anything else is unknown."""
    return _DIRECTIONS.get(word.lower(), Direction.UNKNOWN)


def _generic(relative: str, pattern: str, timezone: str) -> CallFacts:
    """Groups: texts as in `CallFacts`; tenant; direction; epoch, or datetime, or date and time; duration (seconds)."""
    subject = relative if "/" in pattern else relative.rpartition("/")[2]
    match = re.fullmatch(pattern, subject)
    if match is None:
        raise _not_understood(relative, f"the spool's pattern, {pattern}")
    groups = {name: value for name, value in match.groupdict().items() if value}
    started_at, duration_ms = None, None
    try:
        if "epoch" in groups:
            started_at = datetime.fromtimestamp(int(groups["epoch"]), UTC)
        elif when := groups.get("datetime", "") or groups.get("date", "") + groups.get("time", ""):
            digits = "".join(re.findall("[0-9]+", when))
            started_at = to_utc(local_time(digits.ljust(14, "0") if len(digits) == 12 else digits), timezone)
        if "duration" in groups:
            duration_ms = round(float(groups["duration"]) * 1000)
    except (ValueError, OverflowError, OSError):
        raise _not_understood(
            relative, "a date and time as YYYYMMDDhhmmss (any separators), an epoch or a duration in seconds"
        ) from None
    return CallFacts(
        started_at=started_at,
        timezone=timezone,
        duration_ms=duration_ms,
        direction=direction_of(groups.get("direction", "")),
        tenant_hint=plain(groups.get("tenant", "")),
        **{name: plain(groups.get(name, "")) for name in _TEXT_GROUPS},  # type: ignore[arg-type]
    )


_GRAMMARS: dict[str, Callable[[str, str], CallFacts]] = {
    "freepbx": _freepbx,
    "fusionpbx": _fusionpbx,
    "3cx": _three_cx,
    "kazoo": _kazoo,
    "mikopbx": _mikopbx,
    "sidecar": _sidecar,
}


def _not_understood(relative: str, expected: str) -> Unfit:
    return Unfit(
        "name-not-understood",
        f"The name {_shown(relative)} is not {expected}. Check the spool's layout, or rename the file; then retry.",
    )


def _ambiguous(relative: str, why: str) -> Unfit:
    return Unfit(
        "name-ambiguous", f"The name {_shown(relative)} can be read in two ways: {why}. Rename it, then retry."
    )


def _shown(relative: str) -> str:
    text = safe_text(relative)
    return text if len(text) <= 160 else f"{text[:80]}...{text[-70:]}"
