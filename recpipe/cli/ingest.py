"""`recpipe ingest`: drain the spools once, or import a folder, with a bar and a summary."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from recpipe import wiring
from recpipe.cli import interrupts
from recpipe.errors import SettingsInvalid
from recpipe.pipeline.ingest import Ingest
from recpipe.pipeline.outcomes import Counts
from recpipe.settings import Settings, Spool
from recpipe.spool.files import safe_text
from recpipe.spool.tree import Ignored


def chosen(settings: Settings, paths: list[Path]) -> tuple[Spool, ...]:
    """The spools to drain: all, or those at `paths` (a folder inside a spool means that spool).

    Raises:
        SettingsInvalid: a path belongs to no spool; the message says how to import a foreign folder.
    """
    spools = wiring.spools(settings)
    if not paths:
        return spools
    found: list[Spool] = []
    for path in paths:
        if not path.exists():
            raise SettingsInvalid(f"There is no {path}.")
        owner = next((s for s in spools if path.resolve().is_relative_to(s.path.resolve())), None)
        if owner is None:
            raise SettingsInvalid(
                f"{path} is not a configured spool. To import a folder that recpipe does not own (its files stay "
                "where they are), say whose it is: recpipe ingest --once PATH --tenant NAME --layout LAYOUT."
            )
        if owner not in found:
            found.append(owner)
    return tuple(found)


def foreign(paths: list[Path], tenant: str, layout: str, timezone: str) -> tuple[Spool, ...]:
    """Folders to read and leave as they are.

    Raises:
        SettingsInvalid: a path is not a folder, or a word is not known.
    """
    spools = []
    names = Counter(path.name for path in paths)
    for path in paths:
        if not path.is_dir():
            raise SettingsInvalid(f"{path} is not a folder; import takes folders, whose layout gives the call facts.")
        try:
            spools.append(
                Spool.model_validate(
                    {
                        "path": path,
                        "name": path.name if names[path.name] == 1 else str(path.absolute()),
                        "tenant": tenant,
                        "layout": layout,
                        "timezone": timezone,
                        "settle_seconds": 0,
                    }
                )
            )
        except ValueError as error:
            raise SettingsInvalid(f"The import cannot start: {error}") from error
    return tuple(spools)


@dataclass(frozen=True, slots=True)
class Drained:
    """One pass over the spools.

    Attributes:
        complete: every file reached an end.
        ignored: what is no recording and stays where it is.
    """

    counts: Counts
    complete: bool
    ignored: list[Ignored]

    @property
    def needs_a_person(self) -> bool:
        return bool(self.counts.held or self.counts.quarantined or not self.complete)


def drain(settings: Settings, spools: tuple[Spool, ...], *, keep_source: bool, console: Console) -> Drained:
    """Take what is in the spools now."""
    columns = (
        SpinnerColumn(),
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with (
        wiring.open_parts(settings) as parts,
        interrupts.held() as interrupt,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        task = progress.add_task("Ingesting", total=None, rate="")
        lock = threading.Lock()

        def on_outcome(outcome: str, _size_bytes: int) -> None:
            if outcome == "retried":
                return
            with lock:
                current = progress.tasks[0]
                done = current.completed + 1
                left = sum(ingest.waiting().values())
                megabytes = ingest.counts.stored_bytes / 1e6
                elapsed = max(current.elapsed or 0.0, 1e-3)
                rate = f"{done / elapsed:,.0f} files/s, {megabytes / elapsed:,.0f} MB/s"
                progress.update(task, completed=done, total=done + left, rate=rate)

        ingest = Ingest(
            settings,
            parts.catalogue,
            parts.store,
            spools=spools,
            keep_source=keep_source,
            state_dir=wiring.make_data_dir(settings) / "import" if keep_source else None,
            clock=parts.clock,
            on_outcome=on_outcome,
        )
        complete = ingest.drain(check=interrupt.check)
        ignored = [one for files in ingest.ignored().values() for one in files]
        return Drained(ingest.counts, complete, ignored)


def summary(drained: Drained) -> list[str]:
    """The lines a person reads at the end."""
    counts = drained.counts
    lines = [f"{counts.stored:,} stored ({counts.stored_bytes / 1e6:,.1f} MB)"]
    if counts.repeated:
        lines.append(f"{counts.repeated:,} had been stored before")
    if counts.held or counts.quarantined:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in counts.reasons.most_common())
        lines.append(f"{counts.held + counts.quarantined:,} need a person ({reasons}): recpipe quarantine list")
    if drained.ignored:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in Counter(_reasons(drained)).most_common())
        lines.append(f"{len(drained.ignored):,} ignored ({reasons}): they stay where they are; --json names them")
    if not drained.complete:
        lines.append(
            "Some files still wait in their spool: store or database did not answer, they are being written, or their "
            "folder cannot be read."
        )
    return lines


def _reasons(drained: Drained) -> list[str]:
    return [one.reason.value for one in drained.ignored]


def document(drained: Drained) -> dict[str, object]:
    """The summary for programs; names of at most 1,000 ignored files."""
    counts = drained.counts
    return {
        "stored": counts.stored,
        "stored_bytes": counts.stored_bytes,
        "repeated": counts.repeated,
        "held": counts.held,
        "quarantined": counts.quarantined,
        "retried": counts.retried,
        "reasons": dict(counts.reasons),
        "complete": drained.complete,
        "ignored": dict(Counter(_reasons(drained))),
        "ignored_files": [
            {"relative": safe_text(one.relative), "reason": one.reason.value} for one in drained.ignored[:1000]
        ],
    }
