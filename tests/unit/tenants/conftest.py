"""The world of `access`, with its tenants."""

from tests.unit.access.conftest import world

__all__ = ["world"]
