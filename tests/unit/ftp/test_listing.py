"""Lines of listings, as the RFC and `ls` have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from ftp import listing
from ftp.listing import Entry

WHEN = datetime(2025, 3, 7, 9, 5, 17, 999_999, tzinfo=UTC)


def test_facts_are_those_that_were_asked_for() -> None:
    entry = Entry("a b.mp3", 10240, WHEN, unique="abc")
    assert listing.mlsx_facts(entry, listing.DEFAULT_FACTS) == "type=file;size=10240;modify=20250307090517;perm=r;"
    assert listing.mlsx_facts(entry, ["size"]) == "size=10240;"
    assert listing.mlsx_facts(entry, listing.FACTS).endswith("unique=abc;")
    folder = Entry("2025", 0, WHEN, is_folder=True, perm="el")
    assert listing.mlsx_facts(folder, listing.DEFAULT_FACTS) == "type=dir;modify=20250307090517;perm=el;"


def test_times_are_utc_whatever_zone_they_come_in() -> None:
    assert listing.timestamp(WHEN.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "20250307090517"


def test_unix_lines_show_the_year_once_the_time_is_of_no_interest() -> None:
    entry = Entry("a b.mp3", 10240, WHEN)
    (recent,) = listing.unix([entry], WHEN + timedelta(days=3))
    (old,) = listing.unix([entry], WHEN + timedelta(days=200))
    assert recent == b"-r--r--r-- 1 recpipe  recpipe         10240 Mar  7 09:05 a b.mp3\r\n"
    assert old == b"-r--r--r-- 1 recpipe  recpipe         10240 Mar  7  2025 a b.mp3\r\n"


def test_blocks_are_never_empty_and_lose_nothing() -> None:
    for count in (0, 1, listing.LINES_A_BLOCK, listing.LINES_A_BLOCK + 1, 1000):
        blocks = list(listing.names((Entry(str(n), 0, WHEN) for n in range(count)), "d/"))
        assert all(blocks)
        assert b"".join(blocks).decode().split() == [f"d/{n}" for n in range(count)]
