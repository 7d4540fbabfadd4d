"""Objects: put once, verified, read by range. Knows keys and bytes, nothing of calls."""
