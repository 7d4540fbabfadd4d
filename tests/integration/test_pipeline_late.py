"""Call detail records that come later than their recordings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe.model import AuditQuery, CallEvent, CallEventKind, Direction
from recpipe.pipeline.late_cdr import _BATCH, LateRecords
from recpipe.pipeline.stages import ServedSpool
from recpipe.spool import sidecar
from recpipe.spool.describe import RECORD_COMES_WITHIN, Describer
from recpipe.spool.folder import SpoolFolder
from recpipe.times import utc_now
from tests.integration.pipeline_rig import TENANT_ID, Rig, until

UUID = "b7a1c0de-1111-4222-8333-0123456789ab"
STARTED = datetime(2026, 9, 1, 9, 25, 17, tzinfo=UTC)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig.make(tmp_path, layout="fusionpbx", cdr_dir=tmp_path / "cdr")
    (tmp_path / "cdr").mkdir()
    made.drop(name=f"acme/archive/2026/Sep/01/{UUID}.wav")
    made.drain()
    yield made
    made.catalogue.close()


@pytest.fixture
def records(rig: Rig) -> LateRecords:
    return LateRecords(rig.catalogue, ServedSpool(rig.spool, SpoolFolder(rig.spool), Describer(rig.spool, utc_now)))


def write_record(rig: Rig, start: str = f"{int(STARTED.timestamp())}000000", tenant: str = "") -> None:
    (rig.root / "cdr" / f"{UUID}.cdr.xml").write_text(
        f"<cdr><variables><start_uepoch>{start}</start_uepoch><caller_id_number>0821</caller_id_number>"
        f"<destination_number>100</destination_number><domain_name>{tenant}</domain_name></variables></cdr>"
    )


def test_a_record_that_comes_late_says_when_the_call_began(rig: Rig, records: LateRecords) -> None:
    (before,) = rig.recordings()
    assert before.facts.awaits_cdr and before.flags == ("start-from-mtime",) and records.join(rig.now) == 0
    write_record(rig)
    assert records.join(rig.now) == 1
    (after,) = rig.recordings()
    assert after.started_at == after.facts.started_at == STARTED
    assert (after.facts.caller, after.facts.callee, after.facts.awaits_cdr) == ("0821", "100", False)


def test_a_record_without_a_time_leaves_the_one_that_is_known(rig: Rig, records: LateRecords) -> None:
    (before,) = rig.recordings()
    write_record(rig, start="")
    assert records.join(rig.now) == 1
    (after,) = rig.recordings()
    assert after.started_at == before.started_at and after.facts.caller == "0821"


def test_a_record_that_never_comes_is_given_up(rig: Rig, records: LateRecords) -> None:
    assert records.join(rig.now + RECORD_COMES_WITHIN / 2) == 0
    assert records.join(rig.now + RECORD_COMES_WITHIN + timedelta(minutes=1)) == 1
    assert not rig.recordings()[0].facts.awaits_cdr


@pytest.mark.parametrize("spool", ["spool", "one that is gone"])
def test_those_that_wait_in_vain_keep_nobody_from_its_turn(rig: Rig, records: LateRecords, spool: str) -> None:
    (mine,) = rig.recordings()
    others = [
        replace(
            mine,
            id=f"{number:032x}",
            name=f"{number}.wav",
            object_key=f"{TENANT_ID}/{number}",
            spool=spool,
            ingested_at=mine.ingested_at - timedelta(hours=1),
            facts=replace(mine.facts, call_id=f"{number}"),
        )
        for number in range(_BATCH)
    ]
    with rig.catalogue.begin() as work:
        work.of(TENANT_ID).recordings.add_many(others)
    write_record(rig)
    assert records.join(rig.now) + records.join(rig.now) == 1


def test_a_recording_whose_record_names_its_tenant_is_held_until_the_record_comes(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="fusionpbx", cdr_dir=tmp_path / "cdr", tenant="from-facts")
    (tmp_path / "cdr").mkdir()
    path = rig.drop(name=f"archive/2026/Sep/01/{UUID}.wav")
    os.utime(path, (time.time() - 60,) * 2)
    ingest = rig.ingest()
    ingest.start()
    try:
        until(lambda: [one.reason for one in rig.waiting()] == ["record-missing"])
        assert path.exists()
        write_record(rig, tenant="acme")
        until(lambda: len(rig.recordings()) == 1 and not rig.waiting())
    finally:
        ingest.stop()
        rig.catalogue.close()
    assert rig.files() == []


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=365 * 73), timedelta(days=365 * 420)])
def test_a_file_of_the_future_is_of_now(tmp_path: Path, ahead: timedelta) -> None:
    rig = Rig.make(tmp_path, layout="kazoo")
    path = rig.drop(name="0123456789abcdef0123456789abcdef.wav")
    os.utime(path, (time.time() + ahead.total_seconds(),) * 2)
    rig.drain()
    (found,) = rig.recordings()
    rig.catalogue.close()
    assert abs(found.started_at - datetime.now(UTC)) < timedelta(minutes=10)
    assert found.flags == ("start-from-mtime",)


def test_a_name_of_the_future_is_not_believed(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="generic", pattern=r"(?P<datetime>[0-9]{14}).*\.(?:wav|mp3)")
    path = rig.drop(name="20990101120000.wav")
    os.utime(path, (1_790_000_000, 1_790_000_000))
    path = rig.drop("invoice-request.mp3", name="20990101120000-described.mp3")
    path.with_suffix(".json").write_text('{"started_at": "2026-09-01T09:25:17Z"}')
    rig.drain()
    described, guessed = sorted(rig.recordings(), key=lambda one: one.flags)
    rig.catalogue.close()
    assert guessed.flags == ("start-from-mtime", "start-in-future")
    assert timedelta(0) < datetime.fromtimestamp(1_790_000_000, UTC) - guessed.started_at < timedelta(minutes=5)
    assert (described.started_at, described.flags) == (STARTED, ())


@pytest.mark.parametrize("hour", [0, 1])
def test_the_hour_that_comes_twice_is_told_by_the_file(tmp_path: Path, hour: int) -> None:
    rig = Rig.make(tmp_path, layout="3cx", timezone="Europe/London")
    path = rig.drop(name="[]_100-0836826436_20261025013000(2).wav")
    ended = datetime(2026, 10, 25, hour, 30, 40, tzinfo=UTC).timestamp()
    os.utime(path, (ended, ended))
    rig.drain()
    (found,) = rig.recordings()
    rig.catalogue.close()
    assert found.started_at == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


def test_masked_parts_are_noted_and_on_the_audit_log_however_they_are_told(
    rig: Rig, records: LateRecords, tmp_path: Path
) -> None:
    (late,) = rig.recordings()
    write_record(rig)
    record = rig.root / "cdr" / f"{UUID}.cdr.xml"
    start = int(STARTED.timestamp()) * 1_000_000
    log = "".join(
        f'<application app_name="{name}" app_data="x.wav" app_stamp="{start + seconds * 1_000_000}"/>'
        for name, seconds in (("record_session", 1), ("record_session_mask", 3), ("record_session_unmask", 5))
    )
    ended = f"<end_uepoch>{start + 9_000_000}</end_uepoch></variables>"
    record.write_text(
        record.read_text().replace("</variables>", ended).replace("<variables>", f"<app_log>{log}</app_log><variables>")
    )
    assert records.join(rig.now) == 1
    # A sidecar, and what was told before the recording came
    beside = f"acme/archive/2026/Sep/01/{UUID.replace('b7', 'c7')}.wav"
    (rig.spool.path / beside).parent.mkdir(parents=True, exist_ok=True)
    (rig.spool.path / f"{beside}.json").write_text('{"masked": "1-2", "started_by": "201"}')
    rig.drop(name=beside)
    told_id = UUID.replace("b7", "d7")
    rig.drop(name=f"acme/archive/2026/Sep/01/{told_id}.wav")
    told = CallEvent("9" * 32, TENANT_ID, told_id, "", CallEventKind.PAUSED, rig.now - timedelta(days=400), "", rig.now)
    with rig.catalogue.begin() as work:
        work.of(TENANT_ID).call_events.tell(told)
        work.of(TENANT_ID).call_events.tell(replace(told, id="8" * 32, kind=CallEventKind.STARTED, done_by="202"))
    rig.drain()
    by_call = {one.facts.call_id: one for one in rig.recordings()}
    assert by_call[UUID].facts.masked == ((2000, 4000),) and by_call[UUID].id == late.id
    sidecar = by_call[UUID.replace("b7", "c7")]
    assert (sidecar.facts.masked, sidecar.facts.started_by) == (((1000, 2000),), "201")
    assert (by_call[told_id].facts.masked, by_call[told_id].facts.started_by) == (((0, 0),), "202")
    with rig.catalogue.read() as work:
        events = work.audit.list(AuditQuery(action="recording.masked")).items
    assert {one.subject: one.detail["seconds"] for one in events} == {
        late.id: "2-4",
        sidecar.id: "1-2",
        by_call[told_id].id: "0-0",
    }
    # Never in the recording
    stored = b"".join(rig.store.read(one.object_key).read() for one in by_call.values())
    assert b"started_by" not in stored and b"masked" not in stored and b"recpipe:call_id" in stored


def test_a_transfer_that_becomes_known_last_puts_its_legs_into_one_call(rig: Rig, records: LateRecords) -> None:
    (second,) = rig.recordings()  # Berta's call to Carl, to whom she handed the customer over
    first, colleague = UUID.replace("b7", "a1"), UUID.replace("b7", "c1")
    rig.drop(name=f"acme/archive/2026/Sep/01/{first}.wav")
    rig.drain()

    def write(uuid: str, seconds: int, **variables: str) -> None:
        given = {"start_uepoch": f"{int(STARTED.timestamp()) + seconds}000000", **variables}
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
        (rig.root / "cdr" / f"{uuid}.cdr.xml").write_text(f"<cdr><variables>{inside}</variables></cdr>")

    write(UUID, 60, hangup_cause="ATTENDED_TRANSFER", last_bridge_to=colleague, caller_id_number="201")
    assert records.join(rig.now) == 1, "who called is known"
    assert records.join(rig.now) == 0, "and nothing else, again and again"
    waiting = next(one for one in rig.recordings() if one.id == second.id)
    assert (waiting.facts.caller, waiting.facts.linked_id, waiting.facts.awaits_cdr) == ("201", "", True)
    bridged = f"1:{UUID}:uuid_br:{{}}".format
    write(first, 0, bridge_uuid=colleague, transfer_history=bridged(colleague))
    write(colleague, 61, originating_leg_uuid=UUID, bridge_uuid=first, transfer_history=bridged(first))
    assert records.join(rig.now) == 2
    assert {one.facts.linked_id for one in rig.recordings()} == {first}
    assert len({one.call for one in rig.recordings()}) == 1


def test_a_transfer_whose_last_record_never_comes_stays_two_calls(rig: Rig, records: LateRecords) -> None:
    record = rig.root / "cdr" / f"{UUID}.cdr.xml"
    other = UUID.replace("b7", "c1")
    record.write_text(
        f"<cdr><variables><start_uepoch>{int(STARTED.timestamp())}000000</start_uepoch>"
        f"<hangup_cause>ATTENDED_TRANSFER</hangup_cause><last_bridge_to>{other}</last_bridge_to></variables></cdr>"
    )
    assert records.join(rig.now) == 1
    assert records.join(rig.now + RECORD_COMES_WITHIN + timedelta(minutes=1)) == 1
    (alone,) = rig.recordings()
    assert (alone.facts.linked_id, alone.facts.awaits_cdr) == (UUID, False)


def test_a_recording_from_kazoos_storage_has_the_facts_of_its_call_when_the_record_comes(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="kazoo", cdr_dir=tmp_path / "cdrs")
    name = "e466ef950bf89951667c918f1b36765b"
    rig.drop(name=f"{name}.wav")
    rig.drain()
    (before,) = rig.recordings()
    assert (before.facts.call_id, before.facts.awaits_cdr) == (name, True)
    leg = {
        "call_id": "3798468927@192_168_11_166",
        "call_direction": "inbound",
        "caller_id_number": "201",
        "request": "02079460958@acme.sip.example",
        "timestamp": int(STARTED.timestamp()) + 62_167_219_200 + 9,
        "duration_seconds": 9,
        "interaction_id": "63873494117-3f5c1f2a",
        "custom_channel_vars": {"media_names": [f"{name}.mp3"]},
    }
    (tmp_path / "cdrs").mkdir()
    (tmp_path / "cdrs" / "leg.json").write_text(json.dumps({"data": leg}))
    line = ServedSpool(rig.spool, SpoolFolder(rig.spool), Describer(rig.spool, utc_now))
    assert LateRecords(rig.catalogue, line).join(rig.now) == 1
    (after,) = rig.recordings()
    rig.catalogue.close()
    assert (after.id, after.facts.awaits_cdr, after.facts.linked_id) == (before.id, False, "63873494117-3f5c1f2a")
    assert (after.facts.caller, after.facts.callee, after.facts.direction) == ("201", "02079460958", Direction.OUTBOUND)


def test_the_legs_of_a_call_that_kazoo_pushes_are_one_by_its_interaction_id(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="kazoo")
    interaction = "63873494117-3f5c1f2a"
    # As kz_media_recording pushes them: the customer's leg, and that of the colleague to whom the call went on
    for call_id, source, target in (
        ("3k8qfnc2tl8gnmlmpl2e", "+4930901820@pbx.example", "201@acme.sip.example"),
        ("d5f1a8a2-64e4-123c-5a9f-0050569a2c5e", "201@acme.sip.example", "203@acme.sip.example"),
    ):
        said = {
            "from": source,
            "to": target,
            "caller_id_name": "Erin Doyle",
            "caller_id_number": source.partition("@")[0],
            "call_id": call_id,
            "cdr_id": f"202609-{call_id}",
            "interaction_id": interaction,
            "account_id": "acme",
        }
        name = f"call_recording_{call_id}.wav"
        rig.drop(name=name)
        (rig.spool.path / f"{name}.json").write_bytes(sidecar.write(said, "UTC"))
    rig.drain()
    found = rig.recordings()
    assert {one.facts.linked_id for one in found} == {interaction} and len({one.call for one in found}) == 1
    assert sorted((one.facts.caller, one.facts.callee) for one in found) == [("+4930901820", "201"), ("201", "203")]
    rig.catalogue.close()
