from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.access.audit import AuditTrail, event
from recpipe.access.expiring import SeenRecently
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue, Work
from recpipe.errors import CatalogueUnavailable, Forbidden, NotFound
from recpipe.model import Role
from tests.unit.access.world import World


class CountingCatalogue:
    """Counts the transactions of a real one, and can let the first wait."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.transactions = 0
        self.go = threading.Event()
        self.broken = False

    @contextmanager
    def begin(self) -> Iterator[Work]:
        self.transactions += 1
        assert self.go.wait(10)
        if self.broken:
            raise CatalogueUnavailable("The disk is full.")
        with self._catalogue.begin() as work:
            yield work


def test_events_that_arrive_together_share_a_transaction_and_none_is_lost(world: World) -> None:
    counting = CountingCatalogue(world.catalogue)
    trail = AuditTrail(counting, world.clock)  # type: ignore[arg-type]
    with ThreadPoolExecutor(50) as pool:
        done = [pool.submit(trail.record, event(world.root, "play", world.now, subject=str(n))) for n in range(50)]
        while len(trail._queue) < 49:  # the first is being written, the others stand behind it
            pass
        counting.go.set()
        for each in done:
            each.result(10)

    assert sorted(int(e.subject) for e in world.events("play")) == list(range(50))
    assert counting.transactions == 2


def test_everybody_in_a_failed_transaction_hears_of_it(world: World) -> None:
    counting = CountingCatalogue(world.catalogue)
    counting.broken = True
    counting.go.set()
    trail = AuditTrail(counting, world.clock)  # type: ignore[arg-type]
    with pytest.raises(CatalogueUnavailable):
        trail.record(event(world.root, "play", world.now))

    counting.broken = False
    trail.record(event(world.root, "play", world.now))
    assert len(world.events("play")) == 1


def test_the_same_denial_is_kept_once_a_minute(world: World) -> None:
    acme = world.tenant()
    ann = world.principal(world.user(grants={acme.id: []}))
    for _ in range(5):
        with pytest.raises(NotFound):
            world.trail.require(ann, Action.PLAY, "0" * 32)
        world.pass_time(seconds=20)

    assert len(world.events("play")) == 2


def test_a_foreign_tenants_log_does_not_show_who_tried(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    ann = world.principal(world.user(grants={acme.id: []}))
    with pytest.raises(NotFound):
        world.trail.require(ann, Action.PLAY, other.id)

    denial = world.events("play")[-1]
    assert denial.tenant_id is None
    assert denial.subject == other.id


def test_what_happened_lately_is_forgotten_in_time_and_never_fills_the_memory(world: World) -> None:
    lately = SeenRecently(60, most=100)
    assert lately.first(("a",), world.now)
    assert not lately.first(("a",), world.now + timedelta(seconds=59))
    assert lately.first(("a",), world.now + timedelta(seconds=60))
    assert lately.first(("a",), world.now - timedelta(days=1)), "a clock set back must not silence events"

    for n in range(1000):
        assert lately.first((str(n),), world.now)
    assert len(lately._seen) == 100


def test_an_event_that_is_started_is_written_though_nobody_waits(world: World) -> None:
    started = [world.trail.start(event(world.root, "play", world.now, subject=str(n))) for n in range(20)]

    deadline = time.monotonic() + 10
    while not all(each.done for each in started) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert {e.subject for e in world.events("play")} == {str(n) for n in range(20)}
    for each in started:
        each.wait()


def test_waiting_for_a_started_event_makes_it_durable_at_once(world: World) -> None:
    started = world.trail.start(event(world.root, "play", world.now))

    started.wait()

    assert len(world.events("play")) == 1


def test_a_log_is_that_of_the_tenants_whose_log_may_be_read(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    ann = world.principal(world.user("ann", Role.SERVICE, {acme.id: ["audit"], other.id: ["search"]}))

    def of(by: Principal, tenant_id: str | None = None) -> set[str | None]:
        return {one.tenant_id for one in world.trail.list(by, tenant_id).items}

    assert of(ann) == of(ann, acme.id) == {acme.id}
    assert of(world.root) >= {None, acme.id, other.id}
    assert of(replace(world.root, only=frozenset({other.id}))) == {other.id}
    with pytest.raises(Forbidden):
        of(ann, other.id)
    with pytest.raises(NotFound):
        of(ann, "0" * 32)
    with pytest.raises(Forbidden):
        of(world.principal(world.user("bob", Role.SERVICE, {acme.id: ["search"]})))
