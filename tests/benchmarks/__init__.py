"""Benchmarks: each prints ratios against a named peer, never a bare time."""
