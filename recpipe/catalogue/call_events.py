"""What was done to recordings while their calls lasted, and noting it on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update

from recpipe.catalogue.calls import lock_calls
from recpipe.catalogue.completeness_tables import call_event
from recpipe.catalogue.repository import Repository, Scoped, inserted, row_of, same_tenant
from recpipe.catalogue.rows import recording_of, values_of_facts
from recpipe.catalogue.tables import recording
from recpipe.model import CallEvent, CallEventKind, CallFacts, Recording, RecordingKind, masked_by

_MOST_OF_A_CALL = 1000  # events, and recordings, of one call that are looked at
_NO_SOUND_OF_A_CALL = (RecordingKind.VOICEMAIL, RecordingKind.FAX)
_MASKING = (CallEventKind.MASKED, CallEventKind.PAUSED)


class CallEvents(Scoped):
    """Those of the calls of one tenant."""

    __slots__ = ()

    def tell(self, told: CallEvent) -> list[Recording]:
        """Keep one, and note it on the recordings of its call that are there.

        Returns:
            Those that it changed, as they are now.
        """
        same_tenant(self._tenant_id, told.tenant_id)
        lock_calls(self._connection, self._tenant_id)  # one that is being added waits for this, or this for it
        values = {**row_of(call_event, told), "kind": told.kind.value}
        if not inserted(self._connection, call_event, values):
            return []
        return self._note(told.call_id)

    def note_on(self, added: Iterable[Recording]) -> list[Recording]:
        """Note what was told before of the calls of recordings that were just added, in the same transaction."""
        ids = sorted({one.facts.call_id for one in added if one.facts.call_id})
        c = call_event.c
        wanted = select(c.call_id).distinct().where(c.tenant_id == self._tenant_id, c.call_id.in_(ids))
        told = self._connection.execute(wanted.order_by(c.call_id)).scalars().all() if ids else ()
        return [changed for call_id in told for changed in self._note(call_id)]

    def calls_with(self, kinds: Collection[CallEventKind], at_from: datetime, at_before: datetime) -> frozenset[str]:
        """Ids of the calls to whose recording one of these was done in a time."""
        c, words = call_event.c, sorted(kind.value for kind in kinds)
        mine = c.tenant_id == self._tenant_id, c.at >= at_from, c.at < at_before, c.kind.in_(words)
        return frozenset(self._connection.execute(select(c.call_id).distinct().where(*mine)).scalars())

    def of_kinds(self, kinds: Collection[CallEventKind], at_from: datetime, at_before: datetime) -> list[CallEvent]:
        """What was done of these kinds in a time, in order."""
        c, words = call_event.c, sorted(kind.value for kind in kinds)
        mine = c.tenant_id == self._tenant_id, c.at >= at_from, c.at < at_before, c.kind.in_(words)
        return [
            _event_of(row) for row in self._connection.execute(select(call_event).where(*mine).order_by(c.at, c.id))
        ]

    def forget_people(self, call_ids: Collection[str]) -> None:
        """Forget who did it, of calls whose recordings are deleted."""
        c = call_event.c
        done = update(call_event).where(c.tenant_id == self._tenant_id, c.call_id.in_(sorted(call_ids)))
        self._connection.execute(done.where(c.done_by != "").values(done_by=""))

    def _note(self, call_id: str) -> list[Recording]:
        c, r = call_event.c, recording.c
        events = select(call_event).where(c.tenant_id == self._tenant_id, c.call_id == call_id)
        rows = self._connection.execute(events.order_by(c.at, c.id).limit(_MOST_OF_A_CALL))
        told = [_event_of(row) for row in rows]
        legs = select(recording).where(r.tenant_id == self._tenant_id, r.call_id == call_id)
        found = self._connection.execute(legs.order_by(r.started_at, r.id).limit(_MOST_OF_A_CALL))
        changed = []
        for one, facts in _noted([recording_of(row) for row in found], told):
            if facts != one.facts:
                mine = r.tenant_id == self._tenant_id, r.id == one.id
                values = values_of_facts(facts)
                news = {name: values[name] for name in ("masked", "started_by")}
                self._connection.execute(update(recording).where(*mine).values(news))
                changed.append(replace(one, facts=facts))
        return changed


class CallEventsOfAll(Repository):
    """What is forgotten by age."""

    __slots__ = ()

    def prune(self, before: datetime) -> int:
        """Forget what was told before; how many."""
        return self._connection.execute(delete(call_event).where(call_event.c.told_at < before)).rowcount


def _noted(found: Sequence[Recording], told: Sequence[CallEvent]) -> Iterable[tuple[Recording, CallFacts]]:
    """The recordings of a call, in order, with the facts that follow from what was told of it.

    Places in a recording count from when it began. That may be told; otherwise it is when the call did.
    """
    kinds = [one for one in found if one.facts.kind not in _NO_SOUND_OF_A_CALL]
    for spool in dict.fromkeys(one.spool for one in kinds):
        its = [one for one in told if one.spool in ("", spool)]
        legs = [one for one in kinds if one.spool == spool]
        starts = [one for one in its if one.kind is CallEventKind.STARTED]
        # As many as there are recordings: each is of its own. Otherwise nobody can say which is whose.
        each = starts if len(starts) == len(legs) else [None] * len(legs)
        for leg, start in zip(legs, each, strict=True):
            facts, began = leg.facts, leg.started_at if start is None else start.at
            if start is not None and start.done_by:
                facts = replace(facts, started_by=start.done_by)
            if any(one.kind in _MASKING for one in its):
                events = ((one.at, one.kind) for one in its)
                facts = replace(facts, masked=masked_by(events, began, leg.duration_ms))
            yield leg, facts


def _event_of(row: Row[Any]) -> CallEvent:
    return CallEvent(**{**row._mapping, "kind": CallEventKind(row.kind)})
