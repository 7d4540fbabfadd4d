"""`recpipe version`."""

from __future__ import annotations

from recpipe import __version__
from recpipe.cli import frame
from recpipe.cli.frame import AsJson


def version(json: AsJson = False) -> None:
    """Print the version."""
    if json:
        frame.print_json({"version": __version__})
    else:
        frame.say(f"recpipe {__version__}")
