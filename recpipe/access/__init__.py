"""Who is knocking, and what they may do: credentials in, a `Principal` out. One module for every door.

login       passwords, second factors, tokens, FTP accounts -> Principal; the lock-out counts for all doors
sessions    server-side sessions of the dashboard
principal   what a principal may do, and with which tenants
accounts    users and their grants;  credentials: API tokens and FTP accounts;  links: invitations, recovery
"""
