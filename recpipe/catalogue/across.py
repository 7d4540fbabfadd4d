"""Sums over several tenants, for what is shown of all of them at once."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Column, ColumnElement, Connection, func, select

from recpipe.catalogue.repository import Repository
from recpipe.catalogue.tables import change, day_total
from recpipe.model import DayTotal


class AcrossTenants(Repository):
    """Sums over the tenants it is made for; None is every tenant."""

    __slots__ = ("_tenant_ids",)

    def __init__(self, connection: Connection, tenant_ids: Collection[str] | None) -> None:
        super().__init__(connection)
        self._tenant_ids = tenant_ids

    def totals(self, first_day: str, last_day: str) -> list[DayTotal]:
        """Counts and sums of each day on which something was recorded, oldest first, both ends included."""
        c = day_total.c
        sums = (func.sum(column) for column in (c.recordings, c.stored_bytes, c.duration_ms))
        wanted = select(c.day, *sums).where(*self._mine(c.tenant_id), c.day >= first_day, c.day <= last_day)
        rows = self._connection.execute(wanted.where(c.recordings > 0).group_by(c.day).order_by(c.day))
        return [DayTotal(day, *map(int, sums)) for day, *sums in rows]

    def pending_changes(self, kinds: Collection[str]) -> int:
        """How many changes of settings of these kinds wait to be applied."""
        counted = select(func.count()).select_from(change)
        of_kinds = change.c.kind.in_(sorted(kinds))
        wanted = counted.where(*self._mine(change.c.tenant_id), change.c.applied_at.is_(None), of_kinds)
        return self._connection.execute(wanted).scalar_one()

    def _mine(self, tenant_id: Column[str]) -> list[ColumnElement[bool]]:
        return [] if self._tenant_ids is None else [tenant_id.in_(sorted(self._tenant_ids))]
