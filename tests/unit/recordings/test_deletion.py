"""Deleting recordings: who may, what is left, and how it ends when the store or the process fails half-way."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recpipe import samples, wiring
from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, operator
from recpipe.audio.probe import probe
from recpipe.errors import Forbidden, InputInvalid, NotFound, ObjectMissing
from recpipe.jobs import upkeep
from recpipe.jobs.job import Tick
from recpipe.model import Direction, Outcome, Recording, RecordingQuery, Role, Tenant
from recpipe.pipeline import derived
from recpipe.recordings.deletion import LONGEST_REASON, RecordingDeletion
from recpipe.recordings.verify import IN_WORK, ProblemKind, verify
from recpipe.settings import Settings
from recpipe.store.base import Store
from recpipe.store.layout import new_object_key
from tests.contracts.catalogue_samples import DAY, a_recording
from tests.unit.access.world import ADDRESS, World
from tests.unit.recordings.dying import dies

SAMPLE = samples.paths()["order-inquiry.wav"]
BYTES = SAMPLE.read_bytes()
AUDIO = probe(SAMPLE)
WAVEFORM = derived.waveform(SAMPLE, AUDIO)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def described(tenant: Tenant, **changes: Any) -> Recording:
    made = a_recording(tenant, **changes)
    digest = hashlib.sha256(BYTES).hexdigest()
    key = new_object_key(tenant.id, made.id, "s1")
    return replace(
        made, object_key=key, stored_bytes=len(BYTES), stored_sha256=digest, audio=AUDIO, peaks=WAVEFORM, flags=()
    )


def stored(world: World, tenant: Tenant, **changes: Any) -> Recording:
    recording = described(tenant, **changes)
    world.store.put(recording.object_key, io.BytesIO(BYTES), len(BYTES))
    with world.catalogue.begin() as work:
        work.add_recordings([recording])
    return recording


def keys(world: World) -> list[str]:
    return [found.key for found in world.store.list()]


def left(world: World, tenant: Tenant) -> set[str]:
    with world.catalogue.read() as work:
        return {found.id for found in work.of(tenant.id).recordings.search(RecordingQuery()).items}


# --- what it does -----------------------------------------------------------------------------------------------


def test_a_deleted_recording_is_gone_for_everybody_and_its_object_with_it(world: World) -> None:
    acme = world.tenant()
    gone, kept = stored(world, acme), stored(world, acme)
    ann = world.principal(world.user("ann", Role.CLIENT, {acme.id: []}))

    (stone,) = world.disposal.delete(ann, [gone.id], "erasure request 4711")

    assert left(world, acme) == {kept.id}
    assert keys(world) == [kept.object_key]
    assert (stone.id, stone.deleted_by, stone.reason) == (gone.id, "ann", "erasure request 4711")
    with pytest.raises(NotFound):
        world.reader.get(ann, gone.id)
    (total,) = world.reader.totals(ann, acme.id, DAY, DAY)
    assert total.recordings == 1


def test_who_deleted_what_from_where_and_why_is_on_the_audit_log(world: World) -> None:
    acme = world.tenant()
    gone = stored(world, acme)
    ann = world.principal(world.user("ann", Role.CLIENT, {acme.id: []}))
    world.disposal.delete(ann, [gone.id, gone.id], "  erasure request 4711 ")
    (event,) = world.events("delete")
    assert (event.actor, event.address, event.tenant_id, event.subject) == ("ann", ADDRESS, acme.id, gone.id)
    assert (event.outcome, dict(event.detail)) == (Outcome.OK, {"reason": "erasure request 4711"})


def test_the_event_and_the_deletion_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = stored(world, tenant := world.tenant())

    class Full(Exception):
        pass

    def fail(*_: object) -> None:
        raise Full

    with monkeypatch.context() as patch, pytest.raises(Full):
        patch.setattr("recpipe.catalogue.history.AuditOfAll.add", fail)
        world.disposal.delete(world.root, [recording.id], "x")
    assert left(world, tenant) == {recording.id}
    assert keys(world) == [recording.object_key]


def test_two_who_delete_the_same_at_once_count_it_off_once(world: World) -> None:
    acme = world.tenant()
    both, other = stored(world, acme), stored(world, acme)
    looked = threading.Barrier(2)
    get = world.reader.get

    class Together:
        def get(self, *asked: Any) -> Recording:
            found = get(*asked)
            looked.wait(10)
            return found

    disposal = RecordingDeletion(world.catalogue, world.store, Together(), world.clock)  # type: ignore[arg-type]
    stones: list[Any] = []
    threads = [
        threading.Thread(target=lambda: stones.extend(disposal.delete(world.root, [both.id], "x"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [stone.id for stone in stones] == [both.id]
    assert len(world.events("delete")) == 1
    with world.catalogue.read() as work:
        assert [one.recordings for one in work.of(acme.id).recordings.totals(DAY, DAY)] == [1]
    assert left(world, acme) == {other.id}


# --- who may ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("actions", [["search"], ["search", "play", "download", "export", "keys", "ftp", "users"]])
def test_who_may_not_delete_is_refused_and_that_is_on_the_record(world: World, actions: list[str]) -> None:
    acme = world.tenant()
    recording = stored(world, acme)
    ann = world.principal(world.user("ann", Role.SERVICE, {acme.id: actions}))
    with pytest.raises(Forbidden, match="delete recordings"):
        world.disposal.delete(ann, [recording.id], "x")
    assert left(world, acme) == {recording.id}
    (event,) = world.events("delete")
    assert (event.outcome, event.subject, event.tenant_id) == (Outcome.DENIED, recording.id, acme.id)


def test_another_tenants_recording_is_like_a_missing_one(world: World) -> None:
    acme, globex = world.tenant(), world.tenant("globex")
    theirs = stored(world, globex)
    ann = world.principal(world.user("ann", Role.CLIENT, {acme.id: []}))
    answers = []
    for asked in (theirs.id, "0" * 32):
        with pytest.raises(NotFound) as answer:
            world.disposal.delete(ann, [asked], "x")
        answers.append(str(answer.value).replace(asked, "ID"))
    assert len(set(answers)) == 1
    assert left(world, globex) == {theirs.id}


def test_an_ftp_account_deletes_nothing(world: World) -> None:
    acme = world.tenant()
    recording = stored(world, acme)
    made = world.ftp_accounts.create(world.root, acme.id, "office")
    account = world.access.ftp("office", made.password or "", ADDRESS)
    with pytest.raises(Forbidden):
        world.disposal.delete(account, [recording.id], "x")
    assert left(world, acme) == {recording.id}


@pytest.mark.parametrize("subset", [{"extension": "202"}, {"direction": Direction.OUTBOUND}])
def test_what_is_outside_ones_subset_is_not_there(world: World, subset: dict[str, Any]) -> None:
    acme = world.tenant()
    recording = stored(world, acme, facts={"extension": "201"})
    ann = world.principal(world.user("ann", Role.CLIENT, {acme.id: []}))
    with pytest.raises(NotFound):
        world.disposal.delete(replace(ann, **subset), [recording.id], "x")
    assert left(world, acme) == {recording.id}


def test_nothing_is_deleted_where_one_of_several_may_not_be(world: World) -> None:
    acme, globex = world.tenant(), world.tenant("globex")
    mine, readable = stored(world, acme), stored(world, globex)
    ann = world.principal(world.user("ann", Role.SERVICE, {acme.id: ["delete"], globex.id: ["search"]}))
    for second, refusal in ((readable.id, Forbidden), ("0" * 32, NotFound)):
        with pytest.raises(refusal):
            world.disposal.delete(ann, [mine.id, second], "x")
    assert left(world, acme) == {mine.id}
    assert len(keys(world)) == 2


@pytest.mark.parametrize("reason", ["x" * (LONGEST_REASON + 1), "two\nlines", "\u202eturned round"])
def test_a_reason_is_one_line_of_bounded_length(world: World, reason: str) -> None:
    recording = stored(world, tenant := world.tenant())
    with pytest.raises(InputInvalid, match="reason may have 200 characters"):
        world.disposal.delete(world.root, [recording.id], reason)
    assert left(world, tenant) == {recording.id}
    assert world.disposal.delete(world.root, [recording.id], "x" * LONGEST_REASON)


# --- half-way ---------------------------------------------------------------------------------------------------


def look(parts: wiring.Parts) -> dict[str, int | str]:
    """The nightly look, once what is left is no longer in work."""

    def later() -> datetime:
        return datetime.now(UTC) + 2 * IN_WORK

    trail = AuditTrail(parts.catalogue, later)
    report = verify(parts.catalogue, parts.store, operator(), clock=later, trail=trail)
    assert {problem.kind for problem in report.problems} <= {ProblemKind.OBJECT_OF_DELETED}
    return upkeep.look(parts.catalogue, parts.store, trail, later, Tick(later(), threading.Event()))


def has(store: Store, recording: Recording) -> bool:
    try:
        store.head(recording.object_key)
    except ObjectMissing:
        return False
    return True


def prepared(parts: wiring.Parts) -> Recording:
    """A recording in a real folder."""
    recording = described(parts.tenants.create(operator(), "acme"))
    parts.store.put(recording.object_key, io.BytesIO(BYTES), len(BYTES))
    with parts.catalogue.begin() as work:
        work.add_recordings([recording])
    return recording


def test_a_deletion_stands_where_the_store_is_away_and_the_object_goes_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with wiring.open_parts(settings) as parts:
        recording = prepared(parts)
        # Given: the disk with the objects is gone
        objects, unmounted = tmp_path / "data/objects", tmp_path / "unmounted"
        objects.rename(unmounted)
        (stone,) = parts.disposal.delete(operator(), [recording.id], "a private matter")
        assert recording.id in caplog.text
        assert "private" not in caplog.text and recording.name not in caplog.text
        # Then the deletion stands, also when the disk is back
        unmounted.rename(objects)
        assert stone.id == recording.id and has(parts.store, recording)
        with pytest.raises(NotFound):
            parts.reader.get(operator(), recording.id)
        # And the next look removes what is left
        assert (look(parts)["removed"], has(parts.store, recording)) == (1, False)
        assert (look(parts)["removed"], look(parts)["problems"]) == (0, 0)


@pytest.mark.parametrize("moment", ["before the commit", "before the object is removed"])
def test_a_crash_ends_in_a_whole_recording_or_none(tmp_path: Path, moment: str) -> None:
    data = tmp_path / "data"
    with wiring.open_parts(Settings(data_dir=data)) as parts:
        recording = prepared(parts)
    dies("delete", tmp_path, str(data), "record" if moment == "before the commit" else "object", recording.id)
    with wiring.open_parts(Settings(data_dir=data)) as parts:
        assert has(parts.store, recording)
        with parts.catalogue.read() as work:
            events = [found.subject for found in work.audit.list().items if found.action == Action.DELETE]
        if moment == "before the commit":
            assert parts.reader.get(operator(), recording.id).id == recording.id
            assert events == []
            assert (look(parts)["removed"], has(parts.store, recording)) == (0, True)
        else:
            with pytest.raises(NotFound):
                parts.reader.get(operator(), recording.id)
            assert events == [recording.id]
            assert (look(parts)["removed"], has(parts.store, recording)) == (1, False)
