"""The portal and the dashboard: server-rendered pages."""
