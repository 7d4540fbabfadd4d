"""Messages as FreeSWITCH's voicemail keeps them: `DOMAIN/MAILBOX/msg_UUID.wav`.

What is known of a message is in a database; where the file is named after the call, as by mod_voicemail, the call
detail record says it. FusionPBX gives messages a uuid of their own, and makes an MP3 of the WAV, which it then removes.

Source: FreeSWITCH, src/mod/applications/mod_voicemail/mod_voicemail.c (voicemail_leave_main); FusionPBX,
app/voicemail/resources/scripts/app/voicemail.
"""

from __future__ import annotations

import re
from pathlib import Path

from recpipe.model import CallFacts, RecordingKind
from recpipe.spool.files import Kind, is_plain_file, kind_of, plain
from recpipe.spool.grammar import AUDIO, not_understood, number_in_name

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NAME = re.compile(rf"msg_{_UUID}{AUDIO}")
_MESSAGE = re.compile(rf"(?:([^/]+)/)?([^/]+)/msg_({_UUID}){AUDIO}")


def kind(name: str) -> Kind:
    """What a file of this name is in a mailbox: greetings and recorded names are no recordings."""
    known = kind_of(name)
    if known is not Kind.RECORDING or _NAME.fullmatch(name):
        return known if known is not Kind.UNKNOWN else Kind.OTHER
    return Kind.OTHER


def parse(relative: str, timezone: str) -> CallFacts:
    """See `naming.parse`."""
    match = _MESSAGE.fullmatch(relative)
    if match is None:
        raise not_understood(relative, "DOMAIN/MAILBOX/msg_UUID.wav, as FreeSWITCH's voicemail names messages")
    mailbox = number_in_name(match[2])
    return CallFacts(
        timezone=timezone,
        kind=RecordingKind.VOICEMAIL,
        mailbox=mailbox,
        extension=mailbox,
        callee=mailbox,
        call_id=match[3].lower(),
        tenant_hint=plain(match[1] or ""),
    )


def has_better_format(message: Path) -> bool:
    """Whether the WAV that this file was made of is still there."""
    return not message.name.lower().endswith(".wav") and is_plain_file(message.with_suffix(".wav"))
