"""`recpipe verify`: compare what is stored with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import moment

if TYPE_CHECKING:
    from rich.progress import Progress

    from recpipe.recordings.looks import Finding
    from recpipe.recordings.repair import Mended
    from recpipe.recordings.verify import Report


def verify(
    context: typer.Context,
    sample: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Compare the bytes of N recordings chosen at random, not of all."),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only what was stored from then on: a date (UTC), or ISO 8601.",
            show_default=False,
        ),
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a look that was interrupted has come to.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what needs no guess; nothing that may be an only copy is removed.")
    ] = False,
    key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="recovery.key of another node, for --repair; may be repeated."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare catalogue and store: every recording has its object, every object its recording, checksums match.

    Without --repair it changes nothing. It may run beside everything else. Ends with 1 when something is wrong.

    [bold]recpipe verify[/]                   reads everything that is stored
    [bold]recpipe verify --sample 1000[/]     a spot check: reads 1,000 recordings
    [bold]recpipe verify --since 2026-03-01[/]
    [bold]recpipe verify --resume --repair[/]
    """
    from recpipe import recovery_notes
    from recpipe.cli import interrupts
    from recpipe.recordings import checkpoint
    from recpipe.recordings import repair as repairs
    from recpipe.recordings import verify as work

    if sample is not None and resume:
        raise typer.BadParameter("a spot check begins anew each time: leave --sample or --resume out")
    with frame.opened(context) as parts, interrupts.held() as interrupt:
        data_dir, by = parts.settings.data_dir, operator()
        keys = (
            [
                *recovery_notes.recovery_keys(parts.settings),
                *(one for path in key or () for one in recovery_notes.keys_in(path)),
            ]
            if repair
            else []
        )
        before = checkpoint.load(data_dir) if resume else None
        if before is not None:
            frame.err.print(f"Going on with the look of {before.started:%Y-%m-%d %H:%M} UTC.", markup=False)
        start = before.since if before is not None else moment("--since", since, "UTC")
        try:
            with _progress(work.total(parts.catalogue, start), interrupt.check) as bars:
                if before is not None:
                    bars.recording(before.report.recordings)
                    bars.object(before.report.objects)
                report = work.verify(
                    parts.catalogue,
                    parts.store,
                    by,
                    sample=sample,
                    since=start,
                    checkpoint=before,
                    clock=parts.clock,
                    trail=parts.trail,
                    on_recording=bars.recording,
                    on_object=bars.object,
                    on_checkpoint=lambda made: checkpoint.save(data_dir, made) if sample is None else None,
                )
        except BaseException:
            if (data_dir / checkpoint.FILE).exists() and sample is None:
                frame.err.print("It was not finished: recpipe verify --resume goes on from there.", markup=False)
            raise
        if sample is None:
            checkpoint.clear(data_dir)
        mended: list[Finding[Mended]] = []
        if repair and report.problems:
            outcome = repairs.repair(
                parts.catalogue, parts.store, keys, by, report.problems, clock=parts.clock, trail=parts.trail
            )
            report.problems, mended = outcome.left, outcome.mended
    if json:
        frame.print_json(asdict(report) | ({"mended": [asdict(one) for one in mended]} if repair else {}))
    else:
        for one in mended:
            whose = f"{frame.shown(one.tenant)}: " if one.tenant else ""
            frame.say(f"[bold green]{one.kind}[/] {whose}{frame.shown(one.message)}")
        _tell(report)
    raise typer.Exit(frame.FAILED if report.problems or report.unsure else frame.DONE)


class _Bars:
    """How far a look has come: recordings, then objects."""

    def __init__(self, progress: Progress, recordings: int, check: Callable[[], None]) -> None:
        self._progress, self._check = progress, check
        self._recordings = progress.add_task("Recordings", total=recordings)
        self._objects = progress.add_task("Objects", total=recordings)  # about as many

    def recording(self, number: int = 1) -> None:
        self._check()
        self._progress.advance(self._recordings, number)

    def object(self, number: int = 1) -> None:
        self._check()
        self._progress.advance(self._objects, number)


@contextmanager
def _progress(recordings: int, check: Callable[[], None]) -> Iterator[_Bars]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=frame.err, transient=True) as progress:
        yield _Bars(progress, recordings, check)


def _tell(report: Report) -> None:
    frame.say(
        f"{report.recordings:,} recordings, {report.objects:,} objects; "
        f"{report.read:,} read and compared ({report.read_bytes / 1e6:,.1f} MB)."
    )
    if report.read < report.recordings:
        frame.say("Of the others only size, and the checksum that the store keeps if it does, was compared.")
    if report.incomparable:
        frame.say(
            f"{report.incomparable:,} checksums of the store cannot be compared: it reports them in another form. The "
            "bytes were read instead, and are those that were stored."
        )
    if report.in_work:
        frame.say(f"{report.in_work:,} objects are so new, or so lately deleted, that they are still in work.")
    if report.unsure:
        frame.say(
            "[bold red]But no ingest is running that could write their rows.[/] Look again in ten minutes: what is "
            "left of them then is of an interrupted upload, or the catalogue is older than the store. Remove nothing; "
            "recpipe recover --dry-run says what can be taken back."
        )
    elif not report.problems and report.recordings and not report.read:
        frame.say(
            "[bold green]Everything is there, in the right size.[/] No bytes were read: --sample 0 looks at no more."
        )
    elif not report.problems:
        frame.say("[bold green]Everything is there and as it was stored.[/]")
    for problem in report.problems:
        whose = f"{frame.shown(problem.tenant)}: " if problem.tenant else ""
        frame.say(f"[bold red]{problem.kind}[/] {whose}{frame.shown(problem.message)}")
    if report.problems:
        frame.say(f"[bold red]{len(report.problems):,} problem(s).[/]")
