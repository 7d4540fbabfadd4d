"""When a call began, where its facts do not say, or say what cannot be."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from recpipe.model import AudioFacts, CallFacts, Settled
from recpipe.times import from_ns, is_credible, likelier_occurrence

# Flags of a recording: nothing named its start, or what did named a time that has not come yet.
START_GUESSED = "start-from-mtime"
START_IN_FUTURE = "start-in-future"


def dated(facts: CallFacts, settled: Settled, audio: AudioFacts, now: datetime) -> tuple[CallFacts, tuple[str, ...]]:
    """Facts with a start that may be true.

    Where nothing names one, it is the last write minus the duration, and where that is in the future as well, now;
    flagged as such. Of a local time that came twice, the last write tells which is meant.
    """
    ended_at = from_ns(settled.mtime_ns)
    began_at = (ended_at - timedelta(milliseconds=audio.duration_ms)).replace(microsecond=0)
    started_at = facts.started_at
    if started_at is not None and is_credible(started_at, now):
        if facts.start_is_local:
            started_at = likelier_occurrence(started_at, facts.timezone, began_at)
        return replace(facts, started_at=started_at, start_is_local=False), ()
    flags = (START_GUESSED,) if started_at is None else (START_GUESSED, START_IN_FUTURE)
    if not is_credible(began_at, now):
        began_at = now.replace(microsecond=0)
    return replace(facts, started_at=began_at, start_is_local=False), flags
