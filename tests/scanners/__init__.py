"""Other people's scanners, pointed at a recpipe that runs: `scripts/audit web`."""
