"""Call detail records that come later than their recording: joined again until they are there, or too old."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from recpipe import log
from recpipe.catalogue import Catalogue
from recpipe.model import CallFacts, Recording
from recpipe.pipeline.order import Line
from recpipe.spool.describe import fill

_log = log.get(__name__)

# PBXs write the record when the last leg ends; a day covers calls on hold overnight and a spool that was behind.
GIVE_UP_AFTER = timedelta(days=1)
_BATCH = 200


def join(catalogue: Catalogue, line: Line, now: datetime) -> int:
    """Fill in what call detail records say by now of recordings of this spool that still wait for them.

    Returns:
        How many recordings were completed.

    Raises:
        CatalogueUnavailable: try again later; what was joined before stays.
    """
    with catalogue.read() as work:
        tenants = work.tenants.list()
    joined = 0
    for tenant in tenants:
        with catalogue.read() as work:
            waiting = work.of(tenant.id).recordings.awaiting_cdr(_BATCH)
        changes = {
            recording.id: facts
            for recording in waiting
            if recording.spool == line.spool.label and (facts := _better(line, recording, now)) is not None
        }
        if not changes:
            continue
        with catalogue.begin() as work:
            for recording_id, facts in changes.items():
                work.of(tenant.id).recordings.set_facts(recording_id, facts)
        joined += len(changes)
        _log.info("call detail records joined", tenant=tenant.name, spool=line.spool.label, recordings=len(changes))
    return joined


def _better(line: Line, recording: Recording, now: datetime) -> CallFacts | None:
    late = line.describer.late_facts(recording.facts.call_id)
    if late is not None:
        return replace(fill(recording.facts, late), awaits_cdr=False)
    if now - recording.ingested_at > GIVE_UP_AFTER:
        return replace(recording.facts, awaits_cdr=False)
    return None
