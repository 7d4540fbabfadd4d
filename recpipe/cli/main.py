"""The entry point: the list of commands, the global options, errors to exit codes.

Commands stand in the order in which the help shows them; the module of one is loaded when it is called.

Exit codes: 0 done; 1 something was found or failed; 2 the command was used wrongly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from keys.errors import CertificateRejected, KeysError
from recpipe import __version__
from recpipe.cli import frame
from recpipe.errors import (
    AlreadyExists,
    CatalogueUnavailable,
    InputInvalid,
    NotFound,
    QueryInvalid,
    RecpipeError,
    SettingsInvalid,
)

_MISUSE = (SettingsInvalid, InputInvalid, NotFound, AlreadyExists, QueryInvalid)


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
    "identity-provider": Listed(
        "identity_providers.group", _PEOPLE, "Identity providers: where people sign in with OpenID Connect."
    ),
    "ftp-account": Listed("ftp_accounts.group", _PEOPLE, "FTP accounts of tenants, and of media servers that upload."),
    "recordings": Listed("recordings.group", _RECORDINGS, "Stored recordings: find, show, export and delete them."),
    "calls": Listed("calls.group", _RECORDINGS, "Calls, each with all of its recordings."),
    "completeness": Listed(
        "completeness.completeness", _RECORDINGS, "Was it recorded? Compare what PBXs say of calls with what arrived."
    ),
    "policy": Listed("policy.group", _TENANTS, "Which calls are recorded, for PBXs."),
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
        "verify.verify",
        _UPKEEP,
        "Compare catalogue and store: every recording has its object, every object its recording, checksums match.",
    ),
    "recover": Listed(
        "recover.recover",
        _UPKEEP,
        "Take back recordings that are in the store and not in the catalogue, as after restoring an older backup of "
        "it.",
    ),
    "recovery-key": Listed("recovery_key.group", _UPKEEP, "The key of the installation, and another in its place."),
    "audit": Listed("audit.group", _UPKEEP, "Who did what, from where, when, and how it ended."),
    "settings": Listed("settings.group", _UPKEEP, "What recpipe is set to."),
    "migrate": Listed(
        "migrate.migrate",
        _UPKEEP,
        "Make the database, or bring an older one up to date. Other commands do this by themselves.",
    ),
    "version": Listed("version.version", _UPKEEP, "Print the version."),
}


@cache
def tree(word: str | None = None) -> Any:
    """The commands, built once a process.

    Args:
        word: the only one that has to be whole; of the others, whose loading would take longer than most of them take
            to run, the tree has name and summary. None: all are whole.
    """
    app = _application()
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


class _InOrder(frame.Group):
    """Commands in the order that is best to read, groups among them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=list(COMMANDS).index)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from recpipe.cli import overview

        overview.show(self, ctx)


def _application() -> typer.Typer:
    """The command line with its global options, and no command yet."""
    app = typer.Typer(
        name="recpipe",
        cls=_InOrder,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Call recordings from a hosted PBX into S3: tagged, sealed for their tenant, and back out over FTP and "
        "HTTP.",
    )
    app.callback()(_global)
    return app


def _version(asked: bool) -> None:
    if asked:
        frame.out.print(f"recpipe {__version__}")
        raise typer.Exit


def _global(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Configuration file. Default: recpipe.toml here, if any."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Where embedded state lies. Default: recpipe-data here."),
    ] = None,
    _debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error comes from.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = frame.Options(config, data_dir)


# --- running ------------------------------------------------------------------------------------------------


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors become one clear line on standard error.

    With `--json` an error is a document on standard output as well: `{"error": {...}, "exit_code": N}`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug, as_json = "--debug" in arguments, "--json" in arguments
    try:
        _called(arguments)(arguments, prog_name="recpipe")
    except SystemExit as end:  # how typer ends a command, a wrong option included
        code = end.code if isinstance(end.code, int) else frame.FAILED
        if code == frame.USED_WRONGLY and as_json:
            _print_error("used-wrongly", "The command was used wrongly; standard error says how.", code)
        return code
    except (RecpipeError, KeysError) as error:
        if debug:
            raise
        return _report(error, as_json=as_json)
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _report(_FileTrouble(f"{where}{error.strerror or error}."), as_json=as_json)
    except Exception as error:
        if debug:
            raise
        told = (
            f"Something unforeseen happened ({type(error).__name__}: {error}). Run it again with --debug to see where."
        )
        return _report(_Unforeseen(told), as_json=as_json)
    return frame.DONE


class _FileTrouble(RecpipeError):
    """A file or folder that was named cannot be read or written."""

    word = "file-trouble"


class _Unforeseen(RecpipeError):
    """A fault of ours."""

    word = "unforeseen"


def code_of(error: Exception) -> int:
    """The one table from errors to exit codes."""
    return frame.USED_WRONGLY if isinstance(error, _MISUSE) else frame.FAILED


def _report(error: RecpipeError | KeysError, *, as_json: bool) -> int:
    code = code_of(error)
    reason = str(getattr(error, "reason", ""))
    if as_json:
        _print_error(error.word, str(error), code, reason)
    frame.err.print(f"[bold red]Error:[/] {frame.shown_lines(str(error))}")
    if isinstance(error, CatalogueUnavailable):
        frame.err.print("Nothing was changed.")
    if isinstance(error, CertificateRejected):
        frame.err.print(f"Reason: {frame.shown(reason)}. Nothing of the input was kept.")
    return code


def _print_error(kind: str, message: str, code: int, reason: str = "") -> None:
    told = {"type": kind, "message": message} | ({"reason": reason} if reason else {})
    frame.print_json({"error": told, "exit_code": code})


_WITH_VALUE = ("--config", "-c", "--data-dir")  # global options that the next word belongs to


def _called(arguments: Sequence[str]) -> Any:
    """The tree of commands, with the one in it that these arguments call."""
    if "_RECPIPE_COMPLETE" in os.environ:  # a shell asks how a line may go on, which is not in these arguments
        return tree()
    words = iter(arguments)
    for word in words:
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return tree(word)
    return tree("")
