"""JSON beside a recording, and what KAZOO sends along."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from recpipe.errors import Held, InputInvalid, Unfit
from recpipe.model import CallFacts, Direction
from recpipe.spool.sidecar import LIMIT_BYTES, corrected, facts_from_json, facts_from_kazoo, read, write


def test_every_documented_key_is_read() -> None:
    content = {
        "started_at": "2025-03-27T09:25:17+07:00",
        "timezone": "Asia/Jakarta",
        "duration_seconds": 63.5,
        "direction": "Outbound",
        "caller": "3201",
        "callee": "+62821",
        "caller_name": "Jane",
        "callee_name": "Bob",
        "extension": "3201",
        "route": "sales",
        "call_id": "c1",
        "linked_id": "l1",
        "channels": "customer,agent",
        "tenant": "acme",
        "something else": {"is": "ignored"},
    }
    assert facts_from_json(content, "UTC") == CallFacts(
        started_at=datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC),
        timezone="Asia/Jakarta",
        duration_ms=63_500,
        direction=Direction.OUTBOUND,
        caller="3201",
        callee="+62821",
        caller_name="Jane",
        callee_name="Bob",
        extension="3201",
        route="sales",
        call_id="c1",
        linked_id="l1",
        channels="customer,agent",
        tenant_hint="acme",
    )


def test_a_genesys_export_is_read() -> None:
    content = {
        "conversationId": "conv",
        "recordingId": "rec",
        "startTime": "2025-03-27T02:25:17.500Z",
        "endTime": "2025-03-27T02:26:17Z",
        "ani": "tel:+62821",
        "dnis": "+6221",
    }
    facts = facts_from_json(content, "Asia/Jakarta")
    assert (facts.call_id, facts.linked_id, facts.caller, facts.callee) == ("rec", "conv", "tel:+62821", "+6221")
    assert facts.duration_ms == 59_500
    assert facts.timezone == "Asia/Jakarta"


@pytest.mark.parametrize("key", ["linked_id", "linkedid", "interaction_id", "conversationId"])
def test_what_links_the_legs_of_a_call_is_read_under_the_name_that_its_system_has(key: str) -> None:
    assert facts_from_json({key: "l-1"}, "UTC").linked_id == "l-1"


def test_a_time_without_offset_is_in_the_spools_zone() -> None:
    facts = facts_from_json({"started_at": "2025-03-27T09:25:17"}, "Asia/Jakarta")
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "the file"),
        ({"caller": 3201}, "caller"),
        ({"caller": ["3201"]}, "caller"),
        ({"started_at": "yesterday"}, "started_at"),
        ({"started_at": "0001-01-01T00:00:00+23:00"}, "started_at"),
        ({"duration_ms": "63"}, "duration_ms"),
        ({"duration_ms": True}, "duration_ms"),
        ({"duration_seconds": -1}, "duration_seconds"),
        ({"duration_seconds": 1e300}, "duration_seconds"),
        ({"direction": "sideways"}, "direction"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"masked": 130}, "masked"),
        ({"masked": [[161, 130]]}, "masked"),
        ({"masked": "02:10-02:41"}, "masked"),
    ],
)
def test_a_wrong_value_is_refused_by_name(content: object, named: str) -> None:
    with pytest.raises(Unfit, match=f"{named} must be") as caught:
        facts_from_json(content, "UTC")
    assert caught.value.reason == "sidecar-invalid"


def test_the_masked_parts_and_who_began_it_are_said_by_a_sidecar_and_an_upload() -> None:
    said = facts_from_json({"masked": [[200, 230.5], [130, 161]], "started_by": "201"}, "UTC")
    assert (said.masked, said.started_by) == (((130_000, 161_000), (200_000, 230_500)), "201")
    sent = json.loads(write({"masked": "130-161 200-230.5", "started_by": "201"}, "UTC"))
    assert facts_from_json(sent, "UTC") == said


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 30_000, b'{"duration_ms": NaN}', b" " * (LIMIT_BYTES + 1)])
def test_what_is_no_small_json_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(body)
    os.utime(path, (1, 1))
    with pytest.raises(Unfit) as caught:
        read(path, "UTC")
    assert caught.value.reason == "sidecar-invalid"


def test_a_sidecar_that_may_still_be_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"caller": "32')
    with pytest.raises(Held) as caught:
        read(path, "UTC")
    assert caught.value.reason == "sidecar-unfinished"
    path.write_text('\ufeff{"caller": "3201"}')
    assert read(path, "UTC").caller == "3201"


SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text()
CONTAINERS = some.lists(SCALARS, max_size=3) | some.dictionaries(some.text(), SCALARS, max_size=3)
JSON = SCALARS | CONTAINERS | some.lists(CONTAINERS, max_size=2)  # deep enough: a recursive one takes twice as long
KEYS = some.sampled_from(
    ["started_at", "startTime", "endTime", "timezone", "duration_ms", "direction", "caller", "tenant"]
)


@settings(deadline=None)
@given(some.dictionaries(KEYS, JSON))
def test_hostile_sidecars_are_refused_and_nothing_worse(content: dict[str, object]) -> None:
    try:
        facts = facts_from_json(content, "UTC")
    except Unfit as error:
        str(error).encode("utf-8")
        return
    json.dumps([facts.caller, facts.tenant_hint]).encode("utf-8")


def test_kazoo_parameters_become_facts() -> None:
    params = {
        "from": "+14155550100@acme.sip.example.com",
        "to": "201@acme.sip.example.com",
        "caller_id_name": "Jane\nDoe",
        "caller_id_number": "+14155550100",
        "call_id": "7d1e",
        "cdr_id": "202503-7d1e",
        "interaction_id": "63-abc",
        "account_id": "0123456789abcdef0123456789abcdef",
        "unknown": "x",
    }
    assert facts_from_kazoo(params) == CallFacts(
        caller="+14155550100",
        callee="201",
        caller_name="Jane Doe",
        call_id="7d1e",
        linked_id="63-abc",
        tenant_hint="0123456789abcdef0123456789abcdef",
    )
    assert facts_from_kazoo({"from": "alice@example.com"}).caller == "alice@example.com"


@pytest.mark.parametrize(
    ("start", "started_at"),
    [
        ("63753796103", datetime(2020, 4, 11, 3, 48, 23, tzinfo=UTC)),
        ("1586576903", None),  # not since the year 0
        ("9" * 5000, None),
        ("-63753796103", None),
        ("yesterday", None),
        ("\u00b2", None),
        ("", None),
    ],
)
def test_kazoo_says_when_a_recording_began_in_seconds_since_the_year_0(start: str, started_at: datetime | None) -> None:
    assert facts_from_kazoo({"start": start}).started_at == started_at
    said = write({"start": start, "duration_ms": "23960", "recording_id": "202004-x", "call_id": "c"}, "Europe/Berlin")
    facts = facts_from_json(json.loads(said), "Europe/Berlin")
    assert (facts.started_at, facts.duration_ms, facts.start_is_local) == (started_at, 23_960, False)
    ours = write({"start": start, "started_at": "2020-04-11T00:00:00Z"}, "UTC")
    assert facts_from_json(json.loads(ours), "UTC").started_at == datetime(2020, 4, 11, tzinfo=UTC)


def test_what_is_written_is_read_as_the_same_facts(tmp_path: Path) -> None:
    given = {
        "started_at": "2026-09-01T09:25:00+02:00",
        "timezone": "Europe/Berlin",
        "duration_seconds": "12.5",
        "direction": "inbound",
        "caller": "+442079460958",
        "callee": "201",
        "caller_name": "Erin",
        "callee_name": "Frank",
        "extension": "201",
        "route": "sales",
        "call_id": "c-1",
        "linked_id": "l-1",
        "channels": "PJSIP/201",
        "tenant": "acme",
    }
    path = tmp_path / "call.wav.json"
    path.write_bytes(write(given | {"colour": "blue"}, "UTC"))
    assert read(path, "UTC") == facts_from_json(given | {"duration_seconds": 12.5}, "UTC")
    assert json.loads(path.read_bytes()) == given | {"duration_seconds": 12.5}


def test_every_fact_of_kazoo_is_written_and_our_own_key_wins() -> None:
    kazoo = {
        "caller_id_number": "+4930",
        "to": "201@acme",
        "caller_id_name": "Erin",
        "cdr_id": "c-1",
        "interaction_id": "l-1",
        "account_id": "acme",
    }
    read_from = facts_from_kazoo(kazoo)
    written = facts_from_json(json.loads(write(kazoo | {"caller": "100"}, "UTC")), "UTC")
    assert written == replace(read_from, caller="100", timezone="UTC", start_is_local=written.start_is_local)


@pytest.mark.parametrize("given", [{}, {"colour": "blue"}, {"caller": ""}, {"from": " "}])
def test_nothing_said_of_a_call_is_no_sidecar(given: dict[str, str]) -> None:
    assert write(given, "UTC") == b""


@pytest.mark.parametrize("given", [{"duration_ms": "long"}, {"duration_ms": "nan"}, {"started_at": "soon"}])
def test_what_would_not_be_read_is_not_written(given: dict[str, str]) -> None:
    with pytest.raises(Unfit, match=next(iter(given))):
        write(given, "UTC")


def test_a_sidecar_that_would_be_too_long_to_read_is_not_written() -> None:
    with pytest.raises(InputInvalid):
        write({"route": "x" * LIMIT_BYTES}, "UTC")


def test_a_time_that_a_person_states_is_in_the_zone_of_the_spool_whatever_was_said_before() -> None:
    before = b'{"timezone": "America/New_York", "endTime": "2025-03-28T00:00:00Z", "callee": "201"}'
    written = corrected([before], {"started_at": "2025-03-27T09:25:17"}, "Asia/Bangkok")
    facts = facts_from_json(json.loads(written), "Asia/Bangkok")
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)
    assert (facts.timezone, facts.duration_ms, facts.callee) == ("Asia/Bangkok", None, "201")
