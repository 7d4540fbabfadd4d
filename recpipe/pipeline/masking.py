"""What was told of calls before their recordings came is noted on these, and masked parts on the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from recpipe.access.audit import masking_noted
from recpipe.catalogue.work import Work
from recpipe.model import Recording

ACTOR = "ingest"


def note_masking(work: Work, added: Iterable[Recording], now: datetime) -> None:
    """Note it of recordings that were just added, in the transaction that adds them."""
    by_tenant: dict[str, dict[str, Recording]] = {}
    for one in added:
        by_tenant.setdefault(one.tenant_id, {})[one.id] = one
    for tenant_id in sorted(by_tenant):
        ours = by_tenant[tenant_id]
        ours |= {one.id: one for one in work.of(tenant_id).call_events.note_on(ours.values())}
        for one in ours.values():
            if one.facts.masked:
                work.audit.add(masking_noted(ACTOR, one, now))
