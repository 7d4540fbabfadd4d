"""Passkeys: the public keys that people sign in with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update

from recpipe.catalogue.identity_tables import passkey
from recpipe.catalogue.repository import Repository, inserted, row_of
from recpipe.catalogue.tables import portal_user
from recpipe.errors import AlreadyExists, NotFound
from recpipe.model import Passkey


class Passkeys(Repository):
    """Those of everybody. How many a user has is kept with the user."""

    __slots__ = ()

    def add(self, new: Passkey) -> Passkey:
        """Keep a new one.

        Raises:
            AlreadyExists: it is somebody's already.
        """
        if not inserted(self._connection, passkey, row_of(passkey, new)):
            raise AlreadyExists("passkey", new.label)
        self._count(new.user_id)
        return new

    def find(self, credential: str) -> Passkey:
        """The one with this credential id, in base64url.

        Raises:
            NotFound: there is none.
        """
        row = self._connection.execute(select(passkey).where(passkey.c.credential == credential)).first()
        if row is None:
            raise NotFound("passkey")
        return Passkey(**row._asdict())

    def list(self, user_id: str) -> Sequence[Passkey]:
        """Those of a user, the oldest first."""
        c = passkey.c
        rows = self._connection.execute(select(passkey).where(c.user_id == user_id).order_by(c.created_at, c.id))
        return [Passkey(**row._asdict()) for row in rows]

    def use(self, used: Passkey, sign_count: int, at: datetime) -> bool:
        """Note a sign-in; False where another one counted further meanwhile."""
        c = passkey.c
        now_there = update(passkey).where(c.id == used.id, c.sign_count == used.sign_count)
        return self._connection.execute(now_there.values(sign_count=sign_count, last_used_at=at)).rowcount == 1

    def remove(self, user_id: str, passkey_id: str) -> None:
        """Forget one of a user's.

        Raises:
            NotFound: there is none, or it is another user's.
        """
        c = passkey.c
        gone = delete(passkey).where(c.id == passkey_id, c.user_id == user_id)
        if self._connection.execute(gone).rowcount != 1:
            raise NotFound("passkey", passkey_id)
        self._count(user_id)

    def remove_all(self, user_id: str) -> None:
        """Forget all of a user's."""
        self._connection.execute(delete(passkey).where(passkey.c.user_id == user_id))
        self._count(user_id)

    def _count(self, user_id: str) -> None:
        many = select(func.count()).select_from(passkey).where(passkey.c.user_id == user_id).scalar_subquery()
        self._connection.execute(update(portal_user).where(portal_user.c.id == user_id).values(passkeys=many))
