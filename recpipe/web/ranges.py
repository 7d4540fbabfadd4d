"""Conditional and range requests, decided without any I/O.

Source: RFC 9110 sections 13 (conditions), 14 (ranges) and 8.8 (validators); RFC 9530 and RFC 3230 (digests).
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

# More than any player or download manager asks for; a request with more gets the whole file.
MOST_RANGES = 16

_SPEC = re.compile(r"(?:(\d+)-(\d*)|-(\d+))", re.ASCII)
_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_OWS = " \t"
_FAR = 10**18  # longer digit strings than this are all the same: past the end


@dataclass(frozen=True, slots=True)
class Representation:
    """The file behind a URL."""

    size_bytes: int
    sha256: str  # lower-case hex
    modified_at: datetime  # aware

    @property
    def etag(self) -> str:
        """A strong validator: other bytes never have it."""
        return f'"{self.sha256}"'

    @property
    def last_modified(self) -> str:
        return format_datetime(self.modified_at.astimezone(UTC).replace(microsecond=0), usegmt=True)

    @property
    def repr_digest(self) -> str:
        """The value of `Repr-Digest`. Source: RFC 9530 section 3."""
        return f"sha-256=:{self._base64}:"

    @property
    def digest(self) -> str:
        """The value of `Digest`, which older clients know. Source: RFC 3230 section 4.3.2, RFC 5843 (SHA-256)."""
        return f"SHA-256={self._base64}"

    @property
    def _base64(self) -> str:
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of a file, never none."""

    start: int
    length: int

    def content_range(self, size_bytes: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size_bytes}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to answer: 200 (spans empty: everything), 206 with its spans, 304, 412 or 416."""

    status: int
    spans: tuple[Span, ...] = ()


def plan(method: str, headers: Mapping[str, str], file: Representation) -> Plan:
    """Decide the answer, in the order of RFC 9110 section 13.2.2.

    Args:
        headers: by lower-case name; repeated fields joined with commas.
    """
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, file.etag, weak=False):
            return Plan(412)
    elif (unchanged_since := _date(headers.get("if-unmodified-since"))) is not None and _second(file) > unchanged_since:
        return Plan(412)
    if (known := headers.get("if-none-match")) is not None:
        if _matches(known, file.etag, weak=True):
            return Plan(304)
    elif (changed_since := _date(headers.get("if-modified-since"))) is not None and _second(file) <= changed_since:
        return Plan(304)
    # GET is the only method for which ranges are defined.
    if method != "GET" or "range" not in headers or not _if_range(headers.get("if-range"), file):
        return Plan(200)
    spans = parse(headers["range"], file.size_bytes)
    if spans is None:
        return Plan(200)
    return Plan(206, spans) if spans else Plan(416)


def parse(value: str, size_bytes: int) -> tuple[Span, ...] | None:
    """The ranges asked for, those that overlap or touch made one, in the order in which they were asked for.

    Returns:
        None: to be ignored (another unit, malformed, or too many); empty: none of them can be satisfied.
    """
    unit, equals, ranges = value.partition("=")
    if not equals or unit.strip(_OWS).lower() != "bytes":
        return None
    specs = [spec for part in ranges.split(",") if (spec := part.strip(_OWS))]
    if not specs or len(specs) > MOST_RANGES:
        return None
    spans: list[Span] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            length = min(_number(suffix), size_bytes)
            start, end = size_bytes - length, size_bytes
        else:
            start = _number(first)
            if last and _number(last) < start:
                return None
            end = min(_number(last) + 1, size_bytes) if last else size_bytes
        if start < end:
            spans.append(Span(start, end - start))
    return _merged(spans)


def _merged(spans: list[Span]) -> tuple[Span, ...]:
    """Overlapping spans as one, so that no request is answered with more bytes than the file has."""
    merged: list[tuple[int, int, int]] = []  # start, end, place in the request
    for place, span in sorted(enumerate(spans), key=lambda item: item[1].start):
        end = span.start + span.length
        if merged and span.start <= merged[-1][1]:
            start, before, first = merged[-1]
            merged[-1] = (start, max(before, end), min(first, place))
        else:
            merged.append((span.start, end, place))
    return tuple(Span(start, end - start) for start, end, _ in sorted(merged, key=lambda item: item[2]))


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/byteranges body whose length is known before its first byte. Source: RFC 9110 section 14.6."""

    boundary: str
    parts: tuple[tuple[bytes, Span], ...]  # what stands before each span, and the span
    end: bytes

    @property
    def size_bytes(self) -> int:
        return sum(len(before) + span.length for before, span in self.parts) + len(self.end)

    @property
    def media_type(self) -> str:
        return f"multipart/byteranges; boundary={self.boundary}"


def multipart(spans: tuple[Span, ...], media_type: str, size_bytes: int) -> Multipart:
    """Lay out several spans of one file. The boundary is random: 128 bits do not occur in the audio by accident."""
    boundary = secrets.token_hex(16)
    parts = tuple(
        (
            f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n"
            f"Content-Range: {span.content_range(size_bytes)}\r\n\r\n".encode("ascii"),
            span,
        )
        for span in spans
    )
    return Multipart(boundary, parts, f"\r\n--{boundary}--\r\n".encode("ascii"))


def _if_range(value: str | None, file: Representation) -> bool:
    """Whether the client's partial copy is of this very file. Only strong validators count."""
    if value is None:
        return True
    if value.startswith(('"', "W/")):
        return value == file.etag
    return _date(value) == _second(file)


def _matches(value: str, etag: str, *, weak: bool) -> bool:
    if value.strip(_OWS) == "*":
        return True
    return any(f'"{match[2]}"' == etag and (weak or match[1] is None) for match in _ETAG.finditer(value))


def _date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _second(file: Representation) -> datetime:
    return file.modified_at.astimezone(UTC).replace(microsecond=0)


def _number(digits: str) -> int:
    stripped = digits.lstrip("0") or "0"
    return int(stripped) if len(stripped) <= 18 else _FAR
