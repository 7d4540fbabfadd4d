"""What PBXs tell of recordings while calls last: who began one, and when it was masked, paused or stopped.

It is kept for as long as call detail records are. What it says of a recording stands beside it in the catalogue, never
in it: silence in the file is the PBX's doing, and nobody here can prove that it was kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from recpipe.access.audit import AuditTrail, event, masking_noted
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue
from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.model import KEEP_CALL_RECORDS, CallEvent, CallEventKind, Recording, Tenant
from recpipe.times import Clock, is_credible


class CallTelling:
    """Takes what is told. Thread-safe."""

    def __init__(self, catalogue: Catalogue, trail: AuditTrail, clock: Clock) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._clock = clock

    def tell(
        self,
        by: Principal,
        tenant: Tenant,
        call_id: str,
        kind: CallEventKind,
        at: datetime | None = None,
        *,
        done_by: str = "",
        spool: str = "",
    ) -> Sequence[Recording]:
        """Keep one event and note it on the recordings of the call, those that come later too. Twice is once.

        Args:
            call_id: of the leg that is recorded, as its recordings have it.
            at: None: now.
            done_by: the person, as the PBX names them.
            spool: that the recording goes into; "": any.

        Returns:
            The recordings that it changed.

        Raises:
            InputInvalid: the time is in the future, or longer ago than what is told is kept.
            NotFound, Forbidden: `by` may not upload recordings of this tenant.
        """
        self._trail.require(by, Action.UPLOAD, tenant.id)
        now = self._clock()
        at = now if at is None else at
        if not is_credible(at, now) or at < now - KEEP_CALL_RECORDS:
            days = KEEP_CALL_RECORDS.days
            raise InputInvalid(
                "at", message("The time must be in the last {days} days. Check the clock of the PBX.", days=days)
            )
        said = "\0".join((tenant.id, call_id, spool, kind.value, at.isoformat()))
        told = CallEvent(
            id=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32],
            tenant_id=tenant.id,
            call_id=call_id,
            spool=spool,
            kind=kind,
            at=at,
            done_by=done_by,
            told_at=now,
        )
        with self._catalogue.begin() as work:
            changed = work.of(tenant.id).call_events.tell(told)
            subject = changed[0].id if changed else call_id
            work.audit.add(event(by, "call.told", now, tenant_id=tenant.id, subject=subject, what=kind.value))
            for one in changed:
                if one.facts.masked:
                    work.audit.add(masking_noted(by.name, one, now))
        return changed
