"""What `recpipe --help` prints: the options and commands, in the form that typer gives the help of every one of them.

Typer's own printer loads Markdown, tracebacks and the highlighting of programs, which is a third of the time that all
of this takes (decision 35).
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from rich.align import Align
from rich.columns import Columns
from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

# What makes typer colour its help where there is no terminal, and what sets its width.
_COLOURED = ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS")
_WIDTH = "TERMINAL_WIDTH"
_STYLES = Theme({"long": "bold cyan", "short": "bold green", "usage": "yellow"})


class _Options(RegexHighlighter):
    """Colours options wherever they are named."""

    highlights: ClassVar = [
        r"(?:^|\W)(?P<short>-\w+)(?![a-zA-Z0-9])",
        r"(?:^|\W)(?P<long>--[\w-]+)(?![a-zA-Z0-9])",
        r"(?P<usage>Usage: )",
    ]


_coloured = _Options()


def show(group: Any, context: Any) -> None:
    """Print the help of this group of commands, each below the panel that it names."""
    forced = any(map(os.environ.get, _COLOURED))
    width = os.environ.get(_WIDTH)
    console = Console(
        theme=_STYLES, highlighter=_coloured, force_terminal=forced or None, width=int(width) if width else None
    )
    console.print(Padding(_coloured(group.get_usage(context)), 1), style="bold")
    console.print(Padding(Align(_flowing(group.help), pad=False), (0, 1, 1, 1)))
    console.print(_panel("Options", _options(group, context)))
    panels: dict[str, list[Any]] = {}
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    for command in commands:
        panels.setdefault(command.rich_help_panel, []).append(command)
    widest = max(len(command.name) for command in commands)
    for title, below in panels.items():
        table = _table()
        table.add_column(style="bold cyan", no_wrap=True, width=widest)
        table.add_column(ratio=1)
        for command in below:
            table.add_row(command.name, _flowing(command.help.partition("\n\n")[0]))
        console.print(_panel(title, table))


def _options(group: Any, context: Any) -> Table:
    table = _table(highlight=True)
    for option in group.get_params(context):
        long = ",".join(name for name in option.opts if name.startswith("--"))
        short = ",".join(name for name in option.opts if not name.startswith("--"))
        value = Text(option.display_type_rich(ctx=context) or "", "bold yellow", overflow="fold")
        # Typer's third and fourth column are options that say no, of which there are none here.
        table.add_row(_coloured(long), _coloured(short), "", "", value, Columns([_flowing(option.help)]))
    return table


def _flowing(text: str) -> Text:
    return _coloured(Text.from_markup(text.replace("\n", " ").strip()))


def _table(*, highlight: bool = False) -> Table:
    return Table(highlight=highlight, show_header=False, expand=True, box=None, pad_edge=False, padding=(0, 1))


def _panel(title: str, table: Table) -> Panel:
    return Panel(table, title=title, title_align="left", border_style="dim")
