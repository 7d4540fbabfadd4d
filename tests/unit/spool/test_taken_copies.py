"""What is stored and stays where it is, remembered over restarts and no longer than it is there."""

from __future__ import annotations

from pathlib import Path

from recpipe.model import FileIdentity
from recpipe.spool.taken_copies import FILE, TakenCopies

ONE, TWO, THREE = (FileIdentity(100 + n, 1_700_000_000_000_000_000 + n, n) for n in range(3))


def copies(folder: Path) -> TakenCopies:
    return TakenCopies(lambda: folder, "box")


def test_what_was_taken_is_known_after_a_restart(tmp_path: Path) -> None:
    taken = copies(tmp_path)
    for one in (ONE, TWO, ONE):
        taken.add(one)
    again = copies(tmp_path)
    assert len(again) == 2 and again.has(ONE) and again.has(TWO) and not again.has(THREE)


def test_what_the_pbx_removed_is_forgotten_and_the_file_does_not_grow(tmp_path: Path) -> None:
    taken = copies(tmp_path)
    for n in range(100):
        taken.add(FileIdentity(n, n, n))
    taken.add(TWO)
    taken.keep_only({TWO, THREE})
    assert len(taken) == 1 and taken.has(TWO) and not taken.has(THREE)
    assert (tmp_path / FILE).read_text().split() == ["101", "1700000000000000001", "1"]
    taken.add(ONE)
    assert len(copies(tmp_path)) == 2


def test_a_line_that_was_cut_short_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"100 1700000000000000000 0\n101 17000000\xff")
    taken = copies(tmp_path)
    assert len(taken) == 1 and taken.has(ONE)
    taken.add(TWO)
    assert copies(tmp_path).has(TWO)


def test_a_disk_that_takes_no_note_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    taken = copies(tmp_path)
    taken.add(ONE)
    assert taken.has(ONE)
