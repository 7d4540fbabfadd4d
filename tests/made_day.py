"""A made day of a call centre: what its two PBXs write down, what recpipe told them, what arrived, and what is wrong.

Everything that goes wrong harmlessly all day is in it as well, so that whoever finds the defects is also shown not to
cry wolf.
"""

from __future__ import annotations

import csv
import io
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.model import CallState, Decision, Direction, Recording, Tenant, Verdict
from tests.contracts.catalogue_samples import a_recording

ZONE = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 11, 20, tzinfo=ZONE)
NOW = MIDNIGHT + timedelta(days=1, hours=18)  # calls of the evening may still come
ROUTE, CLERK = "route:+4930123456", "extension:203:outbound"


@dataclass
class Leg:
    """A row of the file that Asterisk writes."""

    unique: str
    linked: str
    start: datetime
    source: str = "0821555"
    destination: str = "201"
    context: str = "from-internal"
    channel: str = "PJSIP/trunk-1"
    answered_by: str = "PJSIP/201-1"
    talked: int = 60
    disposition: str = "ANSWERED"
    recording: str = ""

    def row(self) -> list[str]:
        local = f"{self.start.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
        about = ["acme", self.source, self.destination, self.context, f'"Jane" <{self.source}>', self.channel]
        times = ["Dial", "x", local, local, local, str(self.talked + 5), str(self.talked), self.disposition]
        return [
            *about,
            self.answered_by,
            *times,
            "DOCUMENTATION",
            self.unique,
            "",
            "",
            self.linked,
            "7",
            self.recording,
        ]


@dataclass
class MadeDay:
    """Make it, write it down, and compare.

    Attributes:
        defects: how many of each kind were made, by what shall be found.
    """

    tenant: Tenant
    cdr_csv: Path
    cdr_dir: Path
    seed: int = 1
    defects: Counter[CallState] = field(default_factory=Counter)
    legs: list[Leg] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    calls: int = 0

    def make(self, calls: int, of_each: Callable[[int], int]) -> None:
        """So many calls, and of each of the ten kinds of defect as many as `of_each` says."""
        self.random = random.Random(self.seed)
        for place, (defect, found) in enumerate(self._kinds()):
            for _ in range(of_each(place)):
                defect()
                self.calls += 1
                self.defects[found] += 1
        harmless = list(self._harmless())
        while self.calls < calls:
            harmless[self.calls % len(harmless)]()
            self.calls += 1

    def keep(self, catalogue: Catalogue) -> None:
        """Write down what PBXs say, and keep what recpipe told them and what arrived."""
        self.random.shuffle(self.legs)
        out = io.StringIO()
        csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(leg.row() for leg in self.legs)
        self.cdr_csv.write_text(out.getvalue())
        with catalogue.begin() as work:
            work.decisions.add(self.decisions)
            for start in range(0, len(self.recordings), 1000):
                work.add_recordings(self.recordings[start : start + 1000])
            for relative in self.waiting:
                work.quarantine.record(
                    spool="freepbx",
                    path=f"/q/{relative}",
                    relative=relative,
                    tenant_id=self.tenant.id,
                    reason="empty",
                    message="",
                    held=False,
                    size_bytes=44,
                    at=NOW,
                )

    def delete(self, catalogue: Catalogue) -> None:
        """Delete what somebody asked to have deleted."""
        with catalogue.begin() as work:
            work.of(self.tenant.id).recordings.delete_many(self.deleted, NOW, "ann")

    # --- ten kinds of defect ------------------------------------------------------------------------------

    def _kinds(self) -> list[tuple[Callable[[], None], CallState]]:
        return [
            (self.named_and_lost, CallState.MISSING),
            (self.told_and_lost, CallState.MISSING),
            (self.second_of_a_transfer_lost, CallState.MISSING),
            (self.lost_on_freeswitch, CallState.MISSING),
            (self.recorded_though_skipped, CallState.IN_ERROR),
            (self.recorded_though_skipped_under_another_leg, CallState.IN_ERROR),
            (self.cut_short, CallState.DIFFERS),
            (self.runs_on, CallState.DIFFERS),
            (self.silent_from_the_start, CallState.DIFFERS),
            (self.of_no_call, CallState.NO_CALL_RECORD),
        ]

    def named_and_lost(self) -> None:
        self._outbound()

    def told_and_lost(self) -> None:
        leg = self._outbound(named=False)
        self._told(leg, Verdict.RECORD)

    def second_of_a_transfer_lost(self) -> None:
        first, _ = self._transfer()
        self._came(first)

    def lost_on_freeswitch(self) -> None:
        self._freeswitch()

    def recorded_though_skipped(self) -> None:
        leg = self._outbound(named=False)
        self._told(leg, Verdict.SKIP)
        self._came(leg)

    def recorded_though_skipped_under_another_leg(self) -> None:
        first, second = self._transfer(named=False)
        self._told(first, Verdict.SKIP)
        self._came(second)

    def cut_short(self) -> None:
        self._came(leg := self._outbound(talked=400), seconds=leg.talked // 2)

    def runs_on(self) -> None:
        self._came(self._outbound(talked=20), seconds=7200)

    def silent_from_the_start(self) -> None:
        self._came(self._queue(), seconds=0)

    def of_no_call(self) -> None:
        self._came(Leg(*self._ids()[:2], self._when()))

    # --- what is harmless ---------------------------------------------------------------------------------

    def _harmless(self) -> Iterator[Callable[[], None]]:
        yield lambda: self._came(self._outbound())
        yield lambda: self._came(self._told(self._outbound(named=False), Verdict.RECORD))
        yield lambda: self._came(self._told(self._outbound(), Verdict.RECORD))
        yield lambda: self._came(self._queue())
        yield lambda: [self._came(leg) for leg in self._transfer()] and None
        yield lambda: self._freeswitch(seconds=60)
        yield lambda: self._freeswitch(seconds=2, discarded=True)
        yield self._unanswered
        yield lambda: self._queue(abandoned=True) and None
        yield lambda: self._told(self._outbound(named=False), Verdict.SKIP) and None
        yield lambda: self._told(self._outbound(named=False), Verdict.DEFAULT) and None
        yield lambda: self._outbound(named=False) and None
        yield lambda: self._outbound(talked=0) and None
        yield lambda: self.waiting.append(f"2026/11/20/{self._outbound().recording}")
        yield lambda: self._outbound(start=MIDNIGHT + timedelta(hours=19, minutes=self.random.randrange(280))) and None
        yield self._came_with_a_guessed_start
        yield self._came_and_was_deleted
        yield self._over_midnight
        yield lambda: self._came(self._queue(), seconds=20)  # the caller waited, which is no recording

    def _unanswered(self) -> None:
        leg = self._outbound(talked=0, disposition=self.random.choice(["NO ANSWER", "BUSY", "FAILED"]))
        self._told(leg, Verdict.RECORD)

    def _came_with_a_guessed_start(self) -> None:
        self._came(self._outbound(), start=NOW + timedelta(hours=30))

    def _came_and_was_deleted(self) -> None:
        self._came(self._outbound())
        self.deleted.append(self.recordings[-1].id)

    def _over_midnight(self) -> None:
        first, second = self._transfer(start=MIDNIGHT + timedelta(hours=23, minutes=59))
        second.start = MIDNIGHT + timedelta(days=1, minutes=2)
        self._came(first)
        self._came(second)

    # --- calls --------------------------------------------------------------------------------------------

    def _when(self) -> datetime:
        """In business hours: by `NOW` the time of grace is over."""
        return MIDNIGHT + timedelta(hours=8, seconds=self.random.randrange(9 * 3600))

    def _ids(self, start: datetime | None = None) -> tuple[str, str, datetime]:
        start = start or self._when()
        unique = f"{int(start.timestamp())}.{len(self.legs) + len(self.recordings) + 100_000 + self.calls}"
        return unique, unique, start

    def _outbound(
        self,
        *,
        named: bool = True,
        talked: int | None = None,
        disposition: str = "ANSWERED",
        start: datetime | None = None,
    ) -> Leg:
        unique, linked, start = self._ids(start)
        talked = self.random.randrange(30, 900) if talked is None else talked
        leg = Leg(
            unique,
            linked,
            start,
            source="203",
            destination="0301234567",
            channel="PJSIP/203-1",
            answered_by="PJSIP/trunk-9",
            talked=talked,
            disposition=disposition,
        )
        leg.recording = f"out-0301234567-203-{start:%Y%m%d-%H%M%S}-{unique}.wav" if named else ""
        self.legs.append(leg)
        return leg

    def _queue(self, *, abandoned: bool = False) -> Leg:
        unique, linked, start = self._ids()
        name = f"q-600-0821555-{start:%Y%m%d-%H%M%S}-{unique}.wav"
        about = {"destination": "600", "context": "ext-queues", "talked": 90, "recording": name}
        leg = Leg(unique, linked, start, **about, answered_by="" if abandoned else "PJSIP/201-1")  # type: ignore[arg-type]
        self.legs.append(leg)
        for extension in ("202", "204"):
            rung = Leg(f"{unique}{extension}", linked, start, answered_by=f"PJSIP/{extension}-1", talked=0)
            rung.disposition, rung.recording = "NO ANSWER", name
            self.legs.append(rung)
        return leg

    def _transfer(self, *, named: bool = True, start: datetime | None = None) -> tuple[Leg, Leg]:
        unique, linked, start = self._ids(start)
        first = Leg(unique, linked, start, talked=40)
        later = start + timedelta(seconds=45)
        second = Leg(f"{int(later.timestamp())}.{unique[-6:]}9", linked, later, destination="204")
        second.answered_by = "PJSIP/204-1"
        if named:
            first.recording = f"external-201-0821555-{start:%Y%m%d-%H%M%S}-{first.unique}.wav"
            second.recording = f"external-204-0821555-{later:%Y%m%d-%H%M%S}-{second.unique}.wav"
        self.legs += [first, second]
        return first, second

    def _freeswitch(self, seconds: int = 0, *, discarded: bool = False) -> None:
        """A call of the other PBX; recorded for so long, or lost."""
        start, call = self._when(), str(uuid.UUID(int=self.random.getrandbits(128)))
        micros, talked = int(start.timestamp()) * 1_000_000, seconds or 60
        variables = {
            "start_uepoch": micros,
            "answer_uepoch": micros + 1_000_000,
            "billmsec": talked * 1000,
            "domain_name": "acme",
            "caller_id_number": "0821555",
            "destination_number": "301",
            "record_session": "true",
            "record_name": f"{call}.wav",
            "record_path": "/var/lib/freeswitch/recordings/acme/archive",
            "record_ms": talked * 1000,
        } | ({"RECORD_DISCARDED": "true"} if discarded else {})
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in variables.items())
        (self.cdr_dir / f"a_{call}.cdr.xml").write_text(f"<cdr><variables>{inside}</variables></cdr>")
        if seconds and not discarded:
            self._came(Leg(call, "", start, talked=seconds), spool="fusionpbx")

    def _told(self, leg: Leg, verdict: Verdict) -> Leg:
        rule, direction = (CLERK, Direction.OUTBOUND) if leg.source == "203" else (ROUTE, Direction.INBOUND)
        made = Decision(
            new_id(), self.tenant.id, leg.start, "pbx1", leg.unique, leg.linked, direction, "", verdict, rule, 3
        )
        self.decisions.append(made)
        return leg

    def _came(
        self, leg: Leg, *, seconds: int | None = None, start: datetime | None = None, spool: str = "freepbx"
    ) -> None:
        """The recording of a leg: nobody's clock and no two recorders are exact."""
        lasts = leg.talked if seconds is None else seconds
        lasts_ms = lasts * 1000 - self.random.randrange(900) if lasts else 0
        at = (start or leg.start).astimezone(UTC)
        facts = {"call_id": leg.unique, "linked_id": leg.linked, "extension": "201"}
        made = a_recording(self.tenant, caller="0821555", facts=facts, started_at=at, duration_ms=lasts_ms, spool=spool)
        self.recordings.append(made)
