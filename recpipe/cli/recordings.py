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
from recpipe.cli.search_options import NO_CRITERIA, SearchOptions, with_search_options
from recpipe.cli.words import Cursor, Limit, tenant_named
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import TEXT_FACTS, Recording, masked_text

if TYPE_CHECKING:
    from recpipe.model import Tenant
    from recpipe.wiring import Parts

# Those that `show` gives a line each; the others stand with the parties and the extensions.
_FURTHER_TEXTS = tuple(
    name for name in TEXT_FACTS if name not in ("caller", "callee", "caller_name", "callee_name", "extension")
)

group = typer.Typer(no_args_is_help=True, help="Stored recordings: find, show, export and delete them.")


@group.command()
@with_search_options
def search(
    context: typer.Context,
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", "-t", metavar="TENANT", help="Whose; may be repeated. Default: everybody's."),
    ] = None,
    options: SearchOptions = NO_CRITERIA,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Default: newest first.")] = False,
    limit: Limit = 50,
    cursor: Cursor = "",
    json: AsJson = False,
) -> None:
    """Find recordings by call, party or time. Dates and times are those of the tenant's zone.

    [bold]recpipe recordings search --tenant acme --from 2025-03-01 --to 2025-03-31[/]
    [bold]recpipe recordings search --tenant acme --number 0958 --number-match ending[/]
    """

    with frame.opened(context) as parts:
        owners = [tenant_named(parts, word) for word in tenant or ()]
        zone = owners[0].timezone if len(owners) == 1 else "UTC"
        query = options.query(zone, oldest_first=oldest_first)
        page = parts.reader.search(operator(), [owner.id for owner in owners] or None, query, cursor or None, limit)
        names = owners_by_id(parts)
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
        tell_how_far(page.searched_to, page.next_cursor, zone, oldest_first=oldest_first)
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
                f"{local_time(r.started_at, zones[r.tenant_id]):%Y-%m-%d %H:%M:%S}",
                lasted(r.duration_ms),
                r.facts.direction,
                r.facts.caller,
                r.facts.callee,
                r.name,
            )
            for r in found
        ],
    )


def tell_how_far(searched_to: datetime, cursor: str | None, zone: str, *, oldest_first: bool) -> None:
    """Say where a search that finds little was not carried on."""
    way = "on" if oldest_first else "back"
    frame.err.print(
        f"Looked {way} to {local_time(searched_to, zone):%Y-%m-%d %H:%M:%S %Z} and no further. Give --from and --to, "
        f"or go on with --cursor {cursor}",
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
        names = owners_by_id(parts)
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
            ("Started", f"{local_time(found.started_at, owner.timezone):%Y-%m-%d %H:%M:%S %Z} ({owner.timezone})"),
            ("Kind", given.kind),
            ("Lasted", lasted(found.duration_ms)),
            ("Pages", f"{given.pages:,}" if given.pages else ""),
            ("Direction", given.direction),
            ("From", _party(given.caller, given.caller_e164, given.caller_name)),
            ("To", _party(given.callee, given.callee_e164, given.callee_name)),
            ("Extension", ", ".join(filter(None, (given.extension, *given.more_extensions)))),
            *((name.replace("_", " ").capitalize(), getattr(found.facts, name)) for name in _FURTHER_TEXTS),
            ("Masked, seconds", masked_text(found.facts.masked)),
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
@with_search_options
def export(
    context: typer.Context,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose recordings.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="Folder to write to; made when it is missing.", show_default=False)
    ],
    options: SearchOptions = NO_CRITERIA,
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
    from recpipe.cli import interrupts

    columns = (TextColumn("Exporting"), BarColumn(), TextColumn("{task.fields[files]:,} files"), DownloadColumn())
    with frame.opened(context) as parts, interrupts.held() as interrupt:
        owner = tenant_named(parts, tenant)
        query = options.query(owner.timezone, oldest_first=True)
        with Progress(*columns, TransferSpeedColumn(), console=frame.err, transient=True) as progress:
            task = progress.add_task("Exporting", total=None, files=0)

            def on_file(size_bytes: int) -> None:
                progress.update(task, advance=size_bytes, files=progress.tasks[0].fields["files"] + 1)

            done = work.export(parts.reader, operator(), owner.id, query, out, on_file, interrupt.check)
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
                started = f"{local_time(one.started_at, owner.timezone):%Y-%m-%d %H:%M:%S}"
                frame.err.print(f"{one.id}  {started}  {lasted(one.duration_ms)}  {frame.shown(one.name)}")
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


def owners_by_id(parts: Parts) -> dict[str, Tenant]:
    """Every tenant, by its id."""
    return {tenant.id: tenant for tenant in parts.reader.tenants(operator())}


def _document(recording: Recording, names: dict[str, Tenant]) -> object:
    from recpipe.web.schemas import RecordingResponse

    return RecordingResponse.of(recording, names[recording.tenant_id].name).model_dump(mode="json")


def local_time(started_at: datetime, timezone: str) -> datetime:
    """A time on the clock of a zone."""
    return started_at.astimezone(ZoneInfo(timezone))


def lasted(milliseconds: int) -> str:
    """A length as people read it: 1:02, 1:00:05."""
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _party(raw: str, e164: str, name: str) -> str:
    number = f"{raw} ({e164})" if e164 and e164 != raw else raw
    return f"{name}, {number}" if name and number else name or number
