"""Which commands there are, in the order that the help shows them."""

from __future__ import annotations

import typer

from recpipe.cli import certificates, recordings, running, tenants, upkeep, waiting


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    if app.registered_commands:
        return
    for command in (running.demo, running.serve, running.ingest):
        app.command(rich_help_panel="Run")(command)
    app.add_typer(tenants.group, name="tenant", rich_help_panel="Tenants and their keys")
    app.add_typer(certificates.group, name="certificate", rich_help_panel="Tenants and their keys")
    app.add_typer(recordings.group, name="recordings", rich_help_panel="Recordings")
    app.add_typer(waiting.group, name="quarantine", rich_help_panel="Recordings")
    app.command(rich_help_panel="Upkeep")(upkeep.verify)
    app.command(rich_help_panel="Upkeep")(upkeep.migrate)
    app.add_typer(upkeep.settings_group, name="settings", rich_help_panel="Upkeep")
    app.add_typer(upkeep.audit_group, name="audit", rich_help_panel="Upkeep")
    app.command(rich_help_panel="Upkeep")(upkeep.version)
