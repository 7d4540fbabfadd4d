"""`recpipe settings`: what recpipe is set to."""

from __future__ import annotations

from typing import Any

import typer

from recpipe.cli import frame
from recpipe.cli.frame import AsJson

group = typer.Typer(no_args_is_help=True, help="What recpipe is set to.")


@group.command()
def show(context: typer.Context, json: AsJson = False) -> None:
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
