"""`recpipe recover`: take back recordings that the catalogue has lost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson


def recover(
    context: typer.Context,
    key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="recovery.key of another node of this installation; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be taken back.")] = False,
    json: AsJson = False,
) -> None:
    """Take back recordings that are in the store and not in the catalogue, as after restoring an older backup of it.

    Every whole object that no recording knows gets its row again, out of what is kept beside it. What cannot be taken
    back is named, and nothing is removed. May be repeated. Ends with 1 when something is left that needs a person.

    [bold]recpipe recover --dry-run[/]
    [bold]recpipe recover --key /backup/pbx-2/recovery.key[/]
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from recpipe import recovery_notes
    from recpipe.recordings import recover as work

    columns = (SpinnerColumn(), TextColumn("Looked at {task.completed:,} objects"))
    with frame.opened(context) as parts, Progress(*columns, console=frame.err, transient=True) as progress:
        task = progress.add_task("Recovering", total=None)
        keys = [
            *recovery_notes.recovery_keys(parts.settings),
            *(one for path in key or () for one in recovery_notes.keys_in(path)),
        ]
        report = work.recover(
            parts.catalogue,
            parts.store,
            keys,
            operator(),
            dry_run=dry_run,
            clock=parts.clock,
            trail=parts.trail,
            on_object=lambda: progress.advance(task),
        )
    if json:
        frame.print_json(asdict(report) | {"counts": report.counts()})
    else:
        for one in report.found:
            whose = f"{frame.shown(one.tenant)}: " if one.tenant else ""
            frame.say(f"[bold]{one.kind}[/] {whose}{frame.shown(one.message)}")
        counts = ", ".join(f"{number:,} {fate}" for fate, number in report.counts().items())
        frame.say(f"{report.objects:,} objects; without a recording: {counts or 'none'}.")
        if dry_run and report.found:
            frame.say("Nothing was changed.")
    raise typer.Exit(frame.FAILED if report.left else frame.DONE)
