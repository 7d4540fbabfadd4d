"""Answers made small for browsers that can unpack them: files without secrets, and pages that our own pages ask for.

A compressed page tells by its length whether something guessed is in it, if whoever guesses can make the browser of
somebody who is signed in ask for the page with the guess in its address (BREACH). Another site can do that by a link or
a window, and browsers say so in a header that no script sets: what another site asks for is sent as it is.
Source: RFC 9110 sections 8.4.1.3 and 12.5.3; W3C Fetch Metadata; BREACH (CVE-2013-3587). See decision 0028.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping

LEAST_BYTES = 1000
_OURS = frozenset({"same-origin", "none"})  # "none": typed, bookmarked or opened by the person
_LEVEL = 5


def takes_gzip(accept_encoding: str) -> bool:
    """Whether whoever asks can unpack gzip. Source: RFC 9110 section 12.5.3."""
    weights = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.strip().partition(";")
        weight = parameter.strip().removeprefix("q=") if parameter else "1"
        weights[name.strip()] = weight.rstrip("0.") != ""
    return weights.get("gzip", weights.get("*", False))


def asked_by_us(headers: Mapping[str, str]) -> bool:
    """Whether no other site can have made the browser ask; False where the browser does not say."""
    return headers.get("sec-fetch-site", "") in _OURS


def packed(body: bytes, level: int = _LEVEL) -> bytes:
    """The body as gzip, the same bytes every time."""
    return gzip.compress(body, level, mtime=0)
