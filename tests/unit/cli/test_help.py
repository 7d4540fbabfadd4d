from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recpipe.access.principal import GRANTABLE_ACTIONS
from recpipe.cli import frame, main
from recpipe.web.dashboard import filters
from tests.unit.cli.conftest import Cli

DOCUMENT = Path(__file__).parents[3] / "docs/commands.md"


def every(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below this one, groups left out."""
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
        return
    for name, one in below.items():
        yield from every(one, (*words, name))


ROOT = main.tree()
COMMANDS = dict(every(ROOT))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_there_and_free_of_jargon(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli.run(*words, "--help")
    assert " ".join(("Usage: recpipe", *words)) in done.out
    assert not re.search(r"<(str|bool|path|int|float|list\[str\]|int range)>", done.out)
    assert "Traceback" not in done.err


@pytest.mark.parametrize("environment", [{}, {"COLUMNS": "40"}, {"TERMINAL_WIDTH": "120"}, {"PY_COLORS": "1"}])
def test_the_overview_looks_as_typer_prints_it(environment: dict[str, str]) -> None:
    program = "import sys; from recpipe.cli import main; {}sys.exit(main.run(['--help']))"
    typers = "import typer.core; main._InOrder.format_help = typer.core.TyperGroup.format_help; "
    ours, theirs = (
        subprocess.run([sys.executable, "-c", program.format(how)], capture_output=True, check=True, env=environment)
        for how in ("", typers)
    )
    assert ours.stdout == theirs.stdout
    assert (b"\x1b[" in ours.stdout) is ("PY_COLORS" in environment)


def test_paragraphs_flow_and_examples_keep_their_lines() -> None:
    docstring = """One
    line.

    Two
    lines.

    [bold]first[/]
    [bold]second[/]
    """
    assert frame.flowing(docstring) == "One line.\n\nTwo lines.\n\n[bold]first[/]\n[bold]second[/]"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_speaks_json_and_every_option_says_what_it_does(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert "--json" in {name for parameter in command.params for name in parameter.opts}
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", ""), f"{parameter.name} has no help"


def test_every_command_has_its_place_in_the_order() -> None:
    assert sorted({words[0] for words in COMMANDS}) == sorted(main.COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_documented(words: tuple[str, ...]) -> None:
    heading = f"### recpipe {' '.join(words)}\n"
    text = DOCUMENT.read_text()
    assert heading in text, f"docs/commands.md lacks {heading}"
    section = re.split(r"^#{2,3} ", text.partition(heading)[2], maxsplit=1, flags=re.MULTILINE)[0]
    options = [(name, one) for one in COMMANDS[words].params for name in (*one.opts, *one.secondary_opts)]
    lacking = [
        f"| `{name}` | {one.help} |"
        for name, one in options
        if name.startswith("--") and name not in ("--help", "--json") and f"`{name}" not in section
    ]
    assert not lacking, f"docs/commands.md lacks below {heading}" + "\n".join(lacking)


def test_each_action_that_can_be_granted_is_documented_and_has_words_in_the_portal() -> None:
    [grant] = [one for one in COMMANDS["user", "create"].params if "--grant" in one.opts]
    assert DOCUMENT.read_text().count(f"| {grant.help} |") == 2
    assert {*GRANTABLE_ACTIONS} <= filters.WORDS.keys()


def test_nothing_is_documented_that_is_not_there() -> None:
    headings = re.findall(r"^### recpipe (.+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert sorted(headings) == sorted(" ".join(words) for words in COMMANDS)


def test_the_global_options_are_documented() -> None:
    text = DOCUMENT.read_text()
    for parameter in ROOT.params:
        for name in parameter.opts:
            if name.startswith("--") and "completion" not in name:
                assert f"`{name}" in text


@pytest.mark.parametrize("word", main.COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(word: str) -> None:
    listed, whole = main.tree("").commands[word], ROOT.commands[word]
    assert listed.help == whole.help.split("\n\n")[0]
    assert listed.rich_help_panel == whole.rich_help_panel


@pytest.mark.parametrize(
    "words", [["--data-dir", "tenant"], ["-c", "recpipe.toml"], ["--config=recpipe.toml"], ["--debug"]]
)
def test_a_global_option_and_its_value_are_not_taken_for_the_command(cli: Cli, words: list[str]) -> None:
    assert "Usage: recpipe certificate check" in cli.run(*words, "certificate", "check", "--help").out


def test_a_shell_is_told_the_options_of_every_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_RECPIPE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "recpipe tenant ")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert "create" in cli.run().out.split()
