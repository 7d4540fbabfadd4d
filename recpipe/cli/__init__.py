"""The command line: the roof over everything, thin commands that parse, call and print."""

from __future__ import annotations

import gc

# Of CPython 3.11 it is 700: to look for garbage 300 times in the modules of a server was an eighth of its start.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> None:
    """Entry point of the `recpipe` command."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from recpipe.cli.frame import run

    raise SystemExit(run())
