"""Stored recordings: read, looked up by name, deleted, verified against the store, recovered."""
