"""`demo`, `serve` and `ingest`: the commands that run the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.roles import RoleName


def serve(
    context: typer.Context,
    role: Annotated[
        list[RoleName] | None,
        typer.Option("--role", help="Only this part; give it several times for more. Default: all in one process."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Watch the spools, and serve the API, the dashboard and FTP, until Ctrl-C or SIGTERM.

    Files in work are finished and committed before it ends; what waits stays in its spool.

    [bold]recpipe serve[/]                          everything, in one process
    [bold]recpipe serve --role ingest[/]            the write path alone, on a media server
    [bold]recpipe serve --role web --role ftp[/]    the doors alone
    """
    from recpipe import log
    from recpipe.cli import serve as service

    configured = frame.settings(context)
    log.set_up("json" if json else configured.log_format, configured.log_level)
    raise typer.Exit(service.run(configured, role or list(RoleName), lambda parts, running: None))


def ingest(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Spools, or with --tenant any folders. Default: every spool.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Drain what is there, then end. Without it: go on watching.")
    ] = False,
    tenant: Annotated[
        str,
        typer.Option(
            metavar="NAME", help='Import a foreign folder, which stays as it is: its tenant\'s name, or "from-path".'
        ),
    ] = "",
    layout: Annotated[str, typer.Option(metavar="LAYOUT", help="With --tenant: how the files are named.")] = "freepbx",
    timezone: Annotated[
        str, typer.Option(metavar="ZONE", help="With --tenant: IANA zone of the times in names.")
    ] = "UTC",
    json: AsJson = False,
) -> None:
    """Take recordings from the spools into the store, with a progress bar and a summary.

    Ends with 1 when a file needs a person or could not be stored yet; nothing is lost, it stays where it is.

    [bold]recpipe ingest --once[/]                                    drain every spool
    [bold]recpipe ingest --once /old/monitor --tenant acme[/]         import an archive, leaving it as it is
    """
    from recpipe.cli import ingest as work
    from recpipe.cli import serve as service
    from recpipe.errors import SettingsInvalid

    configured = frame.settings(context)
    frame.quiet_logs(configured)
    chosen = paths or []
    if tenant and not chosen:
        raise SettingsInvalid(
            "--tenant imports a folder: say which, as in recpipe ingest --once /old/monitor --tenant acme."
        )
    spools = work.foreign(chosen, tenant, layout, timezone) if tenant else work.chosen(configured, chosen)
    if not once and not tenant:
        only = configured.model_copy(update={"spool": spools})
        raise typer.Exit(service.run(only, [RoleName.INGEST], lambda parts, running: None))
    drained = work.drain(configured, spools, keep_source=bool(tenant), console=frame.err)
    if json:
        frame.print_json(work.document(drained))
    else:
        for line in work.summary(drained):
            frame.out.print(line, markup=False)
    raise typer.Exit(frame.FAILED if drained.needs_a_person else frame.DONE)


def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the demo lives; an earlier demo's is replaced.")
    ] = Path("demo-data"),
    json: AsJson = False,
) -> None:
    """Show it all on this machine: a tenant, a key pair, sample calls, everything running, commands to paste.

    Needs nothing but openssl. Ctrl-C stops it; the folder stays to look at.

    RECPIPE_* variables of doors and logs are heeded, those of data dir, database, store and spools are not.

    [bold]RECPIPE_HTTP_LISTEN=0.0.0.0:8080 RECPIPE_FTP_LISTEN=0.0.0.0:2121 recpipe demo[/]    show it from a server
    """
    from recpipe.cli import demo as show
    from recpipe.errors import SettingsInvalid

    options: frame.Options = context.find_root().obj
    if options.config or options.data_dir:
        raise SettingsInvalid(
            "A demo reads no file and keeps everything in --folder: leave out --config and --data-dir."
        )
    raise typer.Exit(show.run(folder, as_json=json))
