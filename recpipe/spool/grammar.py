"""What the grammars of file names and the readers of call detail records share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote

from recpipe.errors import Unfit
from recpipe.model import CallFacts, Direction
from recpipe.spool.files import RECORDING_SUFFIXES, plain, safe_text

# The longest first, or ".wav" would leave the "49" of ".wav49" behind.
_ENDINGS = sorted(RECORDING_SUFFIXES, key=lambda ending: (-len(ending), ending))
AUDIO = f"(?i:{'|'.join(map(re.escape, _ENDINGS))})"  # how the name of a recording ends
_EXTENSION = re.compile(r"[0-9]{2,6}")
_ESCAPED_NUMBER = re.compile(r"(?:%[0-9A-Fa-f]{2}|[+*#0-9 ().\-])+")

_DIRECTIONS = {
    "in": Direction.INBOUND, "inbound": Direction.INBOUND, "incoming": Direction.INBOUND, "ai": Direction.INBOUND,
    "i": Direction.INBOUND, "received": Direction.INBOUND, "terminated": Direction.INBOUND,
    "out": Direction.OUTBOUND, "outbound": Direction.OUTBOUND, "outgoing": Direction.OUTBOUND, "ao": Direction.OUTBOUND,
    "o": Direction.OUTBOUND, "placed": Direction.OUTBOUND, "originated": Direction.OUTBOUND,
    "internal": Direction.INTERNAL, "local": Direction.INTERNAL, "int": Direction.INTERNAL,
}  # fmt: skip


def direction_of(word: str) -> Direction:
    """in, inbound, incoming, AI, out, ... in any case; anything else is unknown."""
    return _DIRECTIONS.get(word.lower(), Direction.UNKNOWN)


def looks_like_extension(number: str) -> bool:
    return _EXTENSION.fullmatch(number) is not None


def direction_by_extensions(caller: str, callee: str) -> Direction:
    """The way of a call when all that is known is which side has an extension (2 to 6 digits)."""
    ours, theirs = looks_like_extension(caller), looks_like_extension(callee)
    if ours and theirs:
        return Direction.INTERNAL
    if ours:
        return Direction.OUTBOUND
    return Direction.INBOUND if theirs else Direction.UNKNOWN


def our_extensions(direction: Direction, caller: str, callee: str) -> tuple[str, ...]:
    """The extensions of ours in a call from one number to another: of an internal one both, the caller's first."""
    sides = {
        Direction.INBOUND: (callee,),
        Direction.OUTBOUND: (caller,),
        Direction.INTERNAL: (caller, callee),
        Direction.UNKNOWN: (caller,),
    }[direction]
    return only_extensions(sides)


def only_extensions(numbers: Iterable[str]) -> tuple[str, ...]:
    """Those of the numbers that are extensions, each once."""
    return tuple(number for number in dict.fromkeys(numbers) if looks_like_extension(number))


def completed(facts: CallFacts) -> CallFacts:
    """Facts with what follows from their numbers: which way the call went, and whose of ours it is.

    Nothing follows for a call of a queue, a group or a room (which `route` names): its number is nobody's extension.
    """
    if facts.route:
        return facts
    direction = facts.direction
    if direction is Direction.UNKNOWN:
        direction = direction_by_extensions(facts.caller or facts.extension, facts.callee)
    ours = [facts.extension, *facts.more_extensions, *our_extensions(direction, facts.caller, facts.callee)]
    ours = [one for one in dict.fromkeys(ours) if one]
    return replace(
        facts,
        direction=direction,
        caller=facts.caller or (facts.extension if direction is Direction.OUTBOUND else ""),
        callee=facts.callee or (facts.extension if direction is Direction.INBOUND else ""),
        extension=ours[0] if ours else "",
        more_extensions=tuple(ours[1:]),
    )


def number_in_name(text: str) -> str:
    """A number as it stood before somebody escaped it for a file name: %2B44 is +44."""
    if "%" in text and _ESCAPED_NUMBER.fullmatch(text):
        return plain(unquote(text, errors="replace"))
    return plain(text)


def without_ending(name: str) -> str | None:
    """A file name without its `.wav`, `.mp3` and so on; None where it has no such ending."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in RECORDING_SUFFIXES else None


def not_understood(relative: str, expected: str) -> Unfit:
    return Unfit(
        "name-not-understood",
        f"The name {_shown(relative)} is not {expected}. Check the spool's layout, or rename the file; then retry.",
    )


def ambiguous(relative: str, why: str) -> Unfit:
    return Unfit(
        "name-ambiguous", f"The name {_shown(relative)} can be read in two ways: {why}. Rename it, then retry."
    )


def _shown(relative: str) -> str:
    text = safe_text(relative)
    return text if len(text) <= 160 else f"{text[:80]}...{text[-70:]}"
