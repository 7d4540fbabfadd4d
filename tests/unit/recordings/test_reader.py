from __future__ import annotations

import hashlib
import io
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recpipe.access.audit import event
from recpipe.access.principal import Action, Principal
from recpipe.errors import CatalogueUnavailable, Forbidden, InputInvalid, NotFound, ObjectDamaged, ObjectMissing
from recpipe.model import DayEntry, Direction, Outcome, Recording, RecordingQuery, Role, Sendable, Tenant
from recpipe.recordings.audited_streams import verified
from recpipe.recordings.reader import Reader, checksum_line
from recpipe.store import layout
from recpipe.store.directory import DirectoryStore
from tests.contracts.catalogue_samples import DAY, NOW, a_recording
from tests.services.need import tool
from tests.unit.access.world import ADDRESS, World

BYTES = bytes(range(256)) * 40


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def _stored(world: World, tenant: Tenant, content: bytes = BYTES, **changes: Any) -> Recording:
    made = a_recording(tenant, **changes)
    key = layout.new_object_key(tenant.id, made.id, "00000000")
    world.store.put(key, io.BytesIO(content), len(content))
    digest = hashlib.sha256(content).hexdigest()
    made = replace(made, object_key=key, stored_bytes=len(content), stored_sha256=digest)
    with world.catalogue.begin() as work:
        (added,) = work.add_recordings([made])
    return added.recording


def _may(world: World, *grants: tuple[Tenant, list[str]], name: str = "ann") -> Principal:
    return world.principal(world.user(name, Role.SERVICE, {tenant.id: actions for tenant, actions in grants}))


def _ftp(world: World, tenant: Tenant, **subset: Any) -> Principal:
    made = world.ftp_accounts.create(world.root, tenant.id, f"{tenant.name}-ftp", **subset)
    return world.access.ftp(made.account.username, made.password or "", ADDRESS)


# --- finding ----------------------------------------------------------------------------------------------


def test_a_search_finds_the_recordings_of_granted_tenants_alone(world: World) -> None:
    acme, other, third = world.tenant(), world.tenant("other"), world.tenant("third")
    mine, theirs = _stored(world, acme), _stored(world, third)
    _stored(world, other)
    ann = _may(world, (acme, ["search"]), (other, ["play"]), (third, ["search"]))

    found = world.reader.search(ann, None, RecordingQuery()).items
    assert {r.id for r in found} == {mine.id, theirs.id}
    assert world.reader.count(ann, None, RecordingQuery()).count == 2
    assert {r.id for r in world.reader.search(ann, [acme.id], RecordingQuery()).items} == {mine.id}
    assert len(world.reader.search(world.root, None, RecordingQuery()).items) == 3


def test_searching_a_foreign_tenant_is_like_searching_a_missing_one(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    ann = _may(world, (acme, ["search"]))
    answers = []
    for tenant_id in (other.id, "0" * 32):
        for who in (ann, world.root):
            if who is world.root and tenant_id == other.id:
                continue
            with pytest.raises(NotFound) as answer:
                world.reader.search(who, [acme.id, tenant_id], RecordingQuery())
            answers.append(str(answer.value).replace(tenant_id, "ID"))

    assert len(set(answers)) == 1
    with pytest.raises(Forbidden):
        world.reader.search(_may(world, (acme, ["play"]), name="bob"), [acme.id], RecordingQuery())


def test_a_principal_without_tenants_finds_nothing(world: World) -> None:
    _stored(world, world.tenant())
    nobody = world.principal(world.user(role=Role.CLIENT))

    assert world.reader.search(nobody, None, RecordingQuery()).items == ()
    assert world.reader.count(nobody, None, RecordingQuery()).count == 0
    assert world.reader.tenants(nobody) == []


def test_an_administrator_without_tenants_finds_nothing_and_one_limited_to_a_tenant_its_calls_alone(
    world: World,
) -> None:
    assert world.reader.search(world.root, None, RecordingQuery()).items == ()
    assert world.reader.count(world.root, None, RecordingQuery(number="201")).count == 0
    mine, foreign = _stored(world, world.tenant()), _stored(world, world.tenant("other"))
    limited = replace(world.root, only=frozenset({mine.tenant_id}))
    nowhere = replace(world.root, only=frozenset())

    assert [one.id for one in world.reader.search(limited, None, RecordingQuery()).items] == [mine.id]
    assert world.reader.search(nowhere, None, RecordingQuery()).items == ()
    for by, recording in ((limited, foreign), (nowhere, mine), (nowhere, foreign)):
        with pytest.raises(NotFound):
            world.reader.get(by, recording.id)
    scoped = replace(world.root, scopes=frozenset({Action.PLAY}))  # a token that may not search
    assert world.reader.search(scoped, None, RecordingQuery()).items == ()
    with pytest.raises(Forbidden):
        world.reader.get(scoped, mine.id)


def test_a_recording_is_got_from_whichever_granted_tenant_has_it(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    first, second = _stored(world, acme, peaks=b"waves"), _stored(world, other)
    ann = _may(world, (acme, ["search"]), (other, ["search"]))

    assert world.reader.get(ann, first.id) == first
    assert world.reader.get(ann, first.id).peaks == b"waves"
    assert world.reader.get(ann, second.id).tenant_id == other.id
    assert world.reader.get(world.root, second.id).id == second.id


def test_a_foreign_recording_and_a_missing_one_give_the_same_answer(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    foreign = _stored(world, other)
    ann = _may(world, (acme, ["search"]))

    with pytest.raises(NotFound) as one:
        world.reader.get(ann, foreign.id)
    with pytest.raises(NotFound) as two:
        world.reader.get(ann, "0" * 32)

    assert str(one.value).replace(foreign.id, "ID") == str(two.value).replace("0" * 32, "ID")
    denial = world.events("search")[-1]
    assert (denial.outcome, denial.actor, denial.tenant_id) == (Outcome.DENIED, "ann", None)


def test_a_known_recording_may_be_seen_and_not_downloaded(world: World) -> None:
    acme = world.tenant()
    kept = _stored(world, acme)
    ann = _may(world, (acme, ["search"]))

    with pytest.raises(Forbidden):
        world.reader.get(ann, kept.id, Action.DOWNLOAD)
    denial = world.events("download")[-1]
    assert (denial.outcome, denial.tenant_id, denial.subject) == (Outcome.DENIED, acme.id, kept.id)


def test_tenants_are_listed_by_what_may_be_done_with_them(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    ann = _may(world, (acme, ["search"]))

    assert [t.name for t in world.reader.tenants(ann)] == ["acme"]
    assert [t.name for t in world.reader.tenants(ann, Action.PLAY)] == []
    assert [t.name for t in world.reader.tenants(world.root, Action.PLAY)] == ["acme", "other"]
    assert world.reader.tenant(ann, acme.id) == acme
    with pytest.raises(NotFound):
        world.reader.tenant(ann, other.id)


def test_a_choice_of_tenants_narrows_and_never_widens(world: World) -> None:
    acme, other, third = world.tenant(), world.tenant("other"), world.tenant("third")
    ann = _may(world, (acme, ["search"]), (third, ["play"]))

    def names(by: Principal, *among: str, action: Action | None = None) -> list[str]:
        return [t.name for t in world.reader.tenants(by, action, among)]

    assert names(ann, acme.id, other.id, "0" * 32) == ["acme"]
    assert names(ann, acme.id, third.id, action=Action.SEARCH) == ["acme"]
    assert names(ann) == []
    assert names(world.root, other.id, third.id) == ["other", "third"]
    limited = replace(world.root, only=frozenset({acme.id}))
    assert names(limited, acme.id, other.id) == ["acme"] == [t.name for t in world.reader.tenants(limited)]
    both = replace(ann, only=frozenset({other.id, third.id}))
    assert names(both, acme.id, other.id, third.id) == ["third"] == [t.name for t in world.reader.tenants(both)]


def test_a_tenant_is_meant_by_id_name_and_alias_and_a_foreign_one_by_none(world: World) -> None:
    acme, other = world.tenant(), world.tenants.create(world.root, "other", aliases=["other.example"])
    ann = _may(world, (acme, ["search"]))

    assert {world.reader.tenant_named(ann, word).id for word in (acme.id, "acme", "ACME")} == {acme.id}
    assert world.reader.tenant_named(world.root, "other.example") == other
    answers = set()
    for word in (other.id, "other", "other.example", "nobody", "0" * 32):
        with pytest.raises(NotFound) as refused:
            world.reader.tenant_named(ann, word)
        answers.add(str(refused.value).replace(word, "WORD").replace(other.id, "WORD"))
    assert len(answers) == 1


# --- bytes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "length"), [(0, None), (0, 1), (5, None), (100, 50), (len(BYTES) - 1, 10), (len(BYTES), None), (7, 0)]
)
def test_any_range_inside_gives_exactly_those_bytes(world: World, start: int, length: int | None) -> None:
    acme = world.tenant()
    kept = _stored(world, acme)
    ann = _may(world, (acme, ["download"]))

    with world.reader.open(ann, kept, start, length, action=Action.DOWNLOAD) as stream:
        assert stream.read() == BYTES[start : None if length is None else start + length]


@pytest.mark.parametrize(("start", "length"), [(-1, None), (len(BYTES) + 1, None), (0, -1)])
def test_a_range_outside_is_refused_and_not_on_the_record_as_read(world: World, start: int, length: int | None) -> None:
    acme = world.tenant()
    kept = _stored(world, acme)
    with pytest.raises(InputInvalid):
        world.reader.open(world.root, kept, start, length, action=Action.PLAY)
    assert world.events("play") == []


def test_a_row_in_hand_opens_nothing_without_the_right(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    foreign, known = _stored(world, other), _stored(world, acme)
    ann = _may(world, (acme, ["play"]))

    with pytest.raises(NotFound):
        world.reader.open(ann, foreign, action=Action.PLAY)
    with pytest.raises(Forbidden):
        world.reader.open(ann, known, action=Action.DOWNLOAD)
    with pytest.raises(NotFound):
        world.reader.presign(ann, foreign, action=Action.PLAY, seconds=60, media_type="audio/wav")
    with pytest.raises(ValueError, match="to play, download or export"):
        world.reader.open(world.root, known, action=Action.SEARCH)


def test_the_ranges_of_one_playback_are_one_event(world: World) -> None:
    acme = world.tenant()
    first, second = _stored(world, acme), _stored(world, acme)
    ann = _may(world, (acme, ["play", "download"]))

    for n in range(5):
        world.reader.open(ann, first, n * 100, 100, action=Action.PLAY, address="203.0.113.5").close()
        world.pass_time(seconds=10)
    world.reader.open(ann, second, action=Action.PLAY).close()
    world.reader.open(ann, first, action=Action.DOWNLOAD).close()

    assert [(e.subject, e.address) for e in world.events("play")] == [(first.id, "203.0.113.5"), (second.id, ADDRESS)]
    assert [e.subject for e in world.events("download")] == [first.id]
    world.pass_time(seconds=60)
    world.reader.open(ann, first, action=Action.PLAY).close()
    assert len(world.events("play")) == 3
    assert world.events("play")[0].tenant_id == acme.id


def test_each_of_two_people_is_on_the_record(world: World) -> None:
    acme = world.tenant()
    kept = _stored(world, acme)
    for name in ("ann", "bob"):
        world.reader.open(_may(world, (acme, ["play"]), name=name), kept, action=Action.PLAY).close()

    assert [e.actor for e in world.events("play")] == ["ann", "bob"]


def test_a_missing_object_is_on_the_record_as_failed(world: World) -> None:
    acme = world.tenant()
    kept = _stored(world, acme)
    world.store.delete(kept.object_key)

    with pytest.raises(ObjectMissing):
        world.reader.open(world.root, kept, action=Action.DOWNLOAD)
    event = world.events("download")[-1]
    assert (event.outcome, event.detail) == (Outcome.FAILED, {"error": "ObjectMissing"})


@pytest.mark.parametrize("read_bytes", [1000, 1_000_000, -1])
def test_a_damaged_object_is_noticed_at_its_end(world: World, read_bytes: int) -> None:
    acme = world.tenant()
    kept = _stored(world, acme)
    damaged = replace(kept, stored_sha256="0" * 64)

    with world.reader.open(world.root, kept, action=Action.EXPORT, verify=True) as stream:
        assert b"".join(iter(lambda: stream.read(1000), b"")) == BYTES
    with (
        world.reader.open(world.root, damaged, action=Action.EXPORT, verify=True) as stream,
        pytest.raises(ObjectDamaged),
    ):
        while stream.read(read_bytes):
            pass


def test_a_short_object_is_damage_too(world: World) -> None:
    kept = _stored(world, world.tenant())
    source = io.BytesIO(BYTES[:-1])
    with verified(source, kept) as stream, pytest.raises(ObjectDamaged):
        stream.read()
    assert source.closed


def test_a_range_is_not_compared_with_the_checksum_of_the_whole(world: World) -> None:
    kept = replace(_stored(world, world.tenant()), stored_sha256="0" * 64)
    with world.reader.open(world.root, kept, 10, action=Action.EXPORT, verify=True) as stream:
        assert stream.read() == BYTES[10:]


# --- subsets ----------------------------------------------------------------------------------------------


def test_an_ftp_account_with_a_subset_sees_its_calls_alone(world: World) -> None:
    acme = world.tenant()
    facts = {"extension": "201"}
    mine = _stored(world, acme, name="mine.wav", facts=facts)
    other = _stored(world, acme, name="other.wav", facts={"extension": "202"})
    _stored(world, acme, name="elsewhere.wav", day="2026-03-15", facts={"extension": "202"})
    account = _ftp(world, acme, extension="201")

    assert [e.name for e in world.reader.in_day(account, DAY)] == ["mine.wav"]
    assert [checksum_line(entry) for entry in world.reader.in_day(account, DAY)] == [
        f"{mine.stored_sha256}  mine.wav\n"
    ]
    assert world.reader.days(account, "2026-03") == [DAY]
    assert world.reader.days(world.root, "2026-03", acme.id) == [DAY, "2026-03-15"]
    assert world.reader.by_name(account, DAY, "mine.wav").id == mine.id
    assert world.reader.get(account, mine.id).id == mine.id
    assert [r.id for r in world.reader.search(account, None, RecordingQuery()).items] == [mine.id]
    assert world.reader.search(account, None, RecordingQuery(extension="202")).items == ()
    assert world.reader.count(account, None, RecordingQuery(extension="202")).count == 0
    for attempt in (
        lambda: world.reader.by_name(account, DAY, "other.wav"),
        lambda: world.reader.get(account, other.id),
        lambda: world.reader.open(account, other, action=Action.DOWNLOAD),
        lambda: world.reader.presign(account, other, action=Action.DOWNLOAD, seconds=1, media_type="audio/wav"),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(Forbidden):
        world.reader.totals(account, acme.id, DAY, DAY)


def test_an_ftp_account_for_one_direction_sees_that_direction_alone(world: World) -> None:
    acme = world.tenant()
    inbound = _stored(world, acme)
    account = _ftp(world, acme, direction=Direction.OUTBOUND)

    assert list(world.reader.in_day(account, DAY)) == []
    assert world.reader.search(account, None, RecordingQuery(direction=Direction.INBOUND)).items == ()
    with pytest.raises(NotFound):
        world.reader.get(account, inbound.id)


# --- folders ----------------------------------------------------------------------------------------------


def test_folders_are_those_of_the_accounts_tenant(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    kept = _stored(world, acme)
    _stored(world, other, day="2025-01-01")
    account = _ftp(world, acme)

    assert world.reader.years(account) == ["2026"]
    assert world.reader.months(account, "2026") == ["2026-03"]
    assert world.reader.days(account, "2026-03") == [DAY]
    (entry,) = world.reader.in_day(account, DAY)
    assert (entry.name, entry.stored_bytes, entry.started_at) == (kept.name, len(BYTES), NOW)
    assert world.reader.totals(account, acme.id, DAY, DAY)[0].recordings == 1
    with pytest.raises(NotFound):
        world.reader.years(account, other.id)
    with pytest.raises(NotFound):
        world.reader.by_name(account, "2025-01-01", "call.wav")


def test_whoever_has_several_tenants_must_say_which(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    ann = _may(world, (acme, ["search"]), (other, ["search"]))
    for who in (ann, world.root):
        with pytest.raises(NotFound):
            world.reader.years(who)
    assert world.reader.years(ann, acme.id) == []


@pytest.mark.parametrize("piece", [1000, -1])
def test_the_last_byte_is_given_out_when_the_event_is_durable(
    world: World, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    acme = world.tenant()
    stored, account = _stored(world, acme), _ftp(world, acme)

    # Given: an audit log that cannot be written
    def refuse() -> Any:
        raise CatalogueUnavailable("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(world.catalogue, "begin", refuse)
        stream = world.reader.open(account, stored, action=Action.DOWNLOAD)
        # A range of the same read, which has no event of its own, waits for that one
        tail = world.reader.open(account, stored, len(BYTES) - 10, action=Action.DOWNLOAD)
        given = b""
        with pytest.raises(CatalogueUnavailable):
            while True:
                given += stream.read(piece)
        assert len(given) < len(BYTES)
        for _ in range(2):
            with pytest.raises(CatalogueUnavailable):
                tail.read(10)
        stream.close()
        tail.close()

    # When: it can be written again, the next try is the first
    with world.reader.open(account, stored, action=Action.DOWNLOAD) as stream:
        assert stream.read() == BYTES
        assert [e.subject for e in world.events("download")] == [stored.id]


def test_the_kernel_is_not_given_the_last_byte_before_the_event_is_durable(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.tenant()
    stored, account = _stored(world, acme), _ftp(world, acme)
    on_disk = DirectoryStore(tmp_path / "objects")
    on_disk.put(stored.object_key, io.BytesIO(BYTES), len(BYTES))
    reader = Reader(world.catalogue, on_disk, world.clock, world.trail)

    def refuse() -> Any:
        raise CatalogueUnavailable("The disk is full.")

    def send_all() -> bytes:
        here, there = socket.socketpair()
        with here, there, reader.open(account, stored, action=Action.DOWNLOAD) as stream:
            assert isinstance(stream, Sendable)
            try:
                while stream.send_to(here.fileno(), 4000):
                    pass
            finally:
                here.shutdown(socket.SHUT_WR)
                taken.append(there.makefile("rb").read())
        return taken[-1]

    taken: list[bytes] = []
    with monkeypatch.context() as broken:
        broken.setattr(world.catalogue, "begin", refuse)
        with pytest.raises(CatalogueUnavailable):
            send_all()
    assert len(taken[0]) < len(BYTES)

    assert send_all() == BYTES
    assert [e.subject for e in world.events("download")] == [stored.id]


def test_a_read_that_is_given_up_is_on_the_record(world: World) -> None:
    acme = world.tenant()
    stored, account = _stored(world, acme), _ftp(world, acme)

    world.reader.open(account, stored, action=Action.DOWNLOAD).close()

    assert [e.subject for e in world.events("download")] == [stored.id]


def test_a_read_that_is_dropped_unclosed_waits_for_nobody_and_is_on_the_record(world: World) -> None:
    acme = world.tenant()
    stored, account = _stored(world, acme), _ftp(world, acme)
    given_up = threading.Event()

    def give_up_while_events_are_written() -> None:
        # What the garbage collector does wherever it happens to run
        stream = world.reader.open(account, stored, action=Action.DOWNLOAD)
        with world.reader._trail._writing:
            del stream
        given_up.set()

    threading.Thread(target=give_up_while_events_are_written, daemon=True).start()

    assert given_up.wait(10)
    world.reader._trail.record(event(account, "after", datetime.now(UTC)))
    assert [e.subject for e in world.events("download")] == [stored.id]


def test_fetching_a_folder_in_its_order_asks_the_catalogue_now_and_then_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.tenant()
    names = [f"call-{n:03}.wav" for n in range(200)]
    with world.catalogue.begin() as work:
        work.add_recordings([a_recording(acme, name=name) for name in names])
    account = _ftp(world, acme)
    reads = _counted_reads(world, monkeypatch)

    # When: in order, as mirrors fetch
    assert [world.reader.by_name(account, DAY, name).name for name in names] == names
    assert len(reads) < 20

    # When: an order in which reading ahead is of no use
    world.pass_time(seconds=1)
    reads.clear()
    assert [world.reader.by_name(account, DAY, name).name for name in names[::-1]] == names[::-1]
    assert len(reads) <= len(names)


def test_names_read_ahead_stay_within_tenant_folder_and_subset(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    mine = _stored(world, acme, name="a.wav", facts={"extension": "201"})
    _stored(world, acme, name="b.wav", facts={"extension": "202"})
    _stored(world, acme, name="c.wav", day="2025-01-01", facts={"extension": "201"})
    theirs = _stored(world, other, name="b.wav", facts={"extension": "201"})
    narrow, foreign = _ftp(world, acme, extension="201"), _ftp(world, other)

    # Given: what comes behind the first name is known by now
    assert world.reader.by_name(narrow, DAY, "a.wav").id == mine.id

    for name in ("b.wav", "c.wav"):
        with pytest.raises(NotFound):
            world.reader.by_name(narrow, DAY, name)
    assert world.reader.by_name(foreign, DAY, "b.wav").id == theirs.id
    with pytest.raises(NotFound):
        world.reader.by_name(foreign, DAY, "a.wav")


def test_what_was_deleted_is_gone_within_half_a_second(world: World) -> None:
    acme = world.tenant()
    first, second = _stored(world, acme, name="a.wav"), _stored(world, acme, name="b.wav")
    account, ann = _ftp(world, acme), _may(world, (acme, ["search", "play"]))
    world.reader.by_name(account, DAY, "a.wav")
    world.reader.get(ann, second.id, Action.PLAY)
    with world.catalogue.begin() as work:
        for gone in (first, second):
            work.of(acme.id).recordings.delete(gone.id, NOW, "operator")

    with pytest.raises(NotFound):  # people are shown nothing but the truth
        world.reader.get(ann, second.id)
    world.pass_time(seconds=0.5)

    for name in ("a.wav", "b.wav"):
        with pytest.raises(NotFound):
            world.reader.by_name(account, DAY, name)
    with pytest.raises(NotFound):
        world.reader.get(ann, second.id, Action.PLAY)


def test_what_one_reads_often_is_nothing_to_another(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    stored = _stored(world, acme)
    ann, bob = _may(world, (acme, ["play"])), _may(world, (other, ["play"]), name="bob")
    assert world.reader.get(ann, stored.id, Action.PLAY) == world.reader.get(ann, stored.id, Action.PLAY)

    with pytest.raises(NotFound):
        world.reader.get(bob, stored.id, Action.PLAY)
    with pytest.raises(Forbidden):  # what is known for playing is not allowed for anything else by that
        world.reader.get(ann, stored.id, Action.DOWNLOAD)


def _counted_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    reads: list[None] = []
    read = world.catalogue.read

    def counted() -> Any:
        reads.append(None)
        return read()

    monkeypatch.setattr(world.catalogue, "read", counted)
    return reads


def test_a_long_folder_is_read_in_pieces_without_loss(world: World) -> None:
    acme = world.tenant()
    with world.catalogue.begin() as work:
        work.add_recordings([a_recording(acme, name=f"call-{n:05}.wav") for n in range(2500)])
    account = _ftp(world, acme)

    names = []
    for n, entry in enumerate(world.reader.in_day(account, DAY)):
        names.append(entry.name)
        if n == 1500:  # what happens meanwhile needs no waiting for the reader
            _stored(world, acme, name="call-99999.wav")
    assert names == [f"call-{n:05}.wav" for n in range(2500)] + ["call-99999.wav"]


def test_denied_folders_are_refused_before_the_first_entry(world: World) -> None:
    acme = world.tenant()
    with pytest.raises(Forbidden):
        world.reader.in_day(_may(world, (acme, ["play"])), DAY, acme.id)


@pytest.mark.parametrize(
    "name",
    ["plain.wav", "two words ü.mp3.enc", "back\\slash.wav", "line\nbreak.wav", "carriage\rreturn.wav", "\\n.wav", "*x"],
)
def test_sha256sum_reads_our_checksum_lines(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(BYTES)
    entry = DayEntry("1" * 32, name, len(BYTES), hashlib.sha256(BYTES).hexdigest(), NOW)
    (tmp_path / "SHA256SUMS").write_bytes(checksum_line(entry).encode())

    ours = subprocess.run([tool("sha256sum"), "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True)
    theirs = subprocess.run([tool("sha256sum"), name], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert ours.returncode == 0, ours.stderr
    assert checksum_line(entry) == theirs.stdout
