"""Column types: what goes in is checked or made safe here, so that both databases keep the same thing."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, LargeBinary, String
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_read_json = json.JSONDecoder().raw_decode
_as_json = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes an encoder for every text


def clean_text(text: str) -> str:
    """`text` without what a database cannot keep: NUL and lone surrogates become U+FFFD.

    Source: PostgreSQL 8.3 "Character Types" (the NUL character cannot be stored); RFC 3629 section 3 (surrogates
    have no UTF-8 form).
    """
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def folded(text: str) -> str:
    """`text` as it is compared: upper and lower case, wide and narrow, composed and decomposed letters are the same.

    Source: Unicode 15, 3.13 "Default Caseless Matching"; UAX #15.
    """
    return unicodedata.normalize("NFKC", clean_text(text).casefold())


def one_line(text: str) -> str:
    """Text as it is compared, with one space for any that are there."""
    return " ".join(folded(text).split())


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """The time of `micros`."""
    return _EPOCH + timedelta(0, 0, microseconds)


class Utc(TypeDecorator[datetime]):
    """An aware time. PostgreSQL keeps it as timestamptz, SQLite as microseconds since 1970: short, and in order."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be kept: {value!r}")
        return micros(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        # Itself, not `process_result_value`, whose wrapping takes longer than the work: lists have three times a row.
        return _moment_or_none if dialect.name == "sqlite" else _in_utc


def _moment_or_none(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(0, 0, value)


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


class Text(TypeDecorator[str]):
    """Text that both databases can keep, sorted by code point.

    Args:
        longest: text beyond this many characters is cut. For indexed columns with hostile text: PostgreSQL
            refuses index entries of more than about 2,700 bytes, and a recording must not fail on its caller's name.
    """

    impl = String
    cache_ok = True

    def __init__(self, longest: int | None = None) -> None:
        super().__init__()
        self.longest = longest

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(collation="C") if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return clean_text(value if self.longest is None else value[: self.longest])


class Code(TypeDecorator[str]):
    """An id, a hash or a day: short, ASCII, compared byte by byte. A visitor may send anything in its place."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def __repr__(self) -> str:
        return f"Code({self.length})"

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(self.length, collation="C" if dialect.name == "postgresql" else None))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(value)


class FileName(TypeDecorator[str]):
    """A path as the operating system has it, byte for byte, so that a file with a broken name is found again."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        try:
            return os.fsencode(value)
        except UnicodeEncodeError:  # no operating system made this one
            return os.fsencode(clean_text(value))

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else os.fsdecode(value)


class Json(TypeDecorator[Any]):
    """A JSON document, kept as ASCII text so that any string in it survives, on both databases alike."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _as_json(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Any]:
        return _read  # as for `Utc`


class Words(Json):
    """A JSON list of words that are the same in many rows, such as flags and fingerprints; read as a tuple."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], tuple[str, ...] | None]:
        return _read_words


def _read(value: str | None) -> Any:
    if value is None:
        return None
    read, end = _read_json(value)
    return read if end == len(value) else json.loads(value)  # which says what is wrong with the rest


@lru_cache(maxsize=1024)
def _read_words(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(_read(value))
