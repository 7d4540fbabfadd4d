"""The `recpipe` command; `python -m recpipe` is the same."""

import gc

# CPython 3.11 starts at 700: 300 searches for garbage among the modules of a server, an eighth of its start
# (`scripts/bench start`).
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> None:
    """Run the command line of this process, and end it with its exit code."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from recpipe.cli.main import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
