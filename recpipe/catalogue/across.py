"""What is shown of several tenants at once, in as many statements as of one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Column, ColumnElement, Connection, func, select

from recpipe.catalogue.history import change_of
from recpipe.catalogue.operation_tables import change, quarantine
from recpipe.catalogue.repository import Repository
from recpipe.catalogue.tables import certificate, day_total, recording, tenant
from recpipe.catalogue.tenants import certificate_of
from recpipe.model import Change, DayTotal, TenantCertificate

OfTenant = TypeVar("OfTenant", Change, TenantCertificate)


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

    def stored(self) -> dict[str, DayTotal]:
        """Of each tenant what is stored in all; its `day` is ""."""
        c = day_total.c
        sums = (func.sum(column) for column in (c.recordings, c.stored_bytes, c.duration_ms))
        rows = self._connection.execute(
            select(c.tenant_id, *sums).where(*self._mine(c.tenant_id)).group_by(c.tenant_id)
        ).all()
        return {tenant_id: DayTotal("", *map(int, sums)) for tenant_id, *sums in rows}

    def recorded_on(self, days: Collection[str]) -> dict[tuple[str, str], int]:
        """How many recordings each tenant has of each of these days."""
        c = day_total.c
        wanted = select(c.tenant_id, c.day, c.recordings).where(*self._mine(c.tenant_id), c.day.in_(sorted(days)))
        return {(tenant_id, day): recordings for tenant_id, day, recordings in self._connection.execute(wanted).all()}

    def last_ingests(self) -> dict[str, datetime]:
        """When the newest recording of each tenant was ingested; no entry for a tenant without any."""
        c = recording.c
        newest = select(c.ingested_at).where(c.tenant_id == tenant.c.id).order_by(c.started_at.desc(), c.id.desc())
        at = newest.limit(1).correlate(tenant).scalar_subquery()
        rows = self._connection.execute(select(tenant.c.id, at).where(*self._mine(tenant.c.id))).all()
        return {tenant_id: moment for tenant_id, moment in rows if moment is not None}

    def quarantined(self) -> dict[str, int]:
        """How many files of each tenant wait for a person."""
        c = quarantine.c
        rows = self._connection.execute(
            select(c.tenant_id, func.count()).where(*self._mine(c.tenant_id)).group_by(c.tenant_id)
        )
        return {tenant_id: count for tenant_id, count in rows if tenant_id is not None}

    def certificates(self) -> dict[str, list[TenantCertificate]]:
        """The certificates of each tenant, retired ones too, oldest first."""
        c = certificate.c
        rows = self._connection.execute(select(certificate).where(*self._mine(c.tenant_id)).order_by(c.added_at, c.id))
        return _by_tenant(map(certificate_of, rows))

    def pending(self, kinds: Collection[str]) -> dict[str, list[Change]]:
        """The changes of settings of these kinds that wait to be applied, by tenant, oldest first."""
        c = change.c
        waiting = select(change).where(*self._mine(c.tenant_id), c.applied_at.is_(None), c.kind.in_(sorted(kinds)))
        return _by_tenant(map(change_of, self._connection.execute(waiting.order_by(c.created_at, c.id))))

    def pending_changes(self, kinds: Collection[str]) -> int:
        """How many changes of settings of these kinds wait to be applied."""
        counted = select(func.count()).select_from(change)
        of_kinds = change.c.kind.in_(sorted(kinds))
        wanted = counted.where(*self._mine(change.c.tenant_id), change.c.applied_at.is_(None), of_kinds)
        return self._connection.execute(wanted).scalar_one()

    def _mine(self, tenant_id: Column[str]) -> list[ColumnElement[bool]]:
        return [] if self._tenant_ids is None else [tenant_id.in_(sorted(self._tenant_ids))]


def _by_tenant(found: Iterable[OfTenant]) -> dict[str, list[OfTenant]]:
    by_tenant: dict[str, list[OfTenant]] = {}
    for one in found:
        by_tenant.setdefault(one.tenant_id, []).append(one)
    return by_tenant
