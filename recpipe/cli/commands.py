"""Which commands there are, in the order that the help shows them; each is loaded when it is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer

from recpipe.cli import frame


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the help.

    Args:
        at: module beside this one, and what of it is the command: a function, or a group of several.
        summary: how its help begins.
    """

    at: str
    panel: str
    summary: str


_RUN, _TENANTS, _PEOPLE = "Run", "Tenants and their keys", "People and programs"
_RECORDINGS, _ENVELOPES, _UPKEEP = "Recordings", "Envelopes", "Upkeep"

COMMANDS = {
    "demo": Listed(
        "running.demo",
        _RUN,
        "Show it all on this machine: a tenant, a key pair, sample calls, everything running, commands to paste.",
    ),
    "serve": Listed(
        "running.serve", _RUN, "Watch the spools, and serve the API, the dashboard and FTP, until Ctrl-C or SIGTERM."
    ),
    "ingest": Listed(
        "running.ingest", _RUN, "Take recordings from the spools into the store, with a progress bar and a summary."
    ),
    "tenant": Listed("tenants.group", _TENANTS, "Tenants: make them, look at them, change them."),
    "certificate": Listed(
        "certificates.group", _TENANTS, "The certificates that a tenant's recordings are sealed for."
    ),
    "user": Listed("users.group", _PEOPLE, "People and programs, and the tenants that are theirs."),
    "token": Listed("users.tokens", _PEOPLE, "API tokens: what programs sign in with."),
    "ftp-account": Listed("ftp_accounts.group", _PEOPLE, "FTP accounts of tenants, and of media servers that upload."),
    "recordings": Listed("recordings.group", _RECORDINGS, "Stored recordings: find, show, export and delete them."),
    "quarantine": Listed("quarantine.group", _RECORDINGS, "Files that could not be stored and wait for a person."),
    "seal": Listed(
        "envelopes.seal", _ENVELOPES, "Seal a file for one certificate or more: any one of their private keys opens it."
    ),
    "open": Listed(
        "envelopes.open_", _ENVELOPES, "Open a sealed file with a private key. A key with a passphrase asks for it."
    ),
    "inspect": Listed(
        "envelopes.inspect",
        _ENVELOPES,
        "Say who can open a sealed file: the issuer and serial number of each certificate it was sealed for.",
    ),
    "verify": Listed(
        "upkeep.verify",
        _UPKEEP,
        "Compare catalogue and store: every recording has its object, every object its recording, checksums match.",
    ),
    "recover": Listed(
        "upkeep.recover",
        _UPKEEP,
        "Take back recordings that are in the store and not in the catalogue, as after restoring an older backup of "
        "it.",
    ),
    "audit": Listed("upkeep.audit_group", _UPKEEP, "Who did what, from where, when, and how it ended."),
    "settings": Listed("upkeep.settings_group", _UPKEEP, "What recpipe is set to."),
    "migrate": Listed(
        "upkeep.migrate",
        _UPKEEP,
        "Make the database, or bring an older one up to date. Other commands do this by themselves.",
    ),
    "version": Listed("upkeep.version", _UPKEEP, "Print the version."),
}


@cache
def tree(word: str | None = None) -> Any:
    """The commands, built once a process.

    Args:
        word: the only one that has to be whole; of the others, whose loading would take longer than most of them take
            to run, the tree has name and summary. None: all are whole.
    """
    app = frame.new_application()
    for name, listed in COMMANDS.items():
        found = _loaded(listed) if word in (None, name) else _named(listed)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, rich_help_panel=listed.panel, cls=frame.Group)
            _dress(found)
        else:
            app.command(name, rich_help_panel=listed.panel)(found)
    _dress(app)
    return typer.main.get_command(app)


def _loaded(listed: Listed) -> Any:
    module, _, attribute = listed.at.partition(".")
    return getattr(import_module(f"recpipe.cli.{module}"), attribute)


def _named(listed: Listed) -> Any:
    def command() -> None:
        raise AssertionError(f"{listed.at} was called and is not loaded")

    command.__doc__ = listed.summary
    return command


def _dress(commands: typer.Typer) -> None:
    for command in commands.registered_commands:
        assert command.callback is not None  # `command()` was given one
        command.cls = frame.Command
        command.help = frame.flowing(command.callback.__doc__ or "")
