"""What a page shows of a whole tenant or of the installation, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recpipe.errors import Forbidden, NotFound
from recpipe.model import Role
from recpipe.tenants.changes import Kind
from tests.contracts.catalogue_samples import a_recording
from tests.unit.access.world import World


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, "" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield made
    made.close()


def test_days_and_pending_changes_are_summed_over_the_tenants_one_knows(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    with world.catalogue.begin() as work:
        kept = [one.recording for one in work.add_recordings([a_recording(acme), a_recording(other)])]
    for tenant in (acme, other):
        world.changes.agree(world.root, tenant.id)
        world.changes.save(world.root, tenant.id, Kind.RECORDING, {"recording": True})
    days = kept[0].day, kept[0].day
    [every] = world.parts.overview.system(world.root, *days).totals
    limited = replace(world.root, only=frozenset({acme.id}))
    ann = world.principal(world.user("ann", Role.CLIENT, {acme.id: []}))
    nobody = world.principal(world.user("bob", Role.CLIENT))

    assert (every.recordings, every.stored_bytes) == (2, sum(one.stored_bytes for one in kept))
    assert [world.changes.waiting(by) for by in (world.root, limited, ann, nobody)] == [2, 1, 1, 0]
    with pytest.raises(Forbidden):
        world.parts.overview.system(ann, *days)


def test_a_tenants_state_is_for_whoever_knows_it_and_its_calls_for_whoever_may_search(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    with world.catalogue.begin() as work:
        [added] = work.add_recordings([a_recording(acme)])
    ann = world.principal(world.user("ann", Role.SERVICE, {acme.id: ["search"]}))
    bob = world.principal(world.user("bob", Role.SERVICE, {acme.id: ["keys"]}))

    seen = world.parts.overview.tenant(ann, acme.id)
    assert seen.totals is not None and [total.recordings for total in seen.totals] == [1]
    assert seen.last_ingest_at == added.recording.ingested_at
    hidden = world.parts.overview.tenant(bob, acme.id)
    assert (hidden.totals, hidden.last_ingest_at) == (None, None)
    for by in (ann, bob):
        with pytest.raises(NotFound):
            world.parts.overview.tenant(by, other.id)
