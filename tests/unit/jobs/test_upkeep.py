from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe import metrics
from recpipe.catalogue.repository import new_id
from recpipe.errors import StoreRejected
from recpipe.jobs import upkeep
from recpipe.jobs.job import Interrupted, Job, Tick
from recpipe.model import AuditQuery, LinkPurpose, OneTimeLink, Outcome, Recording, Tenant, User, WebSession
from recpipe.recordings.verify import IN_WORK
from recpipe.store.layout import new_object_key
from recpipe.store.memory import MemoryStore
from tests.contracts.catalogue_samples import a_recording
from tests.unit.access.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def later() -> datetime:
    return datetime.now(UTC) + 2 * IN_WORK


def tick(*, stopping: bool = False) -> Tick:
    event = threading.Event()
    if stopping:
        event.set()
    return Tick(later(), event)


def stored(world: World, tenant: Tenant, content: bytes = b"content") -> Recording:
    made = a_recording(tenant)
    recording = a_recording(
        tenant,
        id=made.id,
        object_key=new_object_key(tenant.id, made.id, "s1"),
        stored_bytes=len(content),
        stored_sha256=hashlib.sha256(content).hexdigest(),
        peaks=b"drawn",
    )
    world.store.put(recording.object_key, io.BytesIO(content), len(content))
    with world.catalogue.begin() as work:
        work.of(tenant.id).recordings.add_many([recording])
    return recording


def look(world: World, at: Tick | None = None) -> dict[str, int | str]:
    return upkeep.look(world.catalogue, world.store, world.trail, later, at or tick())


def test_a_sound_store_raises_no_alarm_and_the_look_is_on_the_record(world: World) -> None:
    stored(world, world.tenant())
    assert look(world) == {
        "recordings": 1,
        "objects": 1,
        "read": 1,
        "problems": 0,
        "removed": 0,
        "drawn": 0,
        "counted": 0,
    }
    assert metrics.REGISTRY.get_sample_value("recpipe_verify_problems") == 0
    with world.catalogue.read() as work:
        [event] = work.audit.list(AuditQuery(action="verify")).items
    assert (event.actor, event.outcome) == ("system", Outcome.OK)


def test_a_lost_object_raises_the_alarm_without_its_file_name(world: World, caplog: pytest.LogCaptureFixture) -> None:
    recording = stored(world, world.tenant())
    world.store.delete(recording.object_key)
    assert look(world)["problems"] == 1
    assert metrics.REGISTRY.get_sample_value("recpipe_verify_problems") == 1
    with world.catalogue.read() as work:
        [event] = work.audit.list(AuditQuery(action="verify")).items
    assert (event.outcome, event.detail["problems"]) == (Outcome.FAILED, 1)
    assert recording.id in caplog.text
    assert recording.name not in caplog.text


def test_what_the_store_still_has_of_a_deleted_recording_is_removed_without_an_alarm(world: World) -> None:
    tenant = world.tenant()
    kept, gone = stored(world, tenant), stored(world, tenant)
    with world.catalogue.begin() as work:
        work.of(tenant.id).recordings.delete(gone.id, world.now, "ann")
    assert look(world) == {
        "recordings": 1,
        "objects": 2,
        "read": 1,
        "problems": 0,
        "removed": 1,
        "drawn": 0,
        "counted": 0,
    }
    assert [found.key for found in world.store.list()] == [kept.object_key]
    assert metrics.REGISTRY.get_sample_value("recpipe_verify_problems") == 0


def test_what_cannot_be_removed_raises_the_alarm(world: World) -> None:
    class Refusing(MemoryStore):
        def delete(self, key: str) -> None:
            raise StoreRejected("These credentials may not delete.")

    world.store = Refusing()
    tenant = world.tenant()
    gone = stored(world, tenant)
    with world.catalogue.begin() as work:
        work.of(tenant.id).recordings.delete(gone.id, world.now, "ann")
    told = look(world)
    assert (told["problems"], told["removed"]) == (1, 0)
    assert metrics.REGISTRY.get_sample_value("recpipe_verify_problems") == 1


def test_an_object_that_no_recording_ever_knew_is_not_removed(world: World) -> None:
    key = new_object_key(world.tenant().id, new_id(), "s1")
    world.store.put(key, io.BytesIO(b"content"), 7)
    assert look(world)["problems"] == 1
    assert [found.key for found in world.store.list()] == [key]


def test_a_look_ends_when_the_process_stops(world: World) -> None:
    stored(world, world.tenant())
    with pytest.raises(Interrupted):
        look(world, tick(stopping=True))
    with world.catalogue.read() as work:
        assert work.audit.list(AuditQuery(action="verify")).items == ()


def test_logins_that_nobody_can_use_any_more_are_deleted(world: World) -> None:
    now = datetime.now(UTC)
    user = a_user(world)
    with world.catalogue.begin() as work:
        for days in (-8, 1):
            ends = now + timedelta(days=days)
            began = now - timedelta(days=30)
            work.sessions.add(WebSession(new_id(), new_id() * 2, user.id, began, began, ends))
            work.links.add(OneTimeLink(new_id(), new_id() * 2, LinkPurpose.RECOVERY, user.id, began, ends))
        work.failures.note("account:old", now - timedelta(days=2))
        work.failures.note("account:new", now)
    pruned = upkeep.prune(world.catalogue, lambda: now)
    assert pruned == {"sessions": 1, "links": 1, "shared_links": 0, "failures": 1, "networks": 0, "retries": 0}
    with world.catalogue.read() as work:
        assert work.failures.latest("account:new")


def a_user(world: World) -> User:
    with world.catalogue.read() as work:
        for user in work.users.list():
            return user
    return world.user()


def test_every_job_has_a_name_and_a_time_of_its_own(world: World) -> None:
    jobs: tuple[Job, ...] = upkeep.jobs(world.parts)
    assert len({job.name for job in jobs}) == len({(job.every, job.at) for job in jobs}) == len(jobs)
