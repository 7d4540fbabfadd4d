"""JSON beside a recording that describes it, read and written, and the facts KAZOO sends along with a pushed recording.

Keys of our own sidecar (all optional, unknown keys are ignored; `null` and "" say nothing):

    started_at          ISO 8601; without an offset it is in the spool's zone
    timezone            IANA name of the source's zone
    duration_ms, or duration_seconds                                  a number
    direction           inbound, outbound, internal
    kind                call, voicemail, conference, fax
    tenant, and each of `model.TEXT_FACTS` under its name             text
    masked              list of [from, to] in seconds from the start of the recording, or text such as "130-161 200-230"

Keys of a Genesys Cloud `_metadata.json`: conversationId, recordingId, startTime, endTime, direction, ani, dnis,
organizationId. Our own key wins where both are there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from recpipe.errors import Held, InputInvalid, Unfit
from recpipe.model import MOST_MASKED, TEXT_FACTS, CallFacts, Direction, Masked, RecordingKind, masked_from
from recpipe.spool.files import plain, read_small, safe_text
from recpipe.spool.grammar import direction_of
from recpipe.times import check_timezone, from_gregorian, to_utc

LIMIT_BYTES = 64 * 1024
_YOUNG_SECONDS = 120  # a sidecar that does not parse and is younger than this may be half written
_LONGEST_CALL_MS = 30 * 24 * 3600 * 1000
_TEXTS = {name: (name,) for name in TEXT_FACTS} | {
    "caller": ("caller", "ani"),
    "callee": ("callee", "dnis"),
    "call_id": ("call_id", "recordingId"),
    "linked_id": ("linked_id", "linkedid", "interaction_id", "conversationId"),
    "tenant_hint": ("tenant", "organizationId"),
}  # field of `CallFacts` -> its keys; the first is our own, which is written
_WRITTEN_TEXTS = ("started_at", "timezone", "direction", "kind", "masked", *(keys[0] for keys in _TEXTS.values()))
_WRITTEN_NUMBERS = ("duration_ms", "duration_seconds")


def read(path: Path, timezone: str) -> CallFacts:
    """Read one sidecar.

    Raises:
        Unfit: `sidecar-invalid`, naming the key and what it should be.
        Held: `sidecar-unfinished`, it does not parse, but may still be being written.
        OSError: it cannot be read (any more).
    """
    data = read_small(path, LIMIT_BYTES)
    try:
        content = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        name = safe_text(path.name)
        if time.time() - path.lstat().st_mtime < _YOUNG_SECONDS:
            raise Held("sidecar-unfinished", f"{name} is not complete JSON yet; it will be read again.") from error
        raise Unfit("sidecar-invalid", f"{name} is not JSON: {error}. Correct or remove it, then retry.") from error
    return facts_from_json(content, timezone)


def facts_from_json(content: object, timezone: str) -> CallFacts:
    """Call facts of a parsed sidecar.

    Raises:
        Unfit: `sidecar-invalid`.
    """
    if not isinstance(content, dict):
        raise _invalid("the file", "a JSON object", content)
    zone = _text(content, "timezone") or timezone
    try:
        check_timezone(zone)
    except ValueError:
        raise _invalid("timezone", "an IANA name such as Europe/Berlin", zone) from None
    started_at, local = _time(content, ("started_at", "startTime"), zone)
    duration_ms = _duration(content)
    ended_at, _ = _time(content, ("endTime",), zone)
    if duration_ms is None and started_at is not None and ended_at is not None and ended_at >= started_at:
        duration_ms = round((ended_at - started_at) / timedelta(milliseconds=1))
    word = _text(content, "direction")
    direction = direction_of(word)
    if word and direction is Direction.UNKNOWN and word.lower() != "unknown":
        raise _invalid("direction", "inbound, outbound or internal", word)
    kind = RecordingKind.CALL
    if given_kind := _text(content, "kind").lower():
        if given_kind not in list(RecordingKind):
            raise _invalid("kind", f"one of {', '.join(RecordingKind)}", given_kind)
        kind = RecordingKind(given_kind)
    texts = {field: next((t for key in keys if (t := _text(content, key))), "") for field, keys in _TEXTS.items()}
    return replace(
        CallFacts(
            started_at=started_at,
            start_is_local=local,
            timezone=zone,
            duration_ms=duration_ms,
            direction=direction,
            kind=kind,
            masked=_masked(content),
        ),
        **texts,  # type: ignore[arg-type]
    )


def write(given: Mapping[str, str], timezone: str) -> bytes:
    """Write the sidecar that says of a call what a query string or form says, by our own keys or by KAZOO's.

    Our own key wins where both are there; other keys are ignored.

    Returns:
        The JSON; empty where nothing is said of a call.

    Raises:
        Unfit: `sidecar-invalid`: a fact cannot be understood, so `read` would refuse it.
        InputInvalid: there is too much of it.
    """
    kazoo = facts_from_kazoo(given)
    facts: dict[str, object] = {keys[0]: text for field, keys in _TEXTS.items() if (text := getattr(kazoo, field))}
    if kazoo.started_at is not None:
        facts["started_at"] = kazoo.started_at.isoformat()
    facts |= {name: given[name] for name in _WRITTEN_TEXTS if given.get(name)}
    for name in _WRITTEN_NUMBERS:
        if given.get(name):
            try:
                facts[name] = float(given[name])
            except ValueError:
                facts[name] = given[name]  # the check below names it
    if not facts:
        return b""
    facts_from_json(facts, timezone)
    written = json.dumps(facts, sort_keys=True).encode()
    if len(written) > LIMIT_BYTES:
        raise InputInvalid("query", "The facts of the call are too long.")
    return written


def corrected(before: Iterable[bytes], given: Mapping[str, str], timezone: str) -> bytes:
    """The sidecar that says of a call what a person says of it, and the rest as it was said before.

    Args:
        before: the sidecars that there were, the most specific first; what of them is none is left out.
        given: by our own keys.

    Raises:
        Unfit, InputInvalid: as `write`, of what is given.
    """
    stated = json.loads(write(given, timezone) or b"{}")
    content: dict[str, object] = {}
    for data in before:
        try:
            said = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
            facts_from_json(said, timezone)
        except (ValueError, RecursionError, Unfit):
            continue
        content = said | content
    # What is stated of the time is in the zone of the spool, and other times are no part of it any more.
    kept = {key: value for key, value in content.items() if key not in ("timezone", "startTime", "endTime")}
    written = json.dumps(kept | stated, sort_keys=True).encode()
    if len(written) > LIMIT_BYTES:
        raise InputInvalid("facts", "The facts of the call are too long.")
    return written


def facts_from_kazoo(params: Mapping[str, str]) -> CallFacts:
    """Read what KAZOO's HTTP push says in its query string; `account_id` names the tenant, `start` is the recording's.

    Texts may be SIP URIs and stay raw. Unknown parameters are ignored; nothing here raises.
    """

    def get(*names: str) -> str:
        return next((text for name in names if (text := plain(params.get(name, "")))), "")

    caller = get("caller_id_number") or _user(get("from"))
    return CallFacts(
        started_at=from_gregorian(params.get("start")),
        caller=caller,
        callee=_user(get("to")),
        caller_name=get("caller_id_name"),
        call_id=get("call_id", "cdr_id"),
        linked_id=get("interaction_id"),
        tenant_hint=get("account_id"),
    )


def _user(address: str) -> str:
    """KAZOO writes `number@realm`; with a digit-only user part the realm only names the tenant's domain."""
    user, _, _ = address.partition("@")
    return user if user.lstrip("+").isdecimal() else address


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(key, "text in quotes", value)
    return plain(value)


def _time(content: Mapping[str, Any], keys: tuple[str, ...], zone: str) -> tuple[datetime | None, bool]:
    """The first time that is there, and whether it came without an offset."""
    for key in keys:
        text = _text(content, key)
        if not text:
            continue
        try:
            moment = datetime.fromisoformat(text)
            local = moment.tzinfo is None
            moment = to_utc(moment, zone) if local else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _invalid(key, "a time such as 2025-03-27T09:25:17+07:00", text) from None
        if not 1990 <= moment.year < 2100:
            raise _invalid(key, "a time between 1990 and 2099", text)
        return moment, local
    return None, False


def _duration(content: Mapping[str, Any]) -> int | None:
    for key, factor in (("duration_ms", 1), ("duration_seconds", 1000)):
        value = content.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _invalid(key, "a number", value)
        if not 0 <= value * factor <= _LONGEST_CALL_MS:
            raise _invalid(key, "zero or more, and no longer than 30 days", value)
        return round(value * factor)
    return None


def _masked(content: Mapping[str, Any]) -> Masked:
    value = content.get("masked")
    if value is None:
        return ()
    try:
        if not isinstance(value, (str, list)):
            raise ValueError(value)
        return masked_from(value)
    except ValueError:
        expected = f"at most {MOST_MASKED} pairs of seconds such as [[130, 161]], the earlier first"
        raise _invalid("masked", expected, value) from None


def _invalid(key: str, expected: str, found: object) -> Unfit:
    shown = safe_text(repr(found))[:60]
    return Unfit("sidecar-invalid", f"In the sidecar, {key} must be {expected}, not {shown}. Correct it, then retry.")
