"""Recordings as rows and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, fields, make_dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Row

from recpipe.catalogue.tables import recording
from recpipe.model import AudioFacts, CallFacts, Container, DayEntry, Direction, Envelope, Recording

_Made = TypeVar("_Made")


def _quickly(kind: type[_Made]) -> Callable[..., _Made]:
    """Makes instances of a frozen class in a fifth of its own time, which is that of a page of a search.

    A frozen dataclass sets each field through `object.__setattr__`. This makes an instance of an unfrozen class of the
    same layout, and then says what it is.
    """

    def become(made: Any) -> None:
        made.__class__ = kind

    parts = [(one.name, Any, one) for one in fields(cast(Any, kind))]
    plain = [(name, of, field(default=one.default)) for name, of, one in parts]
    made: Any = make_dataclass(kind.__name__, plain, slots=True, namespace={"__post_init__": become})
    return cast(Callable[..., _Made], made)


_recording, _facts, _audio, _envelope = (
    _quickly(Recording),
    _quickly(CallFacts),
    _quickly(AudioFacts),
    _quickly(Envelope),
)
_AUDIO = tuple(field.name for field in fields(AudioFacts))
# Looked up first, since calling the class takes four times as long; it refuses what is no member.
_DIRECTIONS = {member.value: member for member in Direction}
_CONTAINERS = {member.value: member for member in Container}
WITHOUT_PEAKS = tuple(column for column in recording.columns if column.name != "peaks")
OF_A_LISTING = tuple(recording.c[field] for field in DayEntry._fields)


def extensions_of(facts: CallFacts) -> tuple[str, ...]:
    """The extensions that a call is found by, each once, ours first: at most five of 100 characters."""
    return tuple(dict.fromkeys(one[:100] for one in (facts.extension, *facts.more_extensions) if one))[:5]


def values_of_facts(facts: CallFacts) -> dict[str, Any]:
    """The columns that call facts fill."""
    return {
        "facts_started_at": facts.started_at,
        "facts_timezone": facts.timezone,
        "facts_duration_ms": facts.duration_ms,
        "direction": facts.direction.value,
        "caller": facts.caller,
        "callee": facts.callee,
        "caller_name": facts.caller_name,
        "callee_name": facts.callee_name,
        "extension": "\n".join(extensions_of(facts)),
        "route": facts.route,
        "call_id": facts.call_id,
        "linked_id": facts.linked_id,
        "channels": facts.channels,
        "tenant_hint": facts.tenant_hint,
        "awaits_cdr": facts.awaits_cdr,
    }


def values_of(given: Recording) -> dict[str, Any]:
    """The whole row of a recording."""
    envelope = given.envelope
    return {
        "id": given.id,
        "tenant_id": given.tenant_id,
        "name": given.name,
        "day": given.day,
        "started_at": given.started_at,
        "timezone": given.timezone,
        "duration_ms": given.duration_ms,
        **values_of_facts(given.facts),
        "audio": {name: getattr(given.audio, name) for name in _AUDIO},
        "caller_e164": given.caller_e164,
        "callee_e164": given.callee_e164,
        "source_name": given.source_name,
        "source_sha256": given.source_sha256,
        "content_bytes": given.content_bytes,
        "content_sha256": given.content_sha256,
        "object_key": given.object_key,
        "stored_bytes": given.stored_bytes,
        "stored_sha256": given.stored_sha256,
        "envelope_offset": envelope.content_offset if envelope else None,
        "envelope_bytes": envelope.content_bytes if envelope else None,
        "envelope_iv": envelope.iv if envelope else None,
        "envelope_fingerprints": envelope.fingerprints if envelope else None,
        "spool": given.spool,
        "ingested_at": given.ingested_at,
        "flags": given.flags,
        "peaks": given.peaks,
    }


def recording_of(row: Row[Any] | Sequence[Any]) -> Recording:
    """The recording of a row selected with all columns of its table, or `WITHOUT_PEAKS`."""
    values: Sequence[Any] = row
    # By place: looking 39 names up costs more than the rest of a search.
    (
        recording_id,
        tenant_id,
        name,
        day,
        started_at,
        timezone,
        duration_ms,
        facts_started_at,
        facts_timezone,
        facts_duration_ms,
        direction,
        caller,
        callee,
        caller_name,
        callee_name,
        extension,
        route,
        call_id,
        linked_id,
        channels,
        tenant_hint,
        awaits_cdr,
        audio,
        caller_e164,
        callee_e164,
        source_name,
        source_sha256,
        content_bytes,
        content_sha256,
        object_key,
        stored_bytes,
        stored_sha256,
        envelope_offset,
        envelope_bytes,
        envelope_iv,
        envelope_fingerprints,
        spool,
        ingested_at,
        flags,
        *peaks,
    ) = values
    more_extensions: tuple[str, ...] = ()
    if "\n" in extension:
        extension, *more = extension.split("\n")
        more_extensions = tuple(more)
    # The text was read for this row alone.
    audio["container"] = _CONTAINERS.get(audio["container"]) or Container(audio["container"])
    audio["flags"] = tuple(audio["flags"])
    return _recording(
        id=recording_id,
        tenant_id=tenant_id,
        name=name,
        day=day,
        started_at=started_at,
        timezone=timezone,
        duration_ms=duration_ms,
        facts=_facts(
            started_at=facts_started_at,
            timezone=facts_timezone,
            duration_ms=facts_duration_ms,
            direction=_DIRECTIONS.get(direction) or Direction(direction),
            caller=caller,
            callee=callee,
            caller_name=caller_name,
            callee_name=callee_name,
            extension=extension,
            more_extensions=more_extensions,
            route=route,
            call_id=call_id,
            linked_id=linked_id,
            channels=channels,
            tenant_hint=tenant_hint,
            awaits_cdr=awaits_cdr,
        ),
        audio=_audio(**audio),
        caller_e164=caller_e164,
        callee_e164=callee_e164,
        source_name=source_name,
        source_sha256=source_sha256,
        content_bytes=content_bytes,
        content_sha256=content_sha256,
        object_key=object_key,
        stored_bytes=stored_bytes,
        stored_sha256=stored_sha256,
        envelope=None
        if envelope_iv is None
        else _envelope(envelope_offset, envelope_bytes, envelope_iv, envelope_fingerprints),
        spool=spool,
        ingested_at=ingested_at,
        flags=flags,
        peaks=peaks[0] if peaks else b"",
    )
