"""`verify`, `recover`, `migrate`, `settings`, `audit` and `version`: is it sound, what is it set to, what was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recpipe import __version__
from recpipe.access.principal import Action, operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import moment, tenant_named
from recpipe.model import AuditQuery, Outcome

if TYPE_CHECKING:
    from rich.progress import Progress

    from recpipe.recordings.looks import Finding
    from recpipe.recordings.repair import Mended
    from recpipe.recordings.verify import Report

settings_group = typer.Typer(no_args_is_help=True, help="What recpipe is set to.")
audit_group = typer.Typer(no_args_is_help=True, help="Who did what, from where, when, and how it ended.")


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
    from recpipe.recordings import checkpoint
    from recpipe.recordings import repair as repairs
    from recpipe.recordings import verify as work

    if sample is not None and resume:
        raise typer.BadParameter("a spot check begins anew each time: leave --sample or --resume out")
    with frame.opened(context) as parts:
        data_dir, by = parts.settings.data_dir, operator()
        keys = (
            [recovery_notes.recovery_key(parts.settings), *(recovery_notes.key_in(path) for path in key or ())]
            if repair
            else []
        )
        place = checkpoint.load(data_dir) if resume else None
        if place is not None:
            frame.err.print(f"Going on with the look of {place.started:%Y-%m-%d %H:%M} UTC.", markup=False)
        start = place.since if place is not None else moment("--since", since, "UTC")
        try:
            with _progress(work.total(parts.catalogue, start)) as bars:
                if place is not None:
                    bars.recording(place.report.recordings)
                    bars.object(place.report.objects)
                report = work.verify(
                    parts.catalogue,
                    parts.store,
                    by,
                    sample=sample,
                    since=start,
                    place=place,
                    clock=parts.clock,
                    trail=parts.trail,
                    on_recording=bars.recording,
                    on_object=bars.object,
                    on_place=lambda place: checkpoint.save(data_dir, place) if sample is None else None,
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

    def __init__(self, progress: Progress, recordings: int) -> None:
        self._progress = progress
        self._recordings = progress.add_task("Recordings", total=recordings)
        self._objects = progress.add_task("Objects", total=recordings)  # about as many

    def recording(self, number: int = 1) -> None:
        self._progress.advance(self._recordings, number)

    def object(self, number: int = 1) -> None:
        self._progress.advance(self._objects, number)


@contextmanager
def _progress(recordings: int) -> Iterator[_Bars]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=frame.err, transient=True) as progress:
        yield _Bars(progress, recordings)


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
        keys = [recovery_notes.recovery_key(parts.settings), *(recovery_notes.key_in(path) for path in key or ())]
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


def migrate(context: typer.Context, json: AsJson = False) -> None:
    """Make the database, or bring an older one up to date. Other commands do this by themselves.

    Make a backup first: an older recpipe does not read a newer database.
    """
    from recpipe import wiring
    from recpipe.catalogue import migrate as schema

    configured = frame.settings(context)
    frame.quiet_logs(configured)
    with wiring.open_catalogue(configured) as catalogue:
        catalogue.ready()
    if json:
        frame.print_json({"schema": schema.HEAD})
    else:
        frame.say(f"The database has schema {schema.HEAD}, the one of this version.")


@settings_group.command("show")
def settings_show(context: typer.Context, json: AsJson = False) -> None:
    """The settings in effect, out of file, variables and options. Secrets are hidden."""
    from recpipe import wiring

    configured = frame.settings(context)
    values: dict[str, Any] = configured.model_dump(mode="json")
    values["store_url"] = configured.store
    values["spool"] = [spool.model_dump(mode="json") for spool in wiring.spools(configured)]
    if not configured.database_url.get_secret_value():
        values["database_url"] = configured.database
    if json:
        frame.print_json(values)
        return
    spools = values.pop("spool")
    frame.details([(name, "(not set)" if value in ("", None, []) else value) for name, value in values.items()])
    for spool in spools:
        frame.say()
        frame.say("[bold]Spool[/]")
        frame.details([(name, value) for name, value in spool.items()])


@audit_group.command("list")
def audit_list(
    context: typer.Context,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", metavar="TENANT", help="Only of this tenant.", show_default=False)
    ] = "",
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From then on: a date, or ISO 8601.", show_default=False)
    ] = "",
    end: Annotated[
        str,
        typer.Option("--to", metavar="TIME", help="Before then, or up to and including a date.", show_default=False),
    ] = "",
    actor: Annotated[
        str, typer.Option(metavar="NAME", help="Who: a user, ftp:ACCOUNT, cli:LOGIN, pipeline.", show_default=False)
    ] = "",
    action: Annotated[
        str,
        typer.Option(metavar="ACTION", help="What: login, play, download, certificate.vouch, ...", show_default=False),
    ] = "",
    outcome: Annotated[Outcome | None, typer.Option(help="How it ended.", show_default=False)] = None,
    subject: Annotated[str, typer.Option(metavar="ID", help="Id of what it was done to.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="At most so many.")] = 100,
    cursor: Annotated[
        str, typer.Option(metavar="CURSOR", help='Go on: "next" of the page before.', show_default=False)
    ] = "",
    json: AsJson = False,
) -> None:
    """The audit log, newest first. Times are UTC, or with --tenant those of its zone.

    [bold]recpipe audit list --tenant acme --action download --from 2025-03-01[/]
    [bold]recpipe audit list --outcome denied[/]
    """
    from recpipe.web.schemas import AuditResponse

    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant) if tenant else None
        parts.trail.require(operator(), Action.AUDIT, owner.id if owner else None)
        zone = owner.timezone if owner else "UTC"
        query = AuditQuery(
            moment("--from", start, zone), moment("--to", end, zone, whole_day=True), actor, action, outcome, subject
        )
        with parts.catalogue.read(limited=True) as work:
            log = work.of(owner.id).audit if owner else work.audit
            page = log.list(query, cursor or None, limit)
            names = {t.id: t.name for t in work.tenants.list()}
    if json:
        items = [AuditResponse.of(happened).model_dump(mode="json") for happened in page.items]
        frame.print_json({"items": items, "next": page.next_cursor})
        return
    if not page.items:
        frame.say("Nothing was found.")
        return
    from zoneinfo import ZoneInfo

    local = ZoneInfo(zone)
    frame.table(
        ("WHEN", "WHO", "WHAT", "ENDED", "TENANT", "FROM", "TO WHAT", "DETAIL"),
        [
            (
                f"{e.at.astimezone(local):%Y-%m-%d %H:%M:%S}",
                e.actor,
                e.action,
                e.outcome,
                names.get(e.tenant_id or "", e.tenant_id or ""),
                e.address,
                e.subject,
                " ".join(f"{name}={value}" for name, value in e.detail.items()),
            )
            for e in page.items
        ],
    )
    if page.next_cursor:
        frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)


def version(json: AsJson = False) -> None:
    """Print the version."""
    if json:
        frame.print_json({"version": __version__})
    else:
        frame.say(f"recpipe {__version__}")
