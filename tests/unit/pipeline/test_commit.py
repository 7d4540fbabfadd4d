from __future__ import annotations

import threading
from collections.abc import Sequence

from recpipe.errors import CatalogueUnavailable
from recpipe.pipeline.commit import Committer


def test_rows_that_arrive_during_a_commit_share_the_next_one() -> None:
    groups: list[list[int]] = []
    first_is_writing, may_go_on = threading.Event(), threading.Event()

    def write(rows: Sequence[int]) -> list[int]:
        groups.append(list(rows))
        first_is_writing.set()
        may_go_on.wait(5)
        return [row * 10 for row in rows]

    answers: list[int] = []
    committer = Committer[int, int](write)
    committer.submit(0, answers.append, lambda error: None)
    first_is_writing.wait(5)
    for row in range(1, 6):
        committer.submit(row, answers.append, lambda error: None)
    may_go_on.set()
    committer.close()

    assert groups == [[0], [1, 2, 3, 4, 5]]
    assert answers == [0, 10, 20, 30, 40, 50]


def test_a_full_group_waits_for_nothing() -> None:
    groups: list[list[int]] = []
    first_is_writing, may_go_on, third_came = threading.Event(), threading.Event(), threading.Event()

    def write(rows: Sequence[int]) -> list[int]:
        groups.append(list(rows))
        first_is_writing.set()
        may_go_on.wait(5)
        if len(groups) == 3:
            third_came.set()
        return list(rows)

    committer = Committer[int, int](write, largest=4, apart_seconds=60)
    committer.submit(0, lambda answer: None, lambda error: None)
    first_is_writing.wait(5)
    for row in range(1, 9):
        committer.submit(row, lambda answer: None, lambda error: None)
    may_go_on.set()

    assert third_came.wait(10)
    assert groups == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    committer.close()


def test_one_bad_row_does_not_take_its_neighbours_with_it() -> None:
    gate = threading.Event()

    def write(rows: Sequence[int]) -> list[int]:
        gate.wait(5)
        if 3 in rows:
            raise ValueError("bad row")
        return list(rows)

    committed: list[int] = []
    failures: list[Exception] = []
    committer = Committer[int, int](write)
    for row in range(6):
        committer.submit(row, committed.append, failures.append)
    gate.set()
    committer.close()

    assert sorted(committed) == [0, 1, 2, 4, 5]
    assert [str(error) for error in failures] == ["bad row"]


def test_a_callback_that_raises_does_not_stop_the_committer() -> None:
    committed: list[int] = []

    def done(row: int) -> None:
        if row == 0:
            raise RuntimeError("the source could not be removed")
        committed.append(row)

    committer = Committer[int, int](lambda rows: list(rows))
    for row in range(3):
        committer.submit(row, done, lambda error: None)
    committer.close()

    assert committed == [1, 2]


def test_an_unavailable_catalogue_is_asked_once_for_a_group_not_once_a_row() -> None:
    gate = threading.Event()
    calls: list[int] = []

    def write(rows: Sequence[int]) -> list[int]:
        gate.wait(5)
        calls.append(len(rows))
        raise CatalogueUnavailable("The database does not answer.")

    failures: list[Exception] = []
    committer = Committer[int, int](write)
    for row in range(6):
        committer.submit(row, lambda answer: None, failures.append)
    gate.set()
    committer.close()

    assert len(failures) == 6
    assert sum(calls) == 6
