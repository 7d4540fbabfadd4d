from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from recpipe.catalogue.repository import read_cursor, write_cursor
from recpipe.catalogue.types import FileName, Json, Text, Utc, clean_text, micros, moment
from recpipe.errors import QueryInvalid

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()


@given(st.text(st.characters(exclude_categories=[])))
def test_cleaned_text_can_be_kept_and_stays_cleaned(text: str) -> None:
    cleaned = clean_text(text)
    assert "\0" not in cleaned
    cleaned.encode()
    assert clean_text(cleaned) == cleaned


@given(st.text())
def test_text_that_can_be_kept_is_not_touched(text: str) -> None:
    assert "\0" in text or clean_text(text) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_lose_nothing(when: datetime) -> None:
    assert moment(micros(when)) == when


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL])
def test_times_come_back_in_utc_and_need_a_zone(dialect: object) -> None:
    kept = Utc().process_bind_param(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), dialect)  # type: ignore[arg-type]
    assert Utc().result_processor(dialect, None)(kept) == datetime(2026, 1, 1, tzinfo=UTC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="zone"):
        Utc().process_bind_param(datetime(2026, 1, 1), dialect)  # type: ignore[arg-type]


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_file_names_come_back_byte_for_byte(name: bytes) -> None:
    path = name.decode("utf-8", "surrogateescape")
    assert FileName().process_result_value(FileName().process_bind_param(path, SQLITE), SQLITE) == path


@given(st.recursive(st.none() | st.integers() | st.text(st.characters()), st.lists, max_leaves=5))
def test_json_comes_back_as_it_was(document: object) -> None:
    kept = Json().process_bind_param(document, SQLITE)
    assert kept is None or kept.isascii()
    assert Json().result_processor(SQLITE, None)(kept) == document


def test_indexed_text_is_cut() -> None:
    assert Text(3).process_bind_param("abcd", SQLITE) == "abc"


@given(st.text(), st.integers(-(2**62) + 1, 2**62 - 1))
def test_a_cursor_comes_back_as_it_was_written(text: str, number: int) -> None:
    cursor = write_cursor(number, text[:50])
    assert read_cursor(cursor, int, str) == [number, text[:50]]


@given(st.text(st.characters(exclude_categories=[])) | st.binary().map(lambda raw: raw.hex()))
def test_any_other_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(QueryInvalid):
        read_cursor(cursor, int, str)


@pytest.mark.parametrize("text", ['{"n":1} and more', "[1][2]", "{", ""])
def test_what_is_no_json_document_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ValueError):
        Json().result_processor(SQLITE, None)(text)
