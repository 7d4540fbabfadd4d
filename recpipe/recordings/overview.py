"""States at a glance: of one tenant, and of the installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.model import DayTotal, JobRun, Node, Tenant, TenantCertificate

_FEW = 20  # tenants that a statement names one by one where all could be read


@dataclass(frozen=True, slots=True)
class TenantOverview:
    """One tenant.

    Attributes:
        stored: what it has in all; None where its recordings may not be searched.
        today: how many recordings it has of the day that it is on its clock; None as `stored`.
        last_ingest_at: of its newest recording; None where there is none or it may not be searched.
        quarantined: number of its files that wait for a person.
        certificates: retired ones too.
    """

    stored: DayTotal | None
    today: int | None
    last_ingest_at: datetime | None
    quarantined: int
    certificates: Sequence[TenantCertificate]


@dataclass(frozen=True, slots=True)
class SystemOverview:
    """The installation: its processes, its jobs' last runs, each day's totals over all tenants, files in quarantine."""

    nodes: Sequence[Node]
    job_runs: Sequence[JobRun]
    totals: Sequence[DayTotal]
    quarantined: int


class Overview:
    """Reads what pages show of a whole tenant or of the whole installation. Thread-safe."""

    def __init__(self, catalogue: Catalogue, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._trail = trail

    def tenants(self, by: Principal, tenants: Sequence[Tenant], now: datetime) -> Mapping[str, TenantOverview]:
        """How these tenants are, by id; of those alone that `by` knows. The number of statements is that of one."""
        known = {one.id: one for one in tenants if by.knows(one.id)}
        searchable = {tenant_id for tenant_id in known if by.may(Action.SEARCH, tenant_id)}
        days = {one.id: now.astimezone(ZoneInfo(one.timezone)).date().isoformat() for one in known.values()}
        with self._catalogue.read() as work:
            all_at_once = len(known) > _FEW and by.known_tenants is None
            every = work.across(None if all_at_once else frozenset(known))
            theirs = work.across(None if all_at_once and by.tenants(Action.SEARCH) is None else frozenset(searchable))
            stored, on_days = theirs.stored(), theirs.recorded_on(set(days.values()))
            ingests, quarantined, certificates = theirs.last_ingests(), every.quarantined(), every.certificates()
        return {
            tenant_id: TenantOverview(
                stored.get(tenant_id, DayTotal("", 0, 0, 0)) if tenant_id in searchable else None,
                on_days.get((tenant_id, days[tenant_id]), 0) if tenant_id in searchable else None,
                ingests.get(tenant_id),
                quarantined.get(tenant_id, 0),
                certificates.get(tenant_id, []),
            )
            for tenant_id in known
        }

    def system(self, by: Principal, first_day: str, last_day: str) -> SystemOverview:
        """How the installation is now, with the totals of these days, both included, of the tenants that `by` knows.

        Raises:
            Forbidden: `by` may not operate the system.
        """
        self._trail.require(by, Action.SYSTEM)
        with self._catalogue.read() as work:
            return SystemOverview(
                work.nodes.list(),
                work.job_runs.latest(),
                work.across(by.known_tenants).totals(first_day, last_day),
                work.quarantine.count(),
            )
