"""Which commands there are, in the order that the help shows them."""

from __future__ import annotations

import typer

from recpipe.cli import (
    certificates,
    envelopes,
    frame,
    ftp_accounts,
    recordings,
    running,
    tenants,
    upkeep,
    users,
    waiting,
)

ORDER = (
    *("demo", "serve", "ingest"),
    *("tenant", "certificate"),
    *("user", "token", "ftp-account"),
    *("recordings", "quarantine"),
    *("seal", "open", "inspect"),
    *("verify", "audit", "settings", "migrate", "version"),
)


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    if app.registered_commands:
        return
    for command in (running.demo, running.serve, running.ingest):
        app.command(rich_help_panel="Run")(command)
    _add(app, "Tenants and their keys", tenant=tenants.group, certificate=certificates.group)
    _add(app, "People and programs", user=users.group, token=users.tokens, ftp_account=ftp_accounts.group)
    _add(app, "Recordings", recordings=recordings.group, quarantine=waiting.group)
    app.command(rich_help_panel="Envelopes")(envelopes.seal)
    app.command("open", rich_help_panel="Envelopes")(envelopes.open_)
    app.command(rich_help_panel="Envelopes")(envelopes.inspect)
    _add(app, "Upkeep", audit=upkeep.audit_group, settings=upkeep.settings_group)
    app.command(rich_help_panel="Upkeep")(upkeep.verify)
    app.command(rich_help_panel="Upkeep")(upkeep.migrate)
    app.command(rich_help_panel="Upkeep")(upkeep.version)
    _dress(app)


def _add(app: typer.Typer, panel: str, **groups: typer.Typer) -> None:
    for name, group in groups.items():
        app.add_typer(group, name=name.replace("_", "-"), rich_help_panel=panel, cls=frame.Group)
        _dress(group)


def _dress(commands: typer.Typer) -> None:
    for command in commands.registered_commands:
        assert command.callback is not None  # `command()` was given one
        command.cls = frame.Command
        command.help = frame.flowing(command.callback.__doc__ or "")
