"""File-name grammars, on real names and on hostile ones."""

from __future__ import annotations

import contextlib
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from recpipe.errors import SettingsInvalid, Unfit
from recpipe.model import CallFacts, Direction, RecordingKind
from recpipe.settings import Layout
from recpipe.spool.files import Kind
from recpipe.spool.freepbx_names import FREEPBX_TYPES
from recpipe.spool.generic_names import check_pattern
from recpipe.spool.layouts import kind_in
from recpipe.spool.naming import parse
from recpipe.times import to_utc

UUID = "b7a1c0de-1111-4222-8333-0123456789ab"


def read(relative: str, layout: str, timezone: str = "UTC", pattern: str = "") -> CallFacts:
    return parse(relative, layout, pattern, timezone)


# --- FreePBX ----------------------------------------------------------------------------------------------


def test_a_real_freepbx_name() -> None:
    name = "2025/03/27/force-082155558663-3201-20250327-092517-1743042317.12206.wav"
    assert read(name, "freepbx", "Asia/Jakarta") == CallFacts(
        started_at=datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC),
        timezone="Asia/Jakarta",
        direction=Direction.OUTBOUND,
        caller="3201",
        callee="082155558663",
        extension="3201",
        route="force",
        call_id="1743042317.12206",
    )


@pytest.mark.parametrize(
    ("start", "direction", "caller", "callee", "extension", "route"),
    [
        ("out-0836826436-100", Direction.OUTBOUND, "100", "0836826436", "100", "out"),
        ("in-27210000000-0836826436", Direction.INBOUND, "0836826436", "27210000000", "", "in"),
        ("external-100-0836826436", Direction.INBOUND, "0836826436", "100", "100", "external"),
        ("exten-100-0836826436", Direction.INBOUND, "0836826436", "100", "100", "exten"),
        ("exten-100-101", Direction.INTERNAL, "101", "100", "101", "exten"),
        ("internal-101-100", Direction.INTERNAL, "100", "101", "100", "internal"),
        ("q-400-+27836826436", Direction.INBOUND, "+27836826436", "400", "", "queue 400"),
        ("rg-600-0836826436", Direction.INBOUND, "0836826436", "600", "", "ring group 600"),
        ("ondemand-0836826436-100", Direction.OUTBOUND, "100", "0836826436", "100", "ondemand"),
        ("parked-71-anonymous", Direction.INBOUND, "anonymous", "71", "", "parked"),
        ("in-27210000000-", Direction.INBOUND, "", "27210000000", "", "in"),
        # hyphens belong to the side that is not ours
        ("out-083-682-6436-100", Direction.OUTBOUND, "100", "083-682-6436", "100", "out"),
        ("in-27210000000-+1-202-555-0100", Direction.INBOUND, "+1-202-555-0100", "27210000000", "", "in"),
        ("q-400-Acme-Ltd", Direction.INBOUND, "Acme-Ltd", "400", "", "queue 400"),
        ("q-400-101", Direction.INTERNAL, "101", "400", "101", "queue 400"),
        ("in-27210000000-%2B27836826436", Direction.INBOUND, "+27836826436", "27210000000", "", "in"),
        ("out-%2B27836826436-100", Direction.OUTBOUND, "100", "+27836826436", "100", "out"),
        ("weekly-0836826436-100", Direction.OUTBOUND, "100", "0836826436", "100", "weekly"),
    ],
)
def test_freepbx_types_say_which_side_is_ours(
    start: str, direction: Direction, caller: str, callee: str, extension: str, route: str
) -> None:
    facts = read(f"{start}-20250327-022517-1743042317.12206.WAV", "freepbx")
    assert (facts.direction, facts.caller, facts.callee, facts.extension, facts.route) == (
        direction, caller, callee, extension, route,
    )  # fmt: skip


def test_a_call_between_two_extensions_is_that_of_both() -> None:
    facts = read("internal-202-201-20250327-022517-1743042317.5.wav", "freepbx")
    assert (facts.extension, facts.more_extensions) == ("201", ("202",))
    facts = read("[]_100-101_20190211124709(2).wav", "3cx")
    assert (facts.extension, facts.more_extensions) == ("100", ("101",))


@pytest.mark.parametrize(
    ("path", "route", "callee", "extension", "start"),
    [
        ("conf-8000-20250327-022517-1743042317.5.wav", "conference", "8000", "", "2025-03-27T02:25:17"),
        (
            "conference-8000-0836826436-20250327-022517-1743042317.5.wav",
            "conference",
            "8000",
            "",
            "2025-03-27T02:25:17",
        ),
        ("page-99-201-20250327-022517-1743042317.5.wav", "page", "99", "201", "2025-03-27T02:25:17"),
        ("vm-201-0836826436-20250327-022517-1743042317.5.wav", "voicemail", "201", "201", "2025-03-27T02:25:17"),
        ("dictate-201-1743042317.5.wav", "dictation", "201", "201", "2025-03-27T02:25:17"),
        ("vm-201.wav", "voicemail", "201", "201", None),
        ("voicemail/default/201/INBOX/msg0000.wav", "voicemail", "201", "201", None),
        ("msg0012.WAV", "voicemail", "", "", None),
    ],
)
def test_what_freepbx_records_besides_calls_is_read_as_far_as_it_goes(
    path: str, route: str, callee: str, extension: str, start: str | None
) -> None:
    facts = read(path, "freepbx")
    assert (facts.route, facts.callee, facts.extension) == (route, callee, extension)
    kinds = {"voicemail": "voicemail" if "msg0" in path else "call", "conference": "conference"}
    assert facts.kind == kinds.get(route, "call")
    assert facts.mailbox == (callee if route == "voicemail" else "")
    assert facts.conference == (callee if route == "conference" else "")
    assert facts.started_at == (datetime.fromisoformat(start).replace(tzinfo=UTC) if start else None)


@pytest.mark.parametrize(
    "name", ["Copy of {}.wav", "{} (1).wav", "{}(2).wav", "{} - Copy.WAV", "Kopie von {}.wav", "{} copy 2.wav"]
)
def test_a_copy_of_a_file_is_read_as_the_file(name: str) -> None:
    original = "in-27210000000-0836826436-20250327-022517-1743042317.5"
    assert read(f"a/{name.format(original)}", "freepbx") == read(f"a/{original}.wav", "freepbx")


def test_a_system_name_with_hyphens_and_a_date_is_part_of_the_unique_id() -> None:
    facts = read("out-083-100-20250327-022517-pbx-20190101-000000-1743042317.5.wav", "freepbx")
    assert facts.call_id == "pbx-20190101-000000-1743042317.5"
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)


def test_a_caller_cannot_fake_the_time_with_a_date_in_the_number() -> None:
    facts = read("in-100-20190101-000000-20250327-022517-1743042317.5.wav", "freepbx")
    assert facts.caller == "20190101-000000"
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "internal-1-2-3-20250327-022517-1743042317.5.wav",
        "ondemand-083-682-100-20250327-022517-1743042317.5.wav",
        "in-100-5-20250327-022517-20250327-022518-1743042317.5.wav",
    ],
)
def test_a_name_with_two_readings_is_refused_and_never_guessed(name: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(name, "freepbx")
    assert caught.value.reason == "name-ambiguous"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "call.wav",
        "1weird-1-2-20250327-022517-1743042317.5.wav",
        "out-1-20250327-022517-1743042317.5.wav",
        "out-1-2-20250231-022517-1743042317.5.wav",
        "out-1-2-20250327-992517-1743042317.5.wav",
        "out-1-2-20250327-022517-1743042317.wav",
        "out-1-2-20250327-022517-1743042317.5.wav\n",
        "out-1-2-٢٠٢٥٠٣٢٧-022517-1743042317.5.wav",
        "out-1-2-20250327-022517-1743042317.5.exe",
    ],
)
def test_names_that_are_not_freepbx_say_what_was_expected_and_found(name: str) -> None:
    with pytest.raises(Unfit, match="TYPE-DST-SRC-YYYYMMDD-HHMMSS-UNIQUEID") as caught:
        read(name, "freepbx")
    assert caught.value.reason == "name-not-understood"


# --- 3CX --------------------------------------------------------------------------------------------------


def test_a_real_outbound_3cx_name() -> None:
    assert read("100/[]_100-0836826436_20190211124709(2).wav", "3cx", "Africa/Johannesburg") == CallFacts(
        started_at=datetime(2019, 2, 11, 10, 47, 9, tzinfo=UTC),
        timezone="Africa/Johannesburg",
        direction=Direction.OUTBOUND,
        caller="100",
        callee="0836826436",
        extension="100",
        call_id="2",
        start_is_local=True,
    )


def test_a_real_inbound_3cx_name() -> None:
    facts = read("[27836826436]_27836826436-100_20190211124743(3).wav", "3cx")
    assert (facts.direction, facts.caller, facts.callee, facts.extension) == (
        Direction.INBOUND, "27836826436", "100", "100",
    )  # fmt: skip
    assert (facts.caller_name, facts.callee_name) == ("27836826436", "")


def test_a_3cx_name_may_hold_spaces_and_the_folder_is_the_extension() -> None:
    facts = read("Recordings/1001/[Doe, Jane (VIP)]_1001-1002_20190211124743(3).mp3", "3cx")
    assert (facts.direction, facts.callee_name, facts.extension) == (Direction.INTERNAL, "Doe, Jane (VIP)", "1001")


@pytest.mark.parametrize("name", ["[]_100-083_20190231124709(2).wav", "[]_100_20190211124709(2).wav", "[a]b.wav"])
def test_names_that_are_not_3cx_are_refused(name: str) -> None:
    with pytest.raises(Unfit, match="3CX"):
        read(name, "3cx")


# --- the others -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["acme.example.com/", "recordings/acme.example.com/"])
def test_a_fusionpbx_path_names_the_domain(start: str) -> None:
    facts = read(f"{start}archive/2025/Mar/27/{UUID.upper()}.wav", "fusionpbx", "Europe/Berlin")
    assert facts == CallFacts(timezone="Europe/Berlin", call_id=UUID, tenant_hint="acme.example.com")


def test_a_fusionpbx_path_below_its_tenants_folder() -> None:
    assert read(f"archive/2025/Mar/27/{UUID}.mp3", "fusionpbx").call_id == UUID


@pytest.mark.parametrize(
    "path", [f"d/archive/2025/03/27/{UUID}.wav", f"d/2025/Mar/27/{UUID}.wav", "d/archive/2025/Mar/27/x.wav"]
)
def test_other_paths_are_not_fusionpbx(path: str) -> None:
    with pytest.raises(Unfit, match="FusionPBX"):
        read(path, "fusionpbx")


@pytest.mark.parametrize(
    ("name", "call_id"),
    [
        ("0123456789abcdef0123456789abcdef.mp3", "0123456789abcdef0123456789abcdef"),
        ("0123456789abcdef0123456789abcdef..mp3", "0123456789abcdef0123456789abcdef"),
        ("call_recording_7d1e5c@10.0.0.1.mp3", "7d1e5c@10.0.0.1"),
        ("call_recording_7d1e5c..wav", "7d1e5c"),
    ],
)
def test_kazoo_names_hold_the_call_id(name: str, call_id: str) -> None:
    assert read(f"some/folder/{name}", "kazoo").call_id == call_id


def test_a_mikopbx_name_holds_the_start_in_utc() -> None:
    facts = read("2025/03/27/09/mikopbx-1743042317.12206_aB3xY.mp3", "mikopbx", "Europe/Moscow")
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)
    assert facts.call_id == "mikopbx-1743042317.12206"


def test_an_export_folder_names_the_conversation() -> None:
    facts = read("org/year=2025/month=3/day=27/hour=2/conversation_id=abc-1/rec.wav", "sidecar")
    assert facts.linked_id == "abc-1"


def test_a_generic_pattern_gives_its_groups() -> None:
    pattern = (
        r"(?P<tenant>[a-z]+)/(?P<date>[\d-]+)_(?P<time>[\d.]+)_(?P<direction>in|out)_"
        r"(?P<caller>\d+)_(?P<callee>\d+)_(?P<duration>\d+)\.wav"
    )
    facts = read("acme/2025-03-27_09.25.17_out_3201_0821_63.wav", "generic", "Asia/Jakarta", pattern)
    assert facts == CallFacts(
        started_at=datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC),
        timezone="Asia/Jakarta",
        duration_ms=63_000,
        direction=Direction.OUTBOUND,
        caller="3201",
        callee="0821",
        extension="3201",
        tenant_hint="acme",
        start_is_local=True,
    )


def test_a_generic_pattern_without_a_slash_reads_the_file_name() -> None:
    assert read("x/y/55.wav", "generic", pattern=r"(?P<caller>\d+)\.wav").caller == "55"


@pytest.mark.parametrize("name", ["x.wav", "99999999999999999999.wav", "0.wav.wav"])
def test_a_generic_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(name, "generic", pattern=r"(?P<epoch>\d+)\.wav")
    assert caught.value.reason == "name-not-understood"


@pytest.mark.parametrize("pattern", [r"\d+\.wav", r"(?P<calller>\d+)\.wav"])
def test_a_pattern_with_groups_that_mean_nothing_is_a_setting_error(pattern: str) -> None:
    with pytest.raises(SettingsInvalid, match="callee_name"):
        check_pattern(pattern)


DOCUMENTED = dict(
    re.findall(
        r"^    # .*: (\S+)\n    pattern = '(.*)'$",
        (Path(__file__).parents[3] / "docs/operators.md").read_text(),
        re.MULTILINE,
    )
)
YEASTAR, GRANDSTREAM, TELESIS, RINGCENTRAL, MIAREC = DOCUMENTED.values()


@pytest.mark.parametrize(
    ("pattern", "name", "start", "direction", "extensions", "callee"),
    [
        (TELESIS, "3843658_100118_145801_AO_001OPERATOR_94837583_001_4B4F46C2_C0A80541.mp3",
         "2010-01-18T14:58:01", Direction.OUTBOUND, ("001",), "94837583"),
        (MIAREC, "20260118-145801_4001_+442079460958.mp3",
         "2026-01-18T14:58:01", Direction.OUTBOUND, ("4001",), "+442079460958"),
        (YEASTAR, "20191024012719-1571909237.191-4000-4001-Internal.wav",
         "2019-10-24T01:27:19", Direction.INTERNAL, ("4000", "4001"), "4001"),
        (YEASTAR, "20191024012719-1571909237.191-05921234567-4001-Inbound.wav",
         "2019-10-24T01:27:19", Direction.INBOUND, ("4001",), "4001"),
        (GRANDSTREAM, "auto-1414771234-1000-1004.wav",
         "2014-10-31T16:00:34", Direction.INTERNAL, ("1000", "1004"), "1004"),
        (GRANDSTREAM, "auto-1414771234-1000-05921234567.wav",
         "2014-10-31T16:00:34", Direction.OUTBOUND, ("1000",), "05921234567"),
        (RINGCENTRAL, "20251104-133555_302_(252)792-8686_Outgoing_Auto_2243071124051.mp3",
         "2025-11-04T13:35:55", Direction.OUTBOUND, ("302",), "(252)792-8686"),
        (r"(?P<day>\d\d)(?P<month>[A-Z]{3})(?P<year>\d\d)_(?P<hour>\d\d)(?P<minute>\d\d)_(?P<caller>\d+)\.wav",
         "18JAN26_1458_201.wav", "2026-01-18T14:58:00", Direction.OUTBOUND, ("201",), ""),
        (r"(?P<datetime>[\d-]+_[\d.]+)_(?P<caller>[^_]+)\.wav",
         "26-01-18_14.58.01_%2B442079460958.wav", "2026-01-18T14:58:01", Direction.UNKNOWN, (), ""),
    ],
)  # fmt: skip
def test_a_generic_pattern_knows_what_its_sisters_know(
    pattern: str, name: str, start: str, direction: Direction, extensions: tuple[str, ...], callee: str
) -> None:
    check_pattern(pattern)
    assert name in DOCUMENTED or pattern not in (TELESIS, MIAREC, RINGCENTRAL)
    facts = read(name, "generic", pattern=pattern)
    assert facts.started_at == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert (facts.direction, facts.callee) == (direction, callee)
    assert tuple(one for one in (facts.extension, *facts.more_extensions) if one) == extensions


# --- times ------------------------------------------------------------------------------------------------

AUTUMN = datetime(2024, 10, 27, 2, 30)


def test_a_time_that_occurs_twice_means_the_first() -> None:
    assert to_utc(AUTUMN, "Europe/Berlin") == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("hour", [0, 1])
def test_the_unique_id_tells_the_two_occurrences_apart(hour: int) -> None:
    began = datetime(2024, 10, 27, hour, 29, 50, tzinfo=UTC)
    assert to_utc(AUTUMN, "Europe/Berlin", int(began.timestamp())) == datetime(2024, 10, 27, hour, 30, tzinfo=UTC)


def test_a_time_that_never_occurs_is_read_with_the_offset_before() -> None:
    gap = datetime(2024, 3, 31, 2, 30)
    assert to_utc(gap, "Europe/Berlin") == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)


def test_a_wrong_zone_setting_is_corrected_by_the_unique_id() -> None:
    facts = read("force-082155558663-3201-20250327-092530-1743042317.12206.wav", "freepbx", "UTC")
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 30, tzinfo=UTC)


def test_a_long_wait_in_a_queue_is_no_wrong_zone() -> None:
    facts = read("q-400-083-20250327-034247-1743042317.1.wav", "freepbx", "UTC")  # 77.5 minutes later
    assert facts.started_at == datetime(2025, 3, 27, 3, 42, 47, tzinfo=UTC)


# --- hostility --------------------------------------------------------------------------------------------

GENERIC = r"(?P<caller>[^_]*)_(?P<datetime>\d*)_(?P<epoch>.*)\.wav"
PIECES = some.sampled_from(
    [*FREEPBX_TYPES, "-", "--", "_", "[", "]", "(", ")", ".", "/", "..", "20250327", "092517", "1743042317.1", ".wav",
     "archive", UUID, "mikopbx-", "call_recording_", "0" * 32, "\n", "\udcff", "\x00", "'; DROP TABLE", "<script>", "٣"]
)  # fmt: skip


@given(
    some.one_of(some.text(max_size=300), some.lists(PIECES, max_size=30).map("".join)),
    some.sampled_from(get_args(Layout)),
)
@example("out-1-2-99999999-999999-9999999999.1.wav", "freepbx")
@example("mikopbx-9999999999.1_a.wav", "mikopbx")
def test_hostile_names_are_refused_and_nothing_worse(name: str, layout: str) -> None:
    try:
        facts = parse(name, layout, GENERIC, "Europe/Berlin")
    except Unfit as error:
        str(error).encode("utf-8")
        assert "\n" not in str(error)
        return
    for value in (facts.caller, facts.callee, facts.caller_name, facts.call_id, facts.route, facts.tenant_hint):
        value.encode("utf-8")
        assert "\n" not in value


@pytest.mark.parametrize("layout", [layout for layout in get_args(Layout) if layout != "generic"])
@pytest.mark.parametrize(
    "unit", ["-", "in-", "-20250327-092517", "[", "]_", "call_recording_", "archive/", "1.", "_", "a"]
)
def test_the_longest_names_are_read_in_no_time(layout: str, unit: str) -> None:
    name = (unit * 1024)[:1000] + ".wav"
    started = time.process_time()
    for _ in range(10):
        with contextlib.suppress(Unfit):
            parse(name, layout, "", "UTC")
    assert time.process_time() - started < 0.5


# --- conferences and FreeSWITCH's voicemail ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "layout", "room", "start", "tenant"),
    [
        ("confbridge-8000-1743042317.wav", "confbridge", "8000", "2025-03-27T02:25:17", ""),
        ("confbridge-8000-1743042317.wav", "freepbx", "8000", "2025-03-27T02:25:17", ""),
        ("confbridge-board-of-ten-1743042317.wav", "confbridge", "board-of-ten", "2025-03-27T02:25:17", ""),
        ("weekly-1743042317.wav", "confbridge", "weekly", "2025-03-27T02:25:17", ""),
        ("weekly.wav", "confbridge", "weekly", None, ""),
        ("8000-8000-yes-20250327-022517-1743042317.5.wav", "freepbx", "8000", "2025-03-27T02:25:17", ""),
        ("3000_2025-03-27-02-25-17.wav", "freeswitch-conference", "3000", "2025-03-27T02:25:17", ""),
        ("a/3000-pbx.example.com_2025-03-27-02-25-17.mp3", "freeswitch-conference", "3000", "2025-03-27T02:25:17",
         "pbx.example.com"),
    ],
)  # fmt: skip
def test_a_conference_has_a_room_and_nobody_who_called(
    path: str, layout: str, room: str, start: str | None, tenant: str
) -> None:
    facts = read(path, layout)
    assert (facts.kind, facts.conference, facts.callee) == (RecordingKind.CONFERENCE, room, room)
    assert (facts.caller, facts.extension, facts.tenant_hint) == ("", "", tenant)
    assert facts.started_at == (datetime.fromisoformat(start).replace(tzinfo=UTC) if start else None)


@pytest.mark.parametrize("name", ["3000.wav", "3000_2025-13-27-02-25-17.wav", "_2025-03-27-02-25-17.wav"])
def test_other_names_are_no_conferences_of_freeswitch(name: str) -> None:
    with pytest.raises(Unfit) as refused:
        read(name, "freeswitch-conference")
    assert refused.value.reason == "name-not-understood"


def test_a_conference_of_freeswitch_began_in_the_zone_of_its_pbx() -> None:
    facts = read("3000_2025-03-27-02-25-17.wav", "freeswitch-conference", "Europe/Berlin")
    assert facts.started_at == datetime(2025, 3, 27, 1, 25, 17, tzinfo=UTC) and facts.start_is_local


@pytest.mark.parametrize(
    ("path", "domain"), [(f"pbx.example.com/201/msg_{UUID}.wav", "pbx.example.com"), (f"201/msg_{UUID}.mp3", "")]
)
def test_a_message_of_freeswitch_is_that_of_its_mailbox_and_call(path: str, domain: str) -> None:
    facts = read(path, "freeswitch-voicemail")
    assert (facts.kind, facts.mailbox, facts.extension) == (RecordingKind.VOICEMAIL, "201", "201")
    assert (facts.call_id, facts.tenant_hint) == (UUID.lower(), domain)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(f"msg_{UUID}.wav", Kind.RECORDING), (f"msg_{UUID}.json", Kind.SIDECAR), ("greeting_1.wav", Kind.OTHER),
     ("recorded_name.wav", Kind.OTHER), ("x", Kind.OTHER), (f"msg_{UUID}.wav.tmp", Kind.TEMPORARY)],
)  # fmt: skip
def test_greetings_of_freeswitch_are_no_recordings(name: str, kind: Kind) -> None:
    assert kind_in(name, "freeswitch-voicemail") is kind


@pytest.mark.parametrize("document", ["docs/operators.md", "docs/recorders.md"])
def test_the_documents_name_each_layout(document: str) -> None:
    text = (Path(__file__).parents[3] / document).read_text()
    assert [layout for layout in get_args(Layout) if f"`{layout}`" not in text] == []
