"""The part of its tenant's recordings that an FTP account or a shared link may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recpipe.access.principal import Principal
from recpipe.model import Recording, RecordingQuery


def subset_of(principal: Principal) -> dict[str, Any]:
    """An account's subset, as the catalogue is asked for it."""
    return {"extension": principal.extension, "direction": principal.direction}


def in_subset(principal: Principal, recording: Recording) -> bool:
    """Whether an account's or a link's subset has it; a principal without one has all of its tenants' recordings."""
    facts = recording.facts
    if principal.recordings is not None and recording.id not in principal.recordings:
        return False
    if principal.extension and principal.extension not in (facts.extension, *facts.more_extensions):
        return False
    return principal.direction is None or principal.direction is facts.direction


def narrowed(principal: Principal, query: RecordingQuery) -> RecordingQuery | None:
    """The query within the account's subset; None when nothing can be in both."""
    if principal.extension:
        if query.extension not in ("", principal.extension):
            return None
        query = replace(query, extension=principal.extension)
    if principal.direction is not None:
        if query.direction not in (None, principal.direction):
            return None
        query = replace(query, direction=principal.direction)
    return query
