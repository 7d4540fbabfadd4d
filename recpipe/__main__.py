"""The `recpipe` command; `python -m recpipe` is the same."""

from recpipe import allocator


def main() -> None:
    """Run the command line of this process, and end it with its exit code."""
    allocator.collect_rarely()
    from recpipe.cli.main import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
