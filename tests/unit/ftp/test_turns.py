from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from select import EPOLLIN, EPOLLOUT, epoll

import pytest

from ftp.turns import Poller, Turn


@pytest.fixture
def threads() -> Iterator[Callable[[Callable[[], None]], threading.Thread]]:
    """Starts threads that are joined at the end; the test fails when one does not end."""
    started: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> threading.Thread:
        started.append(threading.Thread(target=work, daemon=True))
        started[-1].start()
        return started[-1]

    yield start
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


Start = Callable[[Callable[[], None]], threading.Thread]


def test_one_thread_at_a_time_has_the_turn(threads: Start) -> None:
    turn, inside, most = Turn(), [0], [0]

    def work() -> None:
        for _ in range(300):
            turn.take()
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0)
            inside[0] -= 1
            turn.give()

    for thread in [threads(work) for _ in range(6)]:
        thread.join(10)
    assert most == [1]
    assert not turn.is_wanted


def test_others_have_the_turn_while_one_is_aside(threads: Start) -> None:
    turn, passed = Turn(), threading.Event()

    def other() -> None:
        turn.take()
        passed.set()
        turn.give()

    turn.take()
    threads(other)
    assert not passed.wait(0.1)
    with turn.aside():
        assert passed.wait(10)
        with turn.aside():  # nothing is left to give
            pass
    assert turn.is_mine
    turn.give()
    with turn.aside():  # a thread without a turn
        assert not turn.is_mine
    assert not turn.is_mine


def test_a_turn_is_taken_again_after_an_error_aside() -> None:
    turn = Turn()
    turn.take()
    with pytest.raises(OSError), turn.aside():
        raise OSError("the store is gone")
    assert turn.is_mine


def test_who_waits_gets_it_from_one_that_would_always_go_on(threads: Start) -> None:
    turn, had_it, stop = Turn(), threading.Event(), threading.Event()

    def patient() -> None:
        turn.take()
        had_it.set()
        turn.give()

    with ExitStack() as stack:
        here, there = (stack.enter_context(each) for each in socket.socketpair())
        poller = Poller(stack.enter_context(epoll()), turn)
        poller.register(here.fileno(), EPOLLIN | EPOLLOUT)  # always ready, as a client that takes all it is sent

        def greedy() -> None:
            turn.take()
            while not stop.is_set():
                assert poller.poll(1) == [(here.fileno(), EPOLLOUT)]
            turn.give()

        going = threads(greedy)
        time.sleep(0.05)
        for _ in range(20):
            had_it.clear()
            threads(patient)
            assert had_it.wait(10)
        stop.set()
        going.join(10)
        assert there.fileno() >= 0


def test_a_poller_waits_aside(threads: Start) -> None:
    turn, spoke = Turn(), threading.Event()

    with ExitStack() as stack:
        here, there = (stack.enter_context(each) for each in socket.socketpair())
        poller = Poller(stack.enter_context(epoll()), turn)
        poller.register(here.fileno(), EPOLLIN)

        def speak() -> None:
            turn.take()
            spoke.set()
            there.send(b"NOOP\r\n")
            turn.give()

        turn.take()
        threads(speak)
        assert poller.poll(10) == [(here.fileno(), EPOLLIN)]
        assert spoke.is_set()
        assert turn.is_mine
        turn.give()
