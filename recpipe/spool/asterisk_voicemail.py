"""Messages as Asterisk's voicemail keeps them: `CONTEXT/MAILBOX/FOLDER/msgNNNN.wav`, described by `msgNNNN.txt`.

Numbers say nothing: when a message is deleted or moved to another folder, those behind it get new ones. What stays
is `msg_id`. Everything is renamed into place, sound before description, and a description is removed before its
sound: so one that is there while the sound is there is its own.

Source: Asterisk, apps/app_voicemail.c (leave_voicemail, resequence_mailbox, vm_delete, copy_message).
"""

from __future__ import annotations

import configparser
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from recpipe.errors import Held, Unfit
from recpipe.model import CallFacts, Direction, RecordingKind
from recpipe.spool.files import Kind, is_plain_file, kind_of, plain, read_small, safe_text
from recpipe.spool.grammar import AUDIO, direction_by_extensions, not_understood, number_in_name
from recpipe.times import is_credible

LIMIT_BYTES = 64 * 1024
_NAME = re.compile(rf"msg[0-9]{{4,}}(?:\.txt|{AUDIO})")
_MESSAGE = re.compile(rf"(?:(?:([^/]+)/)?([^/]+)/)?([^/]+)/msg[0-9]{{4,}}{AUDIO}")
# As `format=` of voicemail.conf has several: of one message the first of these that is there is stored.
_FORMATS = (".wav", ".WAV", ".flac", ".sln", ".ulaw", ".alaw", ".g722", ".ogg", ".mp3", ".gsm", ".g729")
_CALLER = re.compile(r'\s*"?([^"<]*?)"?\s*(?:<([^>]*)>)?\s*')
_NOBODY = frozenset(("", "unknown", "unknown caller", "anonymous"))


def kind(name: str) -> Kind:
    """What a file of this name is in a mailbox: greetings and half-written messages are no recordings."""
    known = kind_of(name)
    if known is Kind.HIDDEN:
        return known
    if _NAME.fullmatch(name) is None:
        return Kind.OTHER
    return Kind.SIDECAR if name.endswith(".txt") else Kind.RECORDING


def parse(relative: str, timezone: str) -> CallFacts:
    """What the path says: whose mailbox; the context names the tenant."""
    match = _MESSAGE.fullmatch(relative)
    if match is None or not match[2]:
        raise not_understood(relative, "CONTEXT/MAILBOX/FOLDER/msgNNNN.wav, as Asterisk's voicemail names messages")
    mailbox = number_in_name(match[2])
    return CallFacts(
        timezone=timezone,
        kind=RecordingKind.VOICEMAIL,
        mailbox=mailbox,
        extension=mailbox,
        tenant_hint=plain(match[1] or ""),
    )


def name_of(relative: str, facts: CallFacts) -> str:
    """The name that a message keeps while the PBX gives it new numbers and moves it from folder to folder."""
    stated = facts.call_id or (f"{facts.started_at:%Y%m%d-%H%M%S}" if facts.started_at else "")
    if not stated:
        return relative
    above = relative.rpartition("/")[0].rpartition("/")[0]
    return f"{above}/voicemail-{facts.mailbox}-{stated}{os.path.splitext(relative)[1]}"  # noqa: PTH122


def has_better_format(message: Path) -> bool:
    """Whether the same message is there in a format that is stored rather than this one."""
    better = _FORMATS[: _FORMATS.index(message.suffix)] if message.suffix in _FORMATS else _FORMATS
    return any(is_plain_file(message.with_suffix(ending)) for ending in better)


def description_of(message: Path, now: datetime) -> CallFacts:
    """What `msgNNNN.txt` says of a message.

    Raises:
        Held: `sidecar-missing`, it is not there (yet).
        Unfit: `sidecar-invalid`.
        OSError: it cannot be read.
    """
    path = message.with_suffix(".txt")
    shown = safe_text(path.name)
    try:
        written = read_small(path, LIMIT_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        raise Held(
            "sidecar-missing",
            f"{safe_text(message.name)} waits for {shown}, in which Asterisk says whose message it is. It is stored "
            "once that is there.",
        ) from None
    read = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=(";",), strict=False, interpolation=None, allow_no_value=True
    )
    try:
        read.read_string(written)
        said = {key: plain(value or "") for key, value in read["message"].items()}
    except (configparser.Error, KeyError):
        raise Unfit(
            "sidecar-invalid",
            f"{shown} has no [message] as Asterisk writes it. Correct it; the message is tried again by itself.",
        ) from None
    return _facts(said, now)


def _facts(said: dict[str, str], now: datetime) -> CallFacts:
    started_at = None
    if said.get("origtime", "").isascii() and said.get("origtime", "").isdecimal() and len(said["origtime"]) < 12:
        moment = datetime.fromtimestamp(int(said["origtime"]), UTC)
        started_at = moment if is_credible(moment, now) else None
    duration = said.get("duration", "")
    found = _CALLER.fullmatch(said.get("callerid", ""))
    name, number = (found[1], found[2] or "") if found is not None else (said.get("callerid", ""), "")
    if not number and name and name.removeprefix("+").isdecimal():
        name, number = "", name
    caller = "" if number.lower() in _NOBODY else number_in_name(number)
    callee = said.get("origmailbox", "")
    direction = direction_by_extensions(caller, callee) if caller else Direction.INBOUND
    return CallFacts(
        started_at=started_at,
        duration_ms=int(duration) * 1000 if duration.isascii() and duration.isdecimal() and len(duration) < 7 else None,
        direction=Direction.INBOUND if direction in (Direction.OUTBOUND, Direction.UNKNOWN) else direction,
        caller=caller,
        caller_name="" if name.lower() in _NOBODY or name == caller else name,
        callee=callee,
        call_id=said.get("msg_id", ""),
    )
