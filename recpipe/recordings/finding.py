"""Who may find which recordings and calls: tenant check and subset before a search, audit of what is denied."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import TypeVar

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import InputInvalid, NotFound
from recpipe.messages import message
from recpipe.model import Call, CappedCount, FoundTotal, Marks, Page, Recording, RecordingQuery, Tenant
from recpipe.recordings.subset import narrowed, subset_of

_Answer = TypeVar("_Answer")
_TENANT_ID = re.compile(r"[0-9a-f]{32}")


class Finder:
    """What a principal may find: tenants, recordings, and the calls that these are legs of. Thread-safe."""

    def __init__(self, catalogue: Catalogue, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._trail = trail

    # --- tenants ------------------------------------------------------------------------------------------

    def tenants(
        self, principal: Principal, action: Action | None = None, among: Collection[str] | None = None
    ) -> list[Tenant]:
        """The tenants this principal knows, or with which it may do `action`, by name.

        Args:
            among: ids of the only ones wanted; None: all of them.
        """
        mine = principal.known_tenants if action is None else principal.tenants(action)
        chosen = mine if among is None else frozenset(among) if mine is None else mine.intersection(among)
        with self._catalogue.read() as work:
            return list(work.tenants.list(chosen))

    def tenant_named(self, principal: Principal, word: str) -> Tenant:
        """The tenant that an id, a name or an alias means.

        Raises:
            NotFound: it means none, or the principal has no access to it: not told apart, and on the audit log.
        """
        tenant_id = word
        if not _TENANT_ID.fullmatch(word):
            with self._catalogue.read() as work, suppress(NotFound):
                tenant_id = work.tenants.named(word).id
        return self.tenant(principal, tenant_id)

    def tenant(self, principal: Principal, tenant_id: str) -> Tenant:
        """One tenant.

        Raises:
            NotFound: there is none, or it is nothing to this principal.
        """
        if not principal.knows(tenant_id):
            denial = NotFound("tenant", tenant_id)
            self._trail.denied(principal, "tenant", denial, tenant_id=tenant_id)
            raise denial
        with self._catalogue.read() as work:
            return work.tenants.get(tenant_id)

    # --- finding ------------------------------------------------------------------------------------------

    def search(
        self,
        principal: Principal,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        cursor: str | None = None,
        limit: int = 50,
        *,
        action: Action = Action.SEARCH,
    ) -> Page[Recording]:
        """Find recordings, newest first unless the query says otherwise.

        Args:
            tenant_ids: whose; None: of every tenant with which the principal may search.
            action: `EXPORT` for exports.

        Raises:
            NotFound: one of the tenants does not exist, or is nothing to this principal.
            Forbidden: searching is not allowed there.
            QueryInvalid, TooManyMatches: as `Work.search`.
            SearchTooLong: it was stopped; narrowed, by date above all, it may be answered.
        """
        return self._ask(
            principal,
            action,
            tenant_ids,
            query,
            Page(()),
            lambda work, ids, sought: work.search(ids, sought, cursor, limit),
        )

    def calls(
        self,
        principal: Principal,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        cursor: str | None = None,
        limit: int = 50,
        *,
        action: Action = Action.SEARCH,
    ) -> Page[Call]:
        """Find calls by any of their legs, in the order of their first legs; otherwise as `search`.

        An account with a subset finds a call by the legs that it may see, and is shown no others.
        """
        seen = subset_of(principal)
        return self._ask(
            principal,
            action,
            tenant_ids,
            query,
            Page(()),
            lambda work, ids, sought: work.calls(ids, sought, cursor, limit, **seen),
        )

    def count(
        self,
        principal: Principal,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        cap: int = 1000,
        *,
        calls: bool = False,
    ) -> CappedCount:
        """How many recordings, or calls, a search finds, counting no further than `cap`; raises as `search`."""

        def ask(work: Work, ids: Collection[str] | None, sought: RecordingQuery) -> CappedCount:
            return work.count_calls(ids, sought, cap) if calls else work.count(ids, sought, cap)

        return self._ask(principal, Action.SEARCH, tenant_ids, query, CappedCount(0), ask)

    def total(
        self,
        principal: Principal,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        cap: int,
        *,
        action: Action = Action.SEARCH,
        calls: bool = False,
    ) -> FoundTotal:
        """How many a search finds and how large they are, counting no further than `cap`; raises as `search`.

        Args:
            calls: count calls, and the size of all their legs. Not for an account with a subset.
        """

        def ask(work: Work, ids: Collection[str] | None, sought: RecordingQuery) -> FoundTotal:
            return work.total_calls(ids, sought, cap) if calls else work.total(ids, sought, cap)

        return self._ask(principal, action, tenant_ids, query, FoundTotal(0, 0), ask)

    def counted(
        self,
        principal: Principal,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        page: Page[Recording] | Page[Call],
        cursor: str | None,
        cap: int = 1000,
        *,
        calls: bool = False,
    ) -> CappedCount:
        """`count`, without asking the catalogue where a first page has the answer or took all the time there is."""
        if cursor is None and len(page.items) <= cap and (page.next_cursor is None or page.searched_to is not None):
            return CappedCount(len(page.items), capped=page.searched_to is not None)
        return self.count(principal, tenant_ids, query, cap, calls=calls)

    def call(self, principal: Principal, call_id: str, action: Action = Action.SEARCH) -> Call:
        """One call of any tenant the principal knows, with the legs that it may see.

        Args:
            call_id: its own, or that of a recording that is one of its legs.
            action: what it is wanted for.

        Raises:
            NotFound, Forbidden: as `get`.
        """
        found: Call | None = None
        known = principal.known_tenants
        if known is None or known:
            with self._catalogue.read() as work, suppress(NotFound):
                found = work.call(known, call_id, **subset_of(principal))
        if found is None:
            denial = NotFound("call", call_id)
            self._trail.denied(principal, action, denial, subject=call_id)
            raise denial
        self._trail.require(principal, action, found.tenant_id, "call", call_id)
        return found

    def marks(self, principal: Principal, tenant_ids: Iterable[str], calls: Collection[str]) -> dict[str, Marks]:
        """What was said of calls, by the id of the call; nothing where the principal may not search."""
        searchable = [tenant_id for tenant_id in tenant_ids if principal.may(Action.SEARCH, tenant_id)]
        if not searchable or not calls:
            return {}
        with self._catalogue.read() as work:
            return work.marks(searchable, calls)

    def legs(self, principal: Principal, call: Call, action: Action, *, most: int) -> list[Recording]:
        """All legs of a call that the principal may see, also those that were not read with it.

        Raises:
            InputInvalid: there are more than `most`.
            NotFound, Forbidden: as `search`.
        """
        if call.leg_count > most:
            raise InputInvalid(
                "call",
                message(
                    "This call has {leg_count:,} legs; at most {most:,} are taken at once.",
                    leg_count=call.leg_count,
                    most=most,
                ),
            )
        if call.leg_count == len(call.legs):
            return list(call.legs)
        query = RecordingQuery(call=call.id, oldest_first=True)
        return list(self.search(principal, [call.tenant_id], query, limit=most, action=action).items)

    # --- rules --------------------------------------------------------------------------------------------

    def _ask(
        self,
        principal: Principal,
        action: Action,
        tenant_ids: Collection[str] | None,
        query: RecordingQuery,
        nothing: _Answer,
        ask: Callable[[Work, Collection[str] | None, RecordingQuery], _Answer],
    ) -> _Answer:
        """What the catalogue answers within what the principal may see; `nothing` where that is nothing."""
        within = narrowed(principal, query)
        self._require_each(principal, action, tenant_ids)
        with self._catalogue.read(limited=True) as work:
            chosen = self._tenant_ids(work, principal, tenant_ids, action)
            if within is None or (chosen is not None and not chosen):
                return nothing
            return ask(work, chosen, within)

    def _require_each(self, principal: Principal, action: Action, tenant_ids: Collection[str] | None) -> None:
        for tenant_id in tenant_ids or ():
            self._trail.require(principal, action, tenant_id)

    def _tenant_ids(
        self, work: Work, principal: Principal, asked: Collection[str] | None, action: Action
    ) -> frozenset[str] | None:
        if asked is None:
            return principal.tenants(action)
        if principal.everything:  # of anybody else every grant is of a tenant that is there
            there = {tenant.id for tenant in work.tenants.list(asked)}
            for tenant_id in asked:
                if tenant_id not in there:
                    raise NotFound("tenant", tenant_id)
        return frozenset(asked)
