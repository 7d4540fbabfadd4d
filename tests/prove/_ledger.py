"""What several runs of `scripts/prove` did, in one file: a line when a part begins, one when it has ended.

A part is some times of one row, with one seed. A run that is killed keeps every part that had ended; one that
had only begun is counted as cut off, and its faults are not.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.prove.table import COUNTS, Proof, Row

_SUMMED = ("injected", *COUNTS, "mended", "seconds")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has ended.

    Attributes:
        asked: so many times it was to inject.
        version: the commit it ran on; with a `+` where files were changed.
        ended: when, UTC, as ISO 8601.
    """

    fault: str
    seed: int
    asked: int
    injected: int
    lost: int
    doubled: int
    leaked: int
    dangling: int
    stuck: int
    mended: int
    seconds: float
    seen: list[str]
    why: str
    version: str
    machine: str
    ended: str

    def row(self) -> Row:
        return Row(self.fault, **{name: getattr(self, name) for name in (*_SUMMED, "seen", "why")})


@dataclass(slots=True)
class Ledger:
    """One such file. Several runs may add to it at once: each line is one write.

    Attributes:
        path: the file, made when something is written.
        version: of what runs now.
    """

    path: Path
    version: str = field(default_factory=lambda: version())

    def begin(self, proof: Proof, seed: int, times: int) -> str:
        """Say that a part begins; the name by which `end` knows it."""
        part = secrets.token_hex(8)
        self._write({"begins": part, "fault": proof.name, "seed": seed, "asked": times, "began": _now()})
        return part

    def end(self, part: str, row: Row, seed: int, times: int) -> None:
        """Keep what a part found."""
        found = {name: getattr(row, name) for name in ("fault", *_SUMMED, "seen", "why")}
        told = {"seed": seed, "asked": times, "version": self.version, "machine": machine(), "ended": _now()}
        self._write({"ends": part, **found, "seconds": round(row.seconds, 1), **told})

    def parts(self) -> list[Part]:
        """All that have ended, in the order in which they did."""
        wanted = {one.name for one in fields(Part)}
        return [
            Part(**{name: value for name, value in line.items() if name in wanted})
            for line in self._lines()
            if "ends" in line
        ]

    def cut_off(self) -> list[str]:
        """The rows of parts that began and did not end, one name a part."""
        lines = self._lines()
        ended = {line.get("ends") for line in lines}
        return [line["fault"] for line in lines if "begins" in line and line["begins"] not in ended]

    def rows(self, proofs: Iterable[Proof]) -> list[Row]:
        """One row for each of these of which something is known, parts added up."""
        parts = self.parts()
        found = []
        for proof in proofs:
            if own := [one.row() for one in parts if one.fault == proof.name]:
                found.append(summed(proof, own))
        return found

    def next_seed(self, proof: Proof, seed: int) -> int:
        """One that no part of this row has had: what injects by seeds takes one a time, from that of its part on."""
        own = [one for one in self.parts() if one.fault == proof.name]
        return max([seed, *(one.seed + max(1, one.injected) for one in own)])

    def told(self) -> Iterable[str]:
        """What the figures are of: versions, machines, times, and what was cut off."""
        parts = self.parts()
        if not parts:
            return
        faults, seconds = sum(one.injected for one in parts), sum(one.seconds for one in parts)
        yield f"{faults:,} faults in {len(parts):,} parts and {seconds / 3600:,.1f} h, the last at {parts[-1].ended}"
        yield f"versions: {', '.join(dict.fromkeys(one.version for one in parts))}"
        yield f"machines: {'; '.join(dict.fromkeys(one.machine for one in parts))}"
        if cut := self.cut_off():
            yield f"cut off or still running, and not counted: {len(cut)} parts ({', '.join(dict.fromkeys(cut))})"

    def _lines(self) -> list[dict[str, Any]]:
        """Every whole line; one that a kill cut is none."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for line in self.path.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    found.append(json.loads(line))
        return found

    def _write(self, line: dict[str, Any]) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            apart = "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
            os.write(descriptor, f"{apart}{json.dumps(line)}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def summed(proof: Proof, rows: Iterable[Row]) -> Row:
    """One row of many; of what is injected at once, the most that was: two halves are no whole."""
    whole = Row(proof.name)
    for row in rows:
        most = max(whole.injected, row.injected)
        for name in _SUMMED:
            setattr(whole, name, getattr(whole, name) + getattr(row, name))
        if proof.at_once:
            whole.injected = most
        whole.seen += row.seen
        whole.why = row.why
    return whole


def version() -> str:
    """The commit that is checked out here, with a `+` where files were changed since."""
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "--short", "HEAD")
    return f"{commit}{'+' if _git(here, 'status', '--porcelain', '--untracked-files=no') else ''}"


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def machine() -> str:
    """Its processors, kernel and Python."""
    python = f"CPython {platform.python_version()}" if sys.implementation.name == "cpython" else sys.version
    return f"{os.cpu_count()} x {platform.machine()}, {platform.system()} {platform.release()}, {python}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
