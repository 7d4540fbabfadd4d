"""An installation whose store and catalogue are damaged in every way that `recpipe verify` is to find."""

from __future__ import annotations

import hashlib
import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, update

from keys import note
from recpipe import recovery_notes
from recpipe.access.audit import AuditTrail
from recpipe.access.principal import operator
from recpipe.audio.peaks import compute
from recpipe.audio.probe import probe
from recpipe.catalogue import Catalogue, engine, tables
from recpipe.catalogue.figure_tables import figure_value
from recpipe.model import Envelope, Recording, Tenant
from recpipe.recordings.looks import IN_WORK, ProblemKind
from recpipe.recordings.repair import Outcome, repair
from recpipe.recordings.verify import Report, verify
from recpipe.store.directory import DirectoryStore
from recpipe.store.layout import new_object_key
from tests.contracts.catalogue_samples import a_recording, kept_tenant
from tests.services.sqlite import new_catalogue

Found = tuple[ProblemKind, str]  # of what kind, and which object, or whose figures of which day


@dataclass
class Damaged:
    """Two tenants, a folder of objects, and what was done to them.

    Attributes:
        expected: what a look must find, no more and no less.
        mended: the part of it that needs no guess.
    """

    folder: Path
    chance: random.Random
    expected: Counter[Found] = field(default_factory=Counter)
    mended: Counter[Found] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    key: bytes = field(default_factory=note.new_key)

    def __post_init__(self) -> None:
        url = new_catalogue(self.folder / "data/recpipe.sqlite3")
        self.catalogue = Catalogue.open(url)
        self.store = DirectoryStore(self.folder / "objects")
        self.tenants = [kept_tenant(self.catalogue, name=name) for name in ("acme", "globex")]
        self._wave = self.folder / "call.wav"
        self._wave.write_bytes(_wave(0))
        self._audio = probe(self._wave, "call.wav")
        self._peaks = compute(self._wave, self._audio)
        self.recordings: list[Recording] = []
        self._damages = [value for name, value in sorted(vars(type(self)).items()) if name.startswith("do_")]

    def fill(self, number: int) -> None:
        """Store so many more recordings, every third of them sealed."""
        new = [self._stored(self.chance.choice(self.tenants), one) for one in range(number)]
        for start in range(0, len(new), 500):
            with self.catalogue.begin() as work:
                work.add_recordings(new[start : start + 500])
        self.recordings += new

    def damage(self) -> None:
        """Do one more damage, each kind in turn."""
        act: Callable[[Damaged], None] = self._damages[sum(self.times.values()) % len(self._damages)]
        self.times[act.__name__] += 1
        act(self)

    def look(self, **options: Any) -> Report:
        """Look when nothing is in work any more."""
        trail = AuditTrail(self.catalogue, later)
        return verify(self.catalogue, self.store, operator(), clock=later, trail=trail, **options)

    def repair(self, report: Report) -> Outcome:
        trail = AuditTrail(self.catalogue, later)
        return repair(self.catalogue, self.store, [self.key], operator(), report.problems, clock=later, trail=trail)

    # --- damages --------------------------------------------------------------------------------------------

    def do_lose_object(self) -> None:
        one = self._take()
        self._file(one).unlink()
        self._expect(ProblemKind.OBJECT_MISSING, one)

    def do_cut(self) -> None:
        one = self._take()
        self._change(one, lambda content: content[: self.chance.randrange(len(content))])
        self._expect(ProblemKind.OBJECT_DAMAGED, one)

    def do_lengthen(self) -> None:
        one = self._take()
        self._change(one, lambda content: content + b"\0")
        self._expect(ProblemKind.OBJECT_DAMAGED, one)

    def do_flip_a_bit(self) -> None:
        one = self._take()
        bit = self.chance.randrange(8 * one.stored_bytes)

        def flipped(content: bytes) -> bytes:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            return bytes(changed)

        self._change(one, flipped)
        self._expect(ProblemKind.OBJECT_DAMAGED, one)

    def do_swap(self) -> None:
        one, other = self._take(), self._take()
        first, second = self._file(one).read_bytes(), self._file(other).read_bytes()
        self._change(one, lambda _content: second)
        self._change(other, lambda _content: first)
        self._expect(ProblemKind.OBJECT_DAMAGED, one)
        self._expect(ProblemKind.OBJECT_DAMAGED, other)

    def do_lose_row(self) -> None:
        one = self._take()
        self._miscount(one)
        self._sql(delete(tables.recording).where(tables.recording.c.id == one.id))
        self._expect(ProblemKind.OBJECT_WITHOUT_ROW, one, mended=True)

    def do_lose_row_and_note(self) -> None:
        one = self._take()
        self._miscount(one)
        self._sql(delete(tables.recording).where(tables.recording.c.id == one.id))
        content = self._file(one).read_bytes()
        self.store.delete(one.object_key)
        self.store.put(one.object_key, io.BytesIO(content), len(content))
        self._expect(ProblemKind.OBJECT_WITHOUT_ROW, one)

    def do_write_wrong_size_into_row(self) -> None:
        one = self._take()
        self._miscount(one)
        self._set(one, stored_bytes=one.stored_bytes + 1)
        self._expect(ProblemKind.OBJECT_DAMAGED, one)

    def do_write_wrong_checksum_into_row(self) -> None:
        one = self._take()
        self._set(one, stored_sha256="0" * 64)
        self._expect(ProblemKind.OBJECT_DAMAGED, one)

    def do_write_wrong_key_into_row(self) -> None:
        one = self._take()
        wrong = replace(one, object_key=new_object_key(one.tenant_id, one.id, "s9"))
        self._set(one, object_key=wrong.object_key)
        self._expect(ProblemKind.OBJECT_MISSING, wrong)
        self._expect(ProblemKind.OBJECT_WITHOUT_ROW, one)

    def do_add_stranger(self) -> None:
        key = f"notes/{self.chance.randbytes(4).hex()}.txt"
        self.store.put(key, io.BytesIO(b"to do"), 5)
        self.expected[ProblemKind.OBJECT_WITHOUT_ROW, key] += 1

    def do_add_object_of_unknown_tenant(self) -> None:
        one = self._stored(replace(self.tenants[0], id=self.chance.randbytes(16).hex()), 0)
        self._expect(ProblemKind.OBJECT_WITHOUT_ROW, one)

    def do_upload_twice(self) -> None:
        one = self._take()
        again = replace(one, object_key=new_object_key(one.tenant_id, one.id, "s1"))
        self._put(again, self._file(one).read_bytes())
        self._expect(ProblemKind.OBJECT_WITHOUT_ROW, again, mended=True)

    def do_delete_all_but_the_object(self) -> None:
        one = self._take()
        with self.catalogue.begin() as work:
            work.of(one.tenant_id).recordings.delete(one.id, datetime.now(UTC), "ann")
        self._expect(ProblemKind.OBJECT_OF_DELETED, one, mended=True)

    def do_lose_waveform(self) -> None:
        one = self._take(sealed=False)
        self._set(one, peaks=b"")
        self._expect(ProblemKind.WAVEFORM_MISSING, one, mended=True)

    def do_lose_figures(self) -> None:
        one = self._take()
        mine = figure_value.c.tenant_id == one.tenant_id
        self._sql(delete(figure_value).where(mine, figure_value.c.dimension == "direction"))
        self._miscount(one)

    # --- parts ----------------------------------------------------------------------------------------------

    def _stored(self, tenant: Tenant, number: int) -> Recording:
        sealed = number % 3 == 0
        content = self.chance.randbytes(700) if sealed else _wave(self.chance.getrandbits(32))
        digest = hashlib.sha256(content).hexdigest()
        bare = a_recording(tenant)
        recording = replace(
            bare,
            object_key=new_object_key(tenant.id, bare.id, "s1"),
            stored_bytes=len(content),
            stored_sha256=digest,
            content_bytes=len(content),
            content_sha256=digest,
            audio=self._audio,
            envelope=Envelope(100, 600, b"\0" * 16, (digest,)) if sealed else None,
            peaks=b"" if sealed else self._peaks,
        )
        self._put(recording, content)
        return recording

    def _put(self, recording: Recording, content: bytes) -> None:
        closed = recovery_notes.note_of(self.key, recording, "acme")
        self.store.put(recording.object_key, io.BytesIO(content), len(content), lambda _sha256: closed)

    def _take(self, *, sealed: bool | None = None) -> Recording:
        """A recording that nothing has been done to."""
        able = [one for one in self.recordings if sealed is None or one.sealed == sealed]
        one = self.chance.choice(able)
        self.recordings.remove(one)
        return one

    def _file(self, recording: Recording) -> Path:
        return self.folder / "objects" / recording.object_key

    def _change(self, recording: Recording, changed: Callable[[bytes], bytes]) -> None:
        path = self._file(recording)
        content = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(changed(content))

    def _set(self, recording: Recording, **values: object) -> None:
        self._sql(update(tables.recording).where(tables.recording.c.id == recording.id).values(**values))

    def _sql(self, statement: object) -> None:
        with engine.transaction(self.catalogue._engine, self.catalogue._lock, reads=False) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def _expect(self, kind: ProblemKind, recording: Recording, *, mended: bool = False) -> None:
        self.expected[kind, recording.object_key] += 1
        if mended:
            self.mended[kind, recording.object_key] += 1

    def _miscount(self, recording: Recording) -> None:
        """The figures of its tenant's day are wrong now, once however often."""
        name = next(tenant.name for tenant in self.tenants if tenant.id == recording.tenant_id)
        found = (ProblemKind.FIGURES_DIFFER, f"{name} {recording.started_at:%Y-%m-%d}")
        self.expected[found] = self.mended[found] = 1


@contextmanager
def damaged(folder: Path, seed: int, recordings: int, damages: int) -> Iterator[Damaged]:
    """An installation of so many recordings with so many damages."""
    made = Damaged(folder, random.Random(seed))
    try:
        made.fill(recordings)
        for _ in range(damages):
            made.damage()
        yield made
    finally:
        made.catalogue.close()


def found(report: Report) -> Counter[Found]:
    """What a look found, to be compared with what is expected."""
    return Counter((one.kind, one.object_key or f"{one.tenant} {one.day}") for one in report.problems)


def later() -> datetime:
    """When nothing that is stored now is in work any more."""
    return datetime.now(UTC) + 2 * IN_WORK + timedelta(seconds=1)


def _wave(seed: int) -> bytes:
    data = random.Random(seed).randbytes(640)
    head = bytes.fromhex("666d742010000000010001 00401f0000803e000002001000".replace(" ", ""))
    return (
        b"RIFF"
        + (36 + len(data)).to_bytes(4, "little")
        + b"WAVE"
        + head
        + b"data"
        + len(data).to_bytes(4, "little")
        + data
    )
