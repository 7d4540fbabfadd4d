"""Searches that people keep under a name: each person's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from recpipe.catalogue.mark_tables import saved_search
from recpipe.catalogue.repository import Repository, new_id, upsert
from recpipe.model import SavedSearch


class SavedSearches(Repository):
    """Of all people; every statement names one."""

    __slots__ = ()

    def list(self, user_id: str) -> Sequence[SavedSearch]:
        """Those of one person, by name."""
        c = saved_search.c
        wanted = select(c.id, c.name, c.query).where(c.user_id == user_id).order_by(c.name)
        return [SavedSearch(*row) for row in self._connection.execute(wanted)]

    def put(self, user_id: str, name: str, query: str, at: datetime) -> None:
        """Keep a search; one of this name is replaced."""
        statement = upsert(self._connection.dialect.name, saved_search, ("user_id", "name"), ("query", "saved_at"))
        values = {"id": new_id(), "user_id": user_id, "name": name, "query": query, "saved_at": at}
        self._connection.execute(statement, values)

    def remove(self, user_id: str, search_id: str) -> bool:
        """Forget one; whether it was there, and this person's."""
        c = saved_search.c
        return (
            self._connection.execute(delete(saved_search).where(c.user_id == user_id, c.id == search_id)).rowcount == 1
        )
