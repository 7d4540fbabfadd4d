"""Was it recorded? Through the readers of call detail records, the write path that keeps them, and the catalogue."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe import metrics
from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.completeness.assess import assess
from recpipe.jobs import completeness as job
from recpipe.jobs.job import Tick
from recpipe.model import (
    AuditQuery,
    CallEvent,
    CallEventKind,
    CallState,
    DayCompleteness,
    Decision,
    Direction,
    Finding,
    Tenant,
    Verdict,
)
from recpipe.pipeline.call_records import CallRecords
from recpipe.pipeline.stages import ServedSpool
from recpipe.settings import Spool
from recpipe.spool.describe import Describer
from recpipe.spool.folder import SpoolFolder
from tests.contracts.catalogue_samples import a_recording, a_tenant
from tests.made_day import MIDNIGHT, NOW, MadeDay
from tests.services.sqlite import new_catalogue

DAY = MIDNIGHT.date()


class World:
    """A tenant with two PBXs."""

    def __init__(self, root: Path) -> None:
        self.catalogue = Catalogue.open(new_catalogue(root / "recpipe.sqlite3"))
        self.tenant: Tenant = replace(a_tenant(), name="acme", timezone="Europe/Berlin")
        with self.catalogue.begin() as work:
            work.tenants.add(self.tenant)
        for name in ("cdr", "freepbx", "fusionpbx"):
            (root / name).mkdir()
        self.csv, self.xml = root / "cdr/recpipe.csv", root / "cdr"
        common = {"tenant": "acme", "timezone": "Europe/Berlin"}
        freepbx = {"name": "freepbx", "path": root / "freepbx", "layout": "freepbx", "cdr_csv": self.csv}
        fusionpbx = {"name": "fusionpbx", "path": root / "fusionpbx", "layout": "fusionpbx", "cdr_dir": self.xml}
        self.spools = [Spool.model_validate(one | common) for one in (freepbx, fusionpbx)]

    def note(self, now: datetime = NOW) -> int:
        def clock() -> datetime:
            return now

        lines = [ServedSpool(one, SpoolFolder(one), Describer(one, clock)) for one in self.spools]
        return sum(CallRecords(self.catalogue, line).note(now) for line in lines)

    def look(self, now: datetime = NOW) -> None:
        assess(self.catalogue, self.tenant, DAY, DAY, now.astimezone(UTC))

    def days(self) -> list[DayCompleteness]:
        with self.catalogue.read() as work:
            return list(work.of(self.tenant.id).completeness.days(str(DAY), str(DAY)))

    def findings(self, *, only_open: bool = False) -> list[Finding]:
        with self.catalogue.read() as work:
            return list(
                work.of(self.tenant.id).completeness.findings_of_days("2026-01-01", "2026-12-31", only_open=only_open)
            )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.catalogue.close()


def made_day(world: World, calls: int, of_each: Callable[[int], int], seed: int = 1) -> MadeDay:
    made = MadeDay(world.tenant, world.csv, world.xml, seed)
    made.make(calls, of_each)
    made.keep(world.catalogue)
    return made


@pytest.mark.parametrize(
    ("calls", "more"),
    [pytest.param(250, 0, id="250"), pytest.param(5000, 2, marks=pytest.mark.long, id="5000")],
)
def test_every_defect_of_a_made_day_is_found_and_no_alarm_is_false(world: World, calls: int, more: int) -> None:
    # 10 kinds: one of each; or of a whole day, seven kinds four times and three three times, which is 37.
    made = made_day(world, calls, lambda place: 1 if not more else 4 if place < 7 else 3)
    assert sum(made.defects.values()) == (37 if more else 10) and made.calls == calls
    assert world.note() >= calls * 0.9  # but for the recordings of no call
    made.delete(world.catalogue)
    world.look()
    assert Counter(one.kind for one in world.findings()) == made.defects
    counts = Counter[str]()
    for day in world.days():
        counts.update(day.counts)
    assert all(counts[word] > 0 for word in ("arrived", "unanswered", "discarded", "too-short", "waiting", "grace"))
    assert counts["skipped"] and not counts["unconfirmed"]
    # Reading and looking once more changes nothing.
    before = world.days(), world.findings()
    world.note()
    world.look()
    assert (world.days(), world.findings()) == before
    # When the time of grace of the evening is over, what never came is missing, too.
    world.look(NOW + timedelta(days=2))
    evening = counts["grace"]
    assert Counter(one.kind for one in world.findings())["missing"] == made.defects[CallState.MISSING] + evening


def test_a_recording_that_comes_late_closes_its_finding_which_keeps_how_long_it_was_open(world: World) -> None:
    made = made_day(world, 1, lambda place: place == 0)
    world.note()
    world.look()
    (finding,) = world.findings(only_open=True)
    (leg,) = made.legs
    late = MadeDay(world.tenant, world.csv, world.xml, 1)
    late.make(0, lambda _: 0)
    late._came(leg)
    with world.catalogue.begin() as work:
        work.add_recordings(late.recordings)
    world.look(NOW + timedelta(hours=5))
    (closed,) = world.findings()
    assert closed.closed_at is not None and closed.open_for == timedelta(hours=5)
    assert closed.recording_id == late.recordings[0].id and closed.opened_at == finding.opened_at
    assert [(day.expected, day.arrived) for day in world.days()] == [(1, 1)]


def test_one_that_comes_after_weeks_closes_its_finding_and_corrects_the_day(world: World) -> None:
    made = made_day(world, 2, lambda place: 2 if place == 0 else 0)
    world.note()
    world.look()
    late = MadeDay(world.tenant, world.csv, world.xml, 1)
    late.make(0, lambda _: 0)
    late._came(made.legs[0])
    with world.catalogue.begin() as work:
        work.add_recordings(late.recordings)
    weeks = NOW + timedelta(days=40)
    assess(world.catalogue, world.tenant, weeks.date() - timedelta(days=2), weeks.date(), weeks)
    (still,) = world.findings(only_open=True)
    assert still.call_id == made.legs[1].unique
    assert [(day.expected, day.arrived, day.of(CallState.MISSING)) for day in world.days()] == [(2, 1, 1)]


def test_what_kazoo_began_to_record_arrives_or_is_missing_whichever_way_its_records_come(world: World) -> None:
    """Three calls, the second with two legs; of the first and one more leg the recording came, under its own name."""
    at = (NOW - timedelta(days=2)).replace(microsecond=0)
    ended = int(at.timestamp()) + 62_167_219_200 + 60

    def leg(call_id: str, interaction: str, *recordings: str) -> dict[str, object]:
        variables = {"account_id": "acme", "media_recordings": [f"202611-{one * 32}" for one in recordings]}
        return {
            "call_id": call_id, "call_direction": "inbound", "interaction_id": interaction, "timestamp": ended,
            "duration_seconds": 60, "billing_seconds": 50, "caller_id_number": "201", "request": "02079460958@acme",
            "other_leg_call_id": "x", "custom_channel_vars": variables,
        }  # fmt: skip

    folder = world.csv.parent.parent / "kazoo-cdrs"
    folder.mkdir()
    legs = [
        leg("a", "63-1", "a"),
        leg("b", "63-2", "b"),
        leg("c", "63-2", "c"),
        leg("d", "63-3"),
        leg("e", "63-4", "e"),
    ]
    for number, one in enumerate(reversed(legs)):  # out of order, and the first twice
        (folder / f"{number}.json").write_text(json.dumps({"data": [one, legs[0]]}))
    given = {"path": folder.parent / "kazoo", "tenant": "acme", "layout": "kazoo", "cdr_dir": folder}
    world.spools = [Spool.model_validate(given)]
    came = [
        a_recording(world.tenant, name=f"{call_id}.mp3", started_at=at, duration_ms=50_000, facts=facts)
        for call_id, facts in (
            ("a", {"call_id": "a", "linked_id": "63-1"}),
            ("c", {"call_id": "c" * 32, "linked_id": "63-2"}),  # by the name of a storage
        )
    ]
    with world.catalogue.begin() as work:
        work.add_recordings(came)
    assert world.note() == 5
    day = at.date()
    assess(world.catalogue, world.tenant, day, day, NOW.astimezone(UTC))
    lost = {one.call_id for one in world.findings()}
    assert {one.kind for one in world.findings()} == {CallState.MISSING} and lost in ({"b", "e"}, {"c", "e"})
    assert {one.extension for one in world.findings()} == {"201"}
    with world.catalogue.read() as work:
        (counted,) = work.of(world.tenant.id).completeness.days(str(day), str(day))
    assert counted.counts == {"arrived": 2, "missing": 2}
    world.note()
    assess(world.catalogue, world.tenant, day, day, NOW.astimezone(UTC) + timedelta(hours=1))
    assert len(world.findings()) == 2, "read once more it is the same"


def test_a_recording_that_was_lost_after_a_person_stopped_it_is_missing_and_not_excused(world: World) -> None:
    """Two calls that lack theirs: one was stopped within a second of its start, the other in mid-call."""
    made = made_day(world, 2, lambda place: 2 if place == 0 else 0)
    world.note()
    at_once, later = made.legs
    with world.catalogue.begin() as work:
        for leg, seconds in ((at_once, 1), (later, 20)):
            began = leg.start + timedelta(seconds=8)
            for kind, at in (
                (CallEventKind.STARTED, began),
                (CallEventKind.STOPPED, began + timedelta(seconds=seconds)),
            ):
                told = CallEvent(new_id(), world.tenant.id, leg.unique, "", kind, at.astimezone(UTC), "201", NOW)
                work.of(world.tenant.id).call_events.tell(told)
    world.look()
    assert [(one.kind, one.call_id) for one in world.findings()] == [(CallState.MISSING, later.unique)]
    assert [day.of(CallState.STOPPED) for day in world.days()] == [1]


def test_what_is_deleted_is_not_missing_and_leaves_no_extension(world: World) -> None:
    made = made_day(world, 2, lambda place: place in (0, 6))
    world.note()
    world.look()
    (gone,) = made.recordings  # it was cut short
    with world.catalogue.begin() as work:
        work.of(world.tenant.id).recordings.delete_many([gone.id], NOW, "ann", "asked for")
    world.look(NOW + timedelta(hours=1))
    assert {one.kind: (one.extension, one.closed_at is None) for one in world.findings()} == {
        CallState.MISSING: ("203", True),
        CallState.DIFFERS: ("", False),
    }
    with world.catalogue.read() as work:
        records = work.of(world.tenant.id).completeness.records(MIDNIGHT, NOW)
    assert sorted(one.extension for one in records) == ["", "203"]


def test_what_a_pbx_was_told_to_record_is_not_missed_when_it_is_deleted_and_leaves_no_extension(world: World) -> None:
    """Without a call detail record, and under the id of another leg, as after a transfer."""
    at = NOW - timedelta(days=2)
    told = Decision(
        new_id(), world.tenant.id, at, "pbx", "call-1", "linked-1", Direction.INBOUND, "201", Verdict.RECORD, "", 1
    )
    other = replace(told, id=new_id(), call_id="call-3", linked_id="linked-3", extension="203")
    facts = {"call_id": "call-2", "linked_id": "linked-1", "extension": "202"}
    gone = a_recording(world.tenant, started_at=at, facts=facts)
    with world.catalogue.begin() as work:
        work.decisions.add([told, other])
        work.add_recordings([gone])
    day = at.date()
    assess(world.catalogue, world.tenant, day, day, NOW.astimezone(UTC))
    with world.catalogue.begin() as work:
        work.of(world.tenant.id).recordings.delete_many([gone.id], NOW, "ann", "asked for")
    assess(world.catalogue, world.tenant, day, day, NOW.astimezone(UTC))
    (lost,) = world.findings()
    assert (lost.kind, lost.call_id, lost.extension) == (CallState.UNCONFIRMED, "call-3", "203")
    with world.catalogue.read() as work:
        kept = work.of(world.tenant.id).decisions.list(at - timedelta(1), NOW).items
        (counted,) = work.of(world.tenant.id).completeness.days(str(day), str(day))
    assert sorted((one.call_id, one.extension) for one in kept) == [("call-1", ""), ("call-3", "203")]
    assert counted.counts == {"arrived": 1, "unconfirmed": 1}


def test_records_that_are_written_later_are_kept_later_and_those_of_strangers_never(world: World) -> None:
    def clock() -> datetime:
        return NOW

    line = ServedSpool(world.spools[0], SpoolFolder(world.spools[0]), Describer(world.spools[0], clock))
    records = CallRecords(world.catalogue, line)
    assert records.note(NOW) == 0
    made = made_day(world, 1, lambda place: place == 0)
    assert records.note(NOW) == 1 and records.note(NOW) == 0
    with world.csv.open("a") as out:
        out.write('"half a row')
    assert records.note(NOW) == 0
    assert len(made.legs) == 1
    strange = world.spools[0].model_copy(update={"tenant": "from-facts"})
    world.csv.write_text(world.csv.read_text().replace('"acme"', '"nobody"').replace('"half a row', ""))
    line = ServedSpool(strange, SpoolFolder(strange), Describer(strange, clock))
    assert CallRecords(world.catalogue, line).note(NOW) == 1
    with world.catalogue.read() as work:
        assert len(work.of(world.tenant.id).completeness.records(MIDNIGHT, NOW)) == 1


def test_the_job_tells_of_what_is_new_and_forgets_what_is_old(world: World) -> None:
    made_day(world, 2, lambda place: place in (0, 4))
    world.note()
    tick, grace = Tick(NOW, threading.Event()), timedelta(hours=24)
    done = job.look(world.catalogue, lambda: NOW.astimezone(UTC), grace, tick)
    assert (done["opened"], done["closed"], done["open"], done["forgotten"]) == (2, 0, 2, 0)
    assert metrics.REGISTRY.get_sample_value("recpipe_completeness_findings", {"kind": "missing"}) == 1
    with world.catalogue.read() as work:
        (told,) = work.of(world.tenant.id).audit.list(AuditQuery(action=job.EVENT)).items
    assert told.detail == {"missing": 1, "recorded-in-error": 1, "closed": 0}
    again = job.look(world.catalogue, lambda: NOW.astimezone(UTC), grace, tick)
    assert again["opened"] == 0
    done = job.look(world.catalogue, lambda: (NOW + timedelta(days=31)).astimezone(UTC), grace, tick)
    assert done["forgotten"] == 2 and len(world.findings()) == 2
    job.look(world.catalogue, lambda: (NOW + timedelta(days=402)).astimezone(UTC), grace, tick)
    assert not world.findings() and not world.days()
