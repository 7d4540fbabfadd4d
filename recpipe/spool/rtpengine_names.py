"""Names of rtpengine-recording: `CALLID-TAG-mix.wav`, and `CALLID-TAG-SSRC.wav` for the stream of one side.

The Call-ID is percent-escaped; the tag is new each time recording is begun in a call, so one call may have several
recordings. A name that exists gets `-1`, `-2`. A time, local to the recorder, may stand in front of it
(`--output-pattern=%Y%m%d-%H%M%S-%c-%t`), and folders.

Source: rtpengine-recording(8), `--output-pattern`; str_uri_encode in rtpengine's lib/str.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from recpipe.model import CallFacts
from recpipe.spool.files import plain
from recpipe.spool.grammar import AUDIO, not_understood
from recpipe.times import local_time, to_utc

_NAME = re.compile(rf"(.+)-([0-9a-f]{{16}})-(mix|[0-9a-f]{{8}})(?:-[0-9]{{1,6}})?{AUDIO}")
_TIMED = re.compile(r"([0-9]{8})[-_T]?([0-9]{6})[-_](.+)")
_EXPECTED = "[YYYYMMDD-hhmmss-]CALLID-TAG-mix.wav, or SSRC for mix, as rtpengine-recording names them"


@dataclass(frozen=True, slots=True)
class Name:
    """What a file name is made of.

    Attributes:
        call_ids: what the Call-ID may be, the likeliest first: it may itself begin as a time does.
        digits: YYYYMMDDhhmmss as it stands in front; "" without a time.
        ssrc: of a single stream, 8 hex digits; "" for what holds all of them.
    """

    call_ids: tuple[str, ...]
    digits: str
    ssrc: str


def split(relative: str) -> Name | None:
    """Take a name apart; None where the recorder gives no such name."""
    found = _NAME.fullmatch(relative.rpartition("/")[2])
    if found is None:
        return None
    front, _, stream = found.groups()
    timed = _TIMED.fullmatch(front)
    ssrc = "" if stream == "mix" else stream
    if timed is not None and _is_time(timed[1] + timed[2]):
        return Name((_call_id(timed[3]), _call_id(front)), timed[1] + timed[2], ssrc)
    return Name((_call_id(front),), "", ssrc)


def is_single_stream(relative: str) -> bool:
    """Whether the file holds the stream of one side alone."""
    name = split(relative)
    return name is not None and name.ssrc != ""


def parse(relative: str, timezone: str) -> CallFacts:
    """See `naming.parse`. All files of a call have its Call-ID, as `call_id` and as `linked_id`."""
    name = split(relative)
    if name is None:
        raise not_understood(relative, _EXPECTED)
    return CallFacts(
        started_at=to_utc(local_time(name.digits), timezone) if name.digits else None,
        start_is_local=bool(name.digits),
        timezone=timezone,
        call_id=name.call_ids[0],
        linked_id=name.call_ids[0],
        channels=f"single stream {name.ssrc}" if name.ssrc else "",
    )


def _call_id(escaped: str) -> str:
    return plain(unquote(escaped, errors="replace"))


def _is_time(digits: str) -> bool:
    try:
        local_time(digits)
    except ValueError:
        return False
    return True
