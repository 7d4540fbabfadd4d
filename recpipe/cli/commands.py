"""Which commands there are, in the order that the help shows them."""

from __future__ import annotations

import typer

from recpipe.cli import running


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    if app.registered_commands:
        return
    for command in (running.demo, running.serve, running.ingest):
        app.command(rich_help_panel="Run")(command)
