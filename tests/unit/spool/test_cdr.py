"""Call detail records as Asterisk and FreeSWITCH write them."""

from __future__ import annotations

import base64
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from recpipe.model import Direction, Masked
from recpipe.spool.asterisk_cdr import AsteriskCdr
from recpipe.spool.freeswitch_cdr import FreeswitchCdr

UUID = "b7a1c0de-1111-4222-8333-0123456789ab"
OTHER = "c8b2d1ef-1111-4222-8333-0123456789ab"


def row(unique: str, linked: str = "", *, src: str = "0821", dst: str = "100", context: str = "from-trunk") -> str:
    return (
        f'"acme","{src}","{dst}","{context}","""Jane, D"" <{src}>","SIP/t-1","SIP/100-2","Dial","x",'
        f'"2025-03-27 09:25:17",,"2025-03-27 09:26:20",63,60,"ANSWERED","DOCUMENTATION","{unique}","","","{linked}",7\n'
    )


@pytest.fixture
def master(tmp_path: Path) -> Path:
    return tmp_path / "Master.csv"


def test_a_row_gives_facts_in_utc(master: Path) -> None:
    master.write_text(row("1743042317.5", "1743042317.4"))
    facts = AsteriskCdr(master, "Asia/Jakarta").facts("1743042317.5")
    assert facts is not None
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)
    assert (facts.caller, facts.callee, facts.caller_name) == ("0821", "100", "Jane, D")
    assert (facts.direction, facts.extension, facts.duration_ms) == (Direction.INBOUND, "100", 60_000)
    assert (facts.linked_id, facts.tenant_hint) == ("1743042317.4", "acme")


def test_the_legs_of_a_transferred_call_are_found_by_any_of_their_ids(master: Path) -> None:
    master.write_text(
        row("1743042317.1", "1743042317.1", dst="100")
        + row("1743042999.9", "1743042999.9", src="other")
        + row("1743042320.2", "1743042317.1", src="100", dst="101", context="from-internal")
    )
    cdr = AsteriskCdr(master, "UTC")
    both = ["1743042317.1", "1743042320.2"]
    assert [leg.unique_id for leg in cdr.legs("1743042317.1")] == both
    assert [leg.unique_id for leg in cdr.legs("1743042320.2")] == both
    second = cdr.facts("1743042320.2")
    assert second is not None
    assert (second.caller, second.callee, second.call_id) == ("0821", "100", "1743042320.2")


def test_rows_that_come_later_are_found_later(master: Path) -> None:
    cdr = AsteriskCdr(master, "UTC")
    assert cdr.facts("1743042317.5") is None
    line = row("1743042317.5")
    master.write_text(line[:50])
    assert cdr.facts("1743042317.5") is None
    master.write_text(line)
    assert cdr.facts("1743042317.5") is not None
    assert cdr.malformed == 0


def test_rotation_loses_no_row(master: Path) -> None:
    cdr = AsteriskCdr(master, "UTC")
    master.write_text(row("1743042317.1"))
    assert cdr.facts("1743042317.1")
    with master.open("a") as out:
        out.write(row("1743042317.2"))
    master.rename(master.with_suffix(".csv.1"))
    master.write_text(row("1743042317.3"))
    assert all(cdr.facts(f"1743042317.{n}") for n in (1, 2, 3))


@pytest.mark.parametrize("count", [1, 5])
def test_truncation_in_place_is_noticed_even_when_the_file_is_as_long_again(master: Path, count: int) -> None:
    cdr = AsteriskCdr(master, "UTC")
    master.write_text(row("1743042317.1") + row("1743042317.2"))
    assert cdr.facts("1743042317.2")
    with master.open("r+") as out:
        out.truncate(0)
        out.write("".join(row(f"1743042400.{n}") for n in range(count)))
    assert cdr.facts("1743042400.0")


def test_a_huge_old_file_is_read_from_its_end(master: Path) -> None:
    master.write_text("".join(row(f"1743042317.{n}") for n in range(1000)))
    cdr = AsteriskCdr(master, "UTC", first_read_bytes=1000)
    assert cdr.facts("1743042317.999")
    assert cdr.facts("1743042317.1") is None
    assert cdr.malformed == 0


def test_only_so_many_legs_are_remembered(master: Path) -> None:
    cdr = AsteriskCdr(master, "UTC", legs_kept=10)
    master.write_text("".join(row(f"1743042317.{n}", "1743042317.0") for n in range(50)))
    assert [leg.unique_id for leg in cdr.legs("1743042317.0")] == [f"1743042317.{n}" for n in range(40, 50)]


def test_lines_that_are_no_record_are_counted_and_passed_over(master: Path) -> None:
    hostile = ["", "a,b,c", '"', "\x00" * 30, '"' + "x" * 100_000 + '"', "," * 30, "\udcff" * 40]
    master.write_bytes(
        b"".join(line.encode("utf-8", "surrogateescape") + b"\n" for line in hostile) + row("1743042317.5").encode()
    )
    cdr = AsteriskCdr(master, "UTC")
    assert cdr.facts("1743042317.5") is not None
    assert cdr.malformed >= 5


def test_short_rows_without_linked_id_are_understood(master: Path) -> None:
    master.write_text(",".join(row("1743042317.5").split(",")[:-3]).rsplit(',""', 1)[0] + "\n")
    facts = AsteriskCdr(master, "UTC").facts("1743042317.5")
    assert facts is not None
    assert facts.linked_id == ""


def leg(
    src: str, dst: str, context: str, channel: str, dstchannel: str, disposition: str = "ANSWERED", unique: str = "1.5"
) -> str:
    return (
        f'"","{src}","{dst}","{context}","{src}","{channel}","{dstchannel}","Dial","x","2025-03-27 09:25:17",,'
        f'"2025-03-27 09:26:20",63,60,"{disposition}","DOCUMENTATION","174304231{unique}","","","174304231{unique}",7\n'
    )


TRUNK = "PJSIP/carrier-00000001"


@pytest.mark.parametrize(
    ("legs", "direction", "extensions"),
    [
        # a queue, and a ring group where two phones rang and one answered
        ([("0836826436", "600", "ext-queues", TRUNK, "Local/201@from-queue-00000001;1")], "inbound", ["201"]),
        (
            [
                ("0836826436", "601", "ext-group", TRUNK, "PJSIP/203-0000001a", "NO ANSWER"),
                ("0836826436", "601", "ext-group", TRUNK, "PJSIP/201-0000001b"),
            ],
            "inbound",
            ["201"],
        ),
        ([("0836826436", "601", "ext-group", TRUNK, "SIP/201-0000001b", "NO ANSWER")], "inbound", []),
        ([("0836826436", "601", "ext-group", TRUNK, "Local/FMPR-201@from-internal-0000001b;1")], "inbound", ["201"]),
        # a colleague calls a queue
        ([("202", "600", "ext-queues", "PJSIP/202-00000001", "SIP/201-0000001b")], "internal", ["202", "201"]),
        # straight to a phone, and to one that passed it on
        ([("0836826436", "201", "ext-local", TRUNK, "PJSIP/201-0000001b")], "inbound", ["201"]),
        (
            [
                ("0836826436", "201", "from-did-direct", TRUNK, "PJSIP/201-0000001b"),
                ("0836826436", "204", "from-did-direct", TRUNK, "PJSIP/204-0000001c"),
            ],
            "inbound",
            ["201", "204"],
        ),
        # out, under the number of the company
        ([("27210000000", "0836826436", "from-internal", "PJSIP/202-00000001", TRUNK)], "outbound", ["202"]),
        ([("202", "203", "from-internal", "PJSIP/202-00000001", "PJSIP/203-00000002")], "internal", ["202", "203"]),
        # a channel of a trunk that is named by its number, and a line card's
        ([("0836826436", "27210000000", "from-trunk", "SIP/27210000000-01", "DAHDI/12-1")], "inbound", []),
    ],
)
def test_the_extension_is_that_of_the_phone_that_took_part(
    master: Path, legs: list[tuple[str, ...]], direction: str, extensions: list[str]
) -> None:
    master.write_text("".join(leg(*one) for one in legs))
    facts = AsteriskCdr(master, "UTC").facts("1743042311.5")
    assert facts is not None
    assert facts.direction == direction
    assert [one for one in (facts.extension, *facts.more_extensions) if one] == extensions


# --- FreeSWITCH -------------------------------------------------------------------------------------------


def xml(**variables: str) -> str:
    values = {
        "uuid": UUID,
        "call_direction": "inbound",
        "domain_name": "acme.example.com",
        "caller_id_name": "Jane & Bob",
        "caller_id_number": "+62821",
        "caller_destination": "100",
        "start_uepoch": "1743042317250000",
        "record_ms": "63500",
        "billsec": "70",
        **variables,
    }
    inner = "".join(f"<{name}>{quote(value)}</{name}>" for name, value in values.items())
    return f'<?xml version="1.0"?>\n<cdr core-uuid="x" switchname="y"><variables>{inner}</variables></cdr>'


@pytest.mark.parametrize("prefix", ["", "a_"])
def test_a_freeswitch_record_gives_facts(tmp_path: Path, prefix: str) -> None:
    (tmp_path / f"{prefix}{UUID}.cdr.xml").write_text(xml(bridge_uuid=OTHER))
    facts = FreeswitchCdr(tmp_path, "Europe/Berlin").facts(UUID.upper())
    assert facts is not None
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, 250_000, tzinfo=UTC)
    assert (facts.duration_ms, facts.direction) == (63_500, Direction.INBOUND)
    assert (facts.caller, facts.callee, facts.caller_name, facts.extension) == ("+62821", "100", "Jane & Bob", "100")
    assert (facts.tenant_hint, facts.linked_id, facts.timezone) == ("acme.example.com", UUID, "Europe/Berlin")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"bridge_uuid": OTHER}, {"bridge_uuid": UUID, "originating_leg_uuid": UUID}),
        ({"signal_bond": OTHER}, {"originator": UUID}),
        ({"last_bridge_to": OTHER}, {"ent_originate_aleg_uuid": UUID}),
        # a queue calls its agent by itself
        ({"cc_member_uuid": "m", "cc_queue": "q"}, {"cc_member_session_uuid": UUID, "cc_member_uuid": "m"}),
        ({"cc_member_session_uuid": UUID}, {"cc_member_session_uuid": UUID, "originating_leg_uuid": "another"}),
    ],
)
def test_all_legs_of_a_call_share_their_linked_id(
    tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(xml(**first))
    (tmp_path / f"{OTHER}.cdr.xml").write_text(xml(**second))
    legs = [FreeswitchCdr(tmp_path, "UTC").facts(uuid) for uuid in (UUID, OTHER)]
    assert [leg.linked_id for leg in legs if leg] == [UUID, UUID]


def app_log(*done: tuple[str, float, str]) -> str:
    """What mod_xml_cdr writes of the applications of a channel: name, seconds after its start, and data."""
    start = 1743042317_250_000
    lines = "".join(
        f'<application app_name="{name}" app_data="{data}" app_stamp="{start + round(seconds * 1e6)}"></application>'
        for name, seconds, data in done
    )
    body = xml(answer_uepoch=str(start + 9_000_000), billsec="290", end_uepoch=str(start + 300_000_000))
    return body.replace("<variables>", f"<app_log>{lines}</app_log><variables>", 1)


FILE = "/var/lib/freeswitch/recordings/acme/archive/call.wav"
MASKED = (("record_session_mask", 140, FILE), ("record_session_unmask", 171, FILE))


@pytest.mark.parametrize(
    ("done", "masked"),
    [
        # places count from where the recording began, ten seconds after the channel
        ([("answer", 9, ""), ("record_session", 10, FILE), *MASKED], ((130_000, 161_000),)),
        ([("record_session", 10, FILE), ("record_session_mask", 140, FILE)], ((130_000, 290_000),)),
        ([("record_session", 10, FILE), ("record_session_pause", 40, FILE), ("record_session_resume", 50, FILE)],
         ((30_000, 30_000),)),
        # which of two is masked, and from where one is counted that a command began, nobody can say
        ([("record_session", 10, FILE), ("record_session", 20, f"{FILE}2"), *MASKED], ()),
        (list(MASKED), ()),
        ([("record_session", 10, FILE)], ()),
    ],
)  # fmt: skip
def test_the_applications_of_a_channel_say_which_parts_are_masked(
    tmp_path: Path, done: list[tuple[str, float, str]], masked: Masked
) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(app_log(*done))
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None and facts.masked == masked


# The parts, their order and the two kinds of `application` are those of records of FreeSWITCH 1.2 to 1.10 that people
# published; what was done is made up.
PUBLISHED = """<?xml version="1.0"?>
<cdr core-uuid="0a1b" switchname="fs1">
  <channel_data>
    <state>CS_REPORTING</state>
    <direction>inbound</direction>
  </channel_data>
  <call-stats>
    <audio>
      <inbound><raw_bytes>27692</raw_bytes></inbound>
    </audio>
  </call-stats>
  <variables>
    <direction>inbound</direction>{more}
    <start_uepoch>1743042317250000</start_uepoch>
    <answer_uepoch>1743042319250000</answer_uepoch>
    <end_uepoch>1743042617250000</end_uepoch>
    <record_ms>290000</record_ms>
    <billsec>298</billsec>
  </variables>
  <app_log>
    <application app_name="answer" app_data="" app_stamp="1743042319250045"></application>
    <application app_name="set" app_data="hangup_after_bridge=true" app_stamp="1743042319254927"></application>
    <application app_name="log" app_data="DEBUG Sent? &lt;no&gt; &amp; none" app_stamp="1743042319254930"></application>
    <application app_name="record_session" app_data="{file}" app_stamp="1743042327250000"></application>
    <application app_name="bridge" app_data="user/201@acme" app_stamp="1743042327305488"></application>
    <application app_name="record_session_mask" app_data="{file}" app_stamp="1743042457250000"></application>
    <application app_name="record_session_unmask" app_data="{file}" app_stamp="1743042488250000"></application>
    <application app_name="stop_record_session" app_data="{file}" app_stamp="1743042607250000"></application>
  </app_log>
  <hold-record>
    <hold on="1743042431241372" off="1743042435842796"></hold>
  </hold-record>
  <callflow dialplan="XML" unique-id="5a7f678c-37cb-11e2-a089-ab820864671e" profile_index="1">
    <extension name="Local_Extension" number="201">
      <application app_name="answer" app_data=""></application>
      <application app_name="record_session" app_data="/another.wav"></application>
      <application app_name="record_session_pause" app_data="{file}"></application>
    </extension>
    <caller_profile>
      <username>202</username>
      <destination_number>201</destination_number>
    </caller_profile>
    <times><created_time>1743042317250000</created_time></times>
  </callflow>
</cdr>
"""


@pytest.mark.parametrize(
    "more",
    [
        "",
        "\n    <set x>1</set x>",  # which is no XML: mod_xml_cdr writes what was set
        "\n    <sip_h_X-From>%3Csip:a&b></sip_h_X-From>",
    ],
)
def test_what_was_done_is_read_from_a_record_in_the_form_that_freeswitch_publishes(tmp_path: Path, more: str) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(PUBLISHED.format(file=FILE, more=more))
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None and facts.masked == ((130_000, 161_000),)
    (told,), _ = FreeswitchCdr(tmp_path, "UTC").after(0, 10)
    assert (told.excuse, told.recording_ms, told.answered) == ("stopped", 290_000, True)


def test_a_list_of_what_was_done_that_is_no_xml_is_passed_over(tmp_path: Path) -> None:
    body = PUBLISHED.format(file=FILE, more="\n    <set x>1</set x>").replace("<app_log>", "<app_log><b>")
    (tmp_path / f"{UUID}.cdr.xml").write_text(body)
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None and facts.masked == () and facts.caller_name == "" and facts.callee == "201"


@pytest.mark.parametrize("stamp", ["", "yesterday", "-1", "9" * 40])
def test_an_application_without_a_time_says_nothing(tmp_path: Path, stamp: str) -> None:
    body = app_log(("record_session", 10, FILE), *MASKED)
    broken = re.sub(r'app_stamp="[0-9]+"', f'app_stamp="{stamp}"', body)
    (tmp_path / f"{UUID}.cdr.xml").write_text(broken)
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None and facts.masked == () and facts.caller == "+62821"


@pytest.mark.parametrize(
    ("applications", "excuse"),
    [
        ({"stop_record_session": 20}, "stopped"),
        ({"record_session_pause": 20}, "paused"),
        ({"record_session_pause": 20, "stop_record_session": 21}, "stopped"),
        # FreeSWITCH keeps no file of so little, and does not always say so.
        ({"stop_record_session": 12.9}, "too-short"),
        ({"stop_record_session": 13}, "stopped"),
        # Begun again, or stopped before it was begun: how much there is nobody knows.
        ({"stop_record_session": 11, "record_session": 30}, "stopped"),
        ({"stop_record_session": 9}, "stopped"),
    ],
)
def test_what_a_person_did_to_a_recording_is_told_of_its_call(
    tmp_path: Path, applications: dict[str, float], excuse: str
) -> None:
    done = [("record_session", 10, FILE), *((one, seconds, FILE) for one, seconds in applications.items())]
    (tmp_path / f"{UUID}.cdr.xml").write_text(app_log(*done))
    (told,), _ = FreeswitchCdr(tmp_path, "UTC").after(0, 10)
    assert told.excuse == excuse


def test_numbers_may_come_from_the_caller_profile(tmp_path: Path) -> None:
    profile = (
        "<callflow><caller_profile><destination_number>08215550100</destination_number></caller_profile></callflow>"
    )
    body = xml(caller_destination="", caller_id_number="201", call_direction="").replace("</cdr>", profile + "</cdr>")
    (tmp_path / f"{UUID}.cdr.xml").write_text(body)
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None
    assert (facts.callee, facts.direction, facts.extension) == ("08215550100", Direction.OUTBOUND, "201")


@pytest.mark.parametrize(
    ("variables", "direction", "extensions"),
    [
        # a ring group, answered by 201, and not answered
        (
            {"caller_id_number": "+493012345678", "caller_destination": "+4940555000", "destination_number": "4001",
             "ring_group_uuid": OTHER, "last_sent_callee_id_number": "201"},
            "inbound", ["201"],
        ),
        ({"caller_destination": "4001", "destination_number": "4001", "ring_group_uuid": OTHER}, "inbound", []),
        ({"caller_destination": "+4940555000", "dialed_user": "201"}, "inbound", ["201"]),
        ({"caller_destination": "4001", "cc_queue": "4001@acme", "cc_agent": "203@acme.example"}, "inbound", ["203"]),
        # out, under the number of the company
        (
            {"call_direction": "outbound", "caller_id_number": "+4940555000", "sip_from_user": "202",
             "caller_destination": "01701234567", "last_sent_callee_id_number": "01701234567"},
            "outbound", ["202"],
        ),
        ({"call_direction": "outbound", "caller_id_number": "+494055", "presence_id": "202@acme"}, "outbound", ["202"]),
        # between colleagues; the second leg was last told of the caller
        ({"call_direction": "local", "sip_from_user": "202", "dialed_user": "201"}, "internal", ["202", "201"]),
        (
            {"call_direction": "", "caller_id_number": "202", "caller_destination": "201",
             "originating_leg_uuid": OTHER, "last_sent_callee_id_number": "202"},
            "internal", ["202", "201"],
        ),
    ],
)  # fmt: skip
def test_freeswitch_says_elsewhere_who_called_and_who_answered(
    tmp_path: Path, variables: dict[str, str], direction: str, extensions: list[str]
) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(xml(**variables))
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None
    assert facts.direction == direction
    assert [one for one in (facts.extension, *facts.more_extensions) if one] == extensions


def inserted(text: str) -> bytes:
    return xml().replace("</variables>", text + "</variables>").encode()


@pytest.mark.parametrize(
    "body",
    [
        quote(xml()).encode(),
        b"cdr=" + quote(xml()).encode(),
        base64.b64encode(xml().encode()),
        inserted("<1>x</1>"),
        inserted("<set api_hangup_hook>x</set api_hangup_hook>"),
        inserted("<^^,default_language>en</^^,default_language>"),
        inserted("<nolocal:operator>1</nolocal:operator>"),
        inserted("<sip_full_from><sip:201@pbx.example></sip_full_from>"),
        inserted('<sip_contact>"Bob & Co" <sip:201@pbx></sip_contact><x></y>'),
        inserted("<name>M\u00fcller</name>").replace("\u00fc".encode(), b"\xfc"),
        quote(inserted("<1>x</1><sip_full_from><sip:201@pbx.example></sip_full_from>")).encode(),
    ],
)
def test_what_freeswitch_writes_is_read_where_it_is_not_xml(tmp_path: Path, body: bytes) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_bytes(body)
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    (tmp_path / f"{UUID}.cdr.xml").write_text(xml())
    assert facts == FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None and facts.caller == "+62821"


def test_the_call_flow_of_a_broken_record_is_read(tmp_path: Path) -> None:
    flow = "<callflow dialplan='XML'><caller_profile><username>201</username></caller_profile></callflow>"
    body = inserted("<1>x</1>").decode().replace("</cdr>", flow + "</cdr>").replace(">inbound<", ">outbound<")
    (tmp_path / f"{UUID}.cdr.xml").write_text(body)
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None and facts.extension == "201"


def test_records_in_the_dated_folders_of_a_rotation_are_found(tmp_path: Path) -> None:
    for folder in ("2026-11-27-02-10-00", "2026-11-28-02-10-00"):
        (tmp_path / folder).mkdir()
    (tmp_path / "2026-11-27-02-10-00" / f"a_{UUID}.cdr.xml").write_text(xml())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{OTHER}.cdr.xml").write_text(xml())
    cdr = FreeswitchCdr(tmp_path, "UTC")
    assert cdr.facts(UUID) is not None
    assert cdr.facts(OTHER) is None


def test_a_record_that_cannot_be_read_is_told_once_by_its_files_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"{UUID}.cdr.xml"
    path.write_text("<cdr><variables>")
    cdr = FreeswitchCdr(tmp_path, "UTC")
    assert cdr.facts(UUID) is None
    assert caplog.messages == []  # young: it may be half written
    os.utime(path, (0, 0))
    for _ in range(5):
        assert cdr.facts(UUID) is None
    assert len(caplog.messages) == 1
    assert path.name in caplog.text
    path.write_text(xml())
    assert cdr.facts(UUID) is not None


BOMB = '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;&x;&x;">]><cdr><variables><uuid>&y;</uuid></variables></cdr>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><cdr><variables><uuid>&x;</uuid></variables></cdr>'


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        OUTSIDE,
        quote(BOMB),
        base64.b64encode(OUTSIDE.encode()).decode(),
        BOMB.replace("</variables>", "<1>x</1></variables>"),
        OUTSIDE.replace("<!DOCTYPE", "<! doctype").replace("</variables>", "<1>x</1></variables>"),
        "<cdr><variables>",
        quote(xml())[:-20],
        base64.b64encode(xml().encode()).decode()[:-21],
        "",
        "<other/>",
    ],
)
def test_hostile_or_unfinished_records_are_as_good_as_none(tmp_path: Path, body: str) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(body)
    assert FreeswitchCdr(tmp_path, "UTC").facts(UUID) is None


@pytest.mark.parametrize("unit", ["<a>", "<a></b>", "<a><1></a>", "<!"])
def test_a_record_made_to_be_slow_is_read_in_no_time(tmp_path: Path, unit: str) -> None:
    middle = (unit * 400_000)[:400_000]
    (tmp_path / f"{UUID}.cdr.xml").write_text(f"<cdr><variables>{middle}<1></variables></cdr>")
    started = time.process_time()
    FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert time.process_time() - started < 1


def test_a_call_id_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "x.cdr.xml").write_text(xml())
    (tmp_path / "sub").mkdir()
    for call_id in ("../x", "x", "", UUID + "\n", "a" * 5000):
        assert FreeswitchCdr(tmp_path / "sub", "UTC").facts(call_id) is None


@pytest.mark.parametrize(
    ("at", "zone"), [("0001-01-01 00:00:00", "Asia/Tokyo"), ("9999-12-31 23:59:59", "America/Lima")]
)
def test_a_time_beyond_the_calendar_is_no_time(master: Path, at: str, zone: str) -> None:
    master.write_text(row("1743042317.5").replace("2025-03-27 09:25:17", at) + row("1743042999.9"))
    cdr = AsteriskCdr(master, zone)
    facts = cdr.facts("1743042317.5")
    assert facts is not None and facts.started_at == datetime.fromtimestamp(1743042317, UTC)
    assert cdr.facts("1743042999.9") is not None
