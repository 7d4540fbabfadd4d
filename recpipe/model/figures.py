"""What figures are: sums over calls by time, and by what calls have in common."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Dimension(StrEnum):
    """What calls are told apart by. A call counts once for each value that any of its legs has."""

    DIRECTION = "direction"
    EXTENSION = "extension"
    ROUTE = "route"
    CALLED = "called"  # our number that was called
    NUMBER = "number"  # whom the call was with


@dataclass(frozen=True, slots=True)
class Sum:
    """What some calls come to. A call counts where it began, with all of its legs."""

    calls: int = 0
    recordings: int = 0
    duration_ms: int = 0
    longest_ms: int = 0  # of one recording
    stored_bytes: int = 0
    sealed: int = 0  # recordings

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.calls + other.calls,
            self.recordings + other.recordings,
            self.duration_ms + other.duration_ms,
            max(self.longest_ms, other.longest_ms),
            self.stored_bytes + other.stored_bytes,
            self.sealed + other.sealed,
        )


@dataclass(frozen=True, slots=True)
class ValueSum:
    """What the calls of one tenant with one value of a dimension come to."""

    tenant_id: str
    value: str
    calls: int
    duration_ms: int  # of their legs that have it


@dataclass(frozen=True, slots=True)
class Listener:
    """How often somebody listened.

    Attributes:
        actor: as the audit log names them.
    """

    actor: str
    plays: int
    downloads: int
