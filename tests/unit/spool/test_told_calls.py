"""What the readers of call detail records tell of every call, whether it was recorded or not."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recpipe.model import Direction
from recpipe.settings import Spool
from recpipe.spool.asterisk_cdr import AsteriskCdr
from recpipe.spool.describe import Describer
from recpipe.spool.freeswitch_cdr import FreeswitchCdr
from recpipe.spool.told_calls import ToldCall, record_of
from recpipe.times import utc_now

UUID = "b7a1c0de-1111-4222-8333-0123456789ab"
NAME = "in-201-0821-20250327-092517-1743042317.5.wav"
ROW = {
    "accountcode": "acme",
    "src": "08215550123",
    "dst": "201",
    "dcontext": "ext-local",
    "clid": '"Jane" <0821>',
    "channel": "PJSIP/trunk-1",
    "dstchannel": "PJSIP/201-2",
    "lastapp": "Dial",
    "lastdata": "x",
    "start": "2025-03-27 09:25:17",
    "answer": "2025-03-27 09:25:20",
    "end": "2025-03-27 09:26:20",
    "duration": "63",
    "billsec": "60",
    "disposition": "ANSWERED",
    "amaflags": "DOCUMENTATION",
    "uniqueid": "1743042317.5",
    "userfield": "",
    "peeraccount": "",
    "linkedid": "1743042317.4",
    "sequence": "7",
    "recordingfile": NAME,
}


def written(path: Path, *rows: dict[str, Any], as_json: bool = False) -> Path:
    with path.open("a") as out:
        for row in rows:
            line = (
                json.dumps(row)
                if as_json
                else ",".join(f'"{str(cell).replace(chr(34), chr(34) * 2)}"' for cell in row.values())
            )
            out.write(line + "\n")
    return path


def told_of(path: Path) -> list[ToldCall]:
    return AsteriskCdr(path, "Asia/Jakarta").after(0, 100)[0]


def test_a_row_with_the_name_of_the_recording_says_that_there_is_one(tmp_path: Path) -> None:
    (told,) = told_of(written(tmp_path / "cdr.csv", ROW))
    assert told == ToldCall(
        tenant_hint="acme",
        call_id="1743042317.5",
        linked_id="1743042317.4",
        started_at=datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC),
        talk_ms=60_000,
        answered=True,
        recording_ms=60_000,
        direction=Direction.INBOUND,
        extension="201",
        says_recorded=True,
        recording_name=NAME,
    )
    plain = {name: value for name, value in ROW.items() if name != "recordingfile"}
    (told,) = told_of(written(tmp_path / "Master.csv", plain))
    assert (told.says_recorded, told.recording_name, told.answered) == (False, "", True)


def test_a_line_of_json_tells_the_same(tmp_path: Path) -> None:
    like = written(tmp_path / "cdr.csv", ROW)
    numbers = ROW | {"start": 1743042317.25, "billsec": 60.0, "duration": 63, "answer": None}
    as_json = written(tmp_path / "recpipe.json", ROW, numbers, as_json=True)
    assert told_of(as_json) == told_of(like) * 2
    reader = AsteriskCdr(tmp_path / "broken", "UTC")
    (tmp_path / "broken").write_text(
        '{"uniqueid": \n{"start": 1e99, "uniqueid": "1.2"}\n{"a": 1}\n[]\n' + "{" * 60_000 + "\n"
    )
    assert reader.after(0, 100) == ([], 0) and reader.malformed == 5


@pytest.mark.parametrize(
    ("changes", "answered", "recording_ms"),
    [
        ({"disposition": "NO ANSWER", "billsec": "0"}, False, None),
        ({"dstchannel": ""}, False, None),  # a menu answered, or a queue that nobody came to
        ({"dcontext": "ext-queues"}, True, None),  # the caller waited, the recorder did not
        ({}, True, 60_000),
    ],
)
def test_answered_is_a_call_that_two_have_spoken_in(
    tmp_path: Path, changes: dict[str, str], answered: bool, recording_ms: int | None
) -> None:
    (told,) = told_of(written(tmp_path / "cdr.csv", ROW | changes))
    assert (told.answered, told.recording_ms) == (answered, recording_ms)


def test_a_reader_of_rows_goes_on_where_it_was_and_no_further_than_asked(tmp_path: Path) -> None:
    path = written(tmp_path / "cdr.csv", *(ROW | {"uniqueid": f"174304231{n}.1"} for n in range(5)))
    reader = AsteriskCdr(path, "UTC")
    first, mark = reader.after(reader.beginning(datetime.now(UTC)), 3)
    second, mark = reader.after(mark, 3)
    assert [one.call_id[9] for one in (*first, *second)] == list("01234")
    assert reader.after(mark, 3) == ([], mark)
    written(path, ROW)
    (third,), mark = reader.after(mark, 3)
    assert third.call_id == "1743042317.5"


def cdr(folder: Path, uuid: str = UUID, at: float | None = None, **variables: str) -> Path:
    known = {"start_uepoch": "1743042317000000", "answer_uepoch": "1743042320000000", "billsec": "60"} | variables
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in known.items())
    path = folder / f"a_{uuid}.cdr.xml"
    path.write_text(f"<cdr><variables>{inside}</variables></cdr>")
    if at is not None:
        os.utime(path, (at, at))
    return path


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, (False, True, None, "")),
        ({"record_session": "false"}, (False, True, None, "")),
        ({"record_session": "true", "record_name": f"{UUID}.wav"}, (True, True, None, "")),
        ({"record_in_progress": "true", "record_path": f"/r/acme/archive/{UUID}.wav"}, (True, True, None, "")),
        ({"record_seconds": "58"}, (True, True, 58_000, "")),
        ({"record_ms": "58123", "record_seconds": "58"}, (True, True, 58_123, "")),
        ({"cc_record_filename": f"/q/{UUID}.wav"}, (True, True, None, "")),
        ({"record_session": "true", "RECORD_DISCARDED": "true"}, (True, True, None, "discarded")),
        ({"record_ms": "900", "record_completion_cause": "input-too-short"}, (True, True, 900, "discarded")),
        ({"record_session": "true", "billsec": "2"}, (True, True, None, "too-short")),
        ({"record_session": "true", "billsec": "2", "RECORD_MIN_SEC": "1"}, (True, True, None, "")),
        ({"record_session": "true", "answer_uepoch": "0"}, (True, False, None, "")),
        ({"record_session": "true", "RECORD_BRIDGE_REQ": "true"}, (True, False, None, "")),
        ({"record_session": "true", "RECORD_BRIDGE_REQ": "true", "bridge_uuid": UUID}, (True, True, None, "")),
    ],
)
def test_the_raw_variables_of_freeswitch_say_what_became_of_its_recording(
    tmp_path: Path, variables: dict[str, str], said: tuple[bool, bool, int | None, str]
) -> None:
    cdr(tmp_path, **variables)
    (told,), _ = FreeswitchCdr(tmp_path, "UTC").after(0, 10)
    assert (told.says_recorded, told.answered, told.recording_ms, told.excuse) == said
    named = any(name in variables for name in ("record_name", "record_path", "cc_record_filename"))
    assert told.recording_name == (f"{UUID}.wav" if named else "")


def test_records_of_freeswitch_are_told_once_each_in_the_order_of_their_writing(tmp_path: Path) -> None:
    now = time.time()
    others = [f"c8b2d1ef-1111-4222-8333-00000000000{n}" for n in range(3)]
    for age, uuid in enumerate(others):
        cdr(tmp_path, uuid, now - 100 * age)
    (tmp_path / "2026-11-28-02-10-00").mkdir()
    cdr(tmp_path / "2026-11-28-02-10-00", UUID, now - 5000)
    reader = FreeswitchCdr(tmp_path, "UTC")
    first, mark = reader.after(reader.beginning(datetime.now(UTC) - timedelta(days=1)), 2)
    second, mark = reader.after(mark, 2)
    assert [one.call_id for one in (*first, *second)] == [UUID, *others[::-1]]
    assert reader.after(mark, 2) == ([], mark)
    # One that was listed late, though written before the newest; and one that is half written.
    late = cdr(tmp_path, "d8b2d1ef-1111-4222-8333-000000000001", now - 60)
    half = tmp_path / "e8b2d1ef-1111-4222-8333-000000000001.cdr.xml"
    half.write_text("<cdr><variables>")
    (told,), mark = reader.after(mark, 10)
    assert told.call_id in late.name
    cdr(tmp_path, "e8b2d1ef-1111-4222-8333-000000000001").rename(half)
    (told,), mark = reader.after(mark, 10)
    assert told.call_id in half.name
    # What is older than asked for is passed over.
    assert FreeswitchCdr(tmp_path, "UTC").after(int((now + 700) * 1e9), 10)[0] == []


@pytest.mark.parametrize(
    ("layout", "name", "call_id"),
    [
        ("freepbx", NAME, "1743042317.5"),
        ("freepbx", "something-else-1743042317.5.wav", "1743042317.5"),
        ("freepbx", "something else.wav", ""),
        ("fusionpbx", f"{UUID}.mp3", UUID),
        ("fusionpbx", f"queue_{UUID}.wav", UUID),
        ("freepbx", "", ""),
    ],
)
def test_the_name_of_a_recording_says_which_call_id_it_will_have(
    tmp_path: Path, layout: str, name: str, call_id: str
) -> None:
    spool = Spool.model_validate({"path": tmp_path, "tenant": "from-path", "layout": layout})
    (told,) = told_of(written(tmp_path / "cdr.csv", ROW | {"recordingfile": name}))
    describer = Describer(spool, utc_now)
    assert (describer.recorded_as(told), describer.tenant_word_of(told)) == (call_id, "acme")
    kept = record_of(told, "7" * 32, "pbx", call_id)
    assert kept.id == record_of(told, "7" * 32, "pbx", call_id).id
    assert kept.id != record_of(told, "8" * 32, "pbx", call_id).id and len(kept.id) == 32
    assert "08215550123" not in repr(kept)
