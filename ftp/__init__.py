"""The FTP and FTPS gateway: a tenant's recordings as a read-only tree of days."""
