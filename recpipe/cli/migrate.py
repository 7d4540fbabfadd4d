"""`recpipe migrate`: the schema of the database."""

from __future__ import annotations

import typer

from recpipe.cli import frame
from recpipe.cli.frame import AsJson


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
