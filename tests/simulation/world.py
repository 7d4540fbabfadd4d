"""One simulated installation: a spool of three tenants, who writes to it, recpipe, and what must be true at the end.

`acme` is sealed, `globex` is not until somebody switches it on, `initech` is to be sealed and has no certificate yet.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import itertools
import json
import os
import random
import re
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO

from keys import certificate, opening
from recpipe.access.audit import AuditTrail
from recpipe.access.principal import operator
from recpipe.catalogue import Catalogue
from recpipe.errors import CatalogueError, Conflict, NotFound, RecpipeError, SpoolRefused
from recpipe.model import (
    CertificateState,
    Quarantined,
    Recording,
    RecordingQuery,
    StoreFormat,
    Tenant,
    TenantCertificate,
)
from recpipe.pipeline.ingest import Ingest
from recpipe.pipeline.late_cdr import LateRecords
from recpipe.quarantine import QuarantineDecisions
from recpipe.recordings.deletion import RecordingDeletion
from recpipe.recordings.looks import ProblemKind
from recpipe.recordings.reader import Reader
from recpipe.recordings.repair import repair
from recpipe.recordings.verify import verify
from recpipe.recovery_notes import recovery_key
from recpipe.settings import Settings, Spool
from tests.services.certificates import KeyPair
from tests.services.sqlite import new_catalogue
from tests.simulation.faults import Clock, Faults, Killed, SimulatedCatalogue, SimulatedStore, SteppedCommitter, patched

TENANTS = ("acme", "globex", "initech")
_IDS = {name: digit * 32 for name, digit in zip(TENANTS, "789", strict=True)}
_HEADER_BYTES = 44
_SEALS_AFTER_SECONDS = 0.5  # what the pipeline knows of a tenant may be so old


@dataclass
class Call:
    """A file that somebody writes, under all the names and with all the contents that it had when it was closed."""

    tenant: str
    number: int
    path: Path
    stream: BinaryIO | None = None
    data: bytearray = field(default_factory=bytearray)
    closed: set[tuple[str, str]] = field(default_factory=set)  # (name, SHA-256), any of which may be stored
    last: set[tuple[str, str]] = field(default_factory=set)  # one of which must be
    sidecar: bool = False
    in_cdr: bool = False

    @property
    def unique_id(self) -> str:
        return f"{1_790_000_000 + self.number}.{self.number}"

    def content(self) -> bytes:
        return _wave(bytes(self.data))


def _wave(data: bytes) -> bytes:
    size = len(data)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + form + b"data" + struct.pack("<I", size) + data


class World:
    """What a seed acts on. Methods whose names begin with `act_` are the things that happen; wrong ones do nothing."""

    def __init__(self, folder: Path, key_pair: KeyPair, seed: int = 0) -> None:
        random.seed(seed)
        self.clock = Clock(datetime.now(UTC) + timedelta(days=60))  # so that it can be set back
        self.faults = Faults(self.clock)
        self.problems: list[str] = []
        self.calls: list[Call] = []
        self.deleted: dict[str, str] = {}  # tenant by recording id
        self.nonsense: list[str] = []
        self._key_pair = key_pair
        self._numbers = itertools.count()
        self._root = folder
        spool = {"path": folder / "spool", "tenant": "from-path", "layout": "freepbx", "settle_seconds": 2}
        spool |= {"cdr_csv": folder / "Master.csv", "rescan_seconds": 5}
        self.spool = Spool.model_validate(spool)
        self.spool.path.mkdir(parents=True)
        self.settings = Settings(data_dir=folder / "data", spool=(self.spool,))
        (folder / "data").mkdir()
        shutil.copyfile(_installed(key_pair.pem), folder / "data/recpipe.sqlite3")
        self.catalogue = SimulatedCatalogue.open(self.settings.database)
        assert isinstance(self.catalogue, SimulatedCatalogue)
        self.catalogue.faults = self.faults
        self.store = SimulatedStore(self.faults, self.clock, self._watch_for_plaintext)
        self.trail = trail = AuditTrail(self.catalogue, self.clock.now)
        reader = Reader(self.catalogue, self.store, self.clock.now, trail)
        self.disposal = RecordingDeletion(self.catalogue, self.store, reader, self.clock.now)
        self.desk = QuarantineDecisions(self.settings, self.catalogue, self.clock.now, trail)
        self._sealed_since = {_IDS[name]: 0.0 for name in ("acme", "initech")}
        self.ingest: Ingest | None = None
        self._patches = patched(self.clock, self.faults)
        self._patches.__enter__()

    def close(self) -> None:
        """Let go of everything; the folder may be removed."""
        try:
            for call in self.calls:
                if call.stream is not None:
                    call.stream.close()
            self._die()
        finally:
            self._patches.__exit__(None, None, None)
            self.catalogue.close()

    # --- the writers ----------------------------------------------------------------------------------------

    def act_begin(self, tenant: int, how: int) -> None:
        """Somebody begins to write a recording; with `how` of 2 and more under a temporary name."""
        name, number = TENANTS[tenant], next(self._numbers)
        unique_id = f"{1_790_000_000 + number}.{number}"
        path = (
            self.spool.path
            / name
            / f"2026/09/01/out-0301234{number:04}-201-20260901-0925{number % 60:02}-{unique_id}.wav"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        call = Call(name, number, path.with_suffix(".wav.tmp") if how >= 2 else path)
        call.stream = call.path.open("w+b", buffering=0)
        self.calls.append(call)
        self._write(call)
        if how % 2:
            self._finish(call)
        if how == 3:
            self._rename(call, path)

    def act_write(self, which: int) -> None:
        """It goes on; one that was closed is opened again."""
        if (call := self._chosen(which)) is None:
            return
        if call.stream is None:
            with suppress(FileNotFoundError):
                call.stream = call.path.open("r+b", buffering=0)
        if call.stream is not None:
            self._write(call)

    def act_finish(self, which: int) -> None:
        """It puts the sizes into the header and closes."""
        if (call := self._chosen(which)) is not None and call.stream is not None:
            self._finish(call)

    def act_rename(self, which: int) -> None:
        """It takes its final name, or another one."""
        if (call := self._chosen(which)) is None:
            return
        final = call.path.with_suffix("") if call.path.suffix == ".tmp" else call.path
        self._rename(call, final if final != call.path else final.with_name(final.name.replace("-201-", "-202-")))

    def act_sidecar(self, which: int) -> None:
        """A description is put beside it, while it is written."""
        if (call := self._chosen(which)) is None or call.stream is None or call.path.suffix == ".tmp":
            return
        call.sidecar = True
        call.path.with_suffix(".json").write_text(json.dumps({"caller_name": f"Caller {call.number}"}))

    def act_record(self, which: int) -> None:
        """Its call detail record is written."""
        if (call := self._chosen(which)) is None or call.in_cdr:
            return
        call.in_cdr = True
        row = [
            "",
            "0301234",
            "201",
            "from-internal",
            "",
            "PJSIP/201-1",
            "",
            "",
            "",
            "2026-09-01 09:25:00",
            "",
            "",
            "9",
            "8",
        ]
        with self.settings.spool[0].cdr_csv.open("a") as out:  # type: ignore[union-attr]
            out.write(",".join([*row, "ANSWERED", "", call.unique_id, ""]) + "\n")

    def act_nonsense(self, _: int = 0) -> None:
        """A file whose name says nothing."""
        path = self.spool.path / "globex" / f"nonsense{len(self.nonsense)}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_wave(bytes(320)))
        self._touch(path)
        self.nonsense.append(path.name)

    def act_again(self, which: int) -> None:
        """The very file comes once more."""
        if (call := self._chosen(which)) is None or call.stream is not None or call.path.suffix == ".tmp":
            return
        call.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), call.path.open("xb") as out:
            out.write(call.content())
            self._touch(out.fileno())

    # --- time, and people -----------------------------------------------------------------------------------

    def act_wait(self, seconds: int) -> None:
        self.clock.sleep((0.3, 1.0, 2.5, 13.0, 40.0, 400.0)[seconds])

    def act_set_clock(self, direction: int) -> None:
        """Somebody sets the clock on the wall, by a day."""
        self.clock.step(86_400 * (1 if direction else -1))

    def act_certify(self, _: int = 0) -> None:
        """The certificate that `initech` waits for."""
        self._certify("initech")

    def act_seal(self, _: int = 0) -> None:
        """`globex` is to be sealed from now on."""
        if _IDS["globex"] not in self._sealed_since:
            self._certify("globex")
            with self.catalogue.begin() as work:
                work.tenants.update(replace(work.tenants.get(_IDS["globex"]), encryption=True))
            self._sealed_since[_IDS["globex"]] = self.clock.monotonic() + _SEALS_AFTER_SECONDS

    def act_delete(self, which: int) -> None:
        """Somebody deletes a recording; the store may not answer to that."""
        if not (rows := self.rows()):
            return
        row = rows[which % len(rows)]
        self.deleted[row.id] = row.tenant_id
        with suppress(NotFound):
            self.disposal.delete(operator(), [row.id])

    def act_retry(self, which: int) -> None:
        """Somebody has a file tried again that waits."""
        if entries := self.waiting():
            with suppress(SpoolRefused, Conflict, NotFound):
                self.desk.retry(operator(), entries[which % len(entries)].id)

    # --- what goes wrong ------------------------------------------------------------------------------------

    def act_kill(self, steps: int) -> None:
        self.faults.at(steps, self.faults.kill)

    def act_fail(self, steps: int) -> None:
        self.faults.at(steps, self.faults.fail)

    def act_fill_up(self, steps: int) -> None:
        self.faults.at(steps, self.faults.fill_up)

    def act_go_away(self, steps: int, part: int, seconds: int) -> None:
        what = ("store", "database")[part]
        self.faults.at(steps, partial(self.faults.go_away, what, (3.0, 60.0)[seconds]))

    def act_damage(self, _: int = 0) -> None:
        """The next object is taken by half."""
        self.store.damage = True

    def act_interfere(self, steps: int, which: int, what: int) -> None:
        """A writer does something while the process is at it."""
        act = (self.act_write, self.act_finish, self.act_rename, self.act_again)[what]
        self.faults.at(steps, lambda _step: act(which))

    # --- recpipe --------------------------------------------------------------------------------------------

    def act_look(self, times: int) -> None:
        """recpipe does what there is to do."""
        for _ in range(times + 1):
            self._as_process(self._look)

    def act_work(self, _: int = 0) -> None:
        """A worker takes one file, and nobody commits it yet."""
        self._as_process(partial(self._work, most=1))

    def act_stop(self, _: int = 0) -> None:
        """It is stopped as it should be, and starts when it is next looked at."""
        if self.ingest is not None:
            self._as_process(Ingest.stop)
            self.ingest = None

    def _as_process(self, act: Callable[[Ingest], None]) -> None:
        """Do it as the process, which is started where it does not run; and perhaps it ends on the way."""
        try:
            with self.faults.process():
                if self.ingest is None:
                    self.ingest = Ingest(self.settings, self.catalogue, self.store, clock=self.clock.now)
                    self.ingest._open_spools()
                act(self.ingest)
        except Killed:
            self._die()
        except OSError:
            assert self.ingest is None, "only a start may fail"

    def _look(self, ingest: Ingest) -> None:
        for served in ingest._served.values():
            if served.is_open or served.try_to_open(ingest._waiting):
                _tolerant(served.watcher.scan_now)
                _tolerant(partial(ingest._pass_on, served, 0))
                if any(call.in_cdr for call in self.calls):
                    _tolerant(partial(LateRecords(self.catalogue, served.line).join, self.clock.now()))
        self._work(ingest)
        self._committer(ingest).commit()
        ingest._gate.look()
        with suppress(CatalogueError):
            ingest._outcomes.look_at_held()
        self._work(ingest)
        self._committer(ingest).commit()

    def _work(self, ingest: Ingest, most: int = 100) -> None:
        for _ in range(most):
            if not all(part.admits(self.clock.monotonic()) for part in (ingest._gate.store, ingest._gate.database)):
                return
            if (job := ingest._queue.get(timeout_seconds=0)) is None:
                return
            ingest._gate.enter()
            ingest._work_on(job)

    @staticmethod
    def _committer(ingest: Ingest) -> SteppedCommitter:
        assert isinstance(ingest._committer, SteppedCommitter)
        return ingest._committer

    def _die(self) -> None:
        """What the kernel does for a process that is gone."""
        if self.ingest is not None:
            for served in self.ingest._served.values():
                lock = served.line.folder._lock
                if lock._handle is not None:
                    os.close(lock._handle)
                    lock._handle = None
                served.line.folder._control.close()
        self.ingest = None

    # --- at the end -----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Nothing goes wrong any more, every writer finishes, and recpipe has all the time it wants."""
        self.faults.forget()
        self.store.damage = False
        for call in self.calls:
            if call.stream is not None:
                self._finish(call)
            if call.path.suffix == ".tmp":
                self._rename(call, call.path.with_suffix(""))
        self._certify("initech")
        self.act_look(0)
        for seconds in (0.6, 3, 15, 70, 70, 400, 4000, 5600):
            self.clock.sleep(seconds)
            self.act_look(0)
        self.act_stop()
        self.act_look(0)
        # An object that is dated ahead of a clock that was set back counts as young until that clock has caught up.
        dated = [stored.modified_at for stored in self.store.list() if stored.modified_at is not None]
        ahead = max((at - self.clock.now() for at in dated), default=timedelta(0))
        self.clock.sleep(1200 + max(0.0, ahead.total_seconds()))
        self.act_look(1)
        # What a crash leaves of a file that was written to before the next start is an object that nobody looks for.
        looked = verify(self.catalogue, self.store, operator(), clock=self.clock.now, trail=self.trail)
        keys = [recovery_key(self.settings)]
        repair(self.catalogue, self.store, keys, operator(), looked.problems, clock=self.clock.now, trail=self.trail)
        self.act_look(0)

    def check(self) -> list[tuple[str, str]]:
        """What is wrong: (what is counted, in words)."""
        found = [("leaked", problem) for problem in self.problems]
        rows, waiting = self.rows(), self.waiting()
        times = Counter((row.source_name, row.source_sha256) for row in rows)
        found += [("doubled", f"{name} is stored {number} times") for (name, _), number in times.items() if number > 1]
        allowed = {pair for call in self.calls for pair in call.closed}
        found += [
            ("doubled", f"{row.source_name} is stored and was never so written")
            for row in rows
            if (_plain(row.source_name), row.source_sha256) not in allowed
        ]
        there = {(_plain(name), sha256) for name, sha256 in times}
        refused = Counter(_plain(entry.relative) for entry in waiting)
        for call in self.calls:
            gone = {(name, sha256) for name, sha256 in call.last if self._id(call, name, sha256) in self.deleted}
            if call.last and not call.last & there and not gone and not any(refused[name] for name, _ in call.last):
                found.append(("lost", f"{call.path.name} of {call.tenant}"))
            if call.sidecar and call.path.with_suffix(".json").exists():
                found.append(("dangling", f"the sidecar of {call.path.name}"))
        for row in rows:
            found += self._check_row(row)
        keys = {row.object_key for row in rows}
        orphans = [stored.key for stored in self.store.list() if stored.key not in keys]
        found += [("dangling", f"object {key} without a row") for key in orphans]
        found += [("stuck", f"{entry.relative} is {entry.reason}") for entry in waiting if not self._may_wait(entry)]
        for name in self.nonsense:
            if refused[f"globex/{name}"] != 1:
                found.append(("lost" if not refused[f"globex/{name}"] else "doubled", f"{name} in quarantine"))
        assert self.ingest is not None
        found += [("stuck", f"{number} files pending") for number in self.ingest.waiting().values() if number]
        found += [("dangling", f"{path} is left") for path in self._left()]
        found += [("stuck", f"{part}: {why}") for part, why in self.ingest.troubles().items() if why]
        looked = verify(self.catalogue, self.store, operator(), clock=self.clock.now, trail=self.trail)
        counted = (ProblemKind.OBJECT_WITHOUT_ROW, ProblemKind.OBJECT_OF_DELETED)
        found += [("dangling", one.message) for one in looked.problems if one.kind not in counted]
        return found

    def _check_row(self, row: Recording) -> list[tuple[str, str]]:
        tenant = row.source_name.partition("/")[0]
        if row.tenant_id != _IDS[tenant]:
            return [("leaked", f"{row.source_name} belongs to another tenant")]
        if row.id in self.deleted:
            return [("leaked", f"{row.source_name} was deleted and is back")]
        call = next(call for call in self.calls if call.unique_id in row.source_name)
        if call.in_cdr and row.facts.awaits_cdr:
            return [("stuck", f"{row.source_name} waits for a record that is there")]
        try:
            content, _ = self.store._objects[row.object_key]
        except KeyError:
            return [("lost", f"the object of {row.source_name}")]
        if hashlib.sha256(content).hexdigest() != row.stored_sha256:
            return [("lost", f"the object of {row.source_name} is not what was stored")]
        if row.sealed:
            out = io.BytesIO()
            opening.open_envelope(io.BytesIO(content), out, opening.load_private_key(self._key_pair.key_pem))
            content = out.getvalue()
        if hashlib.sha256(content).hexdigest() != row.content_sha256 or _marker(call.number) not in content:
            return [("lost", f"what is in the object of {row.source_name}")]
        return []

    def _may_wait(self, entry: Quarantined) -> bool:
        if Path(entry.relative).name.startswith("nonsense"):
            return entry.reason in ("name-not-understood", "found-in-quarantine")
        return entry.reason == "was-deleted" and bool(self.deleted)

    def _left(self) -> list[str]:
        """Files in the spool that nobody will ever look at again."""
        inside = self.spool.path / ".recpipe"
        found = [p for p in self.spool.path.rglob("*") if p.is_file()]
        return [
            str(path.relative_to(self.spool.path))
            for path in found
            if path.parent != inside and path.relative_to(self.spool.path).parts[:2] != (".recpipe", "quarantine")
        ]

    # --- parts ----------------------------------------------------------------------------------------------

    def rows(self) -> list[Recording]:
        with self.catalogue.read() as work:
            found = []
            for tenant_id in _IDS.values():
                recordings = work.of(tenant_id).recordings
                found += [recordings.get(one.id) for one in recordings.search(RecordingQuery(), limit=1000).items]
            return found

    def waiting(self) -> list[Quarantined]:
        with self.catalogue.read() as work:
            return list(work.quarantine.list(limit=1000).items)

    def _chosen(self, which: int) -> Call | None:
        return self.calls[-1 - which % len(self.calls)] if self.calls else None

    def _write(self, call: Call) -> None:
        assert call.stream is not None
        if not call.data:
            call.stream.write(_wave(b""))
        call.data += _marker(call.number) * 20 + bytes((len(call.data) // 400 % 256,)) * 2
        call.stream.seek(_HEADER_BYTES)
        call.stream.write(call.data)
        self._touch(call.stream.fileno())

    def _finish(self, call: Call) -> None:
        assert call.stream is not None
        call.stream.seek(0)
        call.stream.write(call.content())
        self._touch(call.stream.fileno())
        call.stream.close()
        call.stream = None
        sha256 = hashlib.sha256(call.content()).hexdigest()
        call.last = {(str(call.path.relative_to(self.spool.path)), sha256)} if call.path.suffix == ".wav" else set()
        call.closed |= call.last

    def _rename(self, call: Call, to: Path) -> None:
        try:
            if to.exists():
                return
            call.path.rename(to)
        except FileNotFoundError:
            return
        if call.sidecar:
            with suppress(FileNotFoundError):
                call.path.with_suffix(".json").rename(to.with_suffix(".json"))
        call.path = to
        if call.stream is None:
            pair = (str(to.relative_to(self.spool.path)), hashlib.sha256(call.content()).hexdigest())
            call.last, call.closed = call.last | {pair}, call.closed | {pair}

    def _touch(self, file: Path | int) -> None:
        os.utime(file, ns=(self.clock.time_ns(),) * 2)

    def _id(self, call: Call, name: str, sha256: str) -> str:
        parts = (_IDS[call.tenant].encode(), os.fsencode(name), sha256.encode())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]

    def _certify(self, name: str) -> None:
        with self.catalogue.begin() as work:
            if not work.of(_IDS[name]).certificates.list():
                work.of(_IDS[name]).certificates.add(_certificate(name, self._key_pair.pem))

    def _watch_for_plaintext(self, key: str, content: bytes) -> None:
        since = self._sealed_since.get(key.partition("/")[0])
        if since is not None and self.clock.monotonic() > since and re.search(rb"RIFF|MARK[0-9]{8}", content):
            self.problems.append(f"{key} was stored in the clear")


@functools.cache
def _certificate(name: str, pem: bytes) -> TenantCertificate:
    """One of this tenant, whose key has been proved."""
    vetted = certificate.vet(pem, now=datetime.now(UTC))
    return TenantCertificate(
        id=f"{vetted.fingerprint[:31]}{TENANTS.index(name)}",
        tenant_id=_IDS[name],
        label="",
        der=vetted.der,
        fingerprint=vetted.fingerprint,
        subject=vetted.subject,
        serial=vetted.serial,
        key_bits=vetted.key_bits,
        not_before=vetted.not_before,
        not_after=vetted.not_after,
        synthesised=vetted.synthesised,
        state=CertificateState.PROVEN,
        added_at=datetime.now(UTC),
    )


@functools.cache
def _installed(pem: bytes) -> Path:
    """A catalogue with the tenants, of which every run has a copy: setting it up takes longer than many a run."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with closing(Catalogue.open(new_catalogue(folder / "recpipe.sqlite3"))) as catalogue, catalogue.begin() as work:
        for name, tenant_id in _IDS.items():
            sealed, now = name != "globex", datetime.now(UTC)
            work.tenants.add(Tenant(tenant_id, name, name, "Europe/Berlin", "DE", sealed, StoreFormat.SOURCE, now))
        work.of(_IDS["acme"]).certificates.add(_certificate("acme", pem))
    return folder / "recpipe.sqlite3"


def _marker(number: int) -> bytes:
    return b"MARK%08d" % number


def _plain(name: str) -> str:
    """Without the number that a name gets where it was taken."""
    return re.sub(r"~[0-9]+(?=\.[a-z0-9]+$)", "", name)


def _tolerant(act: Callable[[], object]) -> None:
    """As the threads of the service do: whatever goes wrong is tried again."""
    with suppress(RecpipeError, OSError):
        act()
