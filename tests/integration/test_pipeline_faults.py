"""What becomes of a spool file when database, store or disk fail at the worst moment. None may be lost or forgotten."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe import log
from recpipe.access.audit import AuditTrail
from recpipe.access.principal import operator
from recpipe.catalogue import Catalogue, Work
from recpipe.errors import CatalogueUnavailable, Held, ObjectDamaged, StoreRejected
from recpipe.model import Readable, Settled, StoredObject, StoreFormat
from recpipe.pipeline.stages import Job, ServedSpool, Stages, in_log, open_source
from recpipe.quarantine import QuarantineDecisions
from recpipe.settings import Spool
from recpipe.spool.describe import Describer
from recpipe.spool.folder import SpoolFolder
from recpipe.store.base import Note
from recpipe.times import utc_now
from tests.integration.pipeline_rig import FaultyStore, Rig, until
from tests.services.certificates import KeyPair


class FaultyCatalogue(Catalogue):
    """Goes away when it is told to: before a transaction, or in the very commit, whose answer is then lost."""

    away = answers_lost = False

    @contextlib.contextmanager
    def begin(self) -> Iterator[Work]:
        if self.away:
            raise CatalogueUnavailable("The database does not answer.")
        with super().begin() as work:
            yield work
        if self.answers_lost:
            raise CatalogueUnavailable("The connection broke.")


class DamagingStore(FaultyStore):
    """Damages the first object, and cannot remove it again."""

    damaged = False

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        if self.damaged:
            return super().put(key, body, size_bytes, note)
        self.damaged = True
        super().put(key, io.BytesIO(b"x"), 1)
        raise ObjectDamaged(key, "other bytes are there; removing it failed too")


@pytest.fixture
def catalogue(rig: Rig) -> FaultyCatalogue:
    assert isinstance(rig.catalogue, FaultyCatalogue)
    return rig.catalogue


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig.make(tmp_path)
    made.catalogue.close()
    made.catalogue = FaultyCatalogue.open(made.settings.database)
    yield made
    made.catalogue.close()


# --- the database ---------------------------------------------------------------------------------------------


def test_a_row_whose_commit_was_not_answered_keeps_its_object(rig: Rig, catalogue: FaultyCatalogue) -> None:
    # Given a commit that was made and not answered, and a stop before it could be tried again
    ingest = rig.ingest()
    ingest.start()
    catalogue.answers_lost = True
    rig.drop()
    until(lambda: ingest.counts.retried >= 1)
    ingest.stop()
    catalogue.answers_lost = False
    # Then the recording is whole, and the next start only removes the source
    (recording,) = rig.recordings()
    assert rig.store.keys() == [recording.object_key] and len(rig.files()) == 1
    assert rig.drain().counts.repeated == 1
    assert rig.store.keys() == [recording.object_key] and rig.files() == []


def test_a_file_is_not_put_aside_while_nobody_could_be_told(rig: Rig, catalogue: FaultyCatalogue) -> None:
    ingest = rig.ingest()
    ingest.start()
    catalogue.away = True
    rig.drop(name="nonsense.wav")
    until(lambda: ingest.counts.retried >= 2)
    ingest.stop()
    assert rig.files() == ["nonsense.wav"]
    catalogue.away = False
    rig.drain()
    assert [entry.reason for entry in rig.waiting()] == ["name-not-understood"] and rig.files() == []


def test_a_start_that_fails_does_not_hide_the_crash_before_it(rig: Rig, catalogue: FaultyCatalogue) -> None:
    rig.crash()
    catalogue.away = True
    ingest = rig.ingest()
    ingest.start()
    assert "does not answer" in ingest.troubles()["spool spool"]
    ingest.stop()
    folder = SpoolFolder(rig.spool)
    folder.lock()
    assert folder.crashed


def test_a_held_file_stays_listed_whatever_its_name(rig: Rig, key_pair: KeyPair) -> None:
    rig.add_certificate(key_pair.pem, expired=True)
    rig.change_tenant(encryption=True)
    rig.drop(name="out-0301234\\0-201-20260901-092500-1790000000.0.wav")
    rig.drain()
    (entry,) = rig.waiting()
    rig.drain()
    assert [again.id for again in rig.waiting()] == [entry.id]


def test_a_retried_file_that_is_put_aside_again_at_once_stays_listed(rig: Rig) -> None:
    class Overtaken(Catalogue):
        """Another process ingests what is in the spool before each transaction."""

        @contextlib.contextmanager
        def begin(self) -> Iterator[Work]:
            rig.drain()
            with super().begin() as work:
                yield work

    rig.drop(name="nonsense.wav")
    rig.drain()
    overtaken = Overtaken.open(rig.settings.database)
    QuarantineDecisions(rig.settings, overtaken, utc_now, AuditTrail(overtaken, utc_now)).retry(
        operator(), rig.waiting()[0].id
    )
    overtaken.close()
    rig.drain()
    assert [entry.reason for entry in rig.waiting()] == ["name-not-understood"] and rig.files() == []


# --- the store ------------------------------------------------------------------------------------------------


def test_a_file_whose_object_was_lost_is_kept_when_it_comes_again(rig: Rig) -> None:
    rig.drop()
    rig.drain()
    (recording,) = rig.recordings()
    rig.store.delete(recording.object_key)
    rig.drop()
    rig.drain()
    assert [entry.reason for entry in rig.waiting()] == ["object-missing"] and len(rig.files()) == 1
    assert rig.store.keys() == []


def test_a_damaged_object_that_cannot_be_removed_is_not_tried_for_ever(rig: Rig) -> None:
    rig.store = DamagingStore()
    rig.drop()
    rig.drain()
    (recording,) = rig.recordings()
    assert rig.store.keys() == [recording.object_key]


def test_what_was_written_after_a_failed_upload_is_stored(rig: Rig) -> None:
    # Given an upload that failed by its own fault, so that it is kept for another try
    class Damaging(FaultyStore):
        def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
            if not self.received:
                self.received.append((key, b""))
                raise ObjectDamaged(key, "half of it is there; it was removed again")
            return super().put(key, body, size_bytes, note)

    rig.store = Damaging()
    path = rig.drop("order-inquiry.wav")
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.retried == 1)
    # When the PBX goes on with its file
    whole = path.read_bytes() + b"\0" * 4000
    with path.open("ab") as stream:
        stream.write(b"\0" * 4000)
    until(lambda: ingest.counts.stored == 1)
    ingest.stop()
    # Then all of it is stored, and nothing of the first try
    (recording,) = rig.recordings()
    assert recording.source_sha256 == hashlib.sha256(whole).hexdigest()
    assert rig.store.keys() == [recording.object_key] and rig.files() == []


# --- the disk -------------------------------------------------------------------------------------------------


def test_a_full_disk_makes_good_recordings_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full = rig.root / "full"

    def scratch(_folder: SpoolFolder) -> Path:
        full.symlink_to("/dev/full")
        return full

    monkeypatch.setattr("recpipe.pipeline.outcomes._GIVE_UP_AFTER", 2)
    monkeypatch.setattr(SpoolFolder, "scratch", scratch)
    rig.change_tenant(store_format=StoreFormat.MP3)
    rig.drop()
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.retried >= 3)
    ingest.stop()
    monkeypatch.undo()
    assert rig.waiting() == [] and rig.drain().counts.stored == 1


def test_a_folder_that_cannot_be_looked_into_for_a_while_is_no_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rig.drop(name="day/out-03012340000-201-20260901-092500-1790000000.0.wav")
    away, hidden, prepare = rig.root / "away", threading.Event(), Stages.prepare

    def hide(order: Stages, job: Job) -> object:
        if not hidden.is_set():
            path.parent.rename(away)
            path.parent.write_bytes(b"a file where the folder should be")
            hidden.set()
        return prepare(order, job)

    monkeypatch.setattr(Stages, "prepare", hide)
    ingest = rig.ingest()
    ingest.start()
    until(hidden.is_set)
    time.sleep(0.5)  # long enough to fail
    path.parent.unlink()
    shutil.move(away, path.parent)
    until(lambda: ingest.counts.stored == 1)
    ingest.stop()


def test_a_file_that_may_not_be_read_is_held(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"audio")
    path.chmod(0)
    status = path.stat()
    settled = Settled(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino)
    spool = Spool(path=tmp_path, tenant="acme")
    job = Job(ServedSpool(spool, SpoolFolder(spool), Describer(spool, utc_now)), settled)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root reads everything
    try:
        with pytest.raises(Held, match="may not be read") as caught, open_source(job):
            pass
    finally:
        os.seteuid(user)
    assert caught.value.reason == "unreadable"


def test_no_file_name_reaches_the_log_with_an_error(rig: Rig) -> None:
    path = rig.drop()
    with pytest.raises(FileNotFoundError) as caught:
        path.with_name("out-0301234.wav").open()
    assert in_log(caught.value) == "No such file or directory"
    assert in_log(Held("x", f"{path} is held")) == "Held"


# --- an outage ------------------------------------------------------------------------------------------------


class AbsentStore(FaultyStore):
    """Refuses, or hangs, for as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses, self.tries = False, 0
        self.answers = threading.Event()
        self.answers.set()

    def put(self, key: str, body: Readable, size_bytes: int, note: Note | None = None) -> StoredObject:
        self.tries += 1
        self.answers.wait()
        if self.refuses:
            raise StoreRejected("The object store refused (AccessDenied).")
        return super().put(key, body, size_bytes, note)


@pytest.fixture
def absent(rig: Rig) -> AbsentStore:
    rig.store = AbsentStore()
    return rig.store


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


def test_an_outage_is_one_line_and_one_try_at_a_time_and_all_files_go_when_it_is_over(
    rig: Rig, absent: AbsentStore, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up("json", "info")
    absent.refuses = True
    for number in range(12):
        rig.drop(number=number)
    ingest = rig.ingest()
    ingest.start()
    until(lambda: "AccessDenied" in ingest.troubles()["store"])
    time.sleep(1.5)
    tries = absent.tries
    assert tries <= rig.settings.ingest_workers + 2
    absent.refuses = False
    until(lambda: ingest.counts.stored == 12, seconds=40)
    ingest.stop()
    lines = [line for line in logged(capsys) if line["event"] not in ("recording stored", "spool is served again")]
    assert [(line["event"], line.get("part")) for line in lines] == [
        ("recordings wait", "store"),
        ("recordings go on", "store"),
    ]
    assert absent.tries <= tries + 12 + 1, "none was tried in vain"


def test_draining_ends_when_a_store_refuses(rig: Rig, absent: AbsentStore) -> None:
    absent.refuses = True
    rig.drop()
    assert not rig.ingest().drain(patience_seconds=0.5)
    assert len(rig.files()) == 1


def test_a_stop_does_not_wait_for_a_store_that_hangs(
    rig: Rig, absent: AbsentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recpipe.pipeline.ingest.ABANDON_SECONDS", 0.3)
    absent.answers.clear()
    rig.drop()
    ingest = rig.ingest()
    ingest.start()
    until(lambda: absent.tries == 1)
    ingest.stop()
    assert len(rig.files()) == 1
    absent.answers.set()  # too late: what it stores now is cleared by the next start
    until(lambda: len(rig.store.keys()) == 1)
    rig.drain()
    (recording,) = rig.recordings()
    assert rig.store.keys() == [recording.object_key] and rig.files() == []
