from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ftp import loop as looping
from ftp.loop import Loop, in_worker
from tests.integration.ftp_world import until


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.start()
    yield made
    assert made.stop(10)
    assert not made._thread.is_alive()


def test_what_comes_of_a_job_arrives_in_the_loops_thread(loop: Loop) -> None:
    came: list[Any] = []
    arrived = threading.Event()

    def then(result: Any, error: BaseException | None) -> None:
        came.append((result, error, threading.current_thread()))
        if len(came) == 2:
            arrived.set()

    loop.run_in_worker(threading.current_thread, then)
    loop.run_in_worker(lambda: 1 // 0, then)
    assert arrived.wait(10)
    ((worker, _, here),) = [each for each in came if each[1] is None]
    ((nothing, error, _),) = [each for each in came if each[1] is not None]
    assert worker.name == "ftp-worker"
    assert here is loop._thread
    assert nothing is None
    assert isinstance(error, ZeroDivisionError)


def test_the_loop_goes_on_while_workers_wait_and_after_a_call_that_fails(loop: Loop) -> None:
    gate, gone_on = threading.Event(), threading.Event()
    for _ in range(20):
        loop.run_in_worker(lambda: gate.wait(10), lambda *_: None)
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(gone_on.set)
    assert gone_on.wait(5)
    assert len(loop.workers) == 20
    gate.set()


def test_calls_from_many_threads_all_arrive_in_their_order(loop: Loop) -> None:
    seen: list[tuple[int, int]] = []

    def ring(who: int) -> None:
        for number in range(500):
            loop.call_soon(lambda number=number: seen.append((who, number)))  # type: ignore[misc]

    threads = [threading.Thread(target=ring, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert until(lambda: len(seen) == 2000)
    for who in range(4):
        assert [number for each, number in seen if each == who] == list(range(500))


def test_workers_that_nobody_needs_go(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "SPARE_SECONDS", 0.1)
    done = threading.Event()
    loop.run_in_worker(lambda: None, lambda *_: done.set())
    assert done.wait(5)
    assert until(lambda: len(loop.workers) == 0, 5)


def test_a_spare_worker_is_used_again(loop: Loop) -> None:
    for _ in range(5):
        done = threading.Event()
        loop.run_in_worker(lambda: None, lambda *_, done=done: done.set())  # type: ignore[misc]
        assert done.wait(5)
        assert until(lambda: loop.workers._spare == 1)
    assert len(loop.workers) == 1


def test_the_end_waits_for_jobs_and_says_when_it_could_not() -> None:
    quick, slow = Loop(), Loop()
    came, gate = [], threading.Event()
    quick.start()
    slow.start()
    quick.run_in_worker(lambda: time.sleep(0.2), lambda *_: came.append("report"))
    assert quick.stop(10)
    assert came == ["report"]
    slow.run_in_worker(lambda: gate.wait(30), lambda *_: came.append("too late"))
    started = time.monotonic()
    assert not slow.stop(0.2)
    assert time.monotonic() - started < 5
    gate.set()
    # Its number may be another file's by now, into which nothing must be written.
    with tempfile.TemporaryFile() as other:
        os.dup2(other.fileno(), slow._wakeup)
        slow.call_soon(lambda: came.append("nobody is left"))
        assert os.fstat(other.fileno()).st_size == 0
        os.close(slow._wakeup)
    assert until(lambda: len(slow.workers) == 0)
    assert came == ["report"]


def test_a_coroutine_is_handed_what_its_job_gave() -> None:
    async def command() -> str:
        return await in_worker(lambda: "seven") + "!"

    running = command()
    job = running.send(None)
    with pytest.raises(StopIteration) as end:
        running.send(job())
    assert end.value.value == "seven!"
