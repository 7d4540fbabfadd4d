"""What a page shows of a whole tenant or of the installation, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recpipe.errors import Forbidden
from recpipe.model import Role
from recpipe.tenants.changes import Kind
from tests.contracts.catalogue_samples import NOW, a_recording
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
    acme, other, empty = world.tenant(), world.tenant("other"), world.tenant("empty")
    with world.catalogue.begin() as work:
        older, newer = a_recording(acme), a_recording(acme, minutes=5)
        [added, _, _] = work.add_recordings([newer, older, a_recording(other)])
        work.quarantine.record(
            spool="s", path="/q/a", relative="a", tenant_id=acme.id, reason="r", message="m", held=False,
            size_bytes=1, at=NOW,
        )  # fmt: skip
    every = [acme, other, empty]
    ann = world.principal(world.user("ann", Role.SERVICE, {acme.id: ["search"], empty.id: ["search"]}))
    bob = world.principal(world.user("bob", Role.SERVICE, {acme.id: ["keys"]}))

    found = world.parts.overview.tenants(ann, every, NOW)
    assert set(found) == {acme.id, empty.id}, "of another tenant there is nothing to be known"
    seen, bare = found[acme.id], found[empty.id]
    assert seen.stored is not None and (seen.stored.recordings, seen.today, seen.quarantined) == (2, 2, 1)
    assert seen.last_ingest_at == added.recording.ingested_at
    assert bare.stored is not None and (bare.stored.recordings, bare.today, bare.last_ingest_at) == (0, 0, None)
    hidden = world.parts.overview.tenants(bob, every, NOW)
    assert [(one.stored, one.today, one.last_ingest_at, one.quarantined) for one in hidden.values()] == [
        (None, None, None, 1)
    ]


def test_what_waits_everywhere_is_what_waits_in_each(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    for tenant in (acme, other):
        world.changes.agree(world.root, tenant.id)
        world.changes.save(world.root, tenant.id, Kind.RECORDING, {"recording": True})
    ann = world.principal(world.user("ann", Role.CLIENT, {acme.id: []}))
    auditor = world.principal(world.user("bob", Role.SERVICE, {acme.id: ["audit"]}))
    for by, tenants in ((world.root, (acme, other)), (ann, (acme,))):
        assert world.changes.pending_of_all(by) == {one.id: world.changes.pending(by, one.id) for one in tenants}
    assert world.changes.pending_of_all(auditor) == {}
