"""What file names say: one grammar a PBX. Pure functions; names are hostile text and every pattern is linear.

Caller is who rang, callee who was rung, whichever side is ours. What a grammar cannot tell apart for certain is
refused as `name-ambiguous`, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from recpipe.errors import Unfit
from recpipe.model import CallFacts, Direction
from recpipe.spool import (
    asterisk_voicemail,
    conference_names,
    fax_names,
    freepbx_names,
    freeswitch_voicemail,
    generic_names,
    rtpengine_names,
)
from recpipe.spool.files import plain
from recpipe.spool.grammar import (
    AUDIO,
    direction_by_extensions,
    looks_like_extension,
    not_understood,
    number_in_name,
    our_extensions,
)
from recpipe.times import local_time, to_utc

_LONGEST = 1024  # characters of a path that a grammar looks at
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

_THREE_CX = re.compile(r"\[([^\]]*)\]_([^-_]+)-([^_]+)_([0-9]{14})\(([0-9]{1,9})\)" + AUDIO)
_FUSION = re.compile(
    r"(?:recordings/)?(?:([^/]+)/)?archive/([0-9]{4})/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/([0-9]{2})/"
    rf"({_UUID}){AUDIO}"
)
_KAZOO = re.compile(rf"(?:([0-9a-fA-F]{{32}})|call_recording_(.+?))\.?{AUDIO}")
_MIKO = re.compile(rf"mikopbx-([0-9]{{9,10}})\.([0-9]{{1,12}})_([A-Za-z0-9]+){AUDIO}")
_HIVE = re.compile(r"conversation_id=([^/]+)/")
# What desktops and browsers make of a name when a file is copied or fetched again.
_COPIED = re.compile(
    rf"(?:(?:Copy|Kopie|Copie|Copia) (?:\([0-9]{{1,3}}\) )?(?:of|von|de|di) )?(.+?)"
    rf"(?: ?\([0-9]{{1,3}}\)| - (?:Copy|Kopie|Copie|Copia)(?: \([0-9]{{1,3}}\))?| copy(?: [0-9]{{1,3}})?)?({AUDIO})"
)


def parse(relative: str, layout: str, pattern: str, timezone: str) -> CallFacts:
    """Read call facts from a path below the spool (below the tenant's folder, where there is one).

    Args:
        relative: "/"-separated, as the PBX wrote it; `Copy of NAME.wav` and `NAME (1).wav` are read as NAME.wav.
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
    try:
        return _parse(relative, layout, pattern, timezone)
    except Unfit as error:
        original = _uncopied(relative)
        if original == relative or error.reason != "name-not-understood":
            raise
        try:
            return _parse(original, layout, pattern, timezone)
        except Unfit:
            raise error from None


def _parse(relative: str, layout: str, pattern: str, timezone: str) -> CallFacts:
    if layout == "generic":
        return generic_names.parse(relative, pattern, timezone)
    return _GRAMMARS[layout](relative, timezone)


def _uncopied(relative: str) -> str:
    folder, slash, name = relative.rpartition("/")
    found = _COPIED.fullmatch(name)
    return f"{folder}{slash}{found[1]}{found[2]}" if found is not None else relative


# --- 3CX --------------------------------------------------------------------------------------------------


def _three_cx(relative: str, timezone: str) -> CallFacts:
    folder, _, name = relative.rpartition("/")
    expected = "[Name]_CALLER-CALLEE_YYYYMMDDhhmmss(N).wav, as 3CX names recordings"
    match = _THREE_CX.fullmatch(name)
    if match is None:
        raise not_understood(relative, expected)
    person, caller, callee, digits, number = match.groups()
    caller, callee = number_in_name(caller), number_in_name(callee)
    try:
        started_at = to_utc(local_time(digits), timezone)
    except ValueError:
        raise not_understood(relative, f"{expected}; {digits} is no date and time") from None
    owner = folder.rpartition("/")[2]  # Recordings/{extension}/
    if owner == caller != callee:
        direction = Direction.INTERNAL if looks_like_extension(callee) else Direction.OUTBOUND
    elif owner == callee != caller:
        direction = Direction.INTERNAL if looks_like_extension(caller) else Direction.INBOUND
    else:
        direction = direction_by_extensions(caller, callee)
    inbound = direction is Direction.INBOUND
    ours = our_extensions(direction, caller, callee)
    if owner in (caller, callee):
        ours = (plain(owner), *(one for one in ours if one != owner))
    return CallFacts(
        started_at=started_at,
        start_is_local=True,
        timezone=timezone,
        direction=direction,
        caller=caller,
        callee=callee,
        caller_name=plain(person) if inbound else "",  # the name is the other side's
        callee_name="" if inbound else plain(person),
        extension=ours[0] if ours else "",
        more_extensions=ours[1:],
        call_id=number,
    )


# --- the others -------------------------------------------------------------------------------------------


def _fusionpbx(relative: str, timezone: str) -> CallFacts:
    match = _FUSION.fullmatch(relative)
    if match is None:
        raise not_understood(relative, "DOMAIN/archive/YYYY/Mon/DD/UUID.wav, as FusionPBX names recordings")
    # The day alone is no start: that comes from the call detail record or the audio file.
    return CallFacts(timezone=timezone, call_id=match[5].lower(), tenant_hint=plain(match[1] or ""))


def _kazoo(relative: str, timezone: str) -> CallFacts:
    match = _KAZOO.fullmatch(relative.rpartition("/")[2])
    if match is None:
        raise not_understood(relative, "32 hex digits, or call_recording_CALLID, and .mp3 or .wav, as KAZOO names them")
    return CallFacts(timezone=timezone, call_id=plain(match[1] or match[2]))


def _mikopbx(relative: str, timezone: str) -> CallFacts:
    match = _MIKO.fullmatch(relative.rpartition("/")[2])
    if match is None:
        raise not_understood(relative, "mikopbx-UNIQUEID_RANDOM.mp3, as MikoPBX names recordings")
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


_GRAMMARS: dict[str, Callable[[str, str], CallFacts]] = {
    "freepbx": freepbx_names.parse,
    "fusionpbx": _fusionpbx,
    "3cx": _three_cx,
    "kazoo": _kazoo,
    "mikopbx": _mikopbx,
    "rtpengine": rtpengine_names.parse,
    "asterisk-voicemail": asterisk_voicemail.parse,
    "freeswitch-voicemail": freeswitch_voicemail.parse,
    "confbridge": conference_names.confbridge,
    "freeswitch-conference": conference_names.freeswitch,
    "fax": fax_names.parse,
    "sidecar": _sidecar,
}
