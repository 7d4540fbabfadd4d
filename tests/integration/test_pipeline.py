"""What becomes of a spool file, whatever happens on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import soundfile

from recpipe import log, samples
from recpipe.access.audit import AuditTrail
from recpipe.access.principal import operator
from recpipe.audio import peaks, probe, transcode
from recpipe.catalogue.adding import SAME_BYTES
from recpipe.cli.ingest import foreign
from recpipe.errors import SpoolLocked
from recpipe.model import CertificateState, Container, Quarantined, StoreFormat
from recpipe.pipeline import stages
from recpipe.pipeline.stages import TENANT_CACHE_SECONDS, derived_id
from recpipe.recordings.deletion import RecordingDeletion
from recpipe.recordings.reader import Reader
from recpipe.settings import Spool
from recpipe.spool.folder import SpoolFolder
from recpipe.store import layout
from recpipe.times import utc_now
from tests.integration.pipeline_rig import TENANT_ID, Rig, until
from tests.services.certificates import KeyPair, smime_decrypt
from tests.unit.audio.test_containers import cluster, webm

WEBM = webm(cluster(0, 0, 20), duration_ms=2500)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig.make(tmp_path)
    yield made
    made.catalogue.close()


def pcm(data: bytes) -> bytes:
    return bytes(soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0].tobytes())


# --- the good day ---------------------------------------------------------------------------------------------


def test_a_plain_recording_is_stored_described_and_removed(rig: Rig) -> None:
    rig.drop("order-inquiry.wav")
    ingest = rig.drain()

    (recording,) = rig.recordings()
    data = rig.store.read(recording.object_key).read()
    assert ingest.counts.stored == 1 and rig.files() == []
    assert hashlib.sha256(data).hexdigest() == recording.stored_sha256 == recording.content_sha256
    assert len(data) == recording.stored_bytes == recording.content_bytes
    assert pcm(data) == pcm(samples.paths()["order-inquiry.wav"].read_bytes())
    assert recording.callee_e164 == "+493012340000" and recording.facts.caller == "201"
    assert recording.source_sha256 == hashlib.sha256(samples.paths()["order-inquiry.wav"].read_bytes()).hexdigest()
    assert not recording.sealed and len(peaks.decode(recording.peaks).channels[0]) > 0


def test_a_sealed_recording_has_no_waveform_and_opens_with_openssl(rig: Rig, key_pair: KeyPair, tmp_path: Path) -> None:
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    rig.drop("brake-repair-stereo.wav")
    rig.drain()

    (recording,) = rig.recordings()
    enc, out = tmp_path / "a.enc", tmp_path / "a.wav"
    enc.write_bytes(rig.store.read(recording.object_key).read())
    assert smime_decrypt(enc, out, key_pair.key_path).returncode == 0
    assert pcm(out.read_bytes()) == pcm(samples.paths()["brake-repair-stereo.wav"].read_bytes())
    assert hashlib.sha256(out.read_bytes()).hexdigest() == recording.content_sha256
    assert hashlib.sha256(enc.read_bytes()).hexdigest() == recording.stored_sha256
    assert recording.peaks == b"" and recording.name.endswith(".wav.enc")
    assert recording.envelope is not None
    assert recording.envelope.content_offset + recording.envelope.content_bytes == recording.stored_bytes


def test_every_sample_codec_goes_through(rig: Rig) -> None:
    for number, name in enumerate(samples.paths()):
        rig.drop(name, number)
    rig.drain()
    codecs = {recording.audio.codec for recording in rig.recordings()}
    assert codecs == {"pcm_s16le", "pcm_alaw", "gsm", "mp3"}
    assert [r.flags for r in rig.recordings() if r.flags] == [("repaired-header",)]


@pytest.mark.parametrize("sample", ["order-inquiry.wav", "callback-gsm.WAV", "brake-repair-stereo.wav"])
def test_a_tenant_that_wants_mp3_gets_mp3(rig: Rig, sample: str) -> None:
    rig.change_tenant(store_format=StoreFormat.MP3)
    original = rig.drop(sample).read_bytes()
    rig.drain()
    (recording,) = rig.recordings()
    assert recording.audio.container is Container.MP3 and recording.name.endswith(".mp3")
    channels = soundfile.info(io.BytesIO(original)).channels
    assert recording.audio.channels == channels
    assert abs(recording.duration_ms - soundfile.info(io.BytesIO(original)).duration * 1000) < 250
    data = rig.store.read(recording.object_key).read()
    assert len(data) < len(original) or sample == "callback-gsm.WAV"  # 13 kbit/s already
    assert list((rig.spool.path / ".recpipe/scratch").iterdir()) == []


def test_what_cannot_be_decoded_is_stored_as_it_is_whatever_its_tenant_wants(rig: Rig, key_pair: KeyPair) -> None:
    # Given: G.726 in a WAV, and two MP3s of different rates in one file
    fmt = b"fmt \x12\0\0\0" + struct.pack("<HHIIHHH", 0x45, 1, 8000, 4000, 1, 4, 0)
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", 4000)
    wave = b"RIFF" + struct.pack("<I", len(body) + 4000) + body
    joined = samples.paths()["invoice-request.mp3"].read_bytes() + (b"\xff\xf3\x48\xc4" + bytes(140)) * 40

    def stored(at: int) -> list[tuple[str, tuple[str, ...], int]]:
        # Never the same bytes twice: what is a copy says so.
        for number, (suffix, content) in enumerate((("wav", wave + bytes([at]) * 4000), ("mp3", joined + bytes(at)))):
            name = f"out-03012340000-201-20260901-092500-1790000000.{at}{number}.{suffix}"
            rig.spool.path.joinpath(name).write_bytes(content)
        rig.drain()
        # Then: nothing waits for a person
        assert rig.waiting() == [] and rig.files() == []
        rows = [r for r in rig.recordings() if r.facts.call_id.startswith(f"1790000000.{at}")]
        assert all(not r.peaks for r in rows)
        flags = {r.id: tuple(flag for flag in r.flags if flag != SAME_BYTES) for r in rows}
        return sorted((r.audio.codec, flags[r.id], r.duration_ms) for r in rows)

    seconds = samples.paths()["invoice-request.mp3"].stat().st_size // 2000
    plain = stored(1)
    assert [(codec, flags) for codec, flags, _ in plain] == [
        ("mp3", ("no-waveform",)), ("sharp_g726", ("no-waveform",))
    ]  # fmt: skip
    assert plain[1][2] == 1000 and plain[0][2] // 1000 >= seconds
    rig.change_tenant(store_format=StoreFormat.MP3)
    assert stored(2)[1] == ("sharp_g726", ("no-waveform", "not-converted"), 1000)
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(store_format=StoreFormat.SOURCE, encryption=True)
    assert stored(3) == plain


def test_every_file_of_a_spool_ends_stored_or_listed_and_only_recordings_are_touched(rig: Rig) -> None:
    # Given: what lies in spools; only the first three are certainly recordings
    wave = samples.paths()["order-inquiry.wav"].read_bytes()
    name = "out-03012340000-201-20260901-092500-1790000000.{}"
    noise = bytes(range(256)) * 20
    taken = {f"{name.format(1)}.webm": WEBM, f"{name.format(2)}.sln16": noise, name.format(3): wave}
    waiting = {
        f"{name.format(4)}.raw": noise,
        f"{name.format(5)}.wav.gz": gzip.compress(wave),
        name.format(6): noise,
        f"{name.format(7)}.wav.bak": wave,
    }
    ignored = {
        "README": b"Not here, please.",
        "Thumbs.db": bytes(30),
        "calls.m3u": b"a.wav",
        "cover": b"\x89PNG" + noise,
    }
    for file, content in (taken | waiting | ignored).items():
        rig.spool.path.joinpath(file).write_bytes(content)
    (rig.spool.path / "link.wav").symlink_to("/etc/hostname")
    # When
    ingest = rig.drain()
    # Then
    assert sorted((r.audio.container, r.name) for r in rig.recordings()) == [
        ("raw", f"{name.format(2)}.sln16"), ("wav", f"{name.format(3)}.wav"), ("webm", f"{name.format(1)}.webm"),
    ]  # fmt: skip
    assert {(entry.relative, entry.reason, entry.held) for entry in rig.waiting()} == {
        (file, "unsupported-audio", True) for file in waiting
    }
    assert all(len(entry.message) > 60 and file_of(entry) in entry.message for entry in rig.waiting())
    (listed,) = ingest.ignored().values()
    assert {(one.relative, one.reason) for one in listed} == {
        *((file, "not-a-recording") for file in ignored), ("link.wav", "symbolic-link")
    }  # fmt: skip
    assert set(rig.files()) >= {*waiting, *ignored}
    # And what is named by a person goes in by itself
    (rig.spool.path / f"{name.format(6)}").rename(rig.spool.path / f"{name.format(6)}.ulaw")
    (rig.spool.path / "cover").unlink()
    again = rig.drain()
    assert f"{name.format(6)}.ulaw" in [r.name for r in rig.recordings()]
    assert "cover" not in [one.relative for files in again.ignored().values() for one in files]


def file_of(entry: Quarantined) -> str:
    return entry.relative.rpartition("/")[2]


def test_an_archived_spool_keeps_the_original(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, after="archive", archive=tmp_path / "archive")
    original = rig.drop(name="2026/09/01/out-03012340000-201-20260901-092500-1790000000.0.wav").read_bytes()
    rig.drain()
    kept = tmp_path / "archive/2026/09/01/out-03012340000-201-20260901-092500-1790000000.0.wav"
    assert kept.read_bytes() == original and rig.files() == [] and len(rig.recordings()) == 1
    rig.catalogue.close()


# --- nothing twice --------------------------------------------------------------------------------------------


def test_the_same_file_dropped_again_stays_one_recording_and_one_object(rig: Rig) -> None:
    for _ in range(2):
        rig.drop()
        rig.drain()
    assert len(rig.recordings()) == 1 and len(rig.store.keys()) == 1 and rig.files() == []


def test_same_content_under_another_name_and_other_content_under_the_same_name_are_two(rig: Rig) -> None:
    rig.drop(number=1)
    rig.drop(number=2)
    rig.drain()
    rig.drop("crashed-recorder.wav", number=1)
    rig.drain()
    names = [recording.name for recording in rig.recordings()]
    assert len(names) == 3 == len(set(names))


def test_a_deleted_recording_does_not_come_back_by_itself(rig: Rig) -> None:
    rig.drop()
    rig.drain()
    (recording,) = rig.recordings()
    reader = Reader(rig.catalogue, rig.store, utc_now, AuditTrail(rig.catalogue, utc_now))
    RecordingDeletion(rig.catalogue, rig.store, reader, utc_now).delete(operator(), [recording.id], "requested")
    rig.drop()
    rig.drain()
    assert rig.recordings() == [] and rig.store.keys() == []
    assert [entry.reason for entry in rig.waiting()] == ["was-deleted"]


# --- crashes --------------------------------------------------------------------------------------------------


def test_what_a_crash_left_in_the_store_is_cleared_by_the_next_start(rig: Rig) -> None:
    # Given a process that died between upload and commit, as the store shows it
    path = rig.drop()
    folder = SpoolFolder(rig.spool)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    recording_id = derived_id(TENANT_ID, path.name, digest)
    orphan = layout.new_object_key(TENANT_ID, recording_id, folder.spool_id)
    foreign = layout.new_object_key(TENANT_ID, recording_id, "0" * 8)
    for key in (orphan, foreign):
        rig.store.put(key, io.BytesIO(b"half"), 4)
    rig.crash()

    rig.drain()

    (recording,) = rig.recordings()
    assert recording.id == recording_id
    # Another spool's attempt is not ours to judge.
    assert set(rig.store.keys()) == {recording.object_key, foreign}


def test_a_crash_after_the_commit_only_removes_the_source(rig: Rig) -> None:
    path = rig.drop()
    data, stat = path.read_bytes(), path.stat()
    rig.drain()
    keys, received = rig.store.keys(), len(rig.store.received)
    path.write_bytes(data)
    assert stat.st_size == path.stat().st_size
    rig.crash()
    ingest = rig.drain()
    assert len(rig.store.received) == received
    assert ingest.counts.repeated == 1 and rig.store.keys() == keys and rig.files() == []


def test_a_quarantined_file_that_a_crash_left_unlisted_is_listed_again(rig: Rig) -> None:
    rig.drop(name="nonsense.wav")
    rig.drain()
    (entry,) = rig.waiting()
    with rig.catalogue.begin() as work:
        work.quarantine.remove(entry.id)
    rig.drain()
    assert [(e.reason, e.relative) for e in rig.waiting()] == [("found-in-quarantine", "nonsense.wav")]


# --- the store or the database is away ------------------------------------------------------------------------


def test_a_retried_upload_sends_the_same_bytes_under_the_same_key(rig: Rig, key_pair: KeyPair) -> None:
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    rig.store.failures_left = 2
    rig.drop()
    ingest = rig.drain()
    assert ingest.counts.stored == 1 and ingest.counts.retried == 2
    assert len(rig.store.received) == 3 and len(set(rig.store.received)) == 1
    assert len(rig.store.keys()) == 1 and rig.files() == []


def test_a_tenant_sealed_between_two_attempts_gets_no_plain_object(
    rig: Rig, key_pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a plain upload that fails after the store has the bytes
    rig.store.failures_left = 1
    rig.drop()
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.retried == 1)
    # When encryption is switched on before the retry
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    until(lambda: ingest.counts.stored == 1, seconds=20 + TENANT_CACHE_SECONDS)
    ingest.stop()
    # Then what is stored is sealed, and the plain attempt is gone
    (recording,) = rig.recordings()
    assert recording.sealed and rig.store.keys() == [recording.object_key]


# --- what a person must decide --------------------------------------------------------------------------------


def test_a_sealed_tenant_without_a_usable_certificate_is_held_and_never_stored_plain(
    rig: Rig, key_pair: KeyPair
) -> None:
    expired = rig.add_certificate(key_pair.pem, expired=True)
    rig.change_tenant(encryption=True)
    rig.drop()
    rig.drain()
    assert rig.store.received == [] and len(rig.files()) == 1
    (entry,) = rig.waiting()
    assert entry.held and entry.reason == "no-usable-certificate" and entry.tenant_id == TENANT_ID
    assert "expired" in entry.message and "recpipe certificate add" in entry.message

    # When a valid certificate comes, the recording goes through and the list is empty
    with rig.catalogue.begin() as work:
        work.of(TENANT_ID).certificates.decide(expired, CertificateState.RETIRED, rig.now, "ann")
    rig.add_certificate(key_pair.pem, suffix=1)
    rig.drain()
    assert len(rig.recordings()) == 1 and rig.waiting() == [] and rig.files() == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nonsense.wav", "name-not-understood"), ("out-1-2-20260901-092500-1790000000.0.mp3", "not-audio")],
)
def test_what_cannot_be_ingested_goes_to_quarantine_untouched(rig: Rig, name: str, reason: str) -> None:
    path = rig.spool.path / name
    path.write_bytes(b"this is no audio at all" * 50)
    rig.drain()
    (entry,) = rig.waiting()
    assert not entry.held and rig.files() == [] and rig.store.received == []
    assert entry.reason == reason
    assert Path(entry.path).read_bytes() == b"this is no audio at all" * 50


def test_an_unknown_tenant_is_never_guessed(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, tenant="from-path")
    name = "out-03012340000-201-20260901-092500-1790000000.0.wav"
    rig.drop(name=f"acme/{name}")
    rig.drop(name=f"acmee/{name}")
    rig.drop(name=name)
    rig.drain()
    assert len(rig.recordings()) == 1
    assert sorted(entry.reason for entry in rig.waiting()) == ["unknown-tenant", "unknown-tenant"]
    assert any("recpipe tenant create" in entry.message for entry in rig.waiting())
    rig.catalogue.close()


def test_a_recording_too_large_for_openssl_is_held(rig: Rig, key_pair: KeyPair) -> None:
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    path = rig.drop()
    with path.open("r+b") as out:
        out.truncate(1_600_000_000)  # sparse: the header lies, the bytes decide
    rig.drain()
    (entry,) = rig.waiting()
    assert entry.reason == "too-large-to-seal" and entry.held and "--store-format mp3" in entry.message
    assert rig.store.received == []


def test_a_hostile_name_is_only_a_name(rig: Rig) -> None:
    hostile = "out-0301234$(reboot)-<img src=x onerror=alert(1)>‮-20260901-092500-1790000000.0.wav"
    rig.drop(name=hostile)
    rig.drain()
    (recording,) = rig.recordings()
    assert not set('<>"\u202e\r\n/\\') & set(recording.name)
    assert not any(part in recording.object_key for part in ("img", "0301234"))


def test_two_processes_cannot_serve_one_spool(rig: Rig) -> None:
    first = rig.ingest()
    first.start()
    try:
        with pytest.raises(SpoolLocked, match="already served by process"):
            rig.ingest().start()
    finally:
        first.stop()


def test_an_import_leaves_a_foreign_folder_as_it_is(rig: Rig, tmp_path: Path) -> None:
    foreign = tmp_path / "old"
    foreign.mkdir()
    original = rig.drop()
    original.rename(foreign / original.name)
    before = subprocess.run(["ls", "-lAR", foreign], capture_output=True, text=True, check=True).stdout
    spool = Spool(path=foreign, tenant="acme", layout="freepbx", settle_seconds=0)
    for expected in ("stored", "repeated"):
        ingest = rig.ingest(spools=(spool,), keep_source=True, state_dir=tmp_path / "state")
        assert ingest.drain(patience_seconds=10)
        assert getattr(ingest.counts, expected) == 1
    assert subprocess.run(["ls", "-lAR", foreign], capture_output=True, text=True, check=True).stdout == before
    assert len(rig.store.keys()) == 1


@pytest.mark.parametrize("names", [("monitor", "monitor"), ("one", "two")])
def test_several_foreign_folders_are_imported_at_once(rig: Rig, tmp_path: Path, names: tuple[str, str]) -> None:
    folders = [tmp_path / str(number) / name for number, name in enumerate(names)]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        original = rig.drop(number=number)
        original.rename(folder / original.name)
    spools = foreign(folders, "acme", "freepbx", "UTC")
    ingest = rig.ingest(spools=spools, keep_source=True, state_dir=tmp_path / "state")
    assert ingest.drain(patience_seconds=10)
    assert ingest.counts.stored == 2


@pytest.fixture
def sealed_without_certificate(rig: Rig, key_pair: KeyPair) -> str:
    """A tenant whose certificate was retired; its id."""
    certificate = rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    with rig.catalogue.begin() as work:
        work.of(TENANT_ID).certificates.decide(certificate, CertificateState.RETIRED, rig.now, "ann")
    return certificate


def test_held_recordings_are_tried_once_and_go_at_once_when_their_cause_is_gone(
    rig: Rig, key_pair: KeyPair, sealed_without_certificate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up("json", "info")
    for number in range(6):
        rig.drop(number=number)
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.held == 6)
    time.sleep(1)  # five looks at the tenant
    assert ingest.counts.held == 6 and {entry.attempts for entry in rig.waiting()} == {1}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    alarms = [line for line in lines if line["event"] == "recording held"]
    assert [(alarm["level"], alarm["reason"]) for alarm in alarms] == [("error", "no-usable-certificate")] * 6
    rig.add_certificate(key_pair.pem, suffix=1)
    until(lambda: ingest.counts.stored == 6)
    ingest.stop()
    assert rig.waiting() == [] and rig.files() == []


def test_a_start_writes_nothing_for_files_that_are_listed_already(rig: Rig, sealed_without_certificate: str) -> None:
    rig.drop()
    for _ in range(2):
        assert rig.drain().counts.held == 1
    assert [entry.attempts for entry in rig.waiting()] == [1]
    rig.ingest(clock=lambda: rig.now + timedelta(hours=2)).drain()
    assert [entry.attempts for entry in rig.waiting()] == [2], "but that it still waits, once an hour"


def test_a_description_frees_its_file_and_no_other(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="sidecar")
    for name in ("a", "b", "c"):
        rig.drop(name=f"day/{name}.wav")
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.held == 3)
    (rig.spool.path / "day/b.json").write_text('{"started_at": "2026-09-01T09:25:00Z", "caller": "201"}')
    until(lambda: ingest.counts.stored == 1)
    (rig.spool.path / "day/c.wav").unlink()
    until(lambda: [entry.relative for entry in rig.waiting()] == ["day/a.wav"])
    assert ingest.counts.held == 3 and rig.files() == ["day/a.wav"]
    ingest.stop()
    rig.catalogue.close()


def test_one_goes_ahead_where_only_trying_can_tell_and_the_others_follow(rig: Rig) -> None:
    for number in range(4):
        rig.drop(number=number)
    rig.drain()
    objects = {r.object_key: rig.store.read(r.object_key).read() for r in rig.recordings()}
    for key in objects:
        rig.store.delete(key)
    for number in range(4):
        rig.drop(number=number)
    rig.crash()
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.held >= 4)
    assert {entry.reason for entry in rig.waiting()} == {"object-missing"}
    for key, data in objects.items():
        rig.store.put(key, io.BytesIO(data), len(data))
    until(lambda: ingest.counts.repeated == 4)
    ingest.stop()
    assert rig.waiting() == [] and rig.files() == []


def test_a_stored_file_that_cannot_be_removed_is_listed_once_and_removed_when_it_can_be(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    hash_it = stages.hash_unchanged
    monkeypatch.setattr(stages, "hash_unchanged", lambda *args: hashed.append(args[1].relative) or hash_it(*args))
    day = rig.drop(name="day/out-03012340001-201-20260901-092501-1790000001.1.wav").parent
    if subprocess.run(["mount", "--bind", day, day], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", day], check=True)
        ingest = rig.ingest()
        ingest.start()
        until(lambda: ingest.counts.stored == 1)
        until(lambda: bool(rig.waiting()))
        (entry,) = rig.waiting()
        assert entry.reason == "stays-in-spool" and entry.held and "Read-only file system" in entry.message
        assert "1 stored files cannot be removed" in ingest.troubles()["spool spool"]
        time.sleep(0.6)
        assert len(hashed) == 1 and ingest.counts.held == 1
        subprocess.run(["mount", "-o", "remount,bind,rw", day], check=True)
        until(lambda: rig.files() == [] and rig.waiting() == [])
        assert not any(ingest.troubles().values()) and len(rig.recordings()) == 1
        ingest.stop()
    finally:
        subprocess.run(["umount", "-l", day], check=True)


@pytest.mark.parametrize("answers", [True, False])
def test_what_a_failed_upload_left_is_cleared_at_the_stop_or_else_by_the_next_start(rig: Rig, answers: bool) -> None:
    # Given a store that takes the bytes and never says so, whenever it is tried again
    rig.store.failures_left = 1000
    path = rig.drop()
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ingest.counts.retried >= 1)
    # When the PBX takes the file back, so that nothing will be stored
    rig.store.is_deaf_to_deletes = not answers
    path.unlink()
    ingest.stop()
    # Then nothing dangling is left, or the mark that makes the next start look
    assert rig.recordings() == [] and (rig.store.keys() == []) is answers
    folder = SpoolFolder(rig.spool)
    folder.lock()
    assert folder.crashed is not answers


def test_a_recorder_that_comes_back_after_its_file_was_stored_loses_nothing(tmp_path: Path) -> None:
    # Given a spool whose files other machines write, so that only time can tell
    rig = Rig.make(tmp_path, remote_writers=True, quiet_seconds=0.5, grace_seconds=5)
    path = rig.drop()
    whole = path.read_bytes()
    os.truncate(path, len(whole) - 8000)
    reader = os.open(path, os.O_RDONLY)  # what a file server keeps that opens for each write: nobody writes just now
    ingest = rig.ingest()
    ingest.start()
    try:
        # When it is written to after it was stored
        until(lambda: ingest.counts.stored == 1)
        appended = Path(f"/proc/self/fd/{reader}")
        with appended.open("ab") as out:
            out.write(whole[-8000:])
        os.close(reader)
        until(lambda: ingest.counts.stored == 2)
    finally:
        ingest.stop()
    # Then the whole file is stored beside the short one, says so, and is of the same call
    short, long = sorted(rig.recordings(), key=lambda recording: recording.duration_ms)
    assert long.source_sha256 == hashlib.sha256(whole).hexdigest()
    assert "same-name" in long.flags and "same-name" not in short.flags
    assert (long.facts.call_id, long.source_name) == (short.facts.call_id, short.source_name)


@pytest.mark.parametrize(
    ("formats", "stored"), [("original", [".wav"]), ("converted", [".mp3"]), ("all", [".mp3", ".wav"])]
)
def test_two_formats_of_one_call_end_as_one_recording(tmp_path: Path, formats: str, stored: list[str]) -> None:
    rig = Rig.make(tmp_path, formats=formats)
    wav = rig.drop()
    with wav.with_suffix(".mp3").open("wb") as converted:
        transcode.to_mp3(wav, probe.probe(wav), converted)
    ingest = rig.drain()
    assert sorted(Path(recording.source_name).suffix for recording in rig.recordings()) == stored
    assert ingest.counts.stored + ingest.counts.repeated == 2
    assert rig.files() == []


def test_files_of_one_name_that_are_not_equally_long_are_both_stored(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path)
    wav = rig.drop()
    rig.drop("invoice-request.mp3", name=wav.with_suffix(".mp3").name)
    rig.drain()
    assert len(rig.recordings()) == 2
