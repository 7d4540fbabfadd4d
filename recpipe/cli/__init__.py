"""The command line: the roof over everything, thin commands that parse, call and print."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `recpipe` command."""
    from recpipe.cli.frame import run

    raise SystemExit(run())
