"""The FTP and FTPS gateway: a tenant's recordings as a read-only tree of days, and a way into a spool for senders."""
