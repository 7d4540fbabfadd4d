"""Recordings as rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import zip_longest
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Row

from recpipe.catalogue.makers import maker
from recpipe.catalogue.tables import LONGEST_CALL_ID, recording
from recpipe.catalogue.types import clean_text
from recpipe.model import (
    AudioFacts,
    CallEntry,
    CallFacts,
    Container,
    DayEntry,
    Direction,
    Envelope,
    Recording,
    RecordingKind,
    call_of,
    masked_from,
    masked_text,
)

_recording, _facts, _audio, _envelope = (
    maker(Recording),
    maker(CallFacts),
    maker(AudioFacts),
    maker(Envelope),
)
_AUDIO = tuple(field.name for field in fields(AudioFacts))
# Looked up first, since calling the class takes four times as long; it refuses what is no member.
_DIRECTIONS = {member.value: member for member in Direction}
_KINDS = {member.value: member for member in RecordingKind}
_CONTAINERS = {member.value: member for member in Container}
# Nor what stands behind them: `Recording.call` says the one, and no recording the other.
WITHOUT_PEAKS = tuple(column for column in recording.columns if column.name not in ("peaks", "call", "call_at"))
OF_A_LISTING = tuple(recording.c[field] for field in DayEntry._fields)
OF_CALLS = tuple(recording.c[field] for field in CallEntry._fields)

# Each fact is in the column of its own name, but for these three; the other two have none of their own.
_RENAMED = {"started_at": "facts_started_at", "timezone": "facts_timezone", "duration_ms": "facts_duration_ms"}
_FACT_FIELDS = tuple(field.name for field in fields(CallFacts))
_FACTS = tuple(name for name in _FACT_FIELDS if name not in ("start_is_local", "more_extensions"))
_FACT_COLUMNS = tuple(_RENAMED.get(name, name) for name in _FACTS)
_FIELDS = tuple(field.name for field in fields(Recording))
_OWN = tuple(name for name in _FIELDS if name not in ("facts", "audio", "envelope", "peaks"))
_ENVELOPE = ("envelope_offset", "envelope_bytes", "envelope_iv", "envelope_fingerprints")
_own_in, _facts_in, _audio_in = attrgetter(*_OWN), attrgetter(*_FACTS), attrgetter(*_AUDIO)

# By place: looking 39 names up costs more than the rest of a search.
_PLACES = {column.name: place for place, column in enumerate(recording.columns)}
_AUDIO_PLACE, _PEAKS_PLACE = _PLACES["audio"], _PLACES["peaks"]
_ANY = 0  # place of what is replaced afterwards


def place_of(column: str) -> int:
    """The place of a column in a row, with peaks or without.

    Raises:
        LookupError: it has none there, as a fact has until its column was made.
    """
    place = _PLACES.get(column, _PEAKS_PLACE)
    if place >= _PEAKS_PLACE:
        raise LookupError(f"{column} needs a column of `recording` in catalogue/tables.py, before `peaks`.")
    return place


_recording_in = itemgetter(*(place_of(name) if name in _OWN else _ANY for name in _FIELDS))
_recorded_facts_in = itemgetter(
    *(place_of(_RENAMED.get(name, name)) if name in _FACTS else _ANY for name in _FACT_FIELDS)
)
_envelope_in = itemgetter(*(_PLACES[name] for name in _ENVELOPE))
_FACTS_AT, _AUDIO_AT, _ENVELOPE_AT, _PEAKS_AT = map(_FIELDS.index, ("facts", "audio", "envelope", "peaks"))
_DIRECTION_AT, _KIND_AT, _EXTENSION_AT, _MORE_AT, _LOCAL_AT, _MASKED_AT = map(
    _FACT_FIELDS.index, ("direction", "kind", "extension", "more_extensions", "start_is_local", "masked")
)


def extensions_of(facts: CallFacts) -> tuple[str, ...]:
    """The extensions that a call is found by, each once, ours first: at most five of 100 characters."""
    return tuple(dict.fromkeys(one[:100] for one in (facts.extension, *facts.more_extensions) if one))[:5]


def values_of_facts(facts: CallFacts) -> dict[str, Any]:
    """The columns that call facts fill."""
    values = dict(zip(_FACT_COLUMNS, _facts_in(facts), strict=True))
    values["direction"], values["kind"] = facts.direction.value, facts.kind.value
    values["extension"] = "\n".join(extensions_of(facts))
    values["masked"] = masked_text(facts.masked)
    return values


def values_of(given: Recording) -> dict[str, Any]:
    """The whole row of a recording."""
    envelope = given.envelope
    sealed = (envelope.content_offset, envelope.content_bytes, envelope.iv, envelope.fingerprints) if envelope else ()
    return {
        **dict(zip(_OWN, _own_in(given), strict=True)),
        **values_of_facts(given.facts),
        "audio": dict(zip(_AUDIO, _audio_in(given.audio), strict=True)),
        **dict(zip_longest(_ENVELOPE, sealed)),
        "peaks": given.peaks,
        **values_of_call(given),
    }


def values_of_call(given: Recording) -> dict[str, Any]:
    """The columns that say which call a recording is a leg of, as if it were the first one.

    From the texts as they are kept, so that it is the call that is said of the recording when it is read.
    """
    facts = given.facts
    linked_id, call_id = clean_text(facts.linked_id), clean_text(facts.call_id[:LONGEST_CALL_ID])
    return {
        "call": call_of(given.tenant_id, clean_text(given.spool), linked_id, call_id, given.id),
        "call_at": given.started_at,
    }


def recording_of(row: Row[Any] | Sequence[Any]) -> Recording:
    """The recording of a row selected with all columns of its table, or `WITHOUT_PEAKS`."""
    of_row: Sequence[Any] = row
    facts = list(_recorded_facts_in(of_row))
    facts[_DIRECTION_AT] = _DIRECTIONS.get(facts[_DIRECTION_AT]) or Direction(facts[_DIRECTION_AT])
    facts[_KIND_AT] = _KINDS.get(facts[_KIND_AT]) or RecordingKind(facts[_KIND_AT])
    facts[_EXTENSION_AT], *more = facts[_EXTENSION_AT].split("\n")
    facts[_MORE_AT], facts[_LOCAL_AT] = tuple(more), False
    facts[_MASKED_AT] = masked_from(facts[_MASKED_AT]) if facts[_MASKED_AT] else ()
    # The text was read for this row alone.
    audio = of_row[_AUDIO_PLACE]
    audio["container"] = _CONTAINERS.get(audio["container"]) or Container(audio["container"])
    audio["flags"] = tuple(audio["flags"])
    envelope = _envelope_in(of_row)
    values = list(_recording_in(of_row))
    values[_FACTS_AT], values[_AUDIO_AT] = _facts(*facts), _audio(**audio)
    values[_ENVELOPE_AT] = None if envelope[2] is None else _envelope(*envelope)
    values[_PEAKS_AT] = of_row[_PEAKS_PLACE] if len(of_row) > _PEAKS_PLACE else b""
    return _recording(*values)
