"""Call detail records as Asterisk and FreeSWITCH write them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from recpipe.model import Direction
from recpipe.spool.cdr import AsteriskCdr, FreeswitchCdr

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


def test_both_legs_of_a_bridge_share_their_linked_id(tmp_path: Path) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(xml(bridge_uuid=OTHER))
    (tmp_path / f"{OTHER}.cdr.xml").write_text(xml(bridge_uuid=UUID, originating_leg_uuid=UUID))
    legs = [FreeswitchCdr(tmp_path, "UTC").facts(uuid) for uuid in (UUID, OTHER)]
    assert [leg.linked_id for leg in legs if leg] == [UUID, UUID]


def test_numbers_may_come_from_the_caller_profile(tmp_path: Path) -> None:
    profile = (
        "<callflow><caller_profile><destination_number>08215550100</destination_number></caller_profile></callflow>"
    )
    body = xml(caller_destination="", caller_id_number="201", call_direction="").replace("</cdr>", profile + "</cdr>")
    (tmp_path / f"{UUID}.cdr.xml").write_text(body)
    facts = FreeswitchCdr(tmp_path, "UTC").facts(UUID)
    assert facts is not None
    assert (facts.callee, facts.direction, facts.extension) == ("08215550100", Direction.OUTBOUND, "201")


BOMB = '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;&x;&x;">]><cdr><variables><uuid>&y;</uuid></variables></cdr>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><cdr><variables><uuid>&x;</uuid></variables></cdr>'


@pytest.mark.parametrize("body", [BOMB, OUTSIDE, "<cdr><variables>", "", "<other/>"])
def test_hostile_or_unfinished_records_are_as_good_as_none(tmp_path: Path, body: str) -> None:
    (tmp_path / f"{UUID}.cdr.xml").write_text(body)
    assert FreeswitchCdr(tmp_path, "UTC").facts(UUID) is None


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
