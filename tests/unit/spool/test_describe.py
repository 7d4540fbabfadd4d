"""Name, sidecar, call detail record and tenant, joined."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recpipe.errors import Held, SettingsInvalid, Unfit
from recpipe.model import Direction, Settled
from recpipe.settings import Spool
from recpipe.spool.describe import Describer, fill
from recpipe.times import utc_now
from tests.unit.spool.test_cdr import UUID, leg, row, xml

NAME = "in-27210000000-0821-20250327-092517-1743042317.5.wav"


def drop(root: Path, relative: str, sidecar: dict[str, Any] | None = None) -> Settled:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    if sidecar is not None:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    status = path.lstat()
    return Settled(path, relative, status.st_size, status.st_mtime_ns, status.st_ino)


def test_the_sidecar_wins_over_the_name_and_the_name_over_the_record(tmp_path: Path) -> None:
    cdr = tmp_path / "Master.csv"
    cdr.write_text(row("1743042317.5", "1743042317.4", src="0000", dst="100"))
    spool = Spool(path=tmp_path / "s", tenant="acme", timezone="Asia/Jakarta", cdr_csv=cdr)
    facts = Describer(spool, utc_now).describe(drop(spool.path, NAME, {"caller": "+62821", "route": "sales"}))
    assert (facts.caller, facts.route) == ("+62821", "sales")  # sidecar
    assert (facts.callee, facts.direction, facts.call_id) == ("27210000000", Direction.INBOUND, "1743042317.5")  # name
    assert (facts.caller_name, facts.linked_id, facts.duration_ms) == ("Jane, D", "1743042317.4", 60_000)  # record
    assert not facts.awaits_cdr


def test_a_record_that_comes_later_is_joined_later(tmp_path: Path) -> None:
    cdr = tmp_path / "Master.csv"
    spool = Spool(path=tmp_path / "s", tenant="acme", cdr_csv=cdr)
    describer = Describer(spool, utc_now)
    facts = describer.describe(drop(spool.path, NAME))
    assert facts.awaits_cdr
    assert describer.late_facts(facts.call_id) is None
    cdr.write_text(row("1743042317.5"))
    late = describer.late_facts(facts.call_id)
    assert late is not None
    assert fill(facts, late).caller_name == "Jane, D"


def test_a_fusionpbx_recording_gets_everything_from_its_record(tmp_path: Path) -> None:
    (tmp_path / "cdr").mkdir()
    (tmp_path / "cdr" / f"a_{UUID}.cdr.xml").write_text(xml())
    spool = Spool(path=tmp_path / "s", layout="fusionpbx", tenant="from-facts", cdr_dir=tmp_path / "cdr")
    settled = drop(spool.path, f"acme.example.com/archive/2025/Mar/27/{UUID}.wav")
    facts = Describer(spool, utc_now).describe(settled)
    assert (facts.caller, facts.duration_ms) == ("+62821", 63_500)
    assert Describer(spool, utc_now).tenant_of(settled, facts) == "acme.example.com"


def test_with_from_path_the_first_folder_is_the_tenant_and_the_grammar_reads_the_rest(tmp_path: Path) -> None:
    spool = Spool(path=tmp_path, layout="fusionpbx")
    settled = drop(tmp_path, f"acme.example.com/archive/2025/Mar/27/{UUID}.wav")
    describer = Describer(spool, utc_now)
    facts = describer.describe(settled)
    assert facts.call_id == UUID
    assert describer.tenant_of(settled, facts) == "acme.example.com"
    assert describer.lane(settled) == "acme.example.com"


def test_a_file_outside_any_tenants_folder_is_nobodys(tmp_path: Path) -> None:
    spool = Spool(path=tmp_path)
    settled = drop(tmp_path, NAME)
    with pytest.raises(Unfit, match="first folder") as caught:
        Describer(spool, utc_now).describe(settled)
    assert caught.value.reason == "unknown-tenant"


def test_facts_without_a_tenant_are_nobodys(tmp_path: Path) -> None:
    spool = Spool(path=tmp_path, tenant="from-facts")
    settled = drop(tmp_path, NAME)
    describer = Describer(spool, utc_now)
    with pytest.raises(Unfit, match="names a tenant") as caught:
        describer.tenant_of(settled, describer.describe(settled))
    assert caught.value.reason == "unknown-tenant"


def test_a_fixed_tenant_is_the_tenant_whatever_the_file_says(tmp_path: Path) -> None:
    spool = Spool(path=tmp_path, tenant="acme")
    settled = drop(tmp_path, f"evil/{NAME}", {"tenant": "evil"})
    describer = Describer(spool, utc_now)
    assert describer.tenant_of(settled, describer.describe(settled)) == "acme"
    assert describer.lane(settled) == ""


def test_folders_that_look_alike_are_not_one_tenant(tmp_path: Path) -> None:
    describer = Describer(Spool(path=tmp_path), utc_now)
    names = ["acme", "acme ", "ac\u200fme", "acme\udcff", "acme\n"]
    hints = {
        describer.tenant_of(settled := Settled(tmp_path, f"{n}/a", 0, 0, 0), describer_facts(settled)) for n in names
    }
    assert len(hints) == len(names)


def describer_facts(_settled: Settled) -> Any:
    return None  # from-path looks at the path alone


def test_layout_sidecar_waits_for_the_sidecar(tmp_path: Path) -> None:
    spool = Spool(path=tmp_path, tenant="acme", layout="sidecar")
    with pytest.raises(Held, match=r"put a\.json beside") as caught:
        Describer(spool, utc_now).describe(drop(tmp_path, "a.wav"))
    assert caught.value.reason == "sidecar-missing"
    settled = drop(tmp_path, "a.wav", {"caller": "1"})
    describer = Describer(spool, utc_now)
    assert describer.describe(settled).caller == "1"


def test_a_broken_pattern_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid):
        Describer(Spool(path=tmp_path, layout="generic", pattern=r"(?P<nonsense>.*)"), utc_now)


def test_a_recording_waits_a_day_for_the_record_that_may_name_its_tenant(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    spool = Spool(path=tmp_path / "s", layout="fusionpbx", tenant="from-facts", cdr_dir=tmp_path)
    settled = drop(spool.path, f"archive/2025/Mar/27/{UUID}.wav")
    for later, error in ((timedelta(hours=23), Held), (timedelta(hours=25), Unfit)):
        describer = Describer(spool, lambda later=later: now + later)  # type: ignore[misc]
        with pytest.raises(error) as caught:
            describer.tenant_of(settled, describer.describe(settled))
        assert caught.value.reason == {Held: "record-missing", Unfit: "unknown-tenant"}[error]
    (tmp_path / f"{UUID}.cdr.xml").write_text(xml(domain_name=""))
    describer = Describer(spool, utc_now)
    with pytest.raises(Unfit):  # it is there, and names none
        describer.tenant_of(settled, describer.describe(settled))


def test_a_start_that_cannot_be_true_gives_way_to_the_records(tmp_path: Path) -> None:
    cdr = tmp_path / "Master.csv"
    cdr.write_text(row("1743042317.5"))
    spool = Spool(path=tmp_path / "s", tenant="acme", timezone="Asia/Jakarta", cdr_csv=cdr, layout="generic",
                  pattern=r"(?P<datetime>\d{14})-(?P<call_id>[\d.]+)\.wav")  # fmt: skip
    facts = Describer(spool, utc_now).describe(drop(spool.path, "20990101120000-1743042317.5.wav"))
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)
    facts = Describer(spool, utc_now).describe(drop(spool.path, "20200101120000-1743042317.5.wav"))
    assert facts.started_at == datetime(2020, 1, 1, 5, tzinfo=UTC)


def test_who_answered_a_queue_comes_from_the_record(tmp_path: Path) -> None:
    cdr = tmp_path / "Master.csv"
    cdr.write_text(leg("0836826436", "600", "ext-queues", "PJSIP/carrier-01", "Local/201@from-queue-01;1"))
    spool = Spool(path=tmp_path / "s", tenant="acme", cdr_csv=cdr)
    facts = Describer(spool, utc_now).describe(drop(spool.path, "q-600-0836826436-20250327-022511-1743042311.5.wav"))
    assert (facts.extension, facts.callee, facts.direction) == ("201", "600", Direction.INBOUND)


def test_a_name_that_says_nothing_is_no_obstacle_where_the_sidecar_says_when(tmp_path: Path) -> None:
    describer = Describer(Spool(path=tmp_path, tenant="acme", timezone="Asia/Bangkok"), utc_now)
    for said in (None, {"caller": "+6681"}):
        with pytest.raises(Unfit) as refused:
            describer.describe(drop(tmp_path, "who knows.wav", said))
        assert refused.value.reason == "name-not-understood"
    stated = {"caller": "+6681", "started_at": "2025-03-27T09:25:17", "direction": "inbound"}
    facts = describer.describe(drop(tmp_path, "who knows.wav", stated))
    assert (facts.caller, facts.direction) == ("+6681", Direction.INBOUND)
    assert facts.started_at == datetime(2025, 3, 27, 2, 25, 17, tzinfo=UTC)
