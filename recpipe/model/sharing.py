"""Links by which somebody outside hears a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A link to recordings of one call, for one person outside."""

    id: str
    tenant_id: str
    hash: str = field(repr=False)  # SHA-256 of the secret in the link, lower-case hex
    user_id: str  # who made it, and whose rights it lives by
    token_id: str  # "": made by a person who was signed in; else it ends with this API token
    call: str
    recordings: tuple[str, ...]  # the legs that are in it: those that were seen when it was made, and no later ones
    label: str  # for whom, in words of who made it
    passphrase_hash: str | None = field(repr=False)
    download: bool
    created_at: datetime
    expires_at: datetime
    most_openings: int
    openings: int = 0
    last_opened_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """One time that a link was opened; its ticket lets a player ask for range after range."""

    id: str
    link_id: str
    hash: str = field(repr=False)  # SHA-256 of the ticket, lower-case hex
    opened_at: datetime
    expires_at: datetime
