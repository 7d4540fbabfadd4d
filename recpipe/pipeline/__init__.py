"""The write path, from a spool file to a committed row: the only place that knows the order of stages.

`order` takes one file through all stages, `commit` writes finished ones to the catalogue in groups,
`fair` shares the workers between tenants, `ingest` owns the spools and the threads, `outcomes` decides what becomes of
a file after each attempt, `heartbeat` tells the other nodes that this one lives.
"""
