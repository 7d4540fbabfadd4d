"""`recpipe recordings`: find them, look at one, write them into a folder, delete them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from recpipe.access.principal import Action, operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import moment, tenant_named
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import Direction, NumberMatch, Recording, RecordingQuery

if TYPE_CHECKING:
    from recpipe.model import Tenant
    from recpipe.wiring import Parts

group = typer.Typer(no_args_is_help=True, help="Stored recordings: find, show, export and delete them.")

From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="Calls from then on: a date, or ISO 8601.", show_default=False)
]
To = Annotated[
    str,
    typer.Option("--to", metavar="TIME", help="Calls before then, or up to and including a date.", show_default=False),
]
Number = Annotated[
    str, typer.Option(metavar="NUMBER", help="Caller or callee, as people write it.", show_default=False)
]
Match = Annotated[NumberMatch, typer.Option(help="How much of the number you typed.")]
Way = Annotated[Direction | None, typer.Option(help="Which way the call went.", show_default=False)]
Extension = Annotated[
    str, typer.Option(metavar="EXTENSION", help="Extension on the tenant's side.", show_default=False)
]
Text = Annotated[str, typer.Option(metavar="TEXT", help="In the file name or the name of a party.", show_default=False)]
CallId = Annotated[str, typer.Option(metavar="ID", help="The PBX's id of the call.", show_default=False)]
Sealed = Annotated[bool | None, typer.Option("--sealed/--plain", help="Only sealed or only plain ones.")]
Shortest = Annotated[float | None, typer.Option(metavar="SECONDS", help="Calls that lasted so long or longer.")]
Longest = Annotated[float | None, typer.Option(metavar="SECONDS", help="Calls that lasted so long or shorter.")]


@group.command()
def search(
    context: typer.Context,
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", "-t", metavar="TENANT", help="Whose; may be repeated. Default: everybody's."),
    ] = None,
    start: From = "",
    end: To = "",
    number: Number = "",
    number_match: Match = NumberMatch.EXACT,
    direction: Way = None,
    extension: Extension = "",
    text: Text = "",
    call_id: CallId = "",
    sealed: Sealed = None,
    duration_min: Shortest = None,
    duration_max: Longest = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Default: newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="At most so many.")] = 50,
    cursor: Annotated[
        str, typer.Option(metavar="CURSOR", help='Go on: "next" of the page before.', show_default=False)
    ] = "",
    json: AsJson = False,
) -> None:
    """Find recordings by call, party or time. Dates and times are those of the tenant's zone.

    [bold]recpipe recordings search --tenant acme --from 2025-03-01 --to 2025-03-31[/]
    [bold]recpipe recordings search --tenant acme --number 0958 --number-match ending[/]
    """

    with frame.opened(context) as parts:
        owners = [tenant_named(parts, word) for word in tenant or ()]
        zone = owners[0].timezone if len(owners) == 1 else "UTC"
        query = _query(
            zone, start, end, number, number_match, direction, extension, text, call_id, sealed, duration_min,
            duration_max, oldest_first=oldest_first,
        )  # fmt: skip
        page = parts.reader.search(operator(), [owner.id for owner in owners] or None, query, cursor or None, limit)
        names = _names(parts)
    if json:
        items = [_document(recording, names) for recording in page.items]
        searched_to = page.searched_to.isoformat() if page.searched_to else None
        frame.print_json({"items": items, "next": page.next_cursor, "searched_to": searched_to})
        return
    if not page.items:
        frame.say("Nothing was found so far." if page.searched_to else "Nothing was found.")
    else:
        _list(page.items, names)
    if page.searched_to is not None:
        _tell_how_far(page.searched_to, page.next_cursor, zone, oldest_first=oldest_first)
    elif page.next_cursor:
        frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)


def _list(found: Sequence[Recording], names: dict[str, Tenant]) -> None:
    zones = {t.id: t.timezone for t in names.values()}
    frame.table(
        ("ID", "TENANT", "STARTED", "LASTED", "DIRECTION", "FROM", "TO", "NAME"),
        [
            (
                r.id,
                names[r.tenant_id].name,
                f"{_local(r.started_at, zones[r.tenant_id]):%Y-%m-%d %H:%M:%S}",
                _lasted(r.duration_ms),
                r.facts.direction,
                r.facts.caller,
                r.facts.callee,
                r.name,
            )
            for r in found
        ],
    )


def _tell_how_far(searched_to: datetime, cursor: str | None, zone: str, *, oldest_first: bool) -> None:
    way = "on" if oldest_first else "back"
    frame.err.print(
        f"Looked {way} to {_local(searched_to, zone):%Y-%m-%d %H:%M:%S %Z} and no further. Give --from and --to, or "
        f"go on with --cursor {cursor}",
        markup=False,
    )


@group.command()
def show(
    context: typer.Context,
    recording: Annotated[str, typer.Argument(metavar="ID", help="Of the recording, as search prints it.")],
    json: AsJson = False,
) -> None:
    """Everything that is known of one recording."""
    from recpipe.web.schemas import RecordingResponse

    with frame.opened(context) as parts:
        found = parts.reader.get(operator(), recording.strip().lower())
        names = _names(parts)
    if json:
        frame.print_json(_document(found, names))
        return
    owner = names[found.tenant_id]
    given = RecordingResponse.of(found, owner.name)
    frame.details(
        [
            ("Id", found.id),
            ("Tenant", owner.name),
            ("Name", found.name),
            ("FTP folder", "/" + found.day.replace("-", "/")),
            ("Started", f"{_local(found.started_at, owner.timezone):%Y-%m-%d %H:%M:%S %Z} ({owner.timezone})"),
            ("Lasted", _lasted(found.duration_ms)),
            ("Direction", given.direction),
            ("From", _party(given.caller, given.caller_e164, given.caller_name)),
            ("To", _party(given.callee, given.callee_e164, given.callee_name)),
            ("Extension", ", ".join(filter(None, (given.extension, *given.more_extensions)))),
            ("Route", given.route),
            ("Call id", given.call_id),
            ("Linked id", given.linked_id),
            ("Channels", given.channels),
            ("Audio", f"{found.audio.codec}, {found.audio.sample_rate_hz:,} Hz, {found.audio.channels} channel(s)"),
            ("Size", f"{found.stored_bytes:,} bytes"),
            ("SHA-256", found.stored_sha256),
            ("Sealed for", ", ".join(found.envelope.fingerprints) if found.envelope else "nobody: stored as it is"),
            ("Content", f"{found.content_bytes:,} bytes" if found.sealed else ""),
            ("Content SHA-256", found.content_sha256 if found.sealed else ""),
            ("PBX name", found.source_name),
            ("Spool", found.spool),
            ("Object", found.object_key),
            ("Ingested", f"{found.ingested_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Flags", ", ".join(found.flags)),
        ]
    )


@group.command()
def export(
    context: typer.Context,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose recordings.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="Folder to write to; made when it is missing.", show_default=False)
    ],
    start: From = "",
    end: To = "",
    number: Number = "",
    number_match: Match = NumberMatch.EXACT,
    direction: Way = None,
    extension: Extension = "",
    text: Text = "",
    call_id: CallId = "",
    sealed: Sealed = None,
    duration_min: Shortest = None,
    duration_max: Longest = None,
    json: AsJson = False,
) -> None:
    """Write a tenant's recordings into a folder as they are stored: YYYY/MM/DD/NAME, and SHA256SUMS.

    Sealed ones stay sealed. Checksums are compared on the way. Run it again to go on after an interruption: what is
    there already is left alone. Every file is on the audit log.

    [bold]recpipe recordings export --tenant acme --out /media/usb/acme --from 2025-01-01 --to 2025-03-31[/]
    [bold]cd /media/usb/acme && sha256sum -c SHA256SUMS[/]
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from recpipe.cli import export as work

    columns = (TextColumn("Exporting"), BarColumn(), TextColumn("{task.fields[files]:,} files"), DownloadColumn())
    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        query = _query(
            owner.timezone, start, end, number, number_match, direction, extension, text, call_id, sealed,
            duration_min, duration_max, oldest_first=True,
        )  # fmt: skip
        with Progress(*columns, TransferSpeedColumn(), console=frame.err, transient=True) as progress:
            task = progress.add_task("Exporting", total=None, files=0)

            def on_file(size_bytes: int) -> None:
                progress.update(task, advance=size_bytes, files=progress.tasks[0].fields["files"] + 1)

            done = work.export(parts.reader, operator(), owner.id, query, out, on_file)
    if json:
        frame.print_json(
            {
                "folder": str(out),
                "written": done.written,
                "written_bytes": done.written_bytes,
                "unchanged": done.unchanged,
                "problems": [
                    {"recording_id": one.recording_id, "path": one.path, "message": one.message}
                    for one in done.failures
                ],
            }
        )
    else:
        there = f", {done.unchanged:,} were there already" if done.unchanged else ""
        frame.say(f"Wrote {done.written:,} files ({done.written_bytes / 1e6:,.1f} MB) to {frame.shown(out)}{there}.")
        for one in done.failures:
            frame.err.print(f"[bold red]Not exported:[/] {frame.shown(one.path)}: {frame.shown(one.message)}")
    raise typer.Exit(frame.FAILED if done.failures else frame.DONE)


@group.command()
def delete(
    context: typer.Context,
    recordings: Annotated[list[str], typer.Argument(metavar="ID...", help="Of recordings, as search prints them.")],
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose they are.", show_default=False)
    ],
    reason: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Why; kept on the audit log: no name or number in it.", show_default=False),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Delete recordings for good, or none of them when one is not there.

    They are gone from FTP, API and dashboard at once, and their files are not stored again when they come into a spool
    once more. Copies that were made elsewhere stay: archived originals, backups, old versions in the bucket.

    [bold]recpipe recordings delete 5f0c… --tenant acme --reason "erasure request 4711"[/]
    """

    if not reason.strip():
        raise InputInvalid("--reason", "Say why they may be deleted (--reason); it is kept on the audit log.")
    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        wanted = dict.fromkeys(word.strip().lower() for word in recordings)
        found = [parts.reader.get(operator(), one, Action.DELETE) for one in wanted]
        for one in found:
            if one.tenant_id != owner.id:
                raise NotFound(f"recording of {owner.name}", one.id)
        if not yes:
            for one in found:
                started = f"{_local(one.started_at, owner.timezone):%Y-%m-%d %H:%M:%S}"
                frame.err.print(f"{one.id}  {started}  {_lasted(one.duration_ms)}  {frame.shown(one.name)}")
            typer.confirm(f"Delete {len(found):,} recording(s) for good?", abort=True, err=True)
        done = parts.disposal.delete(operator(), wanted, reason)
    if json:
        frame.print_json(
            {"items": [{"id": one.id} | ({"remains": one.remains} if one.remains else {}) for one in done]}
        )
        return
    frame.say(f"Deleted {len(done):,} for good.")
    for left in done:
        if left.remains:
            frame.err.print(f"[bold red]{left.id}:[/] {frame.shown(left.remains)}")


def _query(
    zone: str,
    start: str,
    end: str,
    number: str,
    number_match: NumberMatch,
    direction: Direction | None,
    extension: str,
    text: str,
    call_id: str,
    sealed: bool | None,
    duration_min: float | None,
    duration_max: float | None,
    *,
    oldest_first: bool,
) -> RecordingQuery:
    started_from = moment("--from", start, zone)
    started_before = moment("--to", end, zone, whole_day=True)
    if started_from is not None and started_before is not None and started_from >= started_before:
        raise InputInvalid("--to", "--to is before --from; swap them.")
    return RecordingQuery(
        started_from=started_from,
        started_before=started_before,
        number=number,
        number_match=number_match,
        direction=direction,
        extension=extension,
        duration_min_ms=None if duration_min is None else round(duration_min * 1000),
        duration_max_ms=None if duration_max is None else round(duration_max * 1000),
        text=text,
        call_id=call_id,
        sealed=sealed,
        oldest_first=oldest_first,
    )


def _names(parts: Parts) -> dict[str, Tenant]:

    return {tenant.id: tenant for tenant in parts.reader.tenants(operator())}


def _document(recording: Recording, names: dict[str, Tenant]) -> object:
    from recpipe.web.schemas import RecordingResponse

    return RecordingResponse.of(recording, names[recording.tenant_id].name).model_dump(mode="json")


def _local(started_at: datetime, timezone: str) -> datetime:
    return started_at.astimezone(ZoneInfo(timezone))


def _lasted(milliseconds: int) -> str:
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _party(raw: str, e164: str, name: str) -> str:
    number = f"{raw} ({e164})" if e164 and e164 != raw else raw
    return f"{name}, {number}" if name and number else name or number
