"""One transaction and what can be done in it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from sqlalchemy import Connection

from recpipe.catalogue.recordings import Recordings
from recpipe.catalogue.search import Search
from recpipe.catalogue.tenants import Certificates, Tenants
from recpipe.model import CappedCount, Page, Recording, RecordingQuery


class TenantScope:
    """Everything that belongs to one tenant. There is no other way to it."""

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    @cached_property
    def certificates(self) -> Certificates:
        return Certificates(self._connection, self.tenant_id)

    @cached_property
    def recordings(self) -> Recordings:
        return Recordings(self._connection, self.tenant_id)


class Work:
    """What belongs to the whole installation, and the way to one tenant's things: `work.of(tenant_id)`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, tenant_id: str) -> TenantScope:
        """The things of one tenant. Whether the caller may see them is the caller's to decide, before this."""
        return TenantScope(self._connection, tenant_id)

    def search(
        self, tenant_ids: Collection[str], query: RecordingQuery, cursor: str | None = None, limit: int = 50
    ) -> Page[Recording]:
        """Find recordings of several tenants, newest first unless the query says otherwise, peaks left out.

        Args:
            tenant_ids: whose; never empty.
            cursor: `next_cursor` of the page before.
            limit: 1 to 1,000 a page.

        Raises:
            QueryInvalid: the query, the cursor or the limit cannot be understood.
            TooManyMatches: the number is too short to be answered without hiding newer calls.
        """
        return Search(self._connection, tenant_ids).page(query, cursor, limit)

    def count(self, tenant_ids: Collection[str], query: RecordingQuery, cap: int = 1000) -> CappedCount:
        """How many recordings a query finds, counting no further than `cap`.

        Raises:
            QueryInvalid, TooManyMatches: as for `search`.
        """
        return Search(self._connection, tenant_ids).count(query, cap)

    @cached_property
    def tenants(self) -> Tenants:
        return Tenants(self._connection)
