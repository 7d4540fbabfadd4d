"""Links by which somebody outside hears a call, and what was opened by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update

from recpipe.catalogue.repository import Repository, Scoped, row_of, same_tenant
from recpipe.catalogue.sharing_tables import shared_link, shared_opening
from recpipe.errors import NotFound
from recpipe.model import Opening, SharedLink


class SharedLinks(Scoped):
    """Those of one tenant."""

    __slots__ = ()

    def add(self, new: SharedLink) -> SharedLink:
        """Keep a new link."""
        same_tenant(self._tenant_id, new.tenant_id)
        self._connection.execute(insert(shared_link).values(row_of(shared_link, new)))
        return new

    def live(self, at: datetime) -> Sequence[SharedLink]:
        """Those that are neither revoked nor expired, the newest first; also those that were opened often enough."""
        c = shared_link.c
        rows = self._connection.execute(
            select(shared_link).where(self._is_live(at)).order_by(c.created_at.desc(), c.id)
        )
        return [_link_of(row) for row in rows]

    def count(self, at: datetime) -> int:
        """How many `live` gives."""
        counted = select(func.count()).select_from(shared_link).where(self._is_live(at))
        return self._connection.execute(counted).scalar_one()

    def revoke(self, link_id: str, at: datetime) -> bool:
        """End one, with all that was opened by it; whether this call did it."""
        c = shared_link.c
        mine = (c.id == link_id) & (c.tenant_id == self._tenant_id) & c.revoked_at.is_(None)
        return self._connection.execute(update(shared_link).where(mine).values(revoked_at=at)).rowcount == 1

    def _is_live(self, at: datetime) -> ColumnElement[bool]:
        c = shared_link.c
        return (c.tenant_id == self._tenant_id) & c.revoked_at.is_(None) & (c.expires_at > at)


class LinksOfAll(Repository):
    """Those of all tenants: whoever opens a link names no tenant."""

    __slots__ = ()

    def get(self, link_id: str) -> SharedLink:
        """One of them, revoked and expired ones too.

        Raises:
            NotFound: there is none.
        """
        return self._one("id", link_id)

    def by_hash(self, digest: str) -> SharedLink:
        """The link with this SHA-256, revoked and expired ones too: those are the caller's to refuse.

        Raises:
            NotFound: there is none.
        """
        return self._one("hash", digest)

    def open(self, new: Opening) -> bool:
        """Count one opening and keep it; False, and nothing done, where the link was opened often enough."""
        c = shared_link.c
        good = (c.id == new.link_id) & (c.openings < c.most_openings)
        counted = update(shared_link).where(good).values(openings=c.openings + 1, last_opened_at=new.opened_at)
        if self._connection.execute(counted).rowcount != 1:
            return False
        self._connection.execute(insert(shared_opening).values(row_of(shared_opening, new)))
        return True

    def opening(self, *, id: str = "", digest: str = "") -> Opening:
        """One opening by its id or the SHA-256 of its ticket, expired ones too.

        Raises:
            NotFound: there is none.
        """
        c = shared_opening.c
        wanted = c.hash == digest if digest else c.id == id
        row = self._connection.execute(select(shared_opening).where(wanted)).first()
        if row is None:
            raise NotFound("link")
        return Opening(**row._asdict())

    def prune(self, before: datetime) -> int:
        """Delete links and openings that expired before; how many links."""
        self._connection.execute(delete(shared_opening).where(shared_opening.c.expires_at < before))
        return self._connection.execute(delete(shared_link).where(shared_link.c.expires_at < before)).rowcount

    def _one(self, column: str, value: str) -> SharedLink:
        row = self._connection.execute(select(shared_link).where(shared_link.c[column] == value)).first()
        if row is None:
            raise NotFound("link", value if column == "id" else "")
        return _link_of(row)


def _link_of(row: Row[Any]) -> SharedLink:
    values = row._asdict()
    return SharedLink(**{**values, "recordings": tuple(values["recordings"])})
