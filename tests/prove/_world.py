"""One small installation in a folder of its own, what was put into it, and whether all of that is still right."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import secrets
import shutil
import struct
import subprocess
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from recpipe import recovery_notes, settings, wiring
from recpipe.access.principal import operator
from recpipe.model import Recording
from recpipe.recordings.looks import ProblemKind
from recpipe.recordings.repair import repair
from recpipe.recordings.verify import verify
from recpipe.store.base import Store
from tests.prove._processes import Nursery, Process
from tests.prove.table import Row
from tests.services.certificates import spare_key

SEALED_WORDS = b"WORDS-OF-A-SEALED-CALL-"
_SECONDS = 60.0
_BITS = 2048


class Backend(Protocol):
    """Where the catalogue and the objects of an installation are."""

    def variables(self, folder: Path) -> dict[str, str]: ...

    def copy(self, template: Path, folder: Path) -> None:
        """Make `folder`'s catalogue a copy of the template's, and its store empty."""
        ...

    def drop(self, folder: Path) -> None: ...


class Embedded:
    """SQLite and a folder, in the data dir."""

    def variables(self, folder: Path) -> dict[str, str]:
        return {}

    def copy(self, template: Path, folder: Path) -> None:
        pass  # it lies in the data dir

    def drop(self, folder: Path) -> None:
        pass


def wav(words: bytes, seconds: float = 0.3) -> bytes:
    """A recording in whose audio these words can be found, as they are."""
    frames = int(8000 * seconds)
    body = (words + b"\0" * (len(words) % 2)) * (2 * frames // len(words) + 1)
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(body[: 2 * frames])
    return made.getvalue()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that was given to the installation."""

    spool: str
    relative: str
    content: bytes
    good: bool = True

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True)
class World:
    """An installation: tenants `plain` and `sealed`, each with a spool of its own; a proof may add others like `plain`.

    `plain` deletes what is stored, `sealed` archives it; every recording of `sealed` has a sidecar.
    """

    folder: Path
    nursery: Nursery
    backend: Backend
    dropped: list[Dropped] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)  # variables
    marks: dict[str, str] = field(default_factory=dict)  # what one step of a story tells the next
    keys: list[Path] = field(default_factory=list)  # private keys of `sealed`
    logs: list[Path] = field(default_factory=list)
    others: tuple[str, ...] = ()  # tenants like `plain`

    def __post_init__(self) -> None:
        self.keys.append(self.folder / "key.pem")

    # --- what it is made of -------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def variables(self) -> dict[str, str]:
        own = {"RECPIPE_DATA_DIR": str(self.data), "TMPDIR": str(self.folder / "tmp")}
        return own | self.backend.variables(self.folder) | self.more

    @property
    def spools(self) -> tuple[str, ...]:
        """Their names, which are those of their tenants."""
        return ("plain", "sealed", *self.others)

    def configure(self, **spool: object) -> None:
        """Write recpipe.toml and make the folders; further keys go into every spool."""
        text = ""
        for name in self.spools:
            layout, after = ("sidecar", "archive") if name == "sealed" else ("freepbx", "delete")
            keys: dict[str, object] = {"path": str(self.folder / name), "tenant": name, "layout": layout}
            keys |= {"settle_seconds": 0, "rescan_seconds": 0.5, "timezone": "Europe/Berlin", "after": after}
            keys |= {"archive": str(self.folder / f"archive-{name}")} if after == "archive" else {}
            text += "[[spool]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in (keys | spool).items())
        (self.folder / "recpipe.toml").write_text(text)
        for name in ("tmp", *self.spools):
            (self.folder / name).mkdir(exist_ok=True)

    def fork(self, *arguments: str) -> Process:
        log = self.folder / f"log-{secrets.token_hex(4)}"
        self.logs.append(log)
        return self.nursery.fork(arguments, self.variables, self.folder, log)

    def run(self, *arguments: str, seconds: float = _SECONDS) -> int:
        """Run a command to its end; its exit code."""
        process = self.fork(*arguments)
        process.go()
        return process.wait(seconds)

    def must(self, *arguments: str) -> None:
        status = self.run(*arguments)
        assert status == 0, f"recpipe {' '.join(arguments)}: {status}: {self.log()[-2000:]}"

    def log(self) -> str:
        """What all its processes said, in their order."""
        return "".join(path.read_text(errors="replace") for path in self.logs if path.exists())

    # --- what is put into it ------------------------------------------------------------------------------

    def fill(self, number: int, *, bad: bool = True) -> None:
        """Recordings with sidecars: `number` of each tenant, and one that goes to quarantine."""
        for one in range(number):
            self.drop("plain", f"out-0301234{one:04}-201-20260901-0925{one % 60:02}-{1_790_000_000 + one}.{one}.wav")
            self.drop("sealed", f"call-{one}.wav", sidecar={"caller": f"+4930777{one:04}", "callee": "201"})
        if bad:
            self.drop(
                "plain", "nothing-that-freepbx-writes.wav", sidecar={"caller": "+49301"}, content=b"no audio " * 99
            )

    def more_files(self, number: int) -> None:
        """Further recordings of each tenant in turn."""
        for one in range(number):
            spool = self.spools[one % len(self.spools)]
            name = f"out-0309876{one:04}-202-20260902-1025{one % 60:02}-{1_790_090_000 + one}.{one}.wav"
            self.drop(spool, name, sidecar={"caller": "+4930999"} if spool == "sealed" else None)

    def drop(
        self, spool: str, relative: str, *, sidecar: dict[str, str] | None = None, content: bytes | None = None
    ) -> Dropped:
        """Put a file into a spool as a PBX does; bytes of its own unless they are given."""
        words = SEALED_WORDS if spool == "sealed" else b"WORDS-OF-A-PLAIN-CALL-"
        made = Dropped(
            spool, relative, wav(words + secrets.token_hex(8).encode()) if content is None else content, content is None
        )
        target = self.folder / spool / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if sidecar is not None:
            target.with_name(f"{target.name}.json").write_text(
                json.dumps({"started_at": "2026-09-01T09:25:00", "direction": "outbound"} | sidecar)
            )
        target.write_bytes(made.content)
        self.dropped.append(made)
        return made

    # --- whether it is right --------------------------------------------------------------------------------

    def leaks(self) -> list[str]:
        """Files outside spools and archives that hold words of a sealed call."""
        return self.holding(SEALED_WORDS)

    def holding(self, words: bytes) -> list[str]:
        """Files outside spools and archives that hold these bytes."""
        allowed = {*self.spools, "archive-sealed"}
        return [
            str(path.relative_to(self.folder))
            for top in self.folder.iterdir()
            if top.name not in allowed
            for path in ([top] if top.is_file() else top.rglob("*"))
            if path.is_file() and words in path.read_bytes()
        ]

    def settings(self) -> settings.Settings:
        with _environment(self.variables):
            return settings.load(self.folder / "recpipe.toml")

    @contextlib.contextmanager
    def parts(self) -> Iterator[wiring.Parts]:
        with wiring.open_parts(self.settings()) as parts:
            yield parts

    def partials(self) -> list[str]:
        """Temporary files of the directory store; ask before anything opens it, which sweeps them."""
        return [path.name for path in (self.data / "objects/.partial").glob("*")]

    def judge(self, row: Row, story: str) -> None:
        """Count what is not as it should be once every file has reached its end."""
        for name in self.partials():
            row.add(f"{story}: temporary object {name} stays", dangling=1)
        for name in self.leaks():
            row.add(f"{story}: words of a sealed call in {name}", leaked=1)
        with self.parts() as parts:
            self._repair(row, story, parts)
            rows = rows_of(parts)
            objects = {one.key: one.size_bytes for one in parts.store.list()}
            self._judge_rows(row, story, rows, parts.store, objects)
            for key in objects.keys() - {one.object_key for one in rows}:
                row.add(f"{story}: object {key} has no row", dangling=1)
            listed = Counter(entry.relative for entry in parts_waiting(parts))
        self._judge_spools(row, story, listed)

    def _repair(self, row: Row, story: str, parts: wiring.Parts) -> None:
        """Do what `recpipe verify --repair` does, an hour from now: what it cannot mend is wrong."""
        in_an_hour = lambda: parts.clock() + timedelta(hours=1)  # noqa: E731 - nothing is in work any more by then
        keys = [recovery_notes.recovery_key(parts.settings)]
        report = verify(parts.catalogue, parts.store, operator(), clock=in_an_hour, trail=parts.trail)
        by = operator()
        done = repair(parts.catalogue, parts.store, keys, by, report.problems, clock=in_an_hour, trail=parts.trail)
        row.came_mended(len(done.mended))
        for problem in done.left:
            lost = problem.kind in (ProblemKind.OBJECT_MISSING, ProblemKind.OBJECT_DAMAGED)
            row.add(f"{story}: verify --repair leaves {problem.kind}: {problem.message}", dangling=1, lost=int(lost))

    def _judge_rows(self, row: Row, story: str, rows: list[Recording], store: Store, objects: dict[str, int]) -> None:
        stored = Counter((one.spool, one.source_name, one.source_sha256) for one in rows)
        for one in self.dropped:
            number = stored.pop((one.spool, one.relative, one.sha256), 0)
            if (one.good and number > 1) or (not one.good and number):
                row.add(f"{story}: {one.relative} has {number} rows", doubled=1)
            elif one.good and not number:
                kept = any(one.content == path.read_bytes() for path in self.files(one.spool, hidden=True))
                words = f"{story}: {one.relative} is not stored, {'but kept' if kept else 'and gone'}"
                row.add(f"{words}\n{self.log()[-3000:]}", **{"stuck" if kept else "lost": 1})
        for strange in stored:
            row.add(f"{story}: a row nobody asked for: {strange}", doubled=1)
        wanted = {(one.spool, one.relative, one.sha256): one for one in self.dropped}
        for one in rows:
            source = wanted.get((one.spool, one.source_name, one.source_sha256))
            if one.object_key not in objects:
                row.add(f"{story}: {one.source_name} has no object", dangling=1, lost=1)
            elif source and not self._whole(one, source, store):
                row.add(f"{story}: the object of {one.source_name} is not what was stored", lost=1)

    def _whole(self, recording: Recording, source: Dropped, store: Store) -> bool:
        with store.read(recording.object_key) as stream:
            stored = stream.read()
        if hashlib.sha256(stored).hexdigest() != recording.stored_sha256:
            return False
        if recording.sealed:
            stored = next((plain for key in self.keys if (plain := self.opened(stored, key))), b"")
        if hashlib.sha256(stored).hexdigest() != recording.content_sha256:
            return False
        return _audio(source.content) in stored

    def opened(self, stored: bytes, key: Path | None = None) -> bytes:
        """What an envelope holds, by openssl; nothing where the key does not fit."""
        command = ["openssl", "smime", "-decrypt", "-binary", "-inform", "DER", "-inkey", str(key or self.keys[0])]
        done = subprocess.run(command, input=stored, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else b""

    def _judge_spools(self, row: Row, story: str, listed: Counter[str]) -> None:
        for spool in self.spools:
            control = self.folder / spool / ".recpipe"
            for path in self.files(spool):
                words = f"{story}: {path.relative_to(self.folder)} stays in the spool"
                row.add(f"{words}\n{self.log()[-3000:]}", dangling=1)
            for name in (
                "aside",
                "removing",
                "scratch",
                "incoming",
            ):  # marks in `whole` hold nothing, and go after a day
                for path in control.glob(f"{name}/*"):
                    row.add(f"{story}: {path.relative_to(self.folder)} stays", dangling=1)
            aside = Counter(path.read_bytes() for path in control.glob("quarantine/**/*") if path.is_file())
            for content, number in aside.items():
                if number > 1:
                    row.add(f"{story}: {number} times in quarantine: {content[:30]!r}", doubled=1)
            for one in self.dropped:
                if one.spool == spool and not one.good and (aside[one.content], listed[one.relative]) != (1, 1):
                    row.add(
                        f"{story}: {one.relative} is {aside[one.content]} times in quarantine, "
                        f"{listed[one.relative]} times listed",
                        **{"doubled" if aside[one.content] > 1 or listed[one.relative] > 1 else "lost": 1},
                    )
        archive = self.folder / "archive-sealed"
        archived = Counter(path.read_bytes() for path in archive.rglob("*.wav"))
        for one in (one for one in self.dropped if one.spool == "sealed" and one.good):
            if archived[one.content] != 1:
                kind = "doubled" if archived[one.content] else "lost"
                row.add(f"{story}: {one.relative} is {archived[one.content]} times in the archive", **{kind: 1})
            elif not (archive / f"{one.relative}.json").exists():
                row.add(f"{story}: the sidecar of {one.relative} is not in the archive", lost=1)

    def is_drained(self) -> bool:
        """Whether nothing is left in the spools but what recpipe keeps there itself, or waits for its last look."""
        places = ((self.files(spool), (self.folder / spool / ".recpipe").glob("aside/*")) for spool in self.spools)
        return not any(True for both in places for files in both for _ in files)

    def files(self, spool: str, *, hidden: bool = False) -> Iterator[Path]:
        for path in (self.folder / spool).rglob("*"):
            if path.is_file() and (hidden or ".recpipe" not in path.parts):
                yield path


def rows_of(parts: wiring.Parts) -> list[Recording]:
    """All recordings of all tenants, without asking for too many at once."""
    found: list[Recording] = []
    with parts.catalogue.read() as work:
        for tenant in work.tenants.list():
            recordings, previous = work.of(tenant.id).recordings, None
            while page := list(recordings.after(previous)):
                found += page
                previous = page[-1]
    return found


def self_signed(key: Path, certificate: Path) -> None:
    """Make a key pair as a tenant does."""
    key.write_text(spare_key(_BITS))
    command = ["openssl", "req", "-new", "-x509", "-key", str(key), "-subj", "/CN=sealed", "-days", "3650"]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)


def wait_for(condition: Callable[[], bool], seconds: float = 30.0, every: float = 0.02) -> bool:
    """Whether it came true in time, asked `every` so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def parts_waiting(parts: wiring.Parts) -> Iterable[object]:
    with parts.catalogue.read() as work:
        return list(work.quarantine.list(limit=1000).items)


def _audio(content: bytes) -> bytes:
    at = content.index(b"data")
    (size,) = struct.unpack("<I", content[at + 4 : at + 8])
    return content[at + 8 : at + 8 + size]


_environment_lock = threading.Lock()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    with _environment_lock:
        before = dict(os.environ)
        os.environ.update(variables)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@dataclass(slots=True)
class Worlds:
    """Makes worlds by copying one that was set up by its commands."""

    root: Path
    nursery: Nursery
    backend: Backend
    template: World
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, root: Path, nursery: Nursery, backend: Backend | None = None, *, stored: bool = False) -> Worlds:
        backend = backend or Embedded()
        template = World(root / "template", nursery, backend)
        template.folder.mkdir(parents=True)
        template.configure()
        certificate = template.folder / "certificate.pem"
        self_signed(template.keys[0], certificate)
        for tenant in ("plain", "sealed"):
            template.must("tenant", "create", tenant, "--timezone", "Europe/Berlin", "--region", "DE")
        template.must("certificate", "add", "sealed", str(certificate), "--vouch")
        template.must("tenant", "set", "sealed", "--encryption", "on")
        if stored:
            template.fill(2, bad=False)
            template.must("ingest", "--once")
        return cls(root, nursery, backend, template)

    @contextlib.contextmanager
    def one(self) -> Iterator[World]:
        """A fresh installation, removed afterwards."""
        folder, there = self.root / f"world-{next(self._numbers)}", list(self.template.dropped)
        world = World(folder, self.nursery, self.backend, there)
        shutil.copytree(self.template.folder, world.folder)
        world.configure()
        self.backend.copy(self.template.folder, world.folder)
        try:
            yield world
        finally:
            self.backend.drop(world.folder)
            shutil.rmtree(world.folder, ignore_errors=True)
