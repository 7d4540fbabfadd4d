from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from recpipe.errors import Forbidden, StoreUnavailable
from recpipe.model import Outcome, Recording, Role, StoredObject, Tenant
from recpipe.recordings import verify
from recpipe.recordings.looks import IN_WORK, ProblemKind
from recpipe.recordings.verify import Report
from recpipe.store.layout import new_object_key
from recpipe.store.memory import MemoryStore
from tests.contracts.catalogue_samples import NOW, a_recording
from tests.unit.access.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def acme(world: World) -> Tenant:
    return world.tenant()


def later() -> datetime:
    """When whatever was stored in a test has long been there."""
    return datetime.now(UTC) + 2 * IN_WORK


def looked(world: World, *, store: MemoryStore | None = None, sample: int | None = None) -> Report:
    return verify.verify(
        world.catalogue, store or world.store, world.root, sample=sample, clock=later, trail=world.trail
    )


def described(tenant: Tenant, content: bytes = b"content") -> Recording:
    made = a_recording(tenant)
    return a_recording(
        tenant,
        id=made.id,
        object_key=new_object_key(tenant.id, made.id, "s1"),
        stored_bytes=len(content),
        stored_sha256=hashlib.sha256(content).hexdigest(),
        peaks=b"drawn",
    )


def stored(world: World, tenant: Tenant, content: bytes = b"content") -> Recording:
    recording = described(tenant, content)
    world.store.put(recording.object_key, io.BytesIO(content), len(content))
    kept(world, recording)
    return recording


def kept(world: World, recording: Recording) -> None:
    with world.catalogue.begin() as work:
        work.of(recording.tenant_id).recordings.add_many([recording])


def kinds(report: Report) -> list[tuple[ProblemKind, str]]:
    return [(problem.kind, problem.recording_id) for problem in report.problems]


def test_an_empty_installation_is_sound(world: World) -> None:
    assert looked(world) == Report()


def test_tenants_and_pages_are_all_looked_at(world: World, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_BATCH", 3)
    globex = world.tenant("globex")
    for tenant in (acme, globex):
        for number in range(10):
            stored(world, tenant, bytes(number))
    report = looked(world)
    assert (report.recordings, report.objects, report.read, report.problems) == (20, 20, 20, [])
    assert report.read_bytes == 2 * sum(range(10))


def test_a_missing_object_and_a_changed_one_are_told_apart(world: World, acme: Tenant) -> None:
    missing, changed, shorter, _sound = (stored(world, acme) for _ in range(4))
    world.store.delete(missing.object_key)
    for recording, content in ((changed, b"CONTENT"), (shorter, b"conten")):
        world.store.delete(recording.object_key)
        world.store.put(recording.object_key, io.BytesIO(content), len(content))
    report = looked(world)
    assert sorted(kinds(report)) == sorted(
        [
            (ProblemKind.OBJECT_MISSING, missing.id),
            (ProblemKind.OBJECT_DAMAGED, changed.id),
            (ProblemKind.OBJECT_DAMAGED, shorter.id),
        ]
    )
    assert all(problem.tenant == "acme" and missing.day in problem.message for problem in report.problems)
    assert any("6 bytes instead of 7" in problem.message for problem in report.problems)


class WithoutChecksums(MemoryStore):
    """As a folder is: it keeps no checksum of its own."""

    def head(self, key: str) -> StoredObject:
        told = super().head(key)
        return StoredObject(told.key, told.size_bytes, "", told.modified_at)


def test_a_sample_that_has_everything_finds_a_changed_byte_the_store_does_not_know_of(
    world: World, acme: Tenant
) -> None:
    world.store = WithoutChecksums()
    changed = stored(world, acme)
    world.store.delete(changed.object_key)
    world.store.put(changed.object_key, io.BytesIO(b"CONTENT"), 7)
    assert kinds(looked(world, sample=0)) == []
    assert kinds(looked(world, sample=1)) == [(ProblemKind.OBJECT_DAMAGED, changed.id)]


def test_a_checksum_that_reads_otherwise_is_no_damage_where_the_bytes_are_right(world: World, acme: Tenant) -> None:
    class Otherwise(MemoryStore):
        def head(self, key: str) -> StoredObject:
            return replace(super().head(key), sha256="0" * 64)

    world.store = Otherwise()
    good, bad = stored(world, acme), stored(world, acme, b"another")
    world.store.delete(bad.object_key)
    world.store.put(bad.object_key, io.BytesIO(b"changed"), 7)
    report = looked(world, sample=0)
    assert kinds(report) == [(ProblemKind.OBJECT_DAMAGED, bad.id)]
    assert report.incomparable == 1 and good.id != bad.id


def test_a_sample_is_fair(world: World, acme: Tenant) -> None:
    sample = verify._Sample(2)
    recordings = [described(acme) for _ in range(6)]
    chosen = {recording.id: 0 for recording in recordings}
    for _ in range(3000):
        sample = verify._Sample(2)
        for recording in recordings:
            sample.offer(recording)
        assert len({recording.id for recording in sample.taken}) == 2
        for recording in sample.taken:
            chosen[recording.id] += 1
    # Each is expected 1,000 times; six standard deviations are 155.
    assert all(845 < times < 1155 for times in chosen.values())


def test_an_object_of_an_unknown_tenant_or_attempt_or_shape_has_no_row(world: World, acme: Tenant) -> None:
    known = stored(world, acme)
    keys = {
        new_object_key(acme.id, known.id, "s1"): known.id,  # another attempt at the same recording
        new_object_key("f" * 32, known.id, "s1"): known.id,
        "something/else": "",
    }
    for key in keys:
        world.store.put(key, io.BytesIO(b"x"), 1)
    report = looked(world)
    assert {problem.object_key: problem.recording_id for problem in report.problems} == keys
    assert {problem.kind for problem in report.problems} == {ProblemKind.OBJECT_WITHOUT_ROW}


def test_what_is_left_of_a_deleted_recording_is_named_as_such(world: World, acme: Tenant) -> None:
    # Given its object, and one of another attempt at it that a crash left
    recording = stored(world, acme)
    attempt = new_object_key(acme.id, recording.id, "s2")
    world.store.put(attempt, io.BytesIO(b"content"), 7)
    with world.catalogue.begin() as work:
        work.of(acme.id).recordings.delete(recording.id, NOW, "ann", "asked for by a caller")
    report = looked(world)
    assert kinds(report) == [(ProblemKind.OBJECT_OF_DELETED, recording.id)] * 2
    assert {problem.object_key for problem in report.problems} == {recording.object_key, attempt}
    for problem in report.problems:
        assert problem.tenant == "acme" and f"{NOW:%Y-%m-%d %H:%M} UTC" in problem.message
        assert "asked for" not in problem.message


def test_an_object_that_may_still_be_removed_after_its_row_is_no_problem_yet(world: World, acme: Tenant) -> None:
    recording = stored(world, acme)
    with world.catalogue.begin() as work:
        work.of(acme.id).recordings.delete(recording.id, later() - timedelta(minutes=1), "ann")
    report = looked(world)
    assert (report.in_work, report.problems) == (1, [])


# --- beside a running ingest --------------------------------------------------------------------------------


def test_an_object_whose_row_may_still_come_is_no_problem_yet(world: World, acme: Tenant) -> None:
    recording = described(acme)
    world.store.put(recording.object_key, io.BytesIO(b"content"), 7)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    report = verify.verify(world.catalogue, world.store, world.root, clock=lambda: soon, trail=world.trail)
    assert (report.in_work, report.problems) == (1, [])


def test_a_row_that_comes_while_we_look_is_no_problem(world: World, acme: Tenant) -> None:
    recording = described(acme)

    class Late(MemoryStore):
        def list(self, prefix: str = "") -> Iterator[StoredObject]:
            yield from super().list(prefix)
            kept(world, recording)

    store = Late()
    store.put(recording.object_key, io.BytesIO(b"content"), 7)
    assert looked(world, store=store).problems == []


def test_a_recording_deleted_while_we_look_is_no_problem(world: World, acme: Tenant) -> None:
    class Deleting(MemoryStore):
        def read(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
            with world.catalogue.begin() as work:
                work.of(acme.id).recordings.delete(recording.id, NOW, "ann")
            self.delete(key)
            return super().read(key, start, length)

    world.store = Deleting()
    recording = stored(world, acme)
    assert looked(world).problems == []


def test_a_store_that_does_not_answer_is_not_taken_for_an_empty_one(world: World, acme: Tenant) -> None:
    class Silent(MemoryStore):
        def read(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
            raise StoreUnavailable("The store does not answer.")

    world.store = Silent()
    stored(world, acme)
    with pytest.raises(StoreUnavailable):
        looked(world)


def test_what_was_found_is_on_the_audit_log(world: World, acme: Tenant) -> None:
    world.store.delete(stored(world, acme).object_key)
    looked(world)
    (event,) = world.events("verify")
    assert event.outcome is Outcome.FAILED
    assert event.detail == {"recordings": 1, "objects": 0, "read": 0, "problems": 1}


def test_only_who_operates_the_system_may_look(world: World) -> None:
    ann = world.principal(world.user("ann", Role.CLIENT))
    with pytest.raises(Forbidden):
        verify.verify(world.catalogue, world.store, ann, clock=later, trail=world.trail)


def test_progress_is_told(world: World, acme: Tenant) -> None:
    for _ in range(3):
        stored(world, acme)
    recordings, sizes = [], []
    verify.verify(
        world.catalogue,
        world.store,
        world.root,
        clock=later,
        trail=world.trail,
        on_recording=lambda: recordings.append(1),
        on_read=sizes.append,
    )
    assert (len(recordings), sizes) == (3, [7, 7, 7])
    assert verify.total(world.catalogue) == 3
