"""What every command shares: the application, the global options, output in two forms, errors to exit codes.

Exit codes: 0 done; 1 something was found or failed; 2 the command was used wrongly.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

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
    from recpipe.wiring import Parts

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


class Command(TyperCommand):
    """A command whose help does not call a switch a `<bool>` and a name a `<str>`."""

    def get_params(self, ctx: Any) -> Any:
        return _named_plainly(super().get_params(ctx))


class Group(TyperGroup):
    """Several of them."""

    def get_params(self, ctx: Any) -> Any:
        return _named_plainly(super().get_params(ctx))


def _named_plainly(params: Any) -> Any:
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
        elif param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""  # its name says it
    return params


def flowing(docstring: str) -> str:
    """Help out of a docstring: paragraphs fit the terminal, examples keep their lines."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(p if p.startswith("[bold]") else " ".join(p.splitlines()) for p in paragraphs)


class _InOrder(Group):
    """Commands in the order that is best to read, groups among them."""

    def list_commands(self, ctx: Any) -> list[str]:
        from recpipe.cli.commands import COMMANDS

        return sorted(super().list_commands(ctx), key=list(COMMANDS).index)


def new_application() -> typer.Typer:
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
        out.print(f"recpipe {__version__}")
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


@contextmanager
def opened(context: typer.Context) -> Iterator[Parts]:
    """Everything that a command works on, closed again at its end; logs are kept to warnings.

    Raises:
        SettingsInvalid, CatalogueError, StoreError: what the installation lies on cannot be used.
    """
    from recpipe import wiring

    configured = settings(context)
    quiet_logs(configured)
    with wiring.open_parts(configured) as parts:
        yield parts


# --- output -------------------------------------------------------------------------------------------------


def print_json(document: Any) -> None:
    """One document on standard output, and nothing else there."""
    text = json.dumps(document, ensure_ascii=False, indent=2, default=str)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # a terminal or pipe that is not UTF-8, or half a surrogate pair
        text = json.dumps(document, ensure_ascii=True, indent=2, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(line: str = "") -> None:
    """One line of our own text on standard output, markup allowed; put what comes from outside through `shown`."""
    out.print(line)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need, nothing cut: for eyes and for grep alike."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()

    out.print(line(headers), style="bold", markup=False)
    for row in cells:
        out.print(line(row), markup=False)


def details(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values below each other; those without a value are left out."""
    kept = [(name, printable(value)) for name, value in pairs if value not in (None, "", ())]
    width = max(len(name) for name, _ in kept)
    for name, value in kept:
        out.print(f"[dim]{name:<{width}}[/]  {escape(value)}")


def printable(text: object) -> str:
    """Text from outside in one line: control, direction and other invisible characters are spelt out."""
    return "".join(c if c.isprintable() else _spelt(ord(c)) for c in str(text))


def shown(text: object) -> str:
    """`printable`, and what looks like markup stays text."""
    return escape(printable(text))


def shown_lines(text: str) -> str:
    return "\n".join(shown(line) for line in text.splitlines())


def _spelt(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


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
        code = end.code if isinstance(end.code, int) else FAILED
        if code == USED_WRONGLY and as_json:
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
    return DONE


class _FileTrouble(RecpipeError):
    """A file or folder that was named cannot be read or written."""


class _Unforeseen(RecpipeError):
    """A fault of ours."""


def code_of(error: Exception) -> int:
    """The one table from errors to exit codes."""
    return USED_WRONGLY if isinstance(error, _MISUSE) else FAILED


def kind_of(error: RecpipeError | KeysError) -> str:
    """A stable word for programs, such as `not-found`; the API uses the same where it tells the same."""
    ours = next(c for c in type(error).__mro__ if c.__module__ in ("recpipe.errors", "keys.errors", __name__))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", ours.__name__.strip("_")).lower()


def _report(error: RecpipeError | KeysError, *, as_json: bool) -> int:
    code = code_of(error)
    reason = str(getattr(error, "reason", ""))
    if as_json:
        _print_error(kind_of(error), str(error), code, reason)
    err.print(f"[bold red]Error:[/] {shown_lines(str(error))}")
    if isinstance(error, CatalogueUnavailable):
        err.print("Nothing was changed.")
    if isinstance(error, CertificateRejected):
        err.print(f"Reason: {shown(reason)}. Nothing of the input was kept.")
    return code


def _print_error(kind: str, message: str, code: int, reason: str = "") -> None:
    told = {"type": kind, "message": message} | ({"reason": reason} if reason else {})
    print_json({"error": told, "exit_code": code})


_WITH_VALUE = ("--config", "-c", "--data-dir")  # global options that the next word belongs to


def _called(arguments: Sequence[str]) -> Any:
    """The tree of commands, with the one in it that these arguments call."""
    from recpipe.cli import commands

    if "_RECPIPE_COMPLETE" in os.environ:  # a shell asks how a line may go on, which is not in these arguments
        return commands.tree()
    words = iter(arguments)
    for word in words:
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return commands.tree(word)
    return commands.tree("")
