"""Recordings of conferences: one file of a room, with everybody in it and nobody who called whom.

confbridge-NAME-EPOCH.wav       Asterisk's ConfBridge; of a bridge with a `record_file` of its own, any name
NAME_YYYY-mm-dd-HH-MM-SS.wav    FreeSWITCH, by the usual `auto-record`; NAME is mostly ROOM-DOMAIN

Source: Asterisk, apps/app_confbridge.c (set_rec_filename); FreeSWITCH,
conf/vanilla/autoload_configs/conference.conf.xml.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from recpipe.model import CallFacts, RecordingKind
from recpipe.spool.files import plain
from recpipe.spool.grammar import AUDIO, not_understood, without_ending
from recpipe.times import local_time, to_utc

_CONFBRIDGE = re.compile(rf"confbridge-(.+)-([0-9]{{9,10}}){AUDIO}")
_OWN_TIMESTAMP = re.compile(r"(.+)-([0-9]{10})")
_FREESWITCH = re.compile(rf"(.+)_([0-9]{{4}}(?:-[0-9]{{2}}){{5}}){AUDIO}")
_WITH_DOMAIN = re.compile(r"([^-]+)-([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")


def confbridge(relative: str, timezone: str) -> CallFacts:
    """See `naming.parse`. A name of the bridge's own is that of the room."""
    name = relative.rpartition("/")[2]
    match = _CONFBRIDGE.fullmatch(name)
    stem = without_ending(name)
    if match is None and stem is not None:
        match = _OWN_TIMESTAMP.fullmatch(stem)
    if match is None:
        if not stem:
            raise not_understood(relative, "confbridge-NAME-EPOCH.wav, as ConfBridge names recordings")
        return room(stem, None, timezone)
    return room(match[1], datetime.fromtimestamp(int(match[2]), UTC), timezone)


def freeswitch(relative: str, timezone: str) -> CallFacts:
    """See `naming.parse`."""
    match = _FREESWITCH.fullmatch(relative.rpartition("/")[2])
    expected = "NAME_YYYY-mm-dd-HH-MM-SS.wav, as FreeSWITCH names recordings of conferences"
    if match is None:
        raise not_understood(relative, expected)
    try:
        started_at = to_utc(local_time(match[2].replace("-", "")), timezone)
    except ValueError:
        raise not_understood(relative, f"{expected}; {match[2]} is no date and time") from None
    return room(match[1], started_at, timezone, start_is_local=True)


def room(name: str, started_at: datetime | None, timezone: str, *, start_is_local: bool = False) -> CallFacts:
    """Facts of a conference; ROOM-DOMAIN is the room of a domain."""
    split = _WITH_DOMAIN.fullmatch(name)
    conference = plain(split[1] if split else name)
    return CallFacts(
        started_at=started_at,
        start_is_local=start_is_local,
        timezone=timezone,
        kind=RecordingKind.CONFERENCE,
        conference=conference,
        callee=conference,
        route="conference",
        tenant_hint=plain(split[2]) if split else "",
    )
