"""What keeps people out of a page, in every state of every page and three engines: `python -m tests.barriers`."""
