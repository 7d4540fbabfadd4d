"""What a PBX or a person does to a recording while the call lasts, and which parts of it hold no voices for that."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# Milliseconds from the start of the recording, each with its end: silence. Both are the same where the recorder paused,
# so that nothing of what was said meanwhile is in the file.
Masked = tuple[tuple[int, int], ...]

MOST_MASKED = 100
_LONGEST_SECONDS = 30 * 24 * 3600
_RANGE = re.compile(r"([0-9]{1,7}(?:[.][0-9]{1,6})?)-([0-9]{1,7}(?:[.][0-9]{1,6})?)")


class CallEventKind(StrEnum):
    """The values are stored: never rename one."""

    STARTED = "started"
    STOPPED = "stopped"
    MASKED = "masked"  # from now on silence is recorded
    UNMASKED = "unmasked"
    PAUSED = "paused"  # from now on nothing is recorded: the recording is shorter than the call
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that was done to the recording of a call.

    Attributes:
        id: 32 hex digits, derived from tenant, call, kind and time, so that one that is told twice is one.
        spool: label of the one that the recording goes into; "" where ids of calls tell PBXs apart.
        done_by: who did it, as the PBX names them, such as an extension; "" where nobody says.
    """

    id: str
    tenant_id: str
    call_id: str
    spool: str
    kind: CallEventKind
    at: datetime
    done_by: str
    told_at: datetime


def masked_by(events: Iterable[tuple[datetime, CallEventKind]], began: datetime, duration_ms: int) -> Masked:
    """The masked parts of a recording, from what happened at which time; what is not within it is left out.

    Args:
        began: when the recording did, which may be later than the call.
    """
    found: list[tuple[int, int]] = []
    cut = timedelta(0)
    masked_at: int | None = None
    paused_at: datetime | None = None

    def close(end: int) -> None:
        if masked_at is not None and end > 0 and masked_at < duration_ms:
            found.append((max(0, masked_at), min(end, duration_ms)))

    for at, kind in sorted(events, key=lambda one: one[0]):
        place = ((paused_at or at) - began - cut) // timedelta(milliseconds=1)
        if kind is CallEventKind.MASKED and masked_at is None:
            masked_at = place
        elif kind is CallEventKind.UNMASKED and masked_at is not None:
            close(place)
            masked_at = None
        elif kind is CallEventKind.PAUSED and paused_at is None:
            paused_at = at
            if 0 <= place <= duration_ms:
                found.append((place, place))
        elif kind is CallEventKind.RESUMED and paused_at is not None:
            cut += at - max(paused_at, began) if at > began else timedelta(0)
            paused_at = None
    close(duration_ms)
    return tuple(sorted(found)[:MOST_MASKED])


def masked_text(masked: Masked) -> str:
    """The parts in seconds, as `130-161 200.5-230`: for a table, and what `masked_from` reads."""
    return " ".join(f"{_seconds(start)}-{_seconds(end)}" for start, end in masked)


def _seconds(milliseconds: int) -> str:
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


def masked_from(said: str | Sequence[object]) -> Masked:
    """The parts that a text, or a list of [start, end], gives in seconds.

    Raises:
        ValueError: there are too many, or one is none.
    """
    pairs: list[Sequence[object]] = []
    if isinstance(said, str):
        for word in said.replace(",", " ").split():
            if (one := _RANGE.fullmatch(word)) is None:
                raise ValueError(word)
            pairs.append([float(one[1]), float(one[2])])
    else:
        for pair in said:
            if not isinstance(pair, list) or len(pair) != 2:
                raise ValueError(pair)
            pairs.append(pair)
    if len(pairs) > MOST_MASKED:
        raise ValueError(len(pairs))
    return tuple(sorted(_range(start, end) for start, end in pairs))


def _range(start: object, end: object) -> tuple[int, int]:
    for place in (start, end):
        if isinstance(place, bool) or not isinstance(place, (int, float)) or not math.isfinite(place):
            raise ValueError(place)
    assert isinstance(start, (int, float)) and isinstance(end, (int, float))
    if not 0 <= start <= end <= _LONGEST_SECONDS:
        raise ValueError(start, end)
    return round(start * 1000), round(end * 1000)
