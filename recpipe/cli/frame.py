"""The toolkit of every command: settings and services opened, output as text or JSON, help that reads well."""

from __future__ import annotations

import inspect
import json
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

if TYPE_CHECKING:
    from recpipe.settings import Settings
    from recpipe.wiring import Parts

DONE, FAILED, USED_WRONGLY = 0, 1, 2

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Options:
    """The global options, in `Context.obj`."""

    config: Path | None
    data_dir: Path | None


class Command(TyperCommand):
    """A command whose help does not call a switch a `<bool>` and a name a `<str>`."""

    def get_params(self, ctx: Any) -> Any:
        return _named_plainly(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands with the same help."""

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
