"""Telephone numbers: raw text is kept, E.164 is added where it is certain. The only home of phonenumbers.

What people type and what PBXs write goes through the same understanding: `e164` decides for the one number that a text
stands for, `meaning` gives everything that a typed text may stand for. The library is loaded with the first number: a
server that only waits does without.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata, PhoneNumber

_DIALLED = re.compile(r"[( ]*\+?[ ]*[0-9(][0-9 ().\-/]*")
_NOT_DIALLED = re.compile(r"[^+*#0-9 ().\-/]+")
# Shorter digit strings are extensions: phonenumbers would make +49201 of "201".
_SHORTEST_NUMBER = 7
# E.164 allows 15; some PBXs put a prefix before it. More is junk, and must not fill indexes.
_LONGEST_NUMBER = 32
_SHORTEST_PART = 3  # digits of a number's beginning that are worth looking for

_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_ADDRESS = re.compile(r"<([^<>]*)>")  # of "Name" <sip:201@pbx>
_SCHEME = re.compile(r"(?:sips?|tel|callto):(?://)?", re.IGNORECASE)
_CONTEXT = re.compile(r";phone-context=(\+[0-9.\-]+)", re.IGNORECASE)
_EXTENSION = re.compile(r"(?:;?\s*ext[a-z]*|x|#|,,+)[\s.:=-]*[0-9]{1,7}\Z", re.IGNORECASE)
# Dialled before a number to show or hide one's own: *31# and #31# (3GPP TS 22.030); *67, *82 in North America.
_SERVICE = re.compile(r"[*#]{1,2}[0-9]{2,3}[*#](?=[^0-9]*(?:[0-9][^0-9]*){3})")
_STAR_SERVICE = re.compile(r"\*[0-9]{2}[ ]*(?=[+0-9(])")
_TRUNK = re.compile(r"\(0\)")  # of +44 (0)20: dialled within the country only
_EXITS = ("0011", "011", "00")  # international prefixes that people and carriers write wherever they are


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a typed number may stand for, in digits alone. Whichever way a number is typed, its meaning is the same.

    Args:
        digits: as it was typed; never empty.
        spellings: the numbers it stands for in E.164 and as dialled from abroad, and the typed digits.
        national: ways to write them within their country, which may be another number in another country.
        parts: what the spellings end in, whatever was dialled before them.
        beginning: of a number whose end is missing: what its E.164 digits begin with; else "".
    """

    digits: str
    spellings: frozenset[str]
    national: frozenset[str]
    parts: frozenset[str]
    beginning: str


@lru_cache(maxsize=8192)
def e164(raw: str, region: str) -> str:
    """The E.164 form of `raw`, or "" where it is an extension, a name, anonymous or not a valid number.

    Args:
        raw: as the PBX wrote it.
        region: ISO 3166 code in which national numbers are read; "" reads only international ones.

    Source: ITU-T E.164; RFC 3966 for the leading plus sign.
    """
    return next((_e164(number) for number in _readings(_cleaned(raw), region)), "")


def digits(raw: str) -> str:
    """The digits of a number as it was written, at most the last 32: what number searches compare.

    Only the user part of a SIP URI counts, no extension behind the number, and no service code before it. Digits of
    other scripts count as ours.
    """
    return _digits(_cleaned(raw))


@lru_cache(maxsize=1024)
def meaning(typed: str, region: str) -> Meaning:
    """Everything that a typed text may stand for, to a tenant of this region ("" reads no national numbers)."""
    import phonenumbers

    text = _NOT_DIALLED.sub(" ", _cleaned(typed)).strip(" .-/)")
    written = _digits(text)
    # The digits with what `digits` leaves away: so they were kept before it left it away.
    spellings, national, parts = {written, _digits(typed.partition("@")[0])}, set[str](), {written}
    for number in _readings(text, region):
        form = _digits(_e164(number))
        spellings |= {form, *(f"{prefix}{form}" for prefix in _EXITS)}
        parts.add(form)
        if region and number.country_code == phonenumbers.country_code_for_region(region):
            within = _digits(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL))
            national |= {within, phonenumbers.national_significant_number(number)}
            parts.add(within)
    beginning = _beginning(text, region) if len(parts) == 1 else ""
    return Meaning(written, frozenset(spellings - {""}), frozenset(national), frozenset(parts), beginning)


def fewest(parts: Iterable[str], *, ending: bool) -> list[str]:
    """Leave out the parts that end in, or hold, a shorter one: whatever matches them matches that as well."""
    kept: list[str] = []
    for part in sorted(parts, key=lambda part: (len(part), part)):
        if not any(part.endswith(one) if ending else one in part for one in kept):
            kept.append(part)
    return kept


def is_region(code: str) -> bool:
    """Whether national numbers can be read in this ISO 3166 region (upper case)."""
    import phonenumbers

    return code in phonenumbers.SUPPORTED_REGIONS


def _digits(text: str) -> str:
    return "".join(c for c in text if "0" <= c <= "9")[-_LONGEST_NUMBER:]


def _has_plus(text: str) -> bool:
    return text.lstrip("( ").startswith("+")


def _e164(number: PhoneNumber) -> str:
    import phonenumbers

    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _cleaned(raw: str) -> str:
    """The number alone, in ASCII: without the URI, the escapes, the extension or the service code around it."""
    text = raw if raw.isascii() else "".join(map(_ascii, raw))
    if "%" in text and _ESCAPE.search(text):
        text = unquote(text, errors="replace")
    if (address := _ADDRESS.search(text)) is not None:
        text = address[1]
    text = text.strip()
    if (scheme := _SCHEME.match(text)) is not None:
        text = text[scheme.end() :]
    context = _CONTEXT.search(text)
    text = text.partition("@")[0].partition(";phone-context")[0].strip()
    behind = _EXTENSION.search(text)
    if behind is not None and len(_digits(text[: behind.start()])) >= _SHORTEST_NUMBER:
        text = text[: behind.start()]
    text = text.partition(";")[0].strip()
    if context is not None and not _has_plus(text):
        text = context[1] + text
    if (service := _SERVICE.match(text)) is not None:
        text = text[service.end() :].strip()
    return text


def _ascii(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    category = unicodedata.category(character)
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if character.isspace():
        return " "
    if category == "Cf":  # marks of direction and of width, which come along when a number is copied
        return ""
    if "\uff01" <= character <= "\uff5e":  # full-width forms of ASCII
        return chr(ord(character) - 0xFEE0)
    return character


def _readings(text: str, region: str) -> Iterator[PhoneNumber]:
    """The valid numbers that a text may be, the likeliest first."""
    if (service := _STAR_SERVICE.match(text)) is not None:
        text = text[service.end() :]
    if not _DIALLED.fullmatch(text) or len(_digits(text)) < _SHORTEST_NUMBER:
        return
    bare = _digits(text)
    # A bare 27836826436 is how most PBXs write +27836826436; it counts only where that is a valid number.
    candidates = [(text, region)] if region or _has_plus(text) else []
    candidates += [(f"+{bare}", "")]
    some = False
    for candidate, where in candidates:
        if (number := _valid(candidate, where)) is not None:
            some = True
            yield number
    if not some:
        for prefix in _EXITS:
            if bare.startswith(prefix) and (number := _valid(f"+{bare[len(prefix) :]}", "")) is not None:
                yield number


def _valid(text: str, region: str) -> PhoneNumber | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _plan(region: str) -> PhoneMetadata | None:
    import phonenumbers

    return phonenumbers.PhoneMetadata.metadata_for_region(region) if region else None


def _beginning(text: str, region: str) -> str:
    """How the E.164 digits begin of a number whose end is missing, such as 020 7946 or 0044 20."""
    bare = _digits(text)
    if _has_plus(text):
        begins = _digits(_TRUNK.sub("", text))
    elif (metadata := _plan(region)) is not None:
        leaving = re.match(metadata.international_prefix or "(?!)", bare)
        trunk = metadata.national_prefix or ""
        if leaving is not None:
            begins = _digits(_TRUNK.sub("", text))[leaving.end() :]
        else:
            begins = f"{metadata.country_code}{bare.removeprefix(trunk)}" if bare.startswith(trunk) else ""
    else:
        begins = ""
    return begins if len(begins) >= _SHORTEST_PART else ""
