"""Ranges and conditions, one row a rule of RFC 9110 sections 13 and 14."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recpipe.web.ranges import MOST_RANGES, Plan, Representation, Span, multipart, parse, plan

SHA = "ab" * 32
AT = datetime(2025, 3, 27, 9, 25, 17, 500_000, tzinfo=UTC)
FILE = Representation(1000, SHA, AT)
OTHER = '"' + "cd" * 32 + '"'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 500)]),
        ("bytes=-500", [(500, 500)]),
        ("bytes=9500-", []),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=999-", [(999, 1)]),
        ("bytes=0-", [(0, 1000)]),
        ("bytes=0-99999", [(0, 1000)]),
        ("bytes=-99999", [(0, 1000)]),
        ("bytes=-0", []),
        ("bytes=1000-", []),
        ("bytes=1000-1001,-0", []),
        ("bytes=0-0,-1", [(0, 1), (999, 1)]),
        ("bytes=-1,0-0", [(999, 1), (0, 1)]),
        ("bytes= 0-0 , 2-3 ", [(0, 1), (2, 2)]),
        ("bytes=,0-0,,5-5,", [(0, 1), (5, 1)]),
        ("bytes=0-9,2000-", [(0, 10)]),
        ("bytes=500-600,601-999", [(500, 500)]),
        ("bytes=500-700,601-999", [(500, 500)]),
        ("bytes=5-9,0-9", [(0, 10)]),
        ("BYTES=0-1", [(0, 2)]),
        ("bytes=" + "9" * 5000 + "-", []),
        ("bytes=-" + "9" * 5000, [(0, 1000)]),
        ("bytes=000000000000000000000001-2", [(1, 2)]),
    ],
)
def test_ranges_that_are_understood(value: str, expected: list[tuple[int, int]]) -> None:
    assert parse(value, 1000) == tuple(Span(*span) for span in expected)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-0",
        "bytes=0-0,x",
        "bytes=0-0,5-4",
        "bytes=0x10-0x20",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=--5",
        "bytes=1-2-3",
        "bytes=\u0661-\u0662",
        "items=0-5",
        "seconds=0-1",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2 * MOST_RANGES + 2, 2)),
    ],
)
def test_ranges_that_are_ignored(value: str) -> None:
    assert parse(value, 1000) is None


def test_an_empty_file_has_no_range() -> None:
    assert parse("bytes=0-", 0) == ()
    assert parse("bytes=-5", 0) == ()


@given(
    st.integers(0, 300),
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 400), st.integers(0, 400)).map(lambda t: f"{min(t)}-{max(t)}"),
            st.integers(0, 400).map(lambda n: f"{n}-"),
            st.integers(0, 400).map(lambda n: f"-{n}"),
        ),
        min_size=1,
        max_size=MOST_RANGES,
    ),
)
def test_whatever_is_asked_no_byte_is_sent_twice_and_none_is_forgotten(size: int, specs: list[str]) -> None:
    spans = parse("bytes=" + ",".join(specs), size)
    assert spans is not None
    sent = [n for span in spans for n in range(span.start, span.start + span.length)]
    wanted: set[int] = set()
    for spec in specs:
        first, last = spec.split("-")
        if first == "":
            wanted |= set(range(max(0, size - int(last)), size))
        else:
            wanted |= set(range(int(first), min(size, int(last) + 1 if last else size)))
    assert sorted(sent) == sorted(wanted)


NEW, OLD = "Thu, 27 Mar 2025 09:25:18 GMT", "Thu, 27 Mar 2025 09:25:16 GMT"
SAME = "Thu, 27 Mar 2025 09:25:17 GMT"
R = {"range": "bytes=0-9"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("GET", R, 206),
        ("HEAD", R, 200),
        ("GET", {"range": "bytes=1000-"}, 416),
        ("GET", {"range": "nonsense"}, 200),
        ("GET", {"if-none-match": FILE.etag}, 304),
        ("HEAD", {"if-none-match": FILE.etag}, 304),
        ("GET", {"if-none-match": f"W/{FILE.etag}"}, 304),
        ("GET", {"if-none-match": f"{OTHER}, {FILE.etag}"}, 304),
        ("GET", {"if-none-match": "*"}, 304),
        ("GET", {"if-none-match": OTHER}, 200),
        ("GET", {"if-none-match": FILE.etag} | R, 304),
        ("GET", {"if-none-match": OTHER} | R, 206),
        ("GET", {"if-none-match": OTHER, "if-modified-since": NEW}, 200),
        ("GET", {"if-modified-since": SAME}, 304),
        ("GET", {"if-modified-since": NEW}, 304),
        ("GET", {"if-modified-since": OLD}, 200),
        ("GET", {"if-modified-since": "yesterday"}, 200),
        ("GET", {"if-match": FILE.etag}, 200),
        ("GET", {"if-match": f"W/{FILE.etag}"}, 412),
        ("GET", {"if-match": "*"}, 200),
        ("GET", {"if-match": OTHER}, 412),
        ("GET", {"if-match": OTHER, "if-none-match": FILE.etag}, 412),
        ("GET", {"if-unmodified-since": OLD}, 412),
        ("GET", {"if-unmodified-since": SAME}, 200),
        ("GET", {"if-match": FILE.etag, "if-unmodified-since": OLD}, 200),
        ("GET", {"if-range": FILE.etag} | R, 206),
        ("GET", {"if-range": OTHER} | R, 200),
        ("GET", {"if-range": f"W/{FILE.etag}"} | R, 200),
        ("GET", {"if-range": SAME} | R, 206),
        ("GET", {"if-range": NEW} | R, 200),
        ("GET", {"if-range": OLD} | R, 200),
        ("GET", {"if-range": "nonsense"} | R, 200),
        ("GET", {"if-range": FILE.etag, "range": "bytes=2000-"}, 416),
    ],
)
def test_conditions_are_decided_as_the_rfc_says(method: str, headers: dict[str, str], status: int) -> None:
    assert plan(method, headers, FILE).status == status


def test_an_etag_is_strong_and_names_the_bytes() -> None:
    assert FILE.etag == f'"{SHA}"'
    assert Representation(1000, SHA, AT + timedelta(days=1)).etag == FILE.etag


def test_the_digest_is_that_of_rfc_9530() -> None:
    digest = Representation(0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", AT).repr_digest
    assert digest == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


def test_a_multipart_body_is_as_long_as_it_says() -> None:
    layout = multipart((Span(0, 3), Span(10, 5)), "audio/wav", 100)
    body = b"".join(before + b"x" * span.length for before, span in layout.parts) + layout.end
    assert len(body) == layout.size_bytes
    assert b"Content-Range: bytes 10-14/100\r\n" in body and body.endswith(f"--{layout.boundary}--\r\n".encode())


def test_a_plan_without_ranges_sends_everything() -> None:
    assert plan("GET", {}, FILE) == Plan(200)
