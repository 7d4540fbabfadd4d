"""What every command shares: the application, the global options, output in two forms, errors to exit codes.

Exit codes: 0 done; 1 something was found or failed; 2 the command was used wrongly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from keys.errors import CertificateRejected, KeysError
from recpipe import __version__
from recpipe.errors import (
    AlreadyExists,
    CatalogueUnavailable,
    InputInvalid,
    NotFound,
    QueryInvalid,
    RecpipeError,
    SettingsInvalid,
)

if TYPE_CHECKING:
    from recpipe.settings import Settings

DONE, FAILED, USED_WRONGLY = 0, 1, 2
_MISUSE = (SettingsInvalid, InputInvalid, NotFound, AlreadyExists, QueryInvalid)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Options:
    """The global options, in `Context.obj`."""

    config: Path | None
    data_dir: Path | None
    debug: bool


app = typer.Typer(
    name="recpipe",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Call recordings from a hosted PBX into S3: tagged, sealed for their tenant, and back out over FTP and HTTP.",
)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"recpipe {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file. Default: recpipe.toml here, if any.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where embedded state lies. Default: recpipe-data here.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error comes from.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Options(config, data_dir, debug)


def settings(context: typer.Context) -> Settings:
    """The configuration as file, variables and global options say.

    Raises:
        SettingsInvalid: see `recpipe.settings.load`.
    """
    from recpipe.settings import load

    options: Options = context.find_root().obj
    overrides = {} if options.data_dir is None else {"data_dir": options.data_dir}
    return load(options.config, **overrides)


def quiet_logs(configured: Settings) -> None:
    """Logs of a command that a person looks at: warnings and worse."""
    from recpipe import log

    log.set_up(configured.log_format, "warning")


def print_json(document: Any) -> None:
    """One document on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")
    sys.stdout.flush()


def shown(text: object) -> str:
    """Text from outside, fit for a terminal: no markup, no control characters."""
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))
    return escape(printable)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors become one clear line on standard error."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    _register()
    try:
        app(arguments, prog_name="recpipe")
    except SystemExit as end:  # how typer ends a command, a wrong option included
        return end.code if isinstance(end.code, int) else FAILED
    except (RecpipeError, KeysError) as error:
        if debug:
            raise
        return _report(error, as_json="--json" in arguments)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
    return DONE


def code_of(error: Exception) -> int:
    """The one table from errors to exit codes."""
    return USED_WRONGLY if isinstance(error, _MISUSE) else FAILED


def _report(error: RecpipeError | KeysError, *, as_json: bool) -> int:
    code = code_of(error)
    if as_json:
        told = {"type": type(error).__name__, "message": str(error)}
        reason = getattr(error, "reason", "")
        print_json({"error": told | ({"reason": reason} if reason else {}), "exit_code": code})
    err.print(f"[bold red]Error:[/] {shown_lines(str(error))}")
    if isinstance(error, CatalogueUnavailable):
        err.print("Nothing was changed.")
    if isinstance(error, CertificateRejected):
        err.print(f"Reason: {error.reason}. Nothing of the input was kept.")
    return code


def shown_lines(text: str) -> str:
    return "\n".join(shown(line) for line in text.splitlines())


def _register() -> None:
    """Load the modules whose commands make up the application; they import heavy things when they run."""
    from recpipe.cli import commands

    commands.register(app)
