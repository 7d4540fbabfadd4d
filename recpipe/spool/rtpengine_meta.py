"""What rtpengine says of a call while it lasts: `CALLID-TAG.meta` in its spool, removed when the call ends.

The file is a list of sections that grows:

    NAME
    LENGTH:
    content of LENGTH bytes
    (an empty line)

`CALL-ID` names the call, `METADATA` is what the proxy passed as `metadata=`, here `key:value` with `|` between. Its
keys are those of our sidecar: the other texts of `CallFacts`, direction, tenant, and started_at (seconds since 1970, or
ISO 8601). A value may be percent-escaped, and `caller_hex` is `caller` in hexadecimal, of UTF-8: what people outside
choose must not be able to end a value. A key that is given twice with different values was not ours alone to give: it
says nothing.

All of it is hostile text. Source: append_meta_chunk in rtpengine's daemon/recording.c.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import unquote

from recpipe.model import TEXT_FACTS, CallFacts
from recpipe.spool.files import plain
from recpipe.spool.grammar import direction_of
from recpipe.times import is_credible

LIMIT_BYTES = 1024 * 1024  # each re-INVITE adds its SDP; what we want stands in front
_HEAD = re.compile(rb"([^\n]{1,200})\n([0-9]{1,7}):\n")
_LONGEST_METADATA = 8 * 1024
_MOST_PAIRS = 64
_TEXTS = tuple(name for name in TEXT_FACTS if name != "call_id")  # that is the section CALL-ID


def read(data: bytes) -> tuple[str, str]:
    """The Call-ID and the metadata of a .meta file, each "" where it does not say it (yet).

    Reads as far as the sections are whole. Of several with the same name the last one counts.
    """
    found = {b"CALL-ID": b"", b"METADATA": b""}
    at = 0
    while (head := _HEAD.match(data, at)) is not None:
        ends = head.end() + int(head[2])
        if data[ends : ends + 2] != b"\n\n":
            break  # half written, or no such file
        if head[1] in found:
            found[head[1]] = data[head.end() : ends]
        at = ends + 2
    call_id, metadata = (found[name].decode("utf-8", "replace") for name in (b"CALL-ID", b"METADATA"))
    return plain(call_id), metadata[:_LONGEST_METADATA]


def facts_of(metadata: str, timezone: str, now: datetime) -> CallFacts:
    """Call facts of what a proxy passed as metadata; what cannot be understood says nothing, and nothing raises.

    Args:
        timezone: of the source.
        now: a start after it is not believed.
    """
    values = _values(metadata)
    texts = {name: plain(values.get(name, "")) for name in _TEXTS}
    return CallFacts(
        started_at=_time(values.get("started_at", ""), now),
        timezone=timezone,
        direction=direction_of(values.get("direction", "")),
        tenant_hint=plain(values.get("tenant", "")),
        **texts,  # type: ignore[arg-type]
    )


def _values(metadata: str) -> dict[str, str]:
    values: dict[str, str] = {}
    doubtful = set()
    for pair in metadata.split("|")[:_MOST_PAIRS]:
        key, _, text = pair.partition(":")
        key, value = key.strip().lower(), text.strip()
        if key.endswith("_hex"):
            key = key.removesuffix("_hex")
            try:
                value = bytes.fromhex(value).decode()
            except ValueError:
                doubtful.add(key)
        else:
            value = unquote(value, errors="replace")
        if values.setdefault(key, value) != value:
            doubtful.add(key)
    return {key: value for key, value in values.items() if key not in doubtful}


def _time(text: str, now: datetime) -> datetime | None:
    try:
        if re.fullmatch(r"[0-9]{9,10}(?:\.[0-9]{1,9})?", text):
            moment = datetime.fromtimestamp(float(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                return None  # local to whom?
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if is_credible(moment, now) else None
