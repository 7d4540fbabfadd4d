"""`python -m recpipe` is the `recpipe` command."""

from recpipe.cli import main

if __name__ == "__main__":
    main()
