"""One transaction and what can be done in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from recpipe.catalogue.across import AcrossTenants
from recpipe.catalogue.call_events import CallEvents, CallEventsOfAll
from recpipe.catalogue.completeness import CallRecordsOfAll, Completeness
from recpipe.catalogue.figure_counts import FigureCounts
from recpipe.catalogue.figures import Figures
from recpipe.catalogue.ftp_accounts import FtpAccounts, FtpLogins
from recpipe.catalogue.history import Audit, AuditOfAll, Changes
from recpipe.catalogue.identities import Identities, IdentityProviders
from recpipe.catalogue.job_runs import JobRuns
from recpipe.catalogue.logins import Failures, KnownNetworks, Links, Sessions
from recpipe.catalogue.marks import CallMarks, said_of
from recpipe.catalogue.operation import Nodes, Quarantine, QuarantineOfAll
from recpipe.catalogue.passkeys import Passkeys
from recpipe.catalogue.people import Tokens, Users
from recpipe.catalogue.policy import Decisions, DecisionsOfAll, PoliciesOfAll, Policy
from recpipe.catalogue.recordings import Recordings
from recpipe.catalogue.saved_searches import SavedSearches
from recpipe.catalogue.search import Search
from recpipe.catalogue.sharing import LinksOfAll, SharedLinks
from recpipe.catalogue.tenants import Certificates, Tenants
from recpipe.model import Added, Call, CappedCount, Direction, FoundTotal, Marks, Page, Recording, RecordingQuery

# Repositories are made where they are asked for: keeping them takes longer than making them.


class TenantScope:
    """Everything that belongs to one tenant. There is no other way to it."""

    __slots__ = ("_connection", "tenant_id")

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    @property
    def certificates(self) -> Certificates:
        return Certificates(self._connection, self.tenant_id)

    @property
    def ftp_accounts(self) -> FtpAccounts:
        return FtpAccounts(self._connection, self.tenant_id)

    @property
    def recordings(self) -> Recordings:
        return Recordings(self._connection, self.tenant_id)

    @property
    def marks(self) -> CallMarks:
        return CallMarks(self._connection, self.tenant_id)

    @property
    def shared_links(self) -> SharedLinks:
        return SharedLinks(self._connection, self.tenant_id)

    @property
    def changes(self) -> Changes:
        return Changes(self._connection, self.tenant_id)

    @property
    def policy(self) -> Policy:
        return Policy(self._connection, self.tenant_id)

    @property
    def decisions(self) -> Decisions:
        return Decisions(self._connection, self.tenant_id)

    @property
    def completeness(self) -> Completeness:
        return Completeness(self._connection, self.tenant_id)

    @property
    def call_events(self) -> CallEvents:
        return CallEvents(self._connection, self.tenant_id)

    @property
    def figure_counts(self) -> FigureCounts:
        return FigureCounts(self._connection, self.tenant_id)

    @property
    def audit(self) -> Audit:
        return Audit(self._connection, [self.tenant_id])

    @property
    def quarantine(self) -> Quarantine:
        return Quarantine(self._connection, self.tenant_id)


class Work:
    """What belongs to the whole installation, and the way to one tenant's things: `work.of(tenant_id)`."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, tenant_id: str) -> TenantScope:
        """The things of one tenant. Whether the caller may see them is the caller's to decide, before this.

        Raises:
            ValueError: no tenant is named.
        """
        if not tenant_id:
            raise ValueError("a scope needs a tenant")
        return TenantScope(self._connection, tenant_id)

    # --- things of several tenants ------------------------------------------------------------------------

    def add_recordings(self, batch: Sequence[Recording]) -> list[Added]:
        """`Recordings.add_many` for recordings of any tenants, all of them in this one transaction.

        Raises:
            Conflict: as for `Recordings.add_many`; then none is added.
        """
        by_tenant: dict[str, list[Recording]] = {}
        for given in batch:
            by_tenant.setdefault(given.tenant_id, []).append(given)
        outcome: dict[str, Added] = {}
        # In order, so that two such transactions cannot wait for each other in a circle.
        for tenant_id in sorted(by_tenant):
            for added in self.of(tenant_id).recordings.add_many(by_tenant[tenant_id]):
                outcome[added.recording.id] = added
        return [outcome[given.id] for given in batch]

    def recording(self, tenant_ids: Collection[str] | None, recording_id: str) -> Recording:
        """One recording of any of these tenants, or where they are None of every tenant; peaks included.

        Raises:
            NotFound: there is none, it was deleted, or it is another tenant's.
        """
        return Search(self._connection, tenant_ids).get(recording_id)

    def search(
        self, tenant_ids: Collection[str] | None, query: RecordingQuery, cursor: str | None = None, limit: int = 50
    ) -> Page[Recording]:
        """Find recordings of several tenants, newest first unless the query says otherwise, peaks left out.

        Args:
            tenant_ids: whose, never empty; None: every tenant's.
            cursor: `next_cursor` of the page before.
            limit: 1 to 1,000 a page.

        Raises:
            QueryInvalid: the query, the cursor or the limit cannot be understood.
            TooManyMatches: the number is too short to be answered without hiding newer calls.
        """
        return Search(self._connection, tenant_ids).page(query, cursor, limit)

    def count(self, tenant_ids: Collection[str] | None, query: RecordingQuery, cap: int = 1000) -> CappedCount:
        """How many recordings a query finds, counting no further than `cap`.

        Raises:
            QueryInvalid, TooManyMatches: as for `search`.
        """
        return Search(self._connection, tenant_ids).count(query, cap)

    def recordings(self, tenant_ids: Collection[str] | None, ids: Collection[str]) -> Sequence[Recording]:
        """Those of these tenants (None: of every one) that have one of the ids, in any order, without their peaks."""
        return Search(self._connection, tenant_ids).some(ids)

    def total(self, tenant_ids: Collection[str] | None, query: RecordingQuery, cap: int) -> FoundTotal:
        """How many recordings a query finds and what is stored of them, counting no further than `cap`.

        Raises:
            QueryInvalid, TooManyMatches: as for `search`.
        """
        return Search(self._connection, tenant_ids).total(query, cap)

    def calls(
        self,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        cursor: str | None = None,
        limit: int = 50,
        *,
        extension: str = "",
        direction: Direction | None = None,
    ) -> Page[Call]:
        """Find calls of several tenants by any of their legs, in the order of their first legs, newest first.

        A time is that of a leg; one that began more than a day after the first is not found by it.

        Args:
            tenant_ids, query, cursor, limit: as for `search`.
            extension, direction: of the only legs that may be seen; the query says the same of what may be found.

        Raises:
            QueryInvalid, TooManyMatches: as for `search`.
        """
        return Search(self._connection, tenant_ids).calls(query, cursor, limit, extension, direction)

    def count_calls(self, tenant_ids: Collection[str] | None, query: RecordingQuery, cap: int = 1000) -> CappedCount:
        """How many calls a query finds, counting no further than `cap`; raises as `search`."""
        return Search(self._connection, tenant_ids).count_calls(query, cap)

    def total_calls(self, tenant_ids: Collection[str] | None, query: RecordingQuery, cap: int) -> FoundTotal:
        """How many calls a query finds and what is stored of all their legs, counting no further than `cap`.

        Raises:
            QueryInvalid, TooManyMatches: as for `search`.
        """
        return Search(self._connection, tenant_ids).total_calls(query, cap)

    def call(
        self,
        tenant_ids: Collection[str] | None,
        call_id: str,
        *,
        extension: str = "",
        direction: Direction | None = None,
    ) -> Call:
        """One call of any of these tenants with its legs, by its own id or that of a recording that is one of them.

        Raises:
            NotFound: there is none, it is another tenant's, or none of its legs may be seen.
        """
        return Search(self._connection, tenant_ids).call(call_id, extension, direction)

    def marks(self, tenant_ids: Collection[str], calls: Collection[str]) -> dict[str, Marks]:
        """What was said of these calls, by the id of the call; of calls of other tenants, and of others, nothing."""
        return said_of(self._connection, tenant_ids, calls)

    def across(self, tenant_ids: Collection[str] | None) -> AcrossTenants:
        """Sums over these tenants, or over every tenant where they are None."""
        return AcrossTenants(self._connection, tenant_ids)

    def figures(self, tenant_ids: Collection[str] | None) -> Figures:
        """What the calls of these tenants come to, or those of every tenant where they are None."""
        return Figures(self._connection, tenant_ids)

    def audit_of(self, tenant_ids: Collection[str]) -> Audit:
        """The audit log of these tenants and of nobody else."""
        return Audit(self._connection, tenant_ids)

    # --- the installation ---------------------------------------------------------------------------------

    @property
    def tenants(self) -> Tenants:
        return Tenants(self._connection)

    @property
    def users(self) -> Users:
        return Users(self._connection)

    @property
    def tokens(self) -> Tokens:
        return Tokens(self._connection)

    @property
    def sessions(self) -> Sessions:
        return Sessions(self._connection)

    @property
    def links(self) -> Links:
        return Links(self._connection)

    @property
    def shared_links(self) -> LinksOfAll:
        return LinksOfAll(self._connection)

    @property
    def saved_searches(self) -> SavedSearches:
        return SavedSearches(self._connection)

    @property
    def identity_providers(self) -> IdentityProviders:
        return IdentityProviders(self._connection)

    @property
    def identities(self) -> Identities:
        return Identities(self._connection)

    @property
    def passkeys(self) -> Passkeys:
        return Passkeys(self._connection)

    @property
    def failures(self) -> Failures:
        return Failures(self._connection)

    @property
    def known_networks(self) -> KnownNetworks:
        return KnownNetworks(self._connection)

    @property
    def ftp_logins(self) -> FtpLogins:
        return FtpLogins(self._connection)

    @property
    def quarantine(self) -> QuarantineOfAll:
        return QuarantineOfAll(self._connection)

    @property
    def policies(self) -> PoliciesOfAll:
        return PoliciesOfAll(self._connection)

    @property
    def decisions(self) -> DecisionsOfAll:
        return DecisionsOfAll(self._connection)

    @property
    def call_records(self) -> CallRecordsOfAll:
        return CallRecordsOfAll(self._connection)

    @property
    def call_events(self) -> CallEventsOfAll:
        return CallEventsOfAll(self._connection)

    @property
    def audit(self) -> AuditOfAll:
        return AuditOfAll(self._connection)

    @property
    def nodes(self) -> Nodes:
        return Nodes(self._connection)

    @property
    def job_runs(self) -> JobRuns:
        return JobRuns(self._connection)
