"""States at a glance: of one tenant, and of the installation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.model import DayTotal, JobRun, Node, RecordingQuery, TenantCertificate
from recpipe.recordings.reader import Reader


@dataclass(frozen=True, slots=True)
class TenantOverview:
    """One tenant.

    Attributes:
        totals: of its days, oldest first; None where its recordings may not be searched.
        last_ingest_at: of its newest recording; None where there is none or it may not be searched.
        quarantined: number of its files that wait for a person.
        certificates: retired ones too.
    """

    totals: Sequence[DayTotal] | None
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

    def __init__(self, catalogue: Catalogue, trail: AuditTrail, reader: Reader) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._reader = reader

    def tenant(self, by: Principal, tenant_id: str) -> TenantOverview:
        """How one tenant is now.

        Raises:
            NotFound: there is none, or `by` has no access to it.
        """
        self._reader.tenant(by, tenant_id)
        totals, newest = None, None
        if by.may(Action.SEARCH, tenant_id):
            totals = self._reader.totals(by, tenant_id, "", "9999-12-31")
            newest = next(iter(self._reader.search(by, [tenant_id], RecordingQuery(), None, 1).items), None)
        with self._catalogue.read() as work:
            scope = work.of(tenant_id)
            return TenantOverview(
                totals, newest.ingested_at if newest else None, scope.quarantine.count(), scope.certificates.list()
            )

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
