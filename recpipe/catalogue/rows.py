"""Recordings as rows and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from recpipe.catalogue.tables import recording
from recpipe.model import AudioFacts, CallFacts, Container, DayEntry, Direction, Envelope, Recording

_AUDIO = tuple(field.name for field in fields(AudioFacts))
WITHOUT_PEAKS = tuple(column for column in recording.columns if column.name != "peaks")
OF_A_LISTING = (
    recording.c.id,
    recording.c.name,
    recording.c.stored_bytes,
    recording.c.stored_sha256,
    recording.c.started_at,
)


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
        "extension": facts.extension,
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


def recording_of(row: Row[Any]) -> Recording:
    """The recording of a row, with its peaks where they were selected."""
    audio = row.audio
    return Recording(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        day=row.day,
        started_at=row.started_at,
        timezone=row.timezone,
        duration_ms=row.duration_ms,
        facts=CallFacts(
            started_at=row.facts_started_at,
            timezone=row.facts_timezone,
            duration_ms=row.facts_duration_ms,
            direction=Direction(row.direction),
            caller=row.caller,
            callee=row.callee,
            caller_name=row.caller_name,
            callee_name=row.callee_name,
            extension=row.extension,
            route=row.route,
            call_id=row.call_id,
            linked_id=row.linked_id,
            channels=row.channels,
            tenant_hint=row.tenant_hint,
            awaits_cdr=row.awaits_cdr,
        ),
        audio=AudioFacts(**{**audio, "container": Container(audio["container"]), "flags": tuple(audio["flags"])}),
        caller_e164=row.caller_e164,
        callee_e164=row.callee_e164,
        source_name=row.source_name,
        source_sha256=row.source_sha256,
        content_bytes=row.content_bytes,
        content_sha256=row.content_sha256,
        object_key=row.object_key,
        stored_bytes=row.stored_bytes,
        stored_sha256=row.stored_sha256,
        envelope=None
        if row.envelope_iv is None
        else Envelope(row.envelope_offset, row.envelope_bytes, row.envelope_iv, tuple(row.envelope_fingerprints)),
        spool=row.spool,
        ingested_at=row.ingested_at,
        flags=tuple(row.flags),
        peaks=getattr(row, "peaks", b""),
    )


def entry_of(row: Row[*tuple[Any, ...]]) -> DayEntry:
    """What a folder listing shows of a row selected with `OF_A_LISTING`."""
    return DayEntry(row.id, row.name, row.stored_bytes, row.stored_sha256, row.started_at)
