"""Call detail records that come later than their recording: joined again until they are there, or too old."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from recpipe import log
from recpipe.access.audit import masking_noted
from recpipe.catalogue import Catalogue
from recpipe.model import CallFacts, Recording
from recpipe.pipeline.dating import START_GUESSED
from recpipe.pipeline.masking import ACTOR
from recpipe.pipeline.stages import ServedSpool
from recpipe.spool.describe import RECORD_COMES_WITHIN, fill, sure
from recpipe.spool.grammar import completed
from recpipe.times import is_credible

_log = log.get(__name__)

_BATCH = 200


class LateRecords:
    """Joins one spool's recordings with call detail records that come after them."""

    def __init__(self, catalogue: Catalogue, line: ServedSpool) -> None:
        self._catalogue = catalogue
        self._line = line
        # How far the last round came, by tenant: those that wait in vain must not keep the others from their turn.
        self._looked_at: dict[str, Recording | None] = {}

    def join(self, now: datetime) -> int:
        """Fill in what call detail records say by now of the next recordings that wait for them.

        Returns:
            How many recordings were completed.

        Raises:
            CatalogueUnavailable: try again later; what was joined before stays.
        """
        label = self._line.spool.label
        with self._catalogue.read() as work:
            tenants = work.tenants.list()
        joined = 0
        for tenant in tenants:
            previous = self._looked_at.get(tenant.id)
            with self._catalogue.read() as work:
                waiting = work.of(tenant.id).recordings.awaiting_cdr(label, previous, _BATCH)
            found = {one.id: facts for one in waiting if (facts := self._better(one, now)) is not None}
            if found:
                with self._catalogue.begin() as work:
                    kept = work.of(tenant.id).recordings.set_facts_of(found)
                    for one, before in zip(kept, (one for one in waiting if one.id in found), strict=True):
                        if one.facts.masked != before.facts.masked:
                            work.audit.add(masking_noted(ACTOR, one, now))
                joined += len(found)
                _log.info("call detail records joined", tenant=tenant.name, spool=label, recordings=len(found))
            self._looked_at[tenant.id] = waiting[-1] if len(waiting) == _BATCH else None
        return joined

    def _better(self, recording: Recording, now: datetime) -> CallFacts | None:
        known, late = recording.facts, self._line.describer.late_facts(recording.facts.call_id)
        given_up = now - recording.ingested_at > RECORD_COMES_WITHIN
        if late is not None:
            waits = late.awaits_cdr and not given_up
            late = sure(late) if waits else late
            began = late.started_at
            guessed = START_GUESSED in recording.flags and began is not None and is_credible(began, now)
            facts = fill(replace(known, started_at=None) if guessed else known, late)
            facts = replace(completed(facts), awaits_cdr=waits)
            return None if waits and facts == known else facts
        if given_up:
            return replace(known, awaits_cdr=False)
        return None
