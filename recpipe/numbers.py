"""Telephone numbers: raw text is kept, E.164 is added where it is certain. The only home of phonenumbers."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

_DIALLED = re.compile(r"^[+0-9(][0-9 ().\-/]*$")
# Shorter digit strings are extensions: phonenumbers would make +49201 of "201".
_SHORTEST_NUMBER = 7
# E.164 allows 15; some PBXs put a prefix before it. More is junk, and must not fill indexes.
_LONGEST_NUMBER = 32


@lru_cache(maxsize=8192)
def e164(raw: str, region: str) -> str:
    """The E.164 form of `raw`, or "" where it is an extension, a SIP URI, anonymous or not a valid number.

    Args:
        raw: as the PBX wrote it.
        region: ISO 3166 code in which national numbers are read; "" reads only international ones.

    Source: ITU-T E.164; RFC 3966 for the leading plus sign.
    """
    text = raw.strip()
    if not _DIALLED.match(text) or sum(c.isdigit() for c in text) < _SHORTEST_NUMBER:
        return ""
    # A bare 27836826436 is how most PBXs write +27836826436; it counts only where that is a valid number.
    for candidate, where in ((text, region or None), ("+" + text, None)):
        if candidate.startswith("+") or where:
            try:
                number = phonenumbers.parse(candidate, where)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return ""


def digits(raw: str) -> str:
    """The digits of a number as it was written, at most the last 32: what number searches compare.

    Only the user part of a SIP URI counts, and only ASCII digits.
    """
    text = raw.strip()
    if text.lower().startswith(("sip:", "sips:", "tel:")):
        text = text.partition(":")[2]
    text = text.partition("@")[0].partition(";")[0]
    return "".join(c for c in text if "0" <= c <= "9")[-_LONGEST_NUMBER:]


def is_region(code: str) -> bool:
    """Whether national numbers can be read in this ISO 3166 region (upper case)."""
    return code in phonenumbers.SUPPORTED_REGIONS
