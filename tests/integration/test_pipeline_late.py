"""Call detail records that come later than their recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe.pipeline.late import _BATCH, GIVE_UP_AFTER, LateRecords
from recpipe.pipeline.order import Line
from recpipe.spool.describe import Describer
from recpipe.spool.folder import SpoolFolder
from tests.integration.pipeline_rig import TENANT_ID, Rig

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
    return LateRecords(rig.catalogue, Line(rig.spool, SpoolFolder(rig.spool), Describer(rig.spool)))


def write_record(rig: Rig, start: str = f"{int(STARTED.timestamp())}000000") -> None:
    (rig.root / "cdr" / f"{UUID}.cdr.xml").write_text(
        f"<cdr><variables><start_uepoch>{start}</start_uepoch><caller_id_number>0821</caller_id_number>"
        "<destination_number>100</destination_number></variables></cdr>"
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
    assert records.join(rig.now + GIVE_UP_AFTER / 2) == 0
    assert records.join(rig.now + GIVE_UP_AFTER + timedelta(minutes=1)) == 1
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
