"""Which calls are to be recorded: the one rule that decides, and what PBXs are told.

Nothing here changes a rule: that is done by `recpipe.tenants`, through pending changes.
"""
