"""The write path, from a spool file to a committed row: the only place that knows the order of stages.

`order` takes one file through all stages, `commit` writes finished ones to the catalogue in groups,
`fair` shares the workers between tenants, `run` owns the spools and the threads.
"""
