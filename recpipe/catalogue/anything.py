"""What a person means who types into one box: a number, a name, an extension, a call id, or a name and a number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recpipe.model import NumberMatch, RecordingQuery
from recpipe.numbers import digits

_SCHEME = re.compile(r"(?:sips?|tel|callto):", re.IGNORECASE)
_CALL_ID = re.compile(r"[0-9]{9,}\.[0-9]+")  # of Asterisk: seconds since 1970, a dot, and a count
_FEWEST = {NumberMatch.EXACT: 1, NumberMatch.ENDING: 2, NumberMatch.CONTAINING: 3}  # digits
_LONGEST_EXTENSION = 8  # digits


def alternatives(query: RecordingQuery) -> list[RecordingQuery]:
    """The searches whose calls, taken together, are those that `query.anything` means.

    Words are looked for in names and file names, digits among numbers and extensions; of words and digits together both
    must hold. One word alone may be a call id or the name of an extension as well. All of it may stand in a note.
    """
    bare = replace(query, anything="")
    return [replace(bare, **part) for part in _parts(" ".join(query.anything.split()), query.number_match)]


def _parts(typed: str, match: NumberMatch) -> Iterator[dict[str, Any]]:
    words: list[str] = []
    dialled: list[str] = []
    for token in typed.split(" "):
        named = any(character.isalpha() for character in token) and not _SCHEME.match(token)
        (words if named or not digits(token) else dialled).append(token)
    number, text = " ".join(dialled), " ".join(words)
    if words:
        yield {"text": typed}
    for one in _numbers(number, match):
        yield one | ({"text": text} if words else {})
    if " " not in typed and (words or _CALL_ID.fullmatch(typed)):
        yield {"call_id": typed}
    if " " not in typed and words:
        yield {"extension": typed}
    yield {"noted": typed}


def _numbers(number: str, match: NumberMatch) -> Iterator[dict[str, str]]:
    if not number:
        return
    is_extension = number.isdecimal() and len(number) <= _LONGEST_EXTENSION
    if is_extension:
        yield {"extension": number}
    if not is_extension or len(number) >= _FEWEST[match]:
        yield {"number": number}
