from __future__ import annotations

import threading
import time

from recpipe.pipeline.fair_queue import FairQueue


def test_a_backlog_of_one_lane_does_not_delay_another() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        queue.put("big", f"big-{number}")
    queue.put("small", "small-0")

    first_three = [queue.get(), queue.get(), queue.get()]

    assert first_three == ["big-0", "small-0", "big-1"]


def test_a_lane_keeps_its_order() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(20):
        queue.put(number % 3, number)
    taken = [queue.get() for _ in range(20)]
    for lane in range(3):
        assert [n for n in taken if n is not None and n % 3 == lane] == list(range(lane, 20, 3))


def test_an_empty_queue_gives_nothing_after_its_timeout() -> None:
    began = time.monotonic()
    assert FairQueue[int]().get(timeout_seconds=0.05) is None
    assert time.monotonic() - began >= 0.04


def test_closing_wakes_whoever_waits() -> None:
    queue: FairQueue[int] = FairQueue()
    answers: list[int | None] = []
    waiting = threading.Thread(target=lambda: answers.append(queue.get()))
    waiting.start()
    queue.close()
    waiting.join(timeout=5)
    assert answers == [None]
