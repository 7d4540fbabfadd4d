"""A catalogue that was restored from a backup: what the store has beyond it is named, kept, and taken back."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keys import note
from recpipe import recovery_notes
from recpipe.access.audit import AuditTrail
from recpipe.access.principal import operator
from recpipe.catalogue import Catalogue
from recpipe.model import Readable, Recording, RecordingQuery, StoredObject
from recpipe.recordings import verify
from recpipe.recordings.looks import IN_WORK, ProblemKind
from recpipe.recordings.recover import Fate, Report, recover
from recpipe.store.base import Note
from recpipe.times import Clock, utc_now
from tests.integration.pipeline_rig import TENANT_ID, FaultyStore, Rig
from tests.services.certificates import KeyPair


class NotesFirst(FaultyStore):
    """A store that must say what is kept beside an object before it has read the object, as S3 for one in parts."""

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        said = note("") if note is not None else b""
        return super().put(key, body, size_bytes, lambda _sha256: said)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig.make(tmp_path)
    yield made
    made.catalogue.close()


def restored(rig: Rig, backup: Path) -> Catalogue:
    """The catalogue as it was when the backup was made."""
    return Catalogue.open(f"sqlite:///{backup}")


def back_up(rig: Rig) -> Path:
    path = rig.root / "backup.sqlite3"
    with (
        closing(sqlite3.connect(rig.settings.data_dir / "recpipe.sqlite3")) as source,
        closing(sqlite3.connect(path)) as to,
    ):
        source.backup(to)
    return path


def recovered(rig: Rig, catalogue: Catalogue, keys: Sequence[bytes] = (), **options: object) -> Report:
    keys = keys or [recovery_notes.recovery_key(rig.settings)]
    return recover(catalogue, rig.store, keys, operator(), **_recording(catalogue, utc_now), **options)  # type: ignore[arg-type]


def verified(rig: Rig, catalogue: Catalogue, clock: Clock = utc_now) -> verify.Report:
    return verify.verify(catalogue, rig.store, operator(), **_recording(catalogue, clock))


def _recording(catalogue: Catalogue, clock: Clock) -> dict[str, Any]:
    return {"clock": clock, "trail": AuditTrail(catalogue, clock)}


def rows(catalogue: Catalogue) -> dict[str, Recording]:
    with catalogue.read() as work:
        found = work.of(TENANT_ID).recordings.search(RecordingQuery(), limit=1000).items
        return {one.id: work.of(TENANT_ID).recordings.get(one.id) for one in found}


def fates(report: Report) -> list[Fate]:
    return sorted(one.kind for one in report.found)


@pytest.mark.parametrize("kind", [FaultyStore, NotesFirst])
def test_recordings_younger_than_the_backup_are_taken_back(
    rig: Rig, kind: type[FaultyStore], key_pair: KeyPair
) -> None:
    # Given one recording in the backup, and a plain and a sealed one stored after it
    rig.store = kind()
    rig.drop(number=1)
    rig.drain()
    backup = back_up(rig)
    rig.drop("opening-hours-alaw.wav", number=2)
    rig.drain()
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    rig.drop("invoice-request.mp3", number=3)
    rig.drain()
    before = rows(rig.catalogue)
    assert sorted(one.sealed for one in before.values()) == [False, False, True]
    catalogue = restored(rig, backup)

    # When one only asks, nothing changes
    assert fates(recovered(rig, catalogue, dry_run=True)) == [Fate.RECOVERED] * 2
    assert len(rows(catalogue)) == 1

    # Then the rows come back as they were, waveforms and all
    assert fates(recovered(rig, catalogue)) == [Fate.RECOVERED] * 2
    after = rows(catalogue)
    for recording_id, was in before.items():
        now = after[recording_id]
        if "recovered" in now.flags:
            was = replace(was, flags=(*was.flags, "recovered"))
        assert now == was
    with catalogue.read() as work:
        ending = work.of(TENANT_ID).recordings.search(RecordingQuery(number="03012340003"))
        assert [one.sealed for one in ending.items] == [True]
        assert len([e for e in work.audit.list().items if e.action == "recover"]) == 2

    # And all is sound, and doing it again finds nothing
    looked = verified(rig, catalogue)
    assert (looked.problems, looked.in_work, looked.recordings) == ([], 0, 3)
    assert recovered(rig, catalogue).found == []
    catalogue.close()


def test_what_cannot_be_taken_back_is_named_and_left(rig: Rig) -> None:
    backup = back_up(rig)
    for number in range(5):
        rig.drop(number=number)
    rig.drain()
    deleted, damaged, bare, moved, good = sorted(rows(rig.catalogue).values(), key=lambda one: one.id)
    catalogue = restored(rig, backup)
    with catalogue.begin() as work:
        work.of(TENANT_ID).recordings.add_many([deleted])
        work.of(TENANT_ID).recordings.delete(deleted.id, rig.now, "erin")
    objects = rig.store._objects
    content, stored = objects[damaged.object_key]
    objects[damaged.object_key] = (content[:-1] + b"?", stored)
    objects[bare.object_key] = (objects[bare.object_key][0], replace(objects[bare.object_key][1], note=b""))
    stolen = objects[good.object_key][1].note
    objects[moved.object_key] = (objects[moved.object_key][0], replace(objects[moved.object_key][1], note=stolen))
    rig.store.put(good.object_key[:-8] + "00000000", *_again(content))
    rig.store.put("something/else", *_again(b"x"))

    report = recovered(rig, catalogue)

    by_key = {one.object_key: one.kind for one in report.found}
    assert by_key == {
        deleted.object_key: Fate.DELETED,
        damaged.object_key: Fate.DAMAGED,
        bare.object_key: Fate.WITHOUT_NOTE,
        moved.object_key: Fate.NOTE_UNREADABLE,
        good.object_key: Fate.RECOVERED,
        good.object_key[:-8] + "00000000": Fate.WITHOUT_NOTE,
        "something/else": Fate.STRANGE,
    }
    assert set(rows(catalogue)) == {good.id}
    assert len(rig.store.keys()) == 7
    with catalogue.read() as work:
        assert work.of(TENANT_ID).recordings.tombstone(deleted.id).deleted_by == "erin"
    wrong_key = recovered(rig, catalogue, [note.new_key()], dry_run=True)
    assert all("recovery key" in one.message for one in wrong_key.found if one.kind is Fate.NOTE_UNREADABLE)
    catalogue.close()


def test_verify_never_advises_to_remove_what_may_be_the_only_copy(rig: Rig) -> None:
    backup = back_up(rig)
    rig.drop()
    rig.drain()
    catalogue = restored(rig, backup)

    def later() -> datetime:
        return rig.now + 2 * IN_WORK

    at_once = verified(rig, catalogue, lambda: rig.now + timedelta(seconds=5))
    assert (at_once.in_work, at_once.problems, at_once.unsure) == (1, [], True)
    [problem] = verified(rig, catalogue, later).problems
    assert problem.kind is ProblemKind.OBJECT_WITHOUT_ROW
    assert "the catalogue is older than the store" in problem.message
    assert "remove it" not in problem.message.replace("not remove it before you know", "")
    catalogue.close()


def test_nothing_of_a_call_can_be_read_in_a_note(rig: Rig) -> None:
    name = rig.drop(number=7).name
    rig.drain()
    [(_, stored)] = rig.store._objects.values()
    assert 0 < len(stored.note) <= 1400
    for trace in (b"03012340007", b"acme", name.encode(), b"Berlin"):
        assert trace not in stored.note


def test_a_note_fits_whatever_a_pbx_writes(rig: Rig) -> None:
    rig.drop()
    rig.drain()
    [recording] = rows(rig.catalogue).values()
    key = note.new_key()
    for text in ("\N{PILE OF POO}" * 3000, "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(5000))):
        facts = replace(recording.facts, caller_name=text, callee_name=text, route=text, call_id=text)
        hostile = replace(recording, facts=facts, name=f"{text[:300]}.wav", source_name=text)
        closed = recovery_notes.note_of(key, hostile, "acme")
        assert 0 < len(closed) <= 1400
        read = recovery_notes.read([key], closed, hostile.object_key, TENANT_ID, hostile.id).recording
        assert (read.started_at, read.facts.caller, read.stored_sha256) == (
            recording.started_at,
            recording.facts.caller,
            recording.stored_sha256,
        )


def _again(content: bytes) -> tuple[Readable, int]:
    return io.BytesIO(content), len(content)
