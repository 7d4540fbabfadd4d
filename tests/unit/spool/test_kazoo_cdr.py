"""KAZOO's call detail records: what its API answers, kept as files, read as facts and as calls."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from recpipe.model import CallFacts, Direction
from recpipe.settings import Spool
from recpipe.spool.describe import Describer
from recpipe.spool.kazoo_cdr import KazooCdr
from recpipe.spool.told_calls import ToldCall
from recpipe.times import utc_now

ENDED = 63_753_796_130  # seconds since the year 0
STARTED = datetime(2020, 4, 11, 3, 48, 20, tzinfo=UTC)
CALL = "3798468927@192_168_11_166"
INTERACTION = "63753796100-cc99b372"
RECORDING = "202004-25b2a24e2111ac22265f739ac4ba73ff"
MEDIA = "e466ef950bf89951667c918f1b36765b"
ACCOUNT = "b5b67b84fe43036b9cc7c9ee88a99776"


def document(**changes: Any) -> dict[str, Any]:
    """A leg from a desk phone to the outside, as the database keeps it and `cdrs/ID` answers it."""
    variables = {
        "account_id": ACCOUNT,
        "authorizing_type": "device",
        "bridge_id": CALL,
        "call_interaction_id": INTERACTION,
        "media_names": [f"{MEDIA}.mp3"],
        "media_recordings": [RECORDING],
        "owner_id": "d481035afb48afa910d5a40ccbf73f10",
        "username": "user_xp5wmz979h",
    }
    changed = changes.pop("variables", {})
    made = {
        "id": f"202004-{CALL}",
        "call_id": CALL,
        "call_direction": "inbound",
        "caller_id_name": "Erin Doyle",
        "caller_id_number": "1002",
        "callee_id_name": "",
        "callee_id_number": "02079460958",
        "from": "1002@acme.sip.example",
        "to": "02079460958@acme.sip.example",
        "request": "02079460958@acme.sip.example",
        "other_leg_call_id": "d5f1a8a2-64e4-123c-5a9f-0050569a2c5e",
        "interaction_id": INTERACTION,
        "hangup_cause": "NORMAL_CLEARING",
        "duration_seconds": 30,
        "billing_seconds": 24,
        "ringing_seconds": 6,
        "timestamp": ENDED,
        "custom_channel_vars": {**variables, **changed},
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def listed(**changes: Any) -> dict[str, Any]:
    """The same leg in the list that `cdrs` answers: columns, and the time of its start."""
    made = {
        "id": f"202004-{CALL}",
        "call_id": CALL,
        "caller_id_number": "1002",
        "caller_id_name": "Erin Doyle",
        "callee_id_number": "02079460958",
        "callee_id_name": "",
        "duration_seconds": 30,
        "billing_seconds": 24,
        "timestamp": str(ENDED - 30),
        "hangup_cause": "NORMAL_CLEARING",
        "other_leg_call_id": "d5f1a8a2-64e4-123c-5a9f-0050569a2c5e",
        "owner_id": "d481035afb48afa910d5a40ccbf73f10",
        "to": "02079460958@acme.sip.example",
        "from": "1002@acme.sip.example",
        "direction": "inbound",
        "request": "02079460958@acme.sip.example",
        "authorizing_id": "fd96a9f3b02560f80c6ba50b67c7dc59",
        "dialed_number": "02079460958",
        "calling_from": "1002",
        "datetime": "2020-04-11 03:48:20",
        "unix_timestamp": str(int(STARTED.timestamp())),
        "bridge_id": CALL,
        "recording_url": "",
        "media_recordings": [RECORDING],
        "interaction_id": INTERACTION,
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def recorded(**changes: Any) -> dict[str, Any]:
    """The document of a recording, as `recordings` answers it."""
    made = {
        "call_id": CALL,
        "caller_id_name": "Erin Doyle",
        "caller_id_number": "1002",
        "callee_id_number": "02079460958",
        "cdr_id": f"202004-{CALL}",
        "content_type": "audio/mpeg",
        "custom_channel_vars": {
            "Account-ID": ACCOUNT,
            "Call-Interaction-ID": INTERACTION,
            "Media-Recordings": RECORDING,
        },
        "direction": "inbound",
        "duration": 23,
        "duration_ms": 23_960,
        "from": "1002@acme.sip.example",
        "interaction_id": INTERACTION,
        "media_source": "recorded",
        "media_type": "mp3",
        "name": f"{MEDIA}.mp3",
        "origin": "outbound to offnet from endpoint",
        "start": ENDED - 27,
        "to": "02079460958@acme.sip.example",
        "id": RECORDING,
    }
    return {**made, **changes}


def answered(path: Path, *data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": data, "page_size": len(data), "request_id": "x", "status": "success"}))
    return path


def reader(folder: Path) -> KazooCdr:
    return KazooCdr(folder, "Europe/London")


def told(folder: Path) -> list[ToldCall]:
    return reader(folder).after(0, 1000)[0]


FACTS = CallFacts(
    started_at=STARTED,
    timezone="Europe/London",
    duration_ms=24_000,
    direction=Direction.OUTBOUND,
    caller="1002",
    callee="02079460958",
    caller_name="Erin Doyle",
    extension="1002",
    call_id=CALL,
    linked_id=INTERACTION,
    tenant_hint=ACCOUNT,
)
CALLED = ToldCall(
    tenant_hint=ACCOUNT,
    call_id=CALL,
    linked_id=INTERACTION,
    started_at=STARTED,
    talk_ms=24_000,
    answered=True,
    recording_ms=None,
    direction=Direction.OUTBOUND,
    extension="1002",
    says_recorded=True,
    recording_name=f"call_recording_{CALL}.mp3",
)


def test_a_document_of_the_database_says_who_when_and_that_it_was_recorded(tmp_path: Path) -> None:
    answered(tmp_path / "leg.json", document())
    assert reader(tmp_path).facts(CALL) == FACTS
    assert told(tmp_path) == [CALLED]
    assert reader(tmp_path).facts("another") is None and reader(tmp_path).facts("") is None


def test_an_entry_of_the_list_says_the_same_but_for_the_account_which_its_folder_may(tmp_path: Path) -> None:
    answered(tmp_path / ACCOUNT / "2020-04-11.json", listed())
    assert reader(tmp_path).facts(CALL) == FACTS and told(tmp_path) == [CALLED]
    answered(tmp_path / "day.json", listed(call_id="lone"))
    lone = reader(tmp_path).facts("lone")
    assert lone is not None and lone.tenant_hint == ""


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"data": document()}),
        json.dumps([document()]),
        json.dumps(document()),
        json.dumps(document(id=None, _id=f"202004-{CALL}")) + "\n" + json.dumps(document(call_id="b")) + "\n",
        json.dumps({"total_rows": 1, "rows": [{"id": "x", "key": "x", "doc": document()}]}),
        json.dumps({"results": [{"seq": 1, "id": "x", "doc": document()}]}),
        "\ufeff" + json.dumps({"data": [document()]}),
    ],
)
def test_whichever_way_they_were_fetched(tmp_path: Path, text: str) -> None:
    (tmp_path / "answer.json").write_text(text)
    assert reader(tmp_path).facts(CALL) == FACTS


def test_the_list_is_read_as_csv_as_well_and_a_line_with_a_comma_too_many_is_none(tmp_path: Path) -> None:
    """KAZOO puts no quotation marks around anything: nobody can say which field such a comma is in."""
    columns = list(listed())

    def line(**changes: Any) -> str:
        cells = listed(**{"media_recordings": RECORDING, **changes})
        return ",".join(str(cells[name]) for name in columns)

    rows = [",".join(columns), line(), line(call_id="b", caller_id_name="Doyle, Erin"), line(call_id="c"), line()]
    (tmp_path / ACCOUNT).mkdir()
    (tmp_path / ACCOUNT / "day.csv").write_text("\r\n".join(rows) + "\r\n")
    assert reader(tmp_path).facts(CALL) == FACTS
    assert [one.call_id for one in told(tmp_path)] == [CALL, "c"]
    two = RECORDING + RECORDING.replace("25b2", "35b2")  # as it joins a list
    (tmp_path / ACCOUNT / "day.csv").write_text(f"{rows[0]}\r\n{line(media_recordings=two)}\r\n")
    assert [one.says_recorded for one in told(tmp_path)] == [True]


def test_a_recordings_own_document_says_how_long_it_is_and_which_file(tmp_path: Path) -> None:
    answered(tmp_path / "recordings.json", recorded())
    assert told(tmp_path) == [
        ToldCall(
            ACCOUNT, CALL, INTERACTION, STARTED + timedelta(seconds=3), 23_960, True, 23_960, Direction.OUTBOUND,
            "1002", True, f"call_recording_{CALL}.mp3",
        )
    ]  # fmt: skip
    facts = reader(tmp_path).facts(MEDIA)
    assert facts is not None and (facts.started_at, facts.duration_ms) == (STARTED + timedelta(seconds=3), 23_960)
    # The leg's own record says more of the leg, whichever is read first.
    for name in ("a.json", "z.json"):
        answered(tmp_path / name, document())
        assert reader(tmp_path).facts(CALL) == FACTS
        (tmp_path / name).unlink()


def test_a_file_that_is_named_after_its_medium_is_found_by_it(tmp_path: Path) -> None:
    answered(tmp_path / "cdr" / "leg.json", document())
    spool = Spool(path=tmp_path / "s", tenant="acme", layout="kazoo", cdr_dir=tmp_path / "cdr")
    late = Describer(spool, utc_now).late_facts(MEDIA)
    assert late is not None and (late.linked_id, late.caller, late.started_at) == (INTERACTION, "1002", STARTED)


def test_legs_of_one_interaction_are_one_call_and_one_recording_is_told_of_once(tmp_path: Path) -> None:
    other = "d5f1a8a2-64e4-123c-5a9f-0050569a2c5e"
    answered(
        tmp_path / "legs.json",
        document(),
        document(call_id=other, call_direction="outbound", other_leg_call_id=CALL),
        document(call_id="x", variables={"media_recordings": []}),
        document(call_id="y", interaction_id=None, variables={"media_recordings": "", "call_interaction_id": ""}),
        document(
            call_id="z", variables={"media_recordings": f"ARRAY::{RECORDING.replace('25b2', '35b2')}|:{RECORDING}"}
        ),
    )
    found = told(tmp_path)
    assert [one.linked_id for one in found] == [INTERACTION, INTERACTION, INTERACTION, CALL, INTERACTION]
    spool = Spool(path=tmp_path / "s", tenant="acme", layout="kazoo", cdr_dir=tmp_path)
    describer = Describer(spool, utc_now)
    # Both legs carry the id of the recording: it is that of the first. The last leg has one of its own as well.
    assert [describer.recorded_as(one) for one in found] == [CALL, CALL, "", "", "z"]
    assert [one.says_recorded for one in found] == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("changes", "direction", "extension"),
    [
        # "inbound" means towards the switch: a desk phone that calls out, or a colleague
        ({}, Direction.OUTBOUND, "1002"),
        ({"request": "1003@acme.sip.example"}, Direction.INTERNAL, "1002"),
        # a number of the company is shown; who called stands in `from`
        ({"caller_id_number": "+442079460900"}, Direction.OUTBOUND, "1002"),
        ({"caller_id_number": "02079460777", "from": "02079460777@carrier", "request": "02079460900@acme",
          "variables": {"authorizing_type": "resource", "resource_type": "offnet-origination"}}, Direction.INBOUND, ""),
        ({"call_direction": "outbound", "caller_id_number": "02079460777", "from": "02079460777@x", "to": "1001@acme",
          "callee_id_number": "1001"}, Direction.INBOUND, "1001"),
        ({"call_direction": "outbound", "to": "1001@acme", "callee_id_number": "1001"}, Direction.INTERNAL, "1002"),
        ({"call_direction": "outbound", "variables": {"authorizing_type": None, "resource_type": "offnet-termination"}},
         Direction.OUTBOUND, "1002"),
    ],
)  # fmt: skip
def test_the_way_of_a_call_is_the_tenants_and_not_the_switchs(
    tmp_path: Path, changes: dict[str, Any], direction: Direction, extension: str
) -> None:
    answered(tmp_path / "leg.json", document(**changes))
    facts = reader(tmp_path).facts(CALL)
    assert facts is not None and (facts.direction, facts.extension) == (direction, extension)


def test_only_whom_somebody_spoke_with_was_answered(tmp_path: Path) -> None:
    answered(
        tmp_path / "legs.json",
        document(call_id="rang", billing_seconds=0, variables={"media_recordings": []}),
        document(call_id="menu", other_leg_call_id=None, variables={"media_recordings": []}),
        document(call_id="spoke", variables={"media_recordings": []}),
        document(call_id="recorded", other_leg_call_id=None),
    )
    assert [(one.call_id, one.answered, one.talk_ms) for one in told(tmp_path)] == [
        ("rang", False, 0),
        ("menu", False, 24_000),
        ("spoke", True, 24_000),
        ("recorded", True, 24_000),
    ]


@pytest.mark.parametrize(
    ("changes", "started_at"),
    [
        ({"duration_seconds": "30", "timestamp": str(ENDED)}, STARTED),  # texts, as older versions write
        ({"channel_created_time": 1_586_576_901_250_000}, STARTED + timedelta(seconds=1, milliseconds=250)),
        ({"channel_created_time": -5}, STARTED),
        ({"channel_created_time": 10**400}, STARTED),
        ({"duration_seconds": -30}, STARTED + timedelta(seconds=30)),
        ({"duration_seconds": 10**30}, STARTED + timedelta(seconds=30)),
        ({"duration_seconds": float("nan")}, STARTED + timedelta(seconds=30)),
        ({"duration_seconds": [30]}, STARTED + timedelta(seconds=30)),
        ({"timestamp": True}, None),
        ({"timestamp": -ENDED}, None),
        ({"timestamp": 10**5000}, None),
        ({"timestamp": float("inf")}, None),
        ({"timestamp": "yesterday"}, None),
        ({"timestamp": 1}, None),
        ({"timestamp": {"a": ENDED}}, None),
        ({"timestamp": 99_999_999_999}, None),
    ],
)
def test_a_number_that_is_none_costs_nothing_else(tmp_path: Path, changes: dict[str, Any], started_at: Any) -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # to write what is read below under the usual limit
    try:
        answered(tmp_path / "leg.json", document(**changes), document(call_id="next"))
    finally:
        sys.set_int_max_str_digits(before)
    facts = reader(tmp_path).facts(CALL)
    assert facts is not None and facts.started_at == started_at and facts.caller == "1002"
    assert reader(tmp_path).facts("next") == replace(FACTS, call_id="next")
    assert len(told(tmp_path)) == (1 if started_at is None else 2)


@pytest.mark.parametrize("billed", [-1, 10**20, float("nan"), float("-inf"), "1e9", None, [], {"a": 1}, True, "²"])
def test_a_length_that_is_none_is_no_length(tmp_path: Path, billed: object) -> None:
    answered(tmp_path / "leg.json", document(billing_seconds=billed))
    facts = reader(tmp_path).facts(CALL)
    assert facts is not None and facts.duration_ms is None
    assert [(one.talk_ms, one.answered) for one in told(tmp_path)] == [(0, False)]


def test_what_callers_put_into_their_names_stays_text(tmp_path: Path) -> None:
    hostile = 'Erin\n"},{"call_id": "forged\ud800' + "\0" + "x" * 10_000
    answered(tmp_path / "leg.json", document(caller_id_name=hostile, callee_id_name={"a": []}, hangup_cause=None))
    facts = reader(tmp_path).facts(CALL)
    assert facts is not None and facts.caller_name.startswith('Erin "},{"call_id": "forged') and facts.callee_name == ""
    assert len(facts.caller_name) <= 255 and "\n" not in facts.caller_name
    facts.caller_name.encode()
    assert reader(tmp_path).facts("forged") is None


def test_what_is_no_record_is_passed_over_and_what_cannot_be_read_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answered(tmp_path / "good.json", "x", None, 7, [], {}, {"call_id": 5}, {"call_id": ""}, {"data": 1}, document())
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "deeper.json").write_text('{"data": [' + '{"a":' * 900 + "1" + "}" * 900 + "]}")
    (tmp_path / "cut.json").write_text(json.dumps({"data": [document(call_id="cut")]})[:-20])
    (tmp_path / "error.json").write_text('{"status": "error", "data": {"message": "invalid_credentials"}}')
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / ".hidden.json").write_text(json.dumps(document(call_id="hidden")))
    (tmp_path / "half.json.tmp").write_text(json.dumps(document(call_id="half")))
    (tmp_path / "link.json").symlink_to(tmp_path / ".hidden.json")
    os.mkfifo(tmp_path / "pipe.json")
    for path in tmp_path.iterdir():
        if path.is_file():
            os.utime(path, (time.time() - 3600,) * 2)
    one = reader(tmp_path)
    assert [leg.call_id for leg in one.after(0, 1000)[0]] == [CALL]
    assert one.facts(CALL) == FACTS and one.facts("cut") is None and one.facts("hidden") is None
    said = [record for record in caplog.records if "unreadable" in record.getMessage()]
    assert len(said) <= 5


def test_a_file_that_is_still_written_is_read_when_it_is_whole_and_again_when_it_grows(tmp_path: Path) -> None:
    one, path = reader(tmp_path), tmp_path / "day.json"
    text = json.dumps({"data": [document()]})
    path.write_text(text[:-30])
    assert one.facts(CALL) is None
    path.write_text(text)
    assert one.facts(CALL) == FACTS
    found, mark = one.after(0, 1000)
    assert found == [CALLED] and one.after(mark, 1000) == ([], mark)
    # Fetched again with more in it: what is known is not told of again.
    answered(path, document(), document(call_id="second"))
    more, after = one.after(mark, 1000)
    assert [leg.call_id for leg in more] == ["second"] and one.after(after, 1000) == ([], after)
    # Another file with the same, in another order
    answered(tmp_path / "again.json", document(call_id="second"), document())
    assert one.after(after, 1000) == ([], after)
    # In a list it is told of with less: what the document said stays.
    answered(tmp_path / "list.json", listed(caller_id_name="", interaction_id=""))
    assert one.facts(CALL) == FACTS and one.after(after, 1000) == ([], after)


def test_they_are_told_of_in_pieces_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    answered(tmp_path / "day.json", *(document(call_id=f"c{number}") for number in range(9)))
    one = KazooCdr(tmp_path, "UTC", legs_kept=5)
    found, mark = one.after(one.beginning(STARTED), 2)
    names = [leg.call_id for leg in found]
    while found:
        found, mark = one.after(mark, 2)
        names += [leg.call_id for leg in found]
    assert names == ["c4", "c5", "c6", "c7", "c8"]
    assert one.facts("c3") is None and one.facts("c8") is not None


def test_without_the_folder_nothing_is_told(tmp_path: Path) -> None:
    assert told(tmp_path / "none") == [] and reader(tmp_path / "none").facts(CALL) is None


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(some.dictionaries(some.sampled_from(sorted({**document(), **listed(), **recorded()})), VALUES, max_size=6))
def test_other_peoples_fields_do_no_harm(changes: dict[str, Any]) -> None:
    with TemporaryDirectory() as name:
        answered(Path(name) / "leg.json", {**document(), **changes}, {**recorded(), **changes})
        one = reader(Path(name))
        for leg in one.after(0, 10)[0]:
            assert leg.talk_ms >= 0 and leg.started_at.tzinfo is UTC and leg.call_id
        facts = one.facts(CALL)
        assert facts is None or facts.caller.encode() is not None
