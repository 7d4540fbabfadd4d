"""The files of a day's folder are as large as its listing says, whatever names and ids there are."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

from ftp import day_files
from recpipe.model import CallEntry, DayEntry

AT = datetime(2025, 3, 27, 9, 25, 17, tzinfo=UTC)
CELLS = (
    "", "x", "call.wav", "a=b", "1790000000.1", "0", "12", "0123", "123456789012", "-a", "=1", "+49", "(=", "~", "a;=1",
    "a|-1", 'a"b', "a\t=b", "a\r-1", "a\v@", "1\x1c+2", "a\x7f", "é", "\uff1d1", "a\u2028=1", "\ud800",
)  # fmt: skip


def test_calls_csv_is_as_large_as_its_listing_says() -> None:
    for name, linked in product(CELLS, CELLS):
        listed = day_files._size_of_calls([DayEntry("a" * 32, name, 1, "b" * 64, AT, linked)])
        written = day_files._row(CallEntry(name, AT, linked, "a" * 32)).encode("utf-8", "replace")
        assert listed == len(written), (name, linked)
